"""Numbers as people read them: the golden table, and what holds for every number."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard.numbers import MINUS, MISSING, NARROW, format_delta, format_exact, format_value, unit_of

N = NARROW
UNITS = (None, "ratio", "percent", "s", "ms", "min", "B", "bytes_iec", "EUR", "JPY", "/s", "B/s", "EUR/s", "mi")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7, None, "7"),
        (7.0, None, "7"),
        (4812, None, "4,812"),
        (12345, None, "12.3k"),
        (9999.6, None, "10.0k"),
        (999950, None, "1.00M"),
        (48213905112, None, "48.2B"),
        (7.3e15, None, "7.3e15"),
        (-1234.5, None, "−1,235"),
        (3.14159, None, "3.14"),
        (0.0421, None, "0.0421"),
        (4.2e-7, None, "4.2e−7"),
        (0, None, "0"),
        (None, None, "–"),
        (float("nan"), "s", "–"),
        (144_200, "mi", f"144k{N}mi"),
        (0.0423, "ratio", "4.2%"),
        (0.0042, "ratio", "0.42%"),
        (0.00004, "ratio", "<0.01%"),
        (0.99972, "ratio", "99.972%"),
        (1, "ratio", "100%"),
        (12.4, "ratio", "1,240%"),
        (35.26, "percent", "35.3%"),
        (4.2e-7, "s", f"420{N}ns"),
        (0.0124, "s", f"12.4{N}ms"),
        (0.9996, "s", f"1.00{N}s"),
        (59.96, "s", f"1{N}m 00{N}s"),
        (7530, "s", f"2{N}h 05{N}m"),
        (275000, "s", f"3{N}d 4{N}h"),
        (12.4, "min", f"12{N}m 24{N}s"),
        (250, "ms", f"250{N}ms"),
        (512, "B", f"512{N}B"),
        (999999, "B", f"1.00{N}MB"),
        (-2.5e12, "B", f"−2.50{N}TB"),
        (2048, "bytes_iec", f"2.00{N}KiB"),
        (12.5, "EUR", "€12.50"),
        (4812.3, "EUR", "€4,812"),
        (-1250000, "EUR", "−€1.25M"),
        (0.003, "EUR", "<€0.01"),
        (1250, "JPY", "¥1,250"),
        (1240.2, "/s", "1,240/s"),
        (0.7, "/s", "42/min"),
        (0.002, "/s", "7.20/h"),
        (0.0, "/s", "0/s"),
        (1_500_000, "B/s", f"1.50{N}MB/s"),
    ],
)
def test_golden_values(value: float | None, unit: str | None, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("now", "before", "unit", "better", "text", "tone"),
    [
        (112.4, 100, None, "up", "▲ 12.4%", "good"),
        (112.4, 100, None, "down", "▲ 12.4%", "bad"),
        (96.9, 100, None, "up", "▼ 3.1%", "bad"),
        (96.9, 100, None, None, "▼ 3.1%", "plain"),
        (1250, 100, None, None, "▲ ×12.5", "plain"),
        (350, 100, None, None, "▲ 250%", "plain"),
        (0, 100, None, None, "▼ 100%", "plain"),
        (5, 0, None, None, "▲ new", "plain"),
        (-50, -20, None, None, "▼ 30", "plain"),
        (3, None, None, None, MISSING, "none"),
        (None, 3, None, None, "", "none"),
        (0.0423, 0.0301, "ratio", "down", f"▲ 1.2{N}pp", "bad"),
        (5, 5, None, "up", "no change", "plain"),
        (100.01, 100, None, None, "▲ <0.1%", "plain"),
    ],
)
def test_golden_changes(
    now: float | None, before: float | None, unit: str | None, better: str | None, text: str, tone: str
) -> None:
    delta = format_delta(now, before, unit, better)
    assert (delta.text, delta.tone) == (text, tone)


def test_a_change_names_its_base() -> None:
    assert format_delta(3, 2.5, "EUR", None).was == "was €2.50"
    assert format_delta(3, None, "EUR", None).was == "no data before"


def test_units_of_measures() -> None:
    assert [unit_of(m, "EUR") for m in ("count", "sum", "rate")] == [None, "EUR", "EUR/s"]
    assert unit_of("rate", None) == "/s"


def test_exact_values_keep_their_digits() -> None:
    assert format_exact(1234567, "EUR") == f"1,234,567{N}EUR"
    assert format_exact(-0.123456, None) == "−0.123456"
    assert format_exact(None) == "No data"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(UNITS))
@example(1.7e308, "ratio")
@example(1e308, "min")
def test_every_number_has_a_short_text_without_a_hyphen_for_minus(value: float, unit: str | None) -> None:
    text = format_value(value, unit)
    assert 0 < len(text) <= 24
    assert "-" not in text
    assert "nan" not in text
    assert text.startswith(MINUS) == (value < 0)


@given(st.floats(min_value=1e-4, max_value=1e14))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    sizes = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    text = format_value(value).replace(",", "")
    number = float(text[:-1]) * sizes[text[-1]] if text[-1] in sizes else float(text)
    assert abs(number - value) <= value * 0.005 + 1e-12


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.sampled_from(UNITS), st.sampled_from(["up", "down", None]))
def test_arrow_follows_direction_and_tone_follows_better(
    a: float, b: float, unit: str | None, better: str | None
) -> None:
    delta = format_delta(a, b, unit, better)
    if a == b:
        assert delta.text == "no change"
    else:
        assert delta.text[0] == ("▲" if a > b else "▼")
        assert (delta.tone == "good") == (better == ("up" if a > b else "down"))


@given(st.floats(0.0001, 0.99999999))
def test_a_ratio_below_one_never_reads_a_hundred_percent(value: float) -> None:
    assert format_value(value, "ratio") not in ("100%", "100.0%", "0%")
