"""What stands around the explore chart: the state of its controls, links, notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any

from aggregates.queries import Metric
from dashboard.filters import chips
from dashboard.moments import write_moment
from dashboard.moves import range_words
from dashboard.names import readable
from dashboard.ranges import Range, Times, zone_of
from dashboard.state import STEP_NAMES, Explore


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


def controls(
    state: Explore, metric: Metric | None, span: Range | None = None, times: Times | None = None
) -> dict[str, Any]:
    """What the controls show."""
    zone = UTC if times is None else zone_of(state, times)
    return {
        "metric": state.metric,
        "measure": state.measure,
        "default_measure": metric.measure if metric else None,
        "dimensions": list(metric.dimensions) if metric else [],
        "by": state.by,
        "from": write_moment(state.start),
        "to": write_moment(state.end),
        "step": "auto" if state.step_s is None else STEP_NAMES[state.step_s],
        "step_shown": STEP_NAMES[span.step_s] if span else "",
        "compare": state.compare,
        "chart": state.chart,
        "timezone": state.timezone,
        "workspace_zone": times.zone if times else "UTC",
        "live": state.live,
        "range": range_words(state, zone, times.now if times else 0),
        "chips": chips(plain(state, metric)),
    }


def plain(state: Explore, metric: Metric | None) -> Explore:
    """The state as an address writes it: without a measure that is the metric's own."""
    return replace(state, measure=None) if metric is not None and state.measure == metric.measure else state


def unknown_metric(state: Explore) -> str:
    return f"There is no metric {readable(state.metric, 120)}."


def no_events(state: Explore, zone: tzinfo = UTC, now_ms: int = 0) -> str:
    filters = " for this filter" if state.where else ""
    return f"No events{filters} in this range ({range_words(state, zone, now_ms)})."
