"""Files that change under a running process: the newest good content is in force, and what is not is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.registry import Registry, RegistryError, load
from ingest.watched import Watched


def put(path: Path, text: str) -> None:
    """Replace a file as careful programs do."""
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.toml"
    put(path, "[metrics.a]\n")
    return path


@pytest.fixture
def watched(file: Path) -> Watched[Registry]:
    return Watched([file], lambda: load(file))


def names(watched: Watched[Registry]) -> set[str]:
    return set(watched.value.metrics)


def test_what_is_wrong_at_the_start_is_raised(file: Path) -> None:
    put(file, "[")
    with pytest.raises(RegistryError):
        Watched([file], lambda: load(file))


def test_a_change_is_loaded_once(file: Path, watched: Watched[Registry]) -> None:
    assert not watched.poll()
    before = watched.digest
    put(file, "[metrics.b]\n")
    assert watched.poll()
    assert names(watched) == {"b"}
    assert watched.digest != before
    assert not watched.poll()
    put(file, "[metrics.a]\n")
    assert watched.poll()
    assert watched.digest == before


def test_a_bad_file_keeps_the_old_value_and_says_why(file: Path, watched: Watched[Registry]) -> None:
    digest = watched.digest
    put(file, "[metrics.b]\nkind = 5\n")
    for _ in range(2):
        assert not watched.poll()
        assert watched.problem is not None
        assert f"{file}:2: metrics.b.kind: " in watched.problem
        assert (names(watched), watched.digest) == ({"a"}, digest)
    put(file, "[metrics.c]\n")
    assert watched.poll()
    assert (names(watched), watched.problem) == ({"c"}, None)


def test_a_mistake_taken_back_is_no_change(file: Path, watched: Watched[Registry]) -> None:
    put(file, "[")
    assert not watched.poll()
    put(file, "[metrics.a]\n")
    assert not watched.poll()
    assert watched.problem is None


def test_a_file_that_is_gone_keeps_the_old_value(file: Path, watched: Watched[Registry]) -> None:
    file.unlink()
    assert not watched.poll()
    assert watched.problem == f"{file}: the file is gone; what it said still holds"
    assert names(watched) == {"a"}
    put(file, "[metrics.a]\n")
    assert not watched.poll()
    assert watched.problem is None


def test_a_file_that_appears_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "metrics.toml"
    watched = Watched([file], lambda: load(file))
    assert names(watched) == set()
    put(file, "[metrics.a]\n")
    assert watched.poll()
    assert names(watched) == {"a"}


def test_an_emptied_file_counts_when_it_stays_empty(file: Path, watched: Watched[Registry]) -> None:
    put(file, "")
    assert not watched.poll()
    assert names(watched) == {"a"}
    put(file, "[metrics.b]\n")
    assert watched.poll()
    put(file, "")
    assert [watched.poll(), watched.poll(), watched.poll()] == [False, True, False]
    assert names(watched) == set()


def test_a_file_written_while_it_is_loaded_is_left_for_the_next_time(file: Path) -> None:
    writing: list[str] = []

    def slow() -> Registry:
        registry = load(file)
        if writing:
            put(file, writing.pop())
        return registry

    watched = Watched([file], slow)
    writing.append("[metrics.c]\n")
    put(file, "[metrics.b]\n")
    assert not watched.poll()
    assert names(watched) == {"a"}
    assert watched.poll()
    assert names(watched) == {"c"}


def test_a_touched_file_is_no_change(file: Path, watched: Watched[Registry]) -> None:
    os.utime(file)
    assert not watched.poll()
    assert watched.problem is None


def test_a_problem_outside_of_the_files_is_tried_again(file: Path) -> None:
    away: list[bool] = []

    def load_it() -> Registry:
        if away:
            raise OSError("no file system")
        return load(file)

    watched = Watched([file], load_it)
    away.append(True)
    put(file, "[metrics.b]\n")
    assert not watched.poll()
    assert watched.problem == "no file system"
    away.clear()
    assert watched.poll()
    assert watched.problem is None


def test_one_of_several_files_is_enough(tmp_path: Path, file: Path) -> None:
    further = tmp_path / "further.toml"
    put(further, "[metrics.z]\n")
    watched = Watched([file, further], lambda: load(file, further))
    put(further, "[metrics.y]\n")
    assert watched.poll()
    assert names(watched) == {"a", "y"}
    further.unlink()
    put(file, "[metrics.b]\n")
    assert not watched.poll()
    assert watched.problem is not None
    assert str(further) in watched.problem
