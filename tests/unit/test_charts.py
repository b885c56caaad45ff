"""Kinds of charts and what is marked in them, as data."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.readmodel import ReadModel
from dashboard import tokens
from dashboard.areas import middles, polygons, tops
from dashboard.axes import log_axis, value_axis
from dashboard.clocks import time_marks
from dashboard.explore import view
from dashboard.figures import KINDS, time_chart
from dashboard.heat import cells_of
from dashboard.lines import Chart, Line, Note
from dashboard.marks import gathered
from dashboard.ranges import Times
from dashboard.scenes import Held
from dashboard.state import Explore, parse
from tests.counted import DELAY, REVENUE, Counted

NOON = 1_795_435_200_000
MINUTE = 60_000
TIMES = Times(NOON, 10_000, 7_200_000)
values = st.one_of(st.none(), st.floats(-1e9, 1e9))


def chart(lines: list[list[float | None]], kind: str = "lines", **more: Any) -> Chart:
    known = [v for line in lines for v in line if v is not None]
    buckets = len(lines[0])
    made = Chart(
        NOON,
        MINUTE,
        tuple(Line(f"<b>{i}</b>", tuple(line), f"cat-{i % 5 + 1}") for i, line in enumerate(lines)),
        max(buckets - 3, 0),
        buckets - 1,
        True,
        value_axis(min(known, default=0.0), max(known, default=0.0), None, True),
        time_marks(NOON, NOON + buckets * MINUTE),
        kind,
    )
    return replace(made, **more)


EDGES = (NOON, NOON + 86_400_000, NOON + 176_400_000, NOON + 262_800_000, NOON + 349_200_000)
SAMPLES = {
    "even": chart([[1.0, 2.0, 3.0, 4.0], [2.0, None, 2.0, 1.0]]),
    "uneven": chart([[1.0, 2.0, 3.0, 4.0]], edges=EDGES),
    "marked": chart(
        [[1.0, 2.0, 3.0, 4.0]], behind=(1.0, 1.0, None, 2.0), restated=(1,), incomplete_ms=NOON + MINUTE,
        notes=(Note("a", NOON + MINUTE, None, "<b>deploy</b>", "me"), Note("b", NOON, NOON + 2 * MINUTE, "sale", "")),
    ),
    "heat": chart(
        [[1.0, 2.0, 3.0, 4.0]], "heatmap", cells=cells_of([[(1, 1.02, 5), (9, 9.2, 1)], [], [(2, 2.04, 3)], []])
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_plotly_accepts_every_kind(kind: str, sample: str) -> None:
    figure = time_chart(replace(SAMPLES[sample], kind=kind))
    go.Figure(figure)
    text = json.dumps(figure, allow_nan=False)
    assert set(re.findall(r"var\(--tb-([a-z0-9-]+)\)", text)) <= set(tokens.LIGHT)
    assert "#" not in text.replace("&#", "")
    assert "<b>" not in text.replace("&lt;", "")
    pointer = figure["data"][-1]
    assert len(pointer["y"]) == 4


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(values, min_size=8, max_size=8), min_size=n, max_size=n)),
)
def test_no_values_break_a_chart(kind: str, lines: list[list[float | None]]) -> None:
    figure = time_chart(chart(lines, kind))
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)


def test_areas_stand_on_each_other() -> None:
    found = chart([[1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 0.0, 1.0, 1.0, 1.0]], "stacked")
    assert tops(found.lines) == [(1, 2, 3, 4, 5), (11, 2, 4, 5, 6)]
    assert middles(found.lines)[1] == (6, 2, 3.5, 4.5, 5.5)
    final = time_chart(found)["data"][:2]
    assert [trace["fill"] for trace in final] == ["tozeroy", "tonexty"]
    assert [trace["y"] for trace in final] == [[1, 2], [11, 2]]
    rings = [trace for trace in time_chart(found)["data"] if trace["mode"] == "markers"]
    assert [trace["y"] for trace in rings] == [[5], [6]]


def test_bars_that_are_not_final_are_hatched() -> None:
    figure = time_chart(chart([[1.0, 2.0, 3.0, 4.0, 5.0]], "bars"))
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert [bar["y"] for bar in bars] == [[1, 2], [3, 4], [5]]
    assert [bar["marker"].get("pattern", {}).get("shape", "") for bar in bars] == ["", ".", "/"]
    assert figure["layout"]["barmode"] == "relative"
    assert bars[0]["offset"] + bars[0]["width"] / 2 == MINUTE / 2
    assert figure["data"][-1]["x0"] == NOON + MINUTE // 2


def test_bars_that_do_not_add_up_stand_side_by_side() -> None:
    found = replace(chart([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], "bars"), additive=False)
    bars = [trace for trace in time_chart(found)["data"] if trace["type"] == "bar"]
    assert bars[0]["offset"] + bars[0]["width"] <= bars[-1]["offset"]
    assert time_chart(found)["layout"]["barmode"] == "overlay"


def test_bars_of_uneven_days_are_as_wide_as_their_day() -> None:
    figure = time_chart(replace(SAMPLES["uneven"], kind="bars", sealed=4, running=4))
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert bars[0]["x"] == list(EDGES[:-1])
    assert bars[0]["width"][1] == round(90_000_000 * 0.8)
    assert time_chart(SAMPLES["uneven"])["layout"]["xaxis"]["range"] == [EDGES[0], EDGES[-1]]


def test_a_band_has_a_hole_where_there_is_no_value() -> None:
    found = chart([[1.0, 1.0, None, 2.0, 2.0], [3.0, 3.0, None, 4.0, 4.0]], "bands")
    outline = polygons(found, found.lines[0].values, found.lines[1].values)
    assert outline["y"] == [3, 3, 1, 1, None, 4, 4, 2, 2]
    assert outline["x"][4] is None
    assert outline["x"][5] == NOON + 3 * MINUTE


def test_the_range_behind_is_dashed_grey_and_beneath() -> None:
    (behind,) = [trace for trace in time_chart(SAMPLES["marked"])["data"] if trace.get("meta") == "behind"]
    assert behind["line"] == {"color": "var(--tb-compare)", "width": 1.25, "dash": "4px,4px"}
    assert behind["zorder"] < 0
    assert behind["y"] == [1, 1, None, 2]


def test_marks_of_what_changed_is_missing_or_was_noted() -> None:
    figure = time_chart(SAMPLES["marked"])
    by_meta = {trace["meta"]: trace for trace in figure["data"] if "meta" in trace}
    assert by_meta["restated"]["y"] == [None, 2, None, None]
    assert by_meta["restated"]["marker"]["symbol"] == "diamond-open"
    assert by_meta["incomplete"]["x"] == [NOON, NOON + MINUTE, NOON + MINUTE, NOON]
    assert by_meta["incomplete"]["fillpattern"]["shape"] == "/"
    lines = [shape["x0"] for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert lines == [NOON + MINUTE, NOON]
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["▾", "▾"]
    assert "deploy" not in json.dumps(figure)


def test_annotations_close_together_are_one_mark() -> None:
    notes = tuple(Note(str(i), NOON + i * 100, None, "", "") for i in range(5))
    found = chart([[1.0] * 60], notes=(*notes, Note("far", NOON + 30 * MINUTE, None, "", "")))
    assert [len(group) for group in gathered(found)] == [5, 1]
    assert [a["text"] for a in time_chart(found)["layout"]["annotations"]] == ["▾5", "▾"]


def test_many_restated_buckets_are_only_counted() -> None:
    found = chart([[1.0] * 60], restated=tuple(range(20)))
    assert not [trace for trace in time_chart(found)["data"] if trace.get("meta") == "restated"]


bins = st.lists(
    st.tuples(st.floats(1e-3, 1e3), st.integers(1, 50)).map(lambda p: (p[0], p[0] * 1.02, p[1])), max_size=30
).map(lambda found: sorted({round(b[0], 2): b for b in found}.values()))


@given(st.lists(bins, min_size=1, max_size=6))
def test_cells_hold_every_value(histograms: list[list[tuple[float, float, int]]]) -> None:
    cells = cells_of(histograms)
    total = sum(n for found in histograms for _, _, n in found)
    if cells is None:
        assert total == 0
        return
    assert all(a < b for a, b in pairwise(cells.edges))
    counted = sum(root**2 for row in cells.roots for root in row if root)
    assert counted == pytest.approx(total, rel=0.02, abs=0.06 * len(histograms) * len(cells.roots))
    axis = log_axis(cells.edges[0], cells.edges[-1], "s") if cells.log else None
    assert axis is None or len(axis.marks) <= 6


def test_cells_are_even_where_values_reach_below_zero_and_logarithmic_where_they_are_far_apart() -> None:
    late = cells_of([[(-30.0, -29.4, 4), (9.9, 10.1, 10)], [(60.0, 61.0, 1)]])
    assert late is not None
    assert not late.log
    assert late.edges[0] <= -30 < 61 <= late.edges[-1]
    slow = cells_of([[(0.001, 0.00102, 4)], [(2.0, 2.04, 1)]])
    assert slow is not None
    assert slow.log
    assert slow.roots[0][1] is None
    assert max(root for row in slow.roots for root in row if root) <= 2
    assert cells_of([[], []]) is None


def test_the_axis_of_cells_does_not_follow_every_value() -> None:
    first, second = (cells_of([[(0.0011 * f, 0.00115 * f, 4), (2.1 * f, 2.14 * f, 1)]]) for f in (1.0, 1.02))
    assert first is not None
    assert second is not None
    assert first.edges == second.edges


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (0.001, 5, "s", ("1\u202fms", "10\u202fms", "100\u202fms", "1\u202fs")),
        (1, 1000, None, ("1", "10", "100", "1,000")),
        (2, 90, None, ("2", "5", "10", "20", "50")),
        (0.5, 5000, "ms", ("1\u202fms", "10\u202fms", "100\u202fms", "1\u202fs")),
    ],
)
def test_marks_of_a_logarithmic_axis(low: float, high: float, unit: str | None, labels: tuple[str, ...]) -> None:
    axis = log_axis(low, high, unit)
    assert axis.labels == labels
    assert axis.part(low) == 0
    assert axis.part(math.sqrt(low * high)) == pytest.approx(0.5)


# --- from the address to the picture --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadModel]:
    """Two hours of orders from two countries, and of delays."""
    found = Counted(Path(tmp_path_factory.mktemp("charts")), REVENUE, DELAY)
    rng = random.Random(7)
    ago = range(5, 7200, 5)
    found.add(REVENUE, [(NOON - s * 1000, 10.0 - n, {"country": c}) for s in ago for n, c in enumerate(("NL", "DE"))])
    found.add(DELAY, [(NOON - s * 1000, rng.lognormvariate(2, 0.8), {"carrier": "UA"}) for s in ago])
    found.known_until(NOON - 400)
    yield found.model
    found.close()


def seen(model: ReadModel, search: str, times: Times = TIMES, notes: tuple[Note, ...] = ()) -> dict[str, Any]:
    state, notices = parse(search)
    assert notices == ()
    return view(model, state, Held(), times, notes)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_and_said(model: ReadModel, kind: str) -> None:
    payload = seen(model, f"metric=flights.delay&from=-30m&chart={kind}&measures=p90")
    fitting = "lines" if kind == "stacked" else kind
    assert payload["kind"] == fitting
    assert payload["empty"] is None
    assert payload["notices"] == ([] if fitting == kind else ["90th percentile does not add up: lines."])
    assert payload["bound"] == "≈ within ±1%"
    buckets = len(payload["lines"][0]["texts"])
    assert all(len(line["texts"]) == buckets for line in payload["lines"] + payload["beside"])
    go.Figure(payload["figure"])


def test_bands_are_of_percentiles_in_their_order(model: ReadModel) -> None:
    payload = seen(model, "metric=flights.delay&from=-30m&chart=bands&by=carrier")
    assert [line["name"] for line in payload["lines"]] == ["p50", "p75", "p90", "p99"]
    assert payload["notices"] == ["Bands show all together: not split by carrier."]
    assert [row["name"] for row in payload["beside"]] == ["events"]


def test_a_heatmap_shows_every_event(model: ReadModel) -> None:
    payload = seen(model, "metric=flights.delay&from=-30m&chart=heatmap&step=1m")
    (heat,) = [trace for trace in payload["figure"]["data"] if trace["type"] == "heatmap"]
    counted = sum(root**2 for row in heat["z"] for root in row if root)
    assert counted == pytest.approx(30 * 12, rel=0.05)
    assert payload["shift"] == 0.5


def test_the_line_behind_is_only_beside_one_line(model: ReadModel) -> None:
    one = seen(model, "metric=orders.revenue&from=-30m")
    assert [row["name"] for row in one["beside"]] == ["the 30 min before"]
    assert one["number"]["against"] == "vs the 30 min before"
    assert one["beside"][0]["texts"][5] == one["lines"][0]["texts"][5]
    split = seen(model, "metric=orders.revenue&from=-30m&by=country")
    assert split["beside"] == []
    assert split["number"]["was"] != ""
    off = seen(model, "metric=orders.revenue&from=-30m&compare=off")
    assert (off["beside"], off["number"]["delta"], off["number"]["against"]) == ([], "", "")


def test_the_zone_of_the_page_moves_marks_and_days(model: ReadModel) -> None:
    payload = seen(model, "metric=orders.revenue&from=today&step=1d&timezone=Asia/Tokyo&chart=bars")
    assert payload["zone"] == {"name": "Asia/Tokyo", "offsets": [[payload["start_ms"], 9 * 3_600_000]]}
    assert payload["start_ms"] == NOON - 21 * 3_600_000 + 0  # midnight in Tokyo, 15:00 the day before in UTC
    assert payload["edges"][1] - payload["edges"][0] == 86_400_000
    assert payload["notices"] == []
    assert payload["number"]["text"] == "€27.3k"


def test_days_of_another_zone_that_are_not_kept_are_days_of_the_workspace(model: ReadModel) -> None:
    payload = seen(model, "metric=orders.revenue&from=today&step=1d&timezone=Asia/Tokyo", replace(TIMES, zone="UTC"))
    assert "days of UTC" not in " ".join(payload["notices"])


def test_what_is_older_than_anything_kept_is_said(model: ReadModel) -> None:
    payload = seen(model, "metric=orders.revenue&from=-30m", replace(TIMES, kept_1d=20 * MINUTE))
    assert payload["captions"][-1]["text"] == "Incomplete before 23 Nov 2026, 11:40: nothing older is kept."
    assert [t for t in payload["figure"]["data"] if t.get("meta") == "incomplete"]


def test_annotations_of_the_range_are_drawn_and_told(model: ReadModel) -> None:
    notes = (
        Note("1", NOON - 5 * MINUTE, None, "<img src=x>\u202e deploy", "ann"),
        Note("2", NOON - 90 * MINUTE, NOON - 25 * MINUTE, "sale", "bob"),
        Note("3", NOON - 90 * MINUTE, None, "too old", "bob"),
    )
    payload = seen(model, "metric=orders.revenue&from=-30m", notes=notes)
    assert [(note["id"], note["text"]) for note in payload["annotations"]] == [
        ("1", "<img src=x> deploy"),
        ("2", "sale"),
    ]
    assert [a["text"] for a in payload["figure"]["layout"]["annotations"]] == ["▾", "▾"]


def test_a_metric_without_events_has_an_empty_chart_of_every_kind(model: ReadModel) -> None:
    for kind in KINDS:
        payload = seen(model, f"metric=orders.revenue&from=-30m&chart={kind}&where=country:XX")
        assert payload["empty"].startswith("No events for this filter")


def test_explore_without_a_state_has_its_defaults(model: ReadModel) -> None:
    payload, _ = view(model, Explore(), Held(), TIMES)
    assert payload["state"]["range"] == "last 15 min"
    assert payload["state"]["workspace_zone"] == "UTC"
