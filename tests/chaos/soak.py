"""As many faults as wanted: `python -m tests.chaos.soak --faults 500 --seed 1`.

Runs rounds of `write_side`, each with a seed of its own, then the long outage of `back_pressure`, and writes what came
out into docs/reliability.md. A round that fails leaves its folder, with the evidence; `--check FILE` judges it again.
Exit code 1 when anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import platformdirs

from tallyboard.kafka_cache import ensure_jars
from tests.chaos.back_pressure import EVENTS, Outage, outage
from tests.chaos.checker import violations
from tests.chaos.faults import Fault
from tests.chaos.write_side import Evidence, Round, run_round

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- soak:begin -->", "<!-- soak:end -->"
QUEUE_EVENTS = 20 * EVENTS
AROUND_S = 20.0


@dataclass(slots=True)
class Totals:
    """Rounds added up."""

    seeds: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    sends: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    events: int = 0
    letters: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, done: Round) -> None:
        self.seeds.append(done.seed)
        self.faults += done.faults()
        self.sends += Counter(done.evidence.history.counts())
        self.requests += len(done.evidence.history.requests)
        self.events += sum(map(len, done.evidence.found.events.values()))
        self.letters += len(done.evidence.found.letters)
        self.seconds += done.seconds
        self.wrong += [f"seed {done.seed}: {sentence}" for sentence in done.wrong]


def report(totals: Totals, seen: Outage | None, day: str) -> str:
    """The table of the document."""
    sends = totals.sends
    rows = [
        ("date, machine", f"{day}, {os.cpu_count()} cores"),
        ("seeds", f"{totals.seeds[0]} to {totals.seeds[-1]}, {totals.seconds / 60:.0f} minutes"),
        ("**faults**", f"**{sum(totals.faults.values()):,}**"),
        *((f"– {fault}", f"{totals.faults[fault]:,}") for fault in map(str, Fault)),
        ("requests", f"{totals.requests:,}"),
        ("sends", f"{sends['ok']:,} acknowledged, {sends['fail']:,} refused, {sends['unknown']:,} unknown"),
        ("found in the log", f"{totals.events:,} events, {totals.letters:,} dead letters"),
        ("**violations**", f"**{len(totals.wrong)}**"),
    ]
    if seen is not None:
        refused = seen.phase("frozen").answers + seen.phase("gone").answers
        minutes = (seen.phase("frozen").seconds + seen.phase("gone").seconds) / 60
        rows += [
            ("Kafka away under load", f"{minutes:g} minutes, half of them hanging, half of them gone"),
            ("– answers meanwhile", ", ".join(f"{count:,} × {answer}" for answer, count in sorted(refused.items()))),
            ("– most events waiting", f"{max(p.queued for p in seen.phases):,} of {QUEUE_EVENTS:,} allowed"),
            ("– memory of ingest", ", ".join(f"{p.memory_mb:.0f} MB {p.name}" for p in seen.phases)),
            ("– recovered", f"{seen.recovered_s:.1f} s after Kafka, without a restart"),
        ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def replaced(text: str, table: str) -> str:
    """The document with another table between the marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def run(faults: int, seed: int, jars: Path) -> Totals:
    """Rounds until so many faults are done; stops early at the third round that fails."""
    totals = Totals()
    failed = 0
    while sum(totals.faults.values()) < faults and failed < 3:
        folder = Path(tempfile.mkdtemp(prefix=f"tallyboard-chaos-{seed}-"))
        done = asyncio.run(run_round(folder, jars, seed))
        totals.add(done)
        print(done.summary(), flush=True)
        if done.wrong:
            failed += 1
            print(f"evidence in {folder}:\n" + "\n".join(done.wrong), flush=True)
        else:
            shutil.rmtree(folder)
        seed += 1
    return totals


def measure_outage(minutes: float, jars: Path) -> tuple[Outage, list[str]]:
    """The outage, and what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="tallyboard-outage-") as folder:
        seen = asyncio.run(outage(Path(folder), jars, minutes * 60, AROUND_S, QUEUE_EVENTS))
    for phase in seen.phases:
        print(phase, flush=True)
    wrong = [] if seen.same_process else ["ingest did not live through the outage"]
    if any(phase.without_retry_after for phase in seen.phases):
        wrong.append("503 without Retry-After during the outage")
    if any(phase.queued > QUEUE_EVENTS for phase in seen.phases):
        wrong.append("more events waited than are allowed")
    return seen, wrong


def check(path: Path) -> list[str]:
    """Judge the evidence of a run again."""
    evidence = msgspec.json.decode(path.read_bytes(), type=Evidence)
    return violations(evidence.history, evidence.found)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further round takes the next")
    parser.add_argument("--away-minutes", type=float, default=3.0, help="of the outage; 0: none")
    parser.add_argument("--no-write", action="store_true", help="leave docs/reliability.md as it is")
    parser.add_argument("--check", type=Path, metavar="FILE", help="judge an evidence.json again, and nothing else")
    given = parser.parse_args(arguments)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if given.check:
        wrong = check(given.check)
        print("\n".join(wrong) or "no violation")
        return 1 if wrong else 0
    cache = Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard"))
    jars = ensure_jars(cache, lambda done, total, name: None, print)
    totals = run(max(1, given.faults), given.seed, jars)
    seen = None
    if given.away_minutes:
        seen, wrong = measure_outage(given.away_minutes, jars)
        totals.wrong += wrong
    table = report(totals, seen, dt.datetime.now(dt.UTC).date().isoformat())
    print(table)
    if not given.no_write:
        DOCUMENT.write_text(replaced(DOCUMENT.read_text(), table))
    return 1 if totals.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
