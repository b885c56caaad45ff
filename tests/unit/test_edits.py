"""Editing dead letters: what each edit does, and that nothing else changes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.edits import Edits, NotWhole, Original, Sendable, edited

ROOT = "r1/0"


def native(text: str, form: str = "event", cut: bool = False) -> Original:
    return Original("native", form, cut, text)


def sent(original: Original, **edits: Any) -> dict[str, Any]:
    """The edited event, without what every replay adds."""
    found = edited(original, Edits(**edits), ROOT)
    assert isinstance(found, Sendable), found
    event: dict[str, Any] = json.loads(found.body)
    inner = event["data"] if found.cloudevent else event
    assert inner.pop("replay_of") == ROOT
    return event


EVENT = native('{"metric":"orders","value":1.50,"dimensions":{"land":"NL","a.b":"c"},"id":"order-1"}')


@pytest.mark.parametrize(
    ("edits", "changed"),
    [
        ({}, {}),
        ({"set": {"value": 2}}, {"value": 2}),
        ({"set": {"dimensions.country": "NL"}}, {"dimensions": {"land": "NL", "a.b": "c", "country": "NL"}}),
        ({"set": {"dimensions": {"x": "y"}}}, {"dimensions": {"x": "y"}}),
        ({"set": {"dimensions.a.b": "d"}}, {"dimensions": {"land": "NL", "a.b": "d"}}),
        ({"drop": ("dimensions.a.b",)}, {"dimensions": {"land": "NL"}}),
        ({"drop": ("dimensions.none", "none")}, {}),
        ({"drop": ("dimensions",)}, {"dimensions": None}),
        ({"rename": {"dimensions.land": "dimensions.country"}}, {"dimensions": {"a.b": "c", "country": "NL"}}),
        ({"rename": {"dimensions.none": "dimensions.country"}}, {}),
        ({"rename": {"dimensions.land": "metric"}}, {"metric": "NL", "dimensions": {"a.b": "c"}}),
        ({"rename": {"dimensions": "tags"}}, {"dimensions": None, "tags": {"land": "NL", "a.b": "c"}}),
        ({"set": {"dimensions.new": "x"}, "drop": ("dimensions",)}, {"dimensions": {"new": "x"}}),
        ({"drop": ("id",)}, {"id": ROOT}),
        ({"set": {"id": None}}, {"id": ROOT}),
        ({"set": {"id": "other"}}, {"id": "other"}),
        ({"set": {"replay_of": "forged"}}, {}),
    ],
)
def test_an_edit_changes_what_it_names(edits: dict[str, Any], changed: dict[str, Any]) -> None:
    expected = {**json.loads(EVENT.text), **changed}
    assert sent(EVENT, **edits) == {name: value for name, value in expected.items() if value is not None}


def test_what_no_edit_touches_is_sent_as_it_was_spelled() -> None:
    found = edited(EVENT, Edits(set={"metric": "other"}), ROOT)
    assert isinstance(found, Sendable)
    assert b'"value":1.50' in found.body
    assert b'"dimensions":{"land":"NL","a.b":"c"}' in found.body
    assert (found.event_id, found.cloudevent) == ("order-1", False)


def test_an_event_without_dimensions_gets_some() -> None:
    for text in ('{"metric":"a","value":1}', '{"metric":"a","value":1,"dimensions":null}'):
        assert sent(native(text), set={"dimensions.x": "y"})["dimensions"] == {"x": "y"}


def test_an_edit_of_one_name_needs_an_object() -> None:
    original = native('{"metric":"a","value":1,"dimensions":[1]}')
    for edits in (Edits(set={"dimensions.x": "y"}), Edits(drop=("dimensions.x",)), Edits(rename={"dimensions.x": "y"})):
        found = edited(original, edits, ROOT)
        assert isinstance(found, NotWhole)
        assert "no JSON object" in found.message
    assert sent(original, drop=("dimensions",)) == {"metric": "a", "value": 1, "id": ROOT}


@pytest.mark.parametrize(
    "original",
    [
        native("5"),
        native("[]"),
        native('"text"'),
        native('{"metric":', "text"),
        native(base64.b64encode(b"\xff{").decode(), "base64"),
        native("no base64!", "base64"),
        native('{"metric":"a","value":1,"note":"xxx', "text", cut=True),
        native("[" * 100_000, "text"),
    ],
)
def test_what_is_no_event_needs_a_metric_and_a_value(original: Original) -> None:
    assert isinstance(edited(original, Edits(), ROOT), NotWhole)
    assert isinstance(edited(original, Edits(set={"value": 1}), ROOT), NotWhole)
    assert sent(original, set={"metric": "a", "value": 1}) == {"metric": "a", "value": 1, "id": ROOT}


def test_an_event_named_by_its_request_keeps_that_name() -> None:
    def named(text: str) -> Original:
        return Original("native", "event", False, text, event_id="k-2/0")

    assert sent(named('{"metric":"a","value":1}'))["id"] == "k-2/0"
    assert sent(named('{"metric":"a","value":1,"id":"own"}'))["id"] == "own"
    assert sent(named('{"metric":"a","value":1,"id":"own"}'), drop=("id",))["id"] == ROOT


def test_a_nan_can_be_replaced_and_the_rest_stays() -> None:
    original = native('{"metric":"a","value":NaN,"dimensions":{"x":"y"}}', "text")
    assert isinstance(edited(original, Edits(), ROOT), NotWhole)
    assert sent(original, set={"value": 0}) == {"metric": "a", "value": 0, "dimensions": {"x": "y"}, "id": ROOT}


def test_bytes_that_are_json_but_for_one_text_stay_unsent() -> None:
    original = native('{"metric":"a","value":1,"dimensions":{"x":"\\ud800"}}', "text")
    assert isinstance(edited(original, Edits(), ROOT), NotWhole)
    assert sent(original, drop=("dimensions.x",))["value"] == 1


def cloudevent(**fields: Any) -> Original:
    envelope = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "orders", **fields}
    return Original("cloudevents", "event", False, json.dumps(envelope))


def test_edits_of_a_cloudevent_go_to_its_data() -> None:
    found = sent(cloudevent(data={"value": 1}), set={"dimensions.country": "NL", "cloudevent.type": "other"})
    assert found["data"] == {"value": 1, "dimensions": {"country": "NL"}}
    assert (found["type"], found["id"], found["source"]) == ("other", "7", "/shop")


def test_a_cloudevent_keeps_its_identity_or_gets_one() -> None:
    assert "id" not in sent(cloudevent(data={"value": 1}))["data"]
    assert sent(cloudevent(data={"value": 1}), drop=("cloudevent.id",))["data"]["id"] == ROOT


def test_data_in_base64_become_json() -> None:
    packed = base64.b64encode(b'{"value": -1}').decode()
    found = sent(cloudevent(data_base64=packed), set={"value": 1})
    assert (found["data"], "data_base64" in found) == ({"value": 1}, False)
    assert isinstance(edited(cloudevent(data_base64="%"), Edits(), ROOT), NotWhole)
    assert sent(cloudevent(data="text"), set={"value": 1})["data"] == {"value": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(["metric", "value", "id", "dimensions", "dimensions.a", "dimensions.a.b", "cloudevent.id"])


@given(
    st.sampled_from(["native", "cloudevents"]),
    JSON | st.dictionaries(PATHS | st.sampled_from(["data"]), JSON),
    st.dictionaries(PATHS, JSON, max_size=3),
    st.lists(PATHS, max_size=2),
    st.dictionaries(PATHS, PATHS, max_size=2),
)
def test_whatever_the_letter_and_the_edits_what_is_sent_is_json_with_an_id(
    protocol: str, original: object, given_set: dict[str, object], drop: list[str], rename: dict[str, str]
) -> None:
    text = json.dumps(original, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    found = edited(Original(protocol, "event", False, text), Edits(given_set, tuple(drop), rename), ROOT)
    if isinstance(found, NotWhole):
        assert found.message
        return
    event = json.loads(found.body)
    inner = event["data"] if found.cloudevent else event
    assert inner["replay_of"] == ROOT
    assert inner.get("id") is not None or (found.cloudevent and {"id", "source"} <= set(event))
