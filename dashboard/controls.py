"""What stands around the explore chart: the state of its controls, links, notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aggregates.queries import Filter, Metric
from dashboard.names import readable
from dashboard.state import STEP_NAMES, Explore, Range, address, encode, range_words, write_moment


def settled(state: Explore, metric: Metric) -> tuple[Explore, list[str]]:
    """The state with its defaults filled in, without what the metric does not have."""
    notices = []
    if state.measure is not None and metric.measures and state.measure not in metric.measures:
        notices.append(f"{readable(metric.name, 60)} has no {readable(state.measure, 60)}: showing its own measure.")
        state = replace(state, measure=None)
    if state.by is not None and state.by not in metric.dimensions:
        notices.append(f"{readable(metric.name, 60)} has no dimension {readable(state.by, 60)}: not split.")
        state = replace(state, by=None)
    kept = tuple(f for f in state.where if f.dimension in metric.dimensions)
    notices += [
        f"{readable(metric.name, 60)} has no dimension {readable(f.dimension, 60)}: filter left out."
        for f in state.where
        if f not in kept
    ]
    return replace(state, metric=metric.name, measure=state.measure or metric.measure, where=kept), notices


def controls(state: Explore, metric: Metric | None) -> dict[str, Any]:
    """What the controls show."""
    return {
        "metric": state.metric,
        "measure": state.measure,
        "default_measure": metric.measure if metric else None,
        "dimensions": list(metric.dimensions) if metric else [],
        "by": state.by,
        "from": write_moment(state.start),
        "to": write_moment(state.end),
        "step": "auto" if state.step_s is None else STEP_NAMES[state.step_s],
        "live": state.live,
        "range": range_words(state),
        "where": [
            {
                "dimension": readable(f.dimension, 40),
                "value": readable(v, 60),
                "negate": f.negate,
                "without": _without(state, f, v),
            }
            for f in state.where
            for v in f.values
        ],
    }


def api_query(state: Explore, span: Range) -> str:
    """The query of the API that gives what the chart shows."""
    fields = [("metric", state.metric or ""), ("measures", state.measure or "")]
    fields += [("from", write_moment(state.start)), ("to", write_moment(state.end)), ("step", STEP_NAMES[span.step_s])]
    fields += [("where", f"{'!' if f.negate else ''}{f.dimension}:{v}") for f in state.where for v in f.values]
    if state.by is not None:
        fields.append(("by", state.by))
    return encode(fields)


def _without(state: Explore, one: Filter, value: str) -> str:
    """The address of the page with one value of one filter taken away."""
    kept = tuple(v for v in one.values if v != value)
    rest = tuple(f for f in state.where if f != one)
    return address(replace(state, where=(*rest, replace(one, values=kept)) if kept else rest))


def unknown_metric(state: Explore) -> str:
    return f"There is no metric {readable(state.metric, 120)}."


def no_events(state: Explore) -> str:
    filters = " for this filter" if state.where else ""
    return f"No events{filters} in this range ({range_words(state)})."
