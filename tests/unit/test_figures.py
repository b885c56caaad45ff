"""Figures are plain dicts that plotly accepts; axes and names within them."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import tokens
from dashboard.axes import value_axis
from dashboard.clocks import time_marks
from dashboard.figures import time_chart
from dashboard.lines import Chart, Line, spread_apart
from dashboard.names import escaped, readable

NOON = 1_795_435_200_000
values = st.one_of(st.none(), st.floats(-1e12, 1e12))


def chart(lines: list[list[float | None]], sealed: int, running: int, additive: bool = True) -> Chart:
    known = [v for line in lines for v in line if v is not None]
    return Chart(
        NOON,
        10_000,
        tuple(Line(f"<b>{i}</b>", tuple(line), f"cat-{i % 5 + 1}") for i, line in enumerate(lines)),
        sealed,
        running,
        additive,
        value_axis(min(known, default=0.0), max(known, default=0.0), None, additive),
        time_marks(NOON, NOON + len(lines[0]) * 10_000),
    )


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(values, min_size=12, max_size=12), min_size=n, max_size=n))
)
def test_plotly_accepts_every_figure_and_it_is_json(lines: list[list[float | None]]) -> None:
    figure = time_chart(chart(lines, 9, 11))
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)
    assert len(figure["data"]) == 3 * len(lines) + 1


def points(trace: dict[str, Any]) -> dict[int, float]:
    return {trace["x0"] + i * trace["dx"]: y for i, y in enumerate(trace["y"]) if y is not None}


def test_an_open_bucket_of_a_sum_is_a_lone_ring() -> None:
    final, tail, ring, pointer = time_chart(chart([[5.0, 5.0, 5.0, 4.0, 1.0, None]], 3, 4))["data"]
    assert list(points(final).values()) == [5, 5, 5]
    assert points(tail) == {NOON + 20_000: 5, NOON + 30_000: 4}
    assert points(ring) == {NOON + 40_000: 1}
    assert tail["line"]["dash"] == "1px,3px"
    assert len(pointer["y"]) == 6


def test_the_open_bucket_of_a_mean_continues_the_line() -> None:
    _, tail, ring, _ = time_chart(chart([[5.0, 5.0, 5.0, 4.0, 1.0, None]], 3, 4, additive=False))["data"]
    assert list(points(tail).values()) == [5, 4, 1]
    assert list(points(ring).values()) == [1]


def test_gaps_stay_gaps_and_lone_values_are_points() -> None:
    final = time_chart(chart([[1.0, None, 3.0, None, 5.0, 6.0]], 6, 6, additive=False))["data"][0]
    assert final["y"] == [1, None, 3, None, 5, 6]
    assert final["connectgaps"] is False
    assert final["marker"]["size"] == [4, 0, 4, 0, 0, 0]


def test_names_are_escaped_and_only_stand_beside_several_lines() -> None:
    several = time_chart(chart([[1.0, 2.0], [3.0, 4.0]], 2, 2))["layout"]["annotations"]
    assert [a["text"] for a in several] == ["&lt;b&gt;0&lt;/b&gt;", "&lt;b&gt;1&lt;/b&gt;", "●", "●"]
    assert time_chart(chart([[1.0, 2.0]], 2, 2))["layout"]["annotations"] == []


def test_every_colour_is_a_token() -> None:
    names = set(re.findall(r"var\(--tb-([a-z0-9-]+)\)", json.dumps(time_chart(chart([[1.0], [2.0]], 1, 1)))))
    assert names <= set(tokens.LIGHT)
    assert "#" not in json.dumps(time_chart(chart([[1.0], [2.0]], 1, 1)))


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_names_keep_their_distance_and_their_order(wanted: list[float]) -> None:
    places = spread_apart(wanted, 15, 300)
    ranked = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    assert all(places[b] - places[a] >= 15 - 1e-9 for a, b in pairwise(ranked))
    assert all(-1e-9 <= place <= 300 + 1e-9 for place in places)


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (0, 105, None, ("0", "25", "50", "75", "100")),
        (0, 3, None, ("0", "1", "2", "3")),
        (0, 9, None, ("0", "2", "4", "6", "8")),
        (0, 12345, None, ("0", "5k", "10k")),
        (0, 7.5e9, "B", ("0", "2\u202fGB", "4\u202fGB", "6\u202fGB")),
        (0, 4000, "s", ("0", "15\u202fmin", "30\u202fmin", "45\u202fmin", "60\u202fmin")),
        (0, 0.034, "ratio", ("0", "1%", "2%", "3%")),
        (-5, 12, "EUR", ("−€5", "0", "€5", "€10")),
    ],
)
def test_marks_of_a_value_axis(low: float, high: float, unit: str | None, labels: tuple[str, ...]) -> None:
    assert value_axis(low, high, unit, True).labels == labels


@given(
    st.floats(-1e15, 1e15, allow_subnormal=False),
    st.floats(0, 1e15, allow_subnormal=False),
    st.sampled_from([None, "EUR", "B", "s", "min", "ratio", "percent", "/s", "B/s", "mi"]),
    st.booleans(),
)
def test_value_axes_cover_the_values_with_few_marks(
    low: float, spread: float, unit: str | None, from_zero: bool
) -> None:
    axis = value_axis(low, low + spread, unit, from_zero)
    assert axis.low < axis.high
    assert axis.low <= low + abs(low) * 1e-12 + 1e-300  # what is smaller is drawn as nothing
    assert axis.high >= (low + spread) - abs(low + spread) * 1e-12 - 1e-300
    assert len(axis.marks) == len(axis.labels) <= 8
    assert all(math.isfinite(mark) for mark in axis.marks)
    assert all(len(label) <= 18 for label in axis.labels)
    assert not from_zero or axis.low <= 0 <= axis.high


@given(st.integers(0, 4_000_000_000), st.integers(1, 400 * 86_400))
def test_time_marks_are_few_and_inside(start: int, seconds: int) -> None:
    marks = time_marks(start * 1000, (start + seconds) * 1000)
    assert len(marks) <= 10
    assert all(start * 1000 <= mark.at_ms < (start + seconds) * 1000 for mark in marks)


def test_a_day_has_its_hours_and_a_quarter_its_dates() -> None:
    assert [m.text for m in time_marks(NOON, NOON + 86_400_000)][:3] == ["12:00", "15:00", "18:00"]
    assert time_marks(NOON, NOON + 300_000)[0].text == "12:00:00"
    assert time_marks(NOON, NOON + 90 * 86_400_000)[0].day == "2026"


def test_the_style_sheet_and_python_have_the_same_tokens() -> None:
    sheet = Path(tokens.__file__).with_name("assets") / "tokens.css"
    assert sheet.read_text() == tokens.stylesheet()


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [tokens.LIGHT, tokens.DARK])
def test_text_and_marks_stand_out(theme: dict[str, str]) -> None:
    for name in ("text", "muted", "faint", "accent", "good", "bad", "warn", "stale"):
        assert min(contrast(theme[name], theme["surface"]), contrast(theme[name], theme["bg"])) >= 4.5, name
    for name in ("good", "bad", "warn", "stale"):
        assert contrast(theme[name], theme[f"{name}-soft"]) >= 4.5, name
    for name in (*tokens.CATEGORIES, "control", "other"):
        assert contrast(theme[name], theme["surface"]) >= 3, name


@given(st.one_of(st.none(), st.text(max_size=500)), st.integers(2, 60))
def test_readable_names_are_one_short_visible_line(text: str | None, limit: int) -> None:
    shown = readable(text, limit)
    assert 0 < len(shown) <= max(limit, len("(empty)"))
    assert shown.isprintable()
    assert not set("<>") & set(escaped(shown))


def test_names_keep_what_can_be_seen() -> None:
    assert readable("a\u202egnp.exe") == "agnp.exe"
    assert readable(" two\n lines ") == "two lines"
    assert readable("Größe 日本 🎉") == "Größe 日本 🎉"
    assert readable("") == "(empty)"
    assert readable(None) == "(none)"
    assert readable("x" * 100, 5) == "xxxx…"
