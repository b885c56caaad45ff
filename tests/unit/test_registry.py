"""The registry: what it takes, and that a mistake names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.registry import Registry, RegistryError, load
from ingest.series import Kind

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
views = [["country"], ["country", "product"], []]
dimensions.country = { values = ["NL", "DE", "FR"] }
dimensions.product = { pattern = "p[0-9]+", limit = 10000, required = true }

[metrics.visitors]
kind = "unique"
dimensions = ["page"]

[derived.failure_rate]
numerator = "payments.failed:sum"
denominator = "payments.total:sum"
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
    assert registry.metrics["visitors"].dimensions == ("page",)
    assert registry.metrics["visitors"].views is None


def test_no_file_is_an_empty_registry(tmp_path: Path) -> None:
    assert load() == load(tmp_path / "missing.toml") == Registry()
    assert Registry().unknown == "register"


def test_later_files_add_and_redefine(tmp_path: Path) -> None:
    first = write(tmp_path, 'unknown = "reject"\n[metrics.a]\nunit = "s"\n[metrics.b]\n', "first.toml")
    second = write(tmp_path, '[metrics.b]\nunit = "B"\n[metrics.c]\n', "second.toml")
    registry = load(first, second)
    assert {name: metric.unit for name, metric in registry.metrics.items()} == {"a": "s", "b": "B", "c": None}
    assert registry.unknown == "reject"


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("\na = [\n", 2, ""),
        ('\nunknow = "reject"', 2, "unknow"),
        ('unknown = "drop"', 1, "unknown"),
        ("metrics = 5", 1, "metrics"),
        ('[metrics.a]\n\nkind = "counters"', 3, "metrics.a.kind"),
        ('[metrics.b]\nkind = "gauge"\n[metrics."a.b"]\nkind = 5', 4, "metrics.a.b.kind"),
        ("[metrics.a]\nunits = 's'", 2, "metrics.a.units"),
        ("[metrics.a]\nunit = ''", 2, "metrics.a.unit"),
        ("[metrics.a]\nbetter = 'higher'", 2, "metrics.a.better"),
        ("[metrics.a]\nmin = true", 2, "metrics.a.min"),
        ("[metrics.a]\nmin = nan", 2, "metrics.a.min"),
        ("[metrics.a]\nmin = 2\nmax = 1", 3, "metrics.a.max"),
        ("[metrics.a]\nviews = ['country']", 2, "metrics.a.views"),
        ("[metrics.a]\nviews = [['c', 'c']]", 2, "metrics.a.views"),
        ("[metrics.a]\ndimensions = 5", 2, "metrics.a.dimensions"),
        ("[metrics.a]\ndimensions = 'ab'", 2, "metrics.a.dimensions"),
        ("[metrics]\na = 5", None, "metrics.a"),
        ("[metrics.'']", 1, "metrics"),
    ],
)
def test_mistakes_name_their_place(tmp_path: Path, text: str, line: int | None, field: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RegistryError) as caught:
        load(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (path, line, field)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "metrics.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryError, match="UTF-8"):
        load(path)
    with pytest.raises(RegistryError, match="cannot be read"):
        load(tmp_path)
