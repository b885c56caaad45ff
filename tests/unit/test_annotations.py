"""Annotations as the journal's entries make them, and what requests about them may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.annotations import (
    ANNOTATION,
    Action,
    Annotation,
    Annotations,
    Content,
    Entry,
    Fold,
    read_entry,
    touching,
)
from aggregates.letter_store import LetterLimits, LetterStore
from aggregates.queries import QueryError
from aggregates.store import Store
from dashboard.annotation_fields import (
    Addition,
    ListRequest,
    cursor_of,
    id_of,
    parse_addition,
    parse_edit,
    parse_list,
)
from dashboard.marks import MOST_NOTES
from dashboard.notes import notes_of
from ingest.log import LogRecord

NOON = 1_795_435_200_000
ROOMY = LetterLimits(10**12, 10**9, 10**6)
KNOWN = Annotation("a", NOON, None, "deploy", None, None, NOON, 0, Content(NOON, None, "deploy", None))

times = st.integers(NOON, NOON + 50)
entries = st.builds(
    lambda id_, action, fields, author: {"id": id_, "action": action, "author": author, **fields},
    st.sampled_from("abcd"),
    st.sampled_from(["add", "add", "edit", "edit", "remove"]),
    st.fixed_dictionaries(
        {},
        optional={
            "at_ms": times,
            "end_ms": st.none() | times,
            "text": st.sampled_from(["deploy", "sale", "x" * 500, "x" * 501, ""]),
            "metric": st.sampled_from([None, "orders", "flights"]),
        },
    ),
    st.sampled_from([None, "k1"]),
)
bodies = entries.map(lambda said: msgspec.json.encode({"type": ANNOTATION, **said}))
OTHERS = [b"", b"{", b'{"type":"replay_claim"}', b'{"type":"annotation"}', b'{"type":"annotation","id":3}']
journals = st.lists(st.one_of(bodies, st.sampled_from(OTHERS)), max_size=30)


def plain(journal: list[bytes]) -> dict[str, dict[str, Any]]:
    """The same by a plain dictionary of dictionaries."""
    there: dict[str, dict[str, Any]] = {}
    gone: set[str] = set()
    for body in journal:
        try:
            said = msgspec.json.decode(body)
        except msgspec.DecodeError:
            continue
        id_, action = said.get("id"), said.get("action")
        if action == "remove" and id_ in there:
            del there[id_]
            gone.add(id_)
        elif action == "add" and id_ not in there and id_ not in gone and {"at_ms", "text"} <= said.keys():
            new = {name: said.get(name) for name in ("at_ms", "end_ms", "text", "metric")} | {"edits": 0}
            if fits(new):
                there[id_] = new
        elif action == "edit" and id_ in there:
            named = {name: said[name] for name in ("at_ms", "end_ms", "text", "metric") if name in said}
            new = {**there[id_], **named, "edits": there[id_]["edits"] + 1}
            if fits(new):
                there[id_] = new
    return there


def fits(said: dict[str, Any]) -> bool:
    return 0 < len(said["text"]) <= 500 and (said["end_ms"] is None or said["end_ms"] >= said["at_ms"])


def shown(annotations: Annotations) -> dict[str, dict[str, Any]]:
    names = ("at_ms", "end_ms", "text", "metric", "edits")
    assert list(annotations.all) == sorted(annotations.all, key=lambda one: (one.at_ms, one.id))
    return {one.id: {name: getattr(one, name) for name in names} for one in annotations.all}


@settings(max_examples=12, deadline=None)
@given(journals, st.data())
def test_whatever_is_read_again_and_however_often_it_starts_the_fold_is_the_journal(
    tmp_path_factory: pytest.TempPathFactory, journal: list[bytes], data: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("fold") / "d.duckdb", {})
    kept, annotations = LetterStore(store, ROOMY), Annotations(store)
    records = [LogRecord(n, NOON + n, body) for n, body in enumerate(journal)]
    read = 0
    while read < len(records):
        again = data.draw(st.integers(0, read), "read again from")
        read = data.draw(st.integers(read + 1, len(records)), "up to")
        kept.apply_journal("journal", "t" * 32, {0: records[again:read]})
        annotations.catch_up()
        if data.draw(st.booleans(), "starts again"):
            before, annotations = annotations, Annotations(store)
            assert annotations.all == before.all
        assert shown(annotations) == plain(journal[:read])
    store.close()


def entry(action: str, id_: str = "a", **fields: Any) -> Entry:
    found = read_entry(msgspec.json.encode({"id": id_, "action": action, **fields}))
    assert found is not None
    return found


def test_who_and_when_stand_beside_what_was_said() -> None:
    fold = Fold()
    fold.take(entry("add", at_ms=NOON, text="deploy", author="k1"), 7, NOON + 5)
    fold.take(entry("edit", text="rollback", author="k2"), 8, NOON + 9)
    found = fold.get("a")
    assert found is not None
    assert (found.author, found.created_ms, found.record, found.text) == ("k1", NOON + 5, 7, "rollback")
    assert (found.edits, found.edited_by, found.edited_ms, found.added.text) == (1, "k2", NOON + 9, "deploy")


def test_so_many_there_are_and_no_more() -> None:
    fold = Fold(most=2, most_removed=1)
    for number, id_ in enumerate("abc"):
        assert fold.take(entry("add", id_, at_ms=NOON, text="x"), number, NOON) is (id_ != "c")
    assert fold.is_full
    fold.take(entry("remove", "a"), 3, NOON)
    assert fold.was_removed("a")
    assert not fold.take(entry("add", "a", at_ms=NOON, text="x"), 4, NOON)
    fold.take(entry("remove", "b"), 5, NOON)
    assert not fold.was_removed("a")  # the oldest id is forgotten
    assert [one.id for one in fold.ordered()] == []


@pytest.mark.parametrize("wrong", [
    {"at_ms": 10**18, "text": "x"}, {"at_ms": -(10**18), "text": "x"}, {"at_ms": NOON, "text": ""}, {"text": "x"},
    {"at_ms": NOON}, {"at_ms": NOON, "text": "x", "end_ms": NOON - 1}, {"at_ms": NOON, "text": "x", "metric": ""},
    {"at_ms": NOON, "text": "x" * 501}, {"at_ms": NOON, "text": "x", "metric": "m" * 201},
])  # fmt: skip
def test_entries_that_say_something_impossible_are_without_effect(wrong: dict[str, Any]) -> None:
    fold = Fold()
    assert not fold.take(entry("add", **wrong), 0, NOON)
    assert not fold.take(entry("add", "<b>", at_ms=NOON, text="x"), 1, NOON)
    assert fold.ordered() == ()


def test_ranges_hold_what_touches_them() -> None:
    long = replace(KNOWN, id="long", at_ms=NOON - 100, end_ms=NOON + 100)
    other = replace(KNOWN, id="other", at_ms=NOON + 50, metric="orders")
    every = tuple(sorted((KNOWN, long, other), key=lambda one: one.place))
    assert [one.id for one in touching(every, NOON, NOON + 50, None)] == ["long", "a"]
    assert [one.id for one in touching(every, NOON + 1, NOON + 51, None)] == ["long", "other"]
    assert [one.id for one in touching(every, NOON + 1, None, "flights")] == ["long"]
    assert [one.id for one in touching(every, None, None, "orders")] == ["long", "a", "other"]


# --- requests -----------------------------------------------------------------------------------------------------


def refused(found: object) -> tuple[str, str | None]:
    assert isinstance(found, QueryError), found
    return found.code, found.field


@pytest.mark.parametrize(("fields", "field"), [
    ({}, "text"), ({"text": " \u200b\u202e"}, "text"), ({"text": "x" * 501}, "text"), ({"text": 3}, "text"),
    ({"text": "x", "at": "yesterday"}, "at"), ({"text": "x", "at": None}, "at"), ({"text": "x", "at": 1.5}, "at"),
    ({"text": "x", "at": 10**30}, "at"), ({"text": "x", "at": True}, "at"), ({"text": "x", "at": []}, "at"),
    ({"text": "x", "at": NOON, "end": NOON - 1}, "end"), ({"text": "x", "end": {}}, "end"),
    ({"text": "x", "metric": ""}, "metric"), ({"text": "x", "metric": ["a"]}, "metric"),
    ({"text": "x", "id": ""}, "id"), ({"text": "x", "id": "a/b"}, "id"), ({"text": "x", "id": 3}, "id"),
    ({"text": "x", "id": "a" * 101}, "id"), ({"text": "x", "colour": "red"}, "colour"),
])  # fmt: skip
def test_what_no_annotation_can_be_is_refused_with_its_field(fields: dict[str, object], field: str) -> None:
    assert refused(parse_addition(fields, NOON)) == ("invalid_annotation", field)


def test_an_addition_is_taken_as_it_is_meant() -> None:
    found = parse_addition({"text": "  two\nlines ", "at": "-1h", "end": "now", "metric": "orders"}, NOON)
    content = Content(NOON - 3_600_000, NOON, "two\nlines", "orders")
    assert found == Addition(None, content, exact=False)
    exact = parse_addition({"text": "x", "at": "2026-11-23T12:00:00Z", "id": "d-1"}, 0)
    assert exact == Addition("d-1", Content(NOON, None, "x", None), exact=True)


def test_an_edit_changes_what_it_names_or_everything() -> None:
    known = replace(KNOWN, end_ms=NOON + 5, metric="orders")
    assert parse_edit({"text": "x"}, 0, known, whole=False) == Content(NOON, NOON + 5, "x", "orders")
    assert parse_edit({"metric": None, "end": None}, 0, known, whole=False) == Content(NOON, None, "deploy", None)
    assert parse_edit({"text": "x", "at": NOON}, 0, known, whole=True) == Content(NOON, None, "x", None)
    assert refused(parse_edit({"text": "x"}, 0, known, whole=True)) == ("invalid_annotation", "at")
    assert refused(parse_edit({}, 0, known, whole=False)) == ("invalid_annotation", None)
    assert refused(parse_edit({"at": NOON + 6}, 0, known, whole=False)) == ("invalid_annotation", "end")
    assert refused(parse_edit({"id": "b"}, 0, known, whole=False)) == ("invalid_annotation", "id")


def test_lists_are_asked_for_like_everything_else() -> None:
    found = parse_list([("from", "-1h"), ("metric", "orders"), ("cursor", cursor_of(KNOWN))], NOON)
    assert found == ListRequest(NOON - 3_600_000, None, "orders", 200, (NOON, "a"), None)
    wrong = [("limit", "0"), ("limit", "x"), ("cursor", "a"), ("from", "b"), ("colour", "c"), ("timeout", "99")]
    for name, value in wrong:
        assert refused(parse_list([(name, value)], NOON)) == ("invalid_query", name)
    assert refused(parse_list([("from", "now"), ("to", "-1h")], NOON)) == ("invalid_query", "from")


def test_idempotency_keys_are_of_one_caller() -> None:
    assert id_of(None, None) is None
    assert id_of("k", None) == id_of("k", None) != id_of("k", "key1")
    assert refused(id_of("é", None)) == refused(id_of("x" * 201, None)) == ("invalid_idempotency_key", None)


def test_notes_are_made_once_for_a_change() -> None:
    class Kept:
        all: tuple[Annotation, ...] = (KNOWN,)

    kept = Kept()
    notes = notes_of(kept)
    assert notes() is notes()
    assert [(note.id, note.text, note.author, note.metric) for note in notes()] == [("a", "deploy", "", None)]
    kept.all = ()
    assert notes() == ()
    assert MOST_NOTES == 100
    assert Action("add") is Action.ADD


def test_what_stands_in_the_file_is_all_it_takes(tmp_path: Path) -> None:
    store = Store(tmp_path / "d.duckdb", {})
    body = msgspec.json.encode({"type": ANNOTATION, "id": "a", "action": "add", "at_ms": NOON, "text": "x"})
    LetterStore(store, ROOMY).apply_journal("journal", "t" * 32, {0: [LogRecord(0, NOON, body)]})
    store.close()
    store = Store(tmp_path / "d.duckdb", {})
    assert [one.text for one in Annotations(store).all] == ["x"]
    store.close()
