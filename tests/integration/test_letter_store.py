"""The tables of dead letters: the same records again change nothing, and a killed writer leaves one moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.letter_filter import HOUR_MS, LetterFilter
from aggregates.letter_store import SEGMENTS, LetterLimits, LetterStore
from aggregates.letterbox import Letterbox, TopicFreshness
from aggregates.store import Store
from ingest.deadletters import Origin, encode
from ingest.log import LogRecord
from ingest.verdicts import Reason, Rejected, RejectedEvent

TOPIC_ID = "0123456789abcdef"
ROOMY = LetterLimits(30 * 24 * HOUR_MS, 256_000_000, 500_000)


class Still:
    """A topic that is read to its end."""

    def freshness(self) -> TopicFreshness:
        return TopicFreshness("", 0, None)


def record(offset: int, letters: int = 1, time_ms: int = 1_795_428_000_000, size: int = 10) -> LogRecord:
    """A record of so many letters of so many bytes, one hour after the one before."""
    at_ms = time_ms + offset * HOUR_MS
    verdict = Rejected(Reason.TS_FUTURE, "timestamp", "m")
    event = b'{"metric":"orders","note":"' + b"x" * size + b'"}'
    origin = Origin(f"r{offset}", at_ms, "native")
    (found,) = encode(origin, [RejectedEvent(index, None, verdict, event) for index in range(letters)])
    return LogRecord(offset, at_ms, found.value)


def total(store: Store) -> int:
    return Letterbox(store, Still()).counts(LetterFilter()).total


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_records_read_again_change_nothing(tmp_path_factory: object, random: Random) -> None:
    path = Path(tmp_path_factory.mktemp("store")) / "dashboard.duckdb"  # type: ignore[attr-defined]
    logs = {partition: [record(offset, 1 + offset % 3) for offset in range(6)] for partition in range(3)}
    store = Store(path, {})
    letters = LetterStore(store, ROOMY)
    for _ in range(12):
        if random.random() < 0.2:
            store.close()
            store = Store(path, {})
            letters = LetterStore(store, ROOMY)
        batch: dict[int, list[LogRecord]] = {}
        for partition in random.sample(range(3), random.randint(1, 3)):
            found = letters.positions("t").get(partition)
            reached = found.position.next_offset if found else 0
            batch[partition] = logs[partition][random.randint(0, reached) : random.randint(reached, 6)]
        letters.apply_letters("t", TOPIC_ID, {p: records for p, records in batch.items() if records})
    letters.apply_letters("t", TOPIC_ID, logs)
    page = Letterbox(store, Still()).page(LetterFilter(), 1000, None, 4096)
    found_places = sorted((letter.partition, letter.record, letter.place) for letter in page.letters)
    assert found_places == [(p, o, i) for p in range(3) for o in range(6) for i in range(1 + o % 3)]
    assert total(store) == len(found_places)
    assert all(letter.original is not None for letter in page.letters)
    store.close()


def test_a_killed_writer_leaves_letters_and_position_of_one_moment(tmp_path: Path) -> None:
    body = """
        import os, pathlib, signal, sys
        from aggregates.letter_store import LetterStore
        from aggregates.store import Store
        from tests.integration.test_letter_store import ROOMY, TOPIC_ID, record
        letters = LetterStore(Store(pathlib.Path(sys.argv[1]), {}), ROOMY)
        for offset in range(30):
            letters.apply_letters("t", TOPIC_ID, {0: [record(offset, 2)]})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "dashboard.duckdb"
    command = [sys.executable, "-c", textwrap.dedent(body), str(path)]
    ended = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL
    wal = path.with_name(path.name + ".wal")
    os.truncate(wal, wal.stat().st_size - 3000)
    store = Store(path, {})
    letters = LetterStore(store, ROOMY)
    reached = letters.positions("t")[0].position.next_offset
    assert 0 < reached < 30
    assert total(store) == 2 * reached
    letters.apply_letters("t", TOPIC_ID, {0: [record(offset, 2) for offset in range(30)]})
    assert total(store) == 60
    store.close()


def test_the_file_stays_small_under_a_steady_stream_of_large_events(tmp_path: Path) -> None:
    limits = LetterLimits(30 * 24 * HOUR_MS, 8_000_000, 200)
    path = tmp_path / "dashboard.duckdb"
    store = Store(path, {})
    letters = LetterStore(store, limits)
    sizes: list[int] = []
    for offset in range(120):
        noise = Random(offset).randbytes(400_000).hex().encode()
        verdict = Rejected(Reason.TS_FUTURE, "timestamp", "m")
        (found,) = encode(Origin(f"r{offset}", 5, "native"), [RejectedEvent(0, None, verdict, b'"' + noise + b'"')])
        letters.apply_letters("t", TOPIC_ID, {0: [LogRecord(offset, 5, found.value)]})
        if offset % 20 == 19:
            store._connection.execute("CHECKPOINT")
            sizes.append(path.stat().st_size)
    assert max(sizes[2:]) <= max(sizes[:2]) < 4 * limits.original_bytes, sizes  # 96 MB went through
    assert total(store) == 120
    kept = [letter for letter in Letterbox(store, Still()).page(LetterFilter(), 1000, None, 0).letters if letter.kept]
    assert (SEGMENTS - 1) * 2 <= len(kept) <= 8
    store.close()


def test_letters_of_another_partition_and_topic_are_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "dashboard.duckdb", {})
    letters = LetterStore(store, ROOMY)
    assert letters.apply_letters("t", TOPIC_ID, {0: [record(0)], 1: [record(0)]}) == 2
    assert letters.apply_letters("t", TOPIC_ID, {0: [record(0)]}) == 0
    assert letters.apply_letters("t", "another", {0: [record(0)]}) == 1
    assert letters.positions("other") == {}
    store.close()
