"""Fuses: what they count, what they let through for ever, and that a refusal leaves no trace."""

from __future__ import annotations

import json
from typing import Any

from ingest.accept import Rules
from ingest.batches import ANYONE, Accepted, Acceptor, Fuses, Sender
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.native import Form
from ingest.registry import DimensionRule, MetricDefinition, Registry
from ingest.series import Kind
from ingest.verdicts import Reason

NOW = 1_795_428_000_000
LIMITED = MetricDefinition("m", rules={"d": DimensionRule(limit=2)})


def rules_of(*metrics: MetricDefinition) -> Rules:
    return Rules(Registry({metric.name: metric for metric in metrics}))


def acceptor_of(*metrics: MetricDefinition, **options: Any) -> Acceptor:
    return Acceptor(rules_of(*metrics), native.parse_dimensions, **options)


def send(acceptor: Acceptor, *values: str, sender: Sender = ANYONE, **fields: object) -> list[str]:
    """What becomes of an event for each value of dimension `d`, sent as one batch: `ok` or the reason."""
    events = [{"metric": "m", "value": 1, "dimensions": {"d": value}, **fields} for value in values]
    return told(batch(acceptor, events, sender), len(values))


def batch(acceptor: Acceptor, events: list[dict[str, Any]], sender: Sender = ANYONE) -> Accepted:
    found = native.read(json.dumps(events).encode(), Form.JSON, 1000)
    assert not isinstance(found, Problem)
    return acceptor.accept(found.events, NOW, sender)


def told(accepted: Accepted, size: int) -> list[str]:
    return [str(accepted.rejected[row].reason) if row in accepted.rejected else "ok" for row in range(size)]


def test_a_dimension_has_as_many_values_as_its_limit() -> None:
    acceptor = acceptor_of(LIMITED)
    assert send(acceptor, "a", "b", "c", "a") == ["ok", "ok", "cardinality", "ok"]
    assert send(acceptor, "c", "b") == ["cardinality", "ok"]
    assert send(acceptor, "c", metric="other") == ["ok"]


def test_the_verdict_names_dimension_and_limit() -> None:
    acceptor = acceptor_of(LIMITED)
    send(acceptor, "a", "b")
    (verdict,) = batch(acceptor, [{"metric": "m", "value": 1, "dimensions": {"d": "c"}}]).rejected.values()
    assert (verdict.reason, verdict.field) == (Reason.CARDINALITY, "dimensions.d")
    assert "2 different values" in verdict.message


def test_events_without_the_dimension_do_not_count() -> None:
    acceptor = acceptor_of(LIMITED)
    assert send(acceptor, "a", "b") == ["ok", "ok"]
    assert told(batch(acceptor, [{"metric": "m", "value": 1}]), 1) == ["ok"]


def test_a_rejected_event_counts_nothing() -> None:
    acceptor = acceptor_of(LIMITED)
    assert send(acceptor, "x", "y", "z", timestamp=5) == ["ts_too_old"] * 3
    assert send(acceptor, "a", "b") == ["ok", "ok"]
    none = Sender("k", 0)
    other = acceptor_of(LIMITED)
    assert send(other, "x", "y", sender=none) == ["series_limit"] * 2
    assert send(other, "a", "b") == ["ok", "ok"]


def test_what_was_let_through_stays_so_when_the_table_starts_afresh() -> None:
    acceptor = acceptor_of(LIMITED, max_series=1)
    assert send(acceptor, "a", "b") == ["ok", "ok"]
    for _ in range(3):
        assert send(acceptor, "c", "a") == ["cardinality", "ok"]


def test_spellings_of_one_series_are_one() -> None:
    acceptor = acceptor_of(LIMITED)
    one = Sender("k", 1)
    for text in ('{"d":"a","e":"1"}', '{ "e": "1", "d": "\\u0061" }'):
        body = f'[{{"metric":"m","value":1,"dimensions":{text}}}]'
        found = native.read(body.encode(), Form.JSON, 10)
        assert not isinstance(found, Problem)
        assert not acceptor.accept(found.events, NOW, one).rejected


def test_a_key_has_as_many_series_as_its_limit() -> None:
    acceptor = acceptor_of()
    key = Sender("k", 2)
    assert send(acceptor, "a", "b", "c", "a", sender=key) == ["ok", "ok", "series_limit", "ok"]
    assert send(acceptor, "b", "d", sender=key) == ["ok", "series_limit"]
    assert send(acceptor, "c", "d") == ["ok", "ok"]
    assert send(acceptor, "c", sender=key) == ["series_limit"], "series of others count for the key too"
    assert send(acceptor, "c", "d", "e", sender=Sender("other", 2)) == ["ok", "ok", "series_limit"]


def test_a_changed_limit_holds_for_new_series() -> None:
    acceptor = acceptor_of()
    assert send(acceptor, "a", "b", sender=Sender("k", 2)) == ["ok", "ok"]
    assert send(acceptor, "a", "b", "c", sender=Sender("k", 1)) == ["ok", "ok", "series_limit"]
    assert send(acceptor, "c", "d", sender=Sender("k", 3)) == ["ok", "series_limit"]
    assert send(acceptor, "d", "e", sender=Sender("k")) == ["ok", "ok"]


def test_texts_have_fuses_too() -> None:
    acceptor = acceptor_of(MetricDefinition("m", Kind.UNIQUE, rules=LIMITED.rules))
    assert send(acceptor, "a", "b", "c", value="u1") == ["ok", "ok", "cardinality"]
    assert send(acceptor, "a", "c", value="u2") == ["ok", "cardinality"]


def test_a_changed_registry_keeps_what_is_still_limited() -> None:
    fuses = Fuses()
    acceptor = acceptor_of(LIMITED, fuses=fuses)
    assert send(acceptor, "a", "b") == ["ok", "ok"]
    acceptor.use(rules_of(MetricDefinition("m", rules={"d": DimensionRule(limit=1)})))
    assert send(acceptor, "a", "b", "c") == ["ok", "ok", "cardinality"]
    acceptor.use(rules_of(MetricDefinition("m", rules={"d": DimensionRule()})))
    assert send(acceptor, "c", "d", "e") == ["ok", "ok", "ok"]
    acceptor.use(rules_of(LIMITED))
    assert send(acceptor, "f", "g", "a") == ["ok", "ok", "cardinality"], "without a limit nothing is remembered"


def test_a_changed_registry_judges_known_series_anew() -> None:
    acceptor = acceptor_of()
    assert send(acceptor, "a", "b") == ["ok", "ok"]
    acceptor.use(rules_of(MetricDefinition("m", rules={"d": DimensionRule(frozenset({"a"}))}, maximum=2)))
    assert send(acceptor, "a", "b") == ["ok", "dimension_not_allowed"]
    assert send(acceptor, "a", value=3) == ["out_of_range"]


def test_acceptors_share_fuses() -> None:
    fuses = Fuses()
    first, second = acceptor_of(LIMITED, fuses=fuses), acceptor_of(LIMITED, fuses=fuses)
    assert send(first, "a", "b") == ["ok", "ok"]
    assert send(second, "c", "a") == ["cardinality", "ok"]
