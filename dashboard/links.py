"""Links to what the explore page shows: the query of the API, the same view at fixed times, its table as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dashboard.courses import LINES, QUANTILES
from dashboard.leaders import Group
from dashboard.moments import Moment, write_moment
from dashboard.ranges import Range
from dashboard.state import STEP_NAMES, Explore, address, encode, write

LONGEST_LINES = 4_000
"""Letters of the lines in a link; longer ones are left to be chosen again."""


def links(state: Explore, drawn: Explore, span: Range, now_ms: int, lines: Sequence[Group]) -> dict[str, str]:
    """All of them, for the page. `drawn` is the state as its chart can be drawn."""
    return {
        "query": f"/api/v1/query?{api_query(drawn, span)}",
        "fixed": fixed_link(state, span),
        "export": export_link(state, span, now_ms, lines),
    }


def api_query(state: Explore, span: Range) -> str:
    """The query of the API that gives what the chart shows."""
    kinds = QUANTILES.get(state.chart)
    measures = (*kinds, "histogram") if kinds and state.chart == "heatmap" else tuple(kinds or (state.measure or "",))
    fields = [("metric", state.metric or ""), ("measures", ",".join(measures))]
    fields += [("from", _time(state.start, span.first_ms)), ("to", _time(state.end, span.last_ms))]
    fields.append(("step", STEP_NAMES[span.step_s]))
    fields += [("where", f"{'!' if f.negate else ''}{f.dimension}:{v}") for f in state.where for v in f.values]
    if state.by is not None:
        fields += [("by", state.by), ("top", str(LINES))]
    elif state.compare != "off" and state.chart in ("lines", "bars"):
        fields.append(("compare", state.compare))
    if state.timezone is not None:
        fields.append(("timezone", state.timezone))
    return encode(fields)


def _time(moment: Moment, at_ms: int) -> str:
    """A moment as the API knows it: days of the page's zone are written as the times they begin at."""
    return write_moment(moment if moment.kind in ("ago", "at") else Moment("at", at_ms))


def fixed_link(state: Explore, span: Range) -> str:
    """The address of the same view that does not move on: its buckets and their size as they are."""
    start, end = Moment("at", span.start_ms), Moment("at", span.end_ms)
    return address(replace(state, start=start, end=end, step_s=span.step_s))


def export_link(state: Explore, span: Range, now_ms: int, lines: Sequence[Group]) -> str:
    """Where the table is a file: the address of the page, its step, its moment and its lines, so that the file has the
    rows and columns that are seen. The order and the format are still to be added."""
    plain = replace(state, step_s=span.step_s, table="open", open=None, find=None, sort="value")
    fields = [("at", str(now_ms))] if state.live else []
    chosen = [("line", group) for group in lines if group is not None]
    if sum(len(text) for _, text in chosen) <= LONGEST_LINES:
        fields += chosen
    return f"/api/v1/export?{write(plain)}&{encode(fields)}".rstrip("&")


def _written(moment: Moment, at_ms: int) -> str:
    """A moment as the API reads it, which knows no words for days."""
    return write_moment(moment if moment.kind in ("ago", "at") else Moment("at", at_ms))
