"""The registry: what it takes, and that a mistake names its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aggregates.levels import LEVELS
from ingest import metric_tables, registry
from ingest.patterns import MAX_PATTERN, matches, pattern_fault
from ingest.registry import DerivedMetric, DimensionRule, Registry, RegistryError, load, mistakes
from ingest.series import Kind
from tests.documents import ROOT, blocks, rows, section

FULL = """
unknown = "reject"

[metrics."orders.revenue"]
kind = "distribution"
unit = "EUR"
description = "Paid amount of an order"
better = "up"
measure = "sum"
min = 0
max = 100000
skew = { past = "30d", future = "90m" }
views = [["country"], ["country", "product"], []]
dimensions.country = { values = ["NL", "DE", "FR"] }
dimensions.product = { pattern = "p[0-9]+", limit = 10000, required = true }

[metrics.visitors]
kind = "unique"
dimensions = ["page"]

[metrics."payments.failed"]
[metrics."payments.total"]

[derived.failure_rate]
numerator = "payments.failed:sum"
denominator = "payments.total:sum"
unit = "ratio"
better = "down"
"""


def write(tmp_path: Path, text: str, name: str = "metrics.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_the_format_knows(tmp_path: Path) -> None:
    registry = load(write(tmp_path, FULL))
    revenue = registry.metrics["orders.revenue"]
    assert registry.unknown == "reject"
    assert (revenue.kind, revenue.unit, revenue.better, revenue.measure) == (Kind.DISTRIBUTION, "EUR", "up", "sum")
    assert (revenue.minimum, revenue.maximum) == (0.0, 100_000.0)
    assert revenue.dimensions == ("country", "product")
    assert revenue.views == (("country",), ("country", "product"), ())
    assert (revenue.past_ms, revenue.future_ms) == (30 * 86_400_000, 90 * 60_000)
    assert revenue.rules == {
        "country": DimensionRule(frozenset({"NL", "DE", "FR"})),
        "product": DimensionRule(None, "p[0-9]+", 10_000, True),
    }
    visitors = registry.metrics["visitors"]
    assert (visitors.dimensions, visitors.rules, visitors.views) == (("page",), {"page": DimensionRule()}, None)
    assert (visitors.past_ms, visitors.future_ms) == (None, None)
    failed, total = ("payments.failed", "sum"), ("payments.total", "sum")
    assert registry.derived == {"failure_rate": DerivedMetric("failure_rate", failed, total, "ratio", "", "down")}
    assert mistakes(write(tmp_path, FULL)) == []


def test_retention_by_level(tmp_path: Path) -> None:
    text = '[metrics.a]\nretention = { "1s" = "30m", "1m" = "3d", "15m" = "1y", "1d" = "forever" }\n[metrics.b]'
    registry = load(write(tmp_path, text))
    day_ms = 86_400_000
    kept = {"1s": 1_800_000, "1m": 3 * day_ms, "15m": 365 * day_ms, "1d": None}
    assert registry.metrics["a"].retention_ms == kept
    assert registry.metrics["b"].retention_ms == {}
    assert metric_tables.RETENTION_FIELDS == LEVELS
    (found,) = mistakes(write(tmp_path, text.replace("1y", "1d")))
    assert "'1d' is less than 1m is kept, '3d': a finer level cannot outlive a coarser one" in str(found)


def test_no_file_is_an_empty_registry(tmp_path: Path) -> None:
    assert load() == load(tmp_path / "missing.toml") == Registry()
    assert Registry().unknown == "register"


def test_later_files_add_and_redefine(tmp_path: Path) -> None:
    first = write(tmp_path, 'unknown = "reject"\n[metrics.a]\nunit = "s"\n[metrics.b]\n', "first.toml")
    second = write(tmp_path, '[metrics.b]\nunit = "B"\n[metrics.c]\n', "second.toml")
    registry = load(first, second)
    assert {name: metric.unit for name, metric in registry.metrics.items()} == {"a": "s", "b": "B", "c": None}
    assert registry.unknown == "reject"


METRIC_MISTAKES = [
    ("\nkind = 'counters'", 3, "kind"),
    ("kind = 5", 2, "kind"),
    ("units = 's'", 2, "units"),
    ("unit = ''", 2, "unit"),
    ("description = 5", 2, "description"),
    ("better = 'higher'", 2, "better"),
    ("measure = 'histogram'", 2, "measure"),
    ("kind = 'unique'\nmeasure = 'sum'", 3, "measure"),
    ("min = true", 2, "min"),
    ("min = nan", 2, "min"),
    ("max = inf", 2, "max"),
    ("max = 1" + "0" * 400, 2, "max"),
    ("min = 2\nmax = 1", 3, "max"),
    ("kind = 'unique'\nmax = 1", 3, "max"),
    ("skew = '7d'", 2, "skew"),
    ("skew = { past = '7 days' }", 2, "skew.past"),
    ("skew.future = 60", 2, "skew.future"),
    ("skew.past = '36501d'", 2, "skew.past"),
    ("[metrics.a.skew]\npast = '-1d'", 3, "skew.past"),
    ("skew = { pasts = '7d' }", 2, "skew.pasts"),
    ("retention = '7d'", 2, "retention"),
    ("retention = { '1h' = '7d' }", 2, "retention.1h"),
    ("retention = { '1s' = 3600 }", 2, "retention.1s"),
    ("retention = { '1s' = 'for ever' }", 2, "retention.1s"),
    ("retention = { '1s' = '59s' }", 2, "retention.1s"),
    ("retention.15m = '23h'", 2, "retention.15m"),
    ("[metrics.a.retention]\n1s = '3d'\n1m = '2d'", 4, "retention.1m"),
    ("[metrics.a.retention]\n1m = 'forever'\n15m = '1y'", 4, "retention.15m"),
    ("views = ['country']", 2, "views"),
    ("views = [\n ['c'],\n ['c', 'c']]", 4, "views"),
    ("views = [\n ['c', 'd'],\n ['d', 'c']]", 4, "views"),
    ("dimensions = ['c']\nviews = [['c'],\n ['cc']]", 4, "views"),
    ("views = [['a:b']]", 2, "views"),
    ("dimensions = 5", 2, "dimensions"),
    ("dimensions = 'ab'", 2, "dimensions"),
    ("dimensions = ['a',\n 'a:b']", 3, "dimensions"),
    ("dimensions = ['a', 'a']", 2, "dimensions"),
    ("dimensions.c = 5", 2, "dimensions.c"),
    ("dimensions.'a:b' = {}", 2, "dimensions.a:b"),
    ("dimensions.__c = {}", 2, "dimensions.__c"),
    ("dimensions.c = { value = ['x'] }", 2, "dimensions.c.value"),
    ("dimensions.c = { values = 'x' }", 2, "dimensions.c.values"),
    ("dimensions.c = { values = [] }", 2, "dimensions.c.values"),
    ("dimensions.c.values = [\n'x',\n5]", 4, "dimensions.c.values"),
    ("dimensions.c.values = ['x', 'x']", 2, "dimensions.c.values"),
    ('dimensions.c.values = ["x\\u0000"]', 2, "dimensions.c.values"),
    ("dimensions.c = { pattern = 'a+', values = ['x'] }", 2, "dimensions.c.values"),
    ("dimensions.c = { pattern = '(' }", 2, "dimensions.c.pattern"),
    ("dimensions.c = { pattern = '' }", 2, "dimensions.c.pattern"),
    ("dimensions.c = { pattern = 5 }", 2, "dimensions.c.pattern"),
    ("[metrics.a.dimensions]\nb = {}\n[metrics.a.dimensions.c]\nlimit = 0", 5, "dimensions.c.limit"),
    ("dimensions.c.limit = 1.5", 2, "dimensions.c.limit"),
    ("dimensions.c.limit = true", 2, "dimensions.c.limit"),
    ("dimensions.c.limit = 1000001", 2, "dimensions.c.limit"),
    ("dimensions.c.required = 'yes'", 2, "dimensions.c.required"),
]
GOOD = "[metrics.a]\n[metrics.b]\nkind = 'unique'\n[derived.r]\n"
MISTAKES = [
    ("\na = [\n", 2, ""),
    ("a = 1\na = 2", 2, ""),
    ("a = 1" + "0" * 5000, 1, ""),
    ('\nunknow = "reject"', 2, "unknow"),
    ('unknown = "drop"', 1, "unknown"),
    ("metrics = 5", 1, "metrics"),
    ('[metrics.b]\nkind = "gauge"\n[metrics."a.b"]\nkind = 5', 4, "metrics.a.b.kind"),
    ("[metrics]\na = 5", 2, "metrics.a"),
    ("metrics.a.unit = 5", 1, "metrics.a.unit"),
    ("metrics = { b = {}, a = { unit = 5 } }", 1, "metrics.a.unit"),
    ("[metrics.'']", 1, "metrics"),
    ("[metrics.'" + "a" * 201 + "']", 1, "metrics." + "a" * 201),
    ('[metrics."a\\n"]', 1, "metrics.a\n"),
    ("[derived]\nr = 5", 2, "derived.r"),
    (GOOD, 4, "derived.r"),
    (GOOD + "numerator = 'a:sum'\ndenominator = 'a'", 6, "derived.r.denominator"),
    (GOOD + "numerator = 5\ndenominator = 'a:sum'", 5, "derived.r.numerator"),
    (GOOD + "numerator = 'b:sum'\ndenominator = 'a:sum'", 5, "derived.r.numerator"),
    (GOOD + "numerator = 'a:median'\ndenominator = 'a:sum'", 5, "derived.r.numerator"),
    (GOOD + "numerator = 'a:sum'\ndenominator = 'r:sum'", 6, "derived.r.denominator"),
    (GOOD + "numerator = 'a:sum'\ndenominator = 'a:count'\nkind = 'gauge'", 7, "derived.r.kind"),
    ("unknown = 'reject'\n" + GOOD + "numerator = 'aa:sum'\ndenominator = 'a:count'", 6, "derived.r.numerator"),
    (GOOD.replace("derived.r", "derived.a") + "numerator = 'a:sum'\ndenominator = 'b:count'", 4, "derived.a"),
    *((f"[metrics.a]\n{text}", line, f"metrics.a.{field}") for text, line, field in METRIC_MISTAKES),
]


@pytest.mark.parametrize(("text", "line", "field"), MISTAKES)
def test_mistakes_name_their_place(tmp_path: Path, text: str, line: int, field: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RegistryError) as caught:
        load(path)
    (only,) = mistakes(path) if text != GOOD else mistakes(path)[:1]
    assert str(caught.value) == str(only)
    assert (only.file, only.line, only.field) == (path, line, field)
    assert str(only).startswith(f"{path}:{line}: ")
    assert 0 < len(only.message) < 250
    assert not only.message.endswith(".")


def test_all_mistakes_are_found_in_the_order_of_their_lines(tmp_path: Path) -> None:
    first = write(tmp_path, "[metrics.a]\nmax = 'x'\nunits = 5\ndimensions.c.limit = 0\nkind = 'x'", "first.toml")
    broken = write(tmp_path, "[", "broken.toml")
    last = write(tmp_path, "unknown = 5", "last.toml")
    found = [(mistake.file, mistake.line) for mistake in mistakes(first, broken, last)]
    assert found == [(first, 2), (first, 3), (first, 4), (first, 5), (broken, 1), (last, 1)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[metric.a]", "did you mean metrics"),
        ("[metrics.a]\nunits = 's'", "did you mean unit"),
        ("[metrics.a]\nkind = 'guage'", "did you mean gauge"),
        ("[metrics.a]\ndimensions.c.requird = true", "did you mean required"),
        ("[metrics.a]\ndimensions.country = {}\nviews = [['contry']]", "did you mean country"),
        ("[metrics.a]\nmeasure = 'summ'", "did you mean sum"),
        (
            "unknown = 'reject'\n[metrics.orders]\n[derived.r]\nnumerator = 'order:sum'\ndenominator = 'orders:sum'",
            "orders",
        ),
    ],
)
def test_a_slip_of_the_pen_gets_a_hint(tmp_path: Path, text: str, hint: str) -> None:
    assert hint in str(mistakes(write(tmp_path, text))[0])


def test_derived_metrics_may_be_made_of_metrics_of_another_file_or_of_unlisted_ones(tmp_path: Path) -> None:
    derived = "[derived.r]\nnumerator = 'a:sum'\ndenominator = 'b:x:count'"
    first, second = write(tmp_path, derived, "1.toml"), write(tmp_path, "[metrics.a]\n[metrics.'b:x']", "2.toml")
    assert load(first).derived["r"].denominator == ("b:x", "count")
    third = write(tmp_path, "unknown = 'reject'", "3.toml")
    assert [mistake.file for mistake in mistakes(first, third)] == [first, first]
    assert load(first, second, third).derived["r"].numerator == ("a", "sum")


def test_a_file_that_cannot_be_read_makes_no_further_mistakes(tmp_path: Path) -> None:
    derived = write(tmp_path, "unknown = 'reject'\n[derived.r]\nnumerator = 'a:sum'\ndenominator = 'a:sum'", "1.toml")
    assert len(mistakes(derived, write(tmp_path, "[", "2.toml"))) == 1


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "metrics.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryError, match="UTF-8"):
        load(path)
    with pytest.raises(RegistryError, match="cannot be read"):
        load(tmp_path)


def test_lines_end_as_they_like(tmp_path: Path) -> None:
    path = tmp_path / "metrics.toml"
    path.write_bytes(b"[metrics.a]\r\n\r\nkind = 5\r\n")
    assert [mistake.line for mistake in mistakes(path)] == [3]


# --- patterns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "value", "is_match"),
    [
        ("p[0-9]+", "p17", True),
        ("p[0-9]+", "p17x", False),
        ("p[0-9]+", "xp17", False),
        ("NL|DE", "NLx", False),
        ("NL|DE", "DE", True),
        (".", "é", True),
        ("..", "😀", False),
        ("(?i)nl", "NL", True),
        (r"\d{2}", "12", True),
        ("", "", True),
        ("a*", "", True),
        ("a$|^b", "b", True),
    ],
)
def test_the_whole_value_matches(pattern: str, value: str, is_match: bool) -> None:
    assert matches(pattern, value) is is_match


@pytest.mark.parametrize(
    "pattern",
    ["", "(", "a)|(b", "[a", "\\", "a{2000}", "(a{100}){100}", "(?=a)", r"(a)\1", r"\Qa", "a" * (MAX_PATTERN + 1),
     ".{0,400}" * 3, ".{400,}.{400}.{400}"],
)  # fmt: skip
def test_patterns_that_cannot_be_used(pattern: str) -> None:
    assert pattern_fault(pattern)


def test_no_pattern_hangs() -> None:
    """Python's own `re` would need longer than the universe has been there."""
    for pattern in ("(a+)+", "(a|a)*b", "(a*)*b", "(.*a){20}"):
        assert pattern_fault(pattern) is None
        assert not matches(pattern, "a" * 511 + "!")


# --- the document -------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "metrics.md").read_text()


def test_the_page_has_every_field() -> None:
    found = {
        heading: {name for row in rows(section(PAGE, heading)) for name in re.findall(r"`([a-z]+)`", row[0])}
        for heading in ("## The file", "## Metrics", "### Kinds", "### Dimensions", "## Derived metrics")
    }
    assert found == {
        "## The file": registry.TOP_FIELDS,
        "## Metrics": metric_tables.METRIC_FIELDS | metric_tables.DIMENSION_FIELDS | set(Kind),
        "### Kinds": set(Kind),
        "### Dimensions": metric_tables.DIMENSION_FIELDS,
        "## Derived metrics": metric_tables.DERIVED_FIELDS,
    }


def test_the_example_of_the_page_uses_every_field(tmp_path: Path) -> None:
    example = blocks(PAGE, "toml")[0]
    found = load(write(tmp_path, example))
    assert (len(found.metrics), len(found.derived)) == (3, 1)
    known = metric_tables.METRIC_FIELDS | metric_tables.DIMENSION_FIELDS | metric_tables.DERIVED_FIELDS
    for name in known | metric_tables.SKEW_FIELDS | registry.TOP_FIELDS:
        assert re.search(rf"\b{name}\b", example), name
