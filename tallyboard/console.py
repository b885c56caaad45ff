"""What the command says to the person at the terminal; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tallyboard.kafka_cache import DOWNLOAD_BYTES, KAFKA_VERSION
from tallyboard.kafka_cache import Progress as Fetched

_LINE_EVERY_JARS = 10


class Voice:
    """Says things on standard output, coloured on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    def say(self, sentence: str) -> None:
        """One line for people."""
        self.console.print(escape(sentence))

    def started(self, addresses: Mapping[str, str], data: Path, demos: Sequence[str], seconds: float) -> None:
        """The addresses, once everything is ready."""
        lines = [
            f"[bold green]Tallyboard is ready[/] after {seconds:.1f} s.",
            f"  Dashboard  [bold]{addresses['dashboard']}/[/]",
            f"  Events     POST {addresses['ingest']}/v1/events",
            f"  Kafka      {addresses['kafka']}",
            f"  Data       {escape(str(data))} (logs in logs/)",
            f"  Demos      {', '.join(demos) if demos else 'none (--demo flights starts one)'}",
        ]
        if not demos:
            event = '{"metric": "orders.revenue", "value": 12.5, "dimensions": {"country": "NL"}}'
            lines.append("Send a first event:")
            lines.append(
                f"  curl -H 'content-type: application/json' -d '{escape(event)}' {addresses['ingest']}/v1/events"
            )
        lines.append("Ctrl-C stops it.")
        self.console.print("\n".join(lines))

    @contextmanager
    def download(self) -> Iterator[Fetched]:
        """Show how far the download of Kafka is; shows nothing when nothing is fetched."""
        what = f"Fetching Apache Kafka {KAFKA_VERSION} (about {DOWNLOAD_BYTES // 1_000_000} MB, once)"
        if not self.console.is_terminal:
            yield lambda done, total, name: self._plain(what, done, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[jars]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bar:
            tasks: list[TaskID] = []

            def fetched(done: int, total: int, _name: str) -> None:
                if not tasks:
                    tasks.append(bar.add_task(what, total=None, jars="finding out what is needed"))
                if total:
                    bar.update(tasks[0], total=total, completed=done, jars=f"{done}/{total} jars")

            yield fetched

    def _plain(self, what: str, done: int, total: int) -> None:
        if not total:
            self.say(f"{what} …")
        elif done and (done % _LINE_EVERY_JARS == 0 or done == total):
            self.say(f"  {done} of {total} jars")
