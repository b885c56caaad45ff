"""What metrics and dimensions may be called, and how long their texts are. Lengths are in characters."""

from __future__ import annotations

import re
from typing import Final

MAX_METRIC: Final = 200
MAX_DIMENSION_NAME: Final = 128
MAX_DIMENSION_VALUE: Final = 512

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
QUERY_MARKS: Final = re.compile(r"[,:*]|^!")
"""What separates names and values in the address of a query."""


def metric_fault(name: str) -> str | None:
    """Why this cannot be the name of a metric."""
    if not 0 < len(name) <= MAX_METRIC:
        return f"a metric name has 1 to {MAX_METRIC} characters"
    if CONTROL.search(name):
        return "a metric name has no control characters"
    return None


def dimension_fault(name: str) -> str | None:
    """Why this cannot be the name of a dimension."""
    if not 0 < len(name) <= MAX_DIMENSION_NAME:
        return f"a dimension's name has 1 to {MAX_DIMENSION_NAME} characters"
    if CONTROL.search(name) or name.startswith("__"):
        return "a dimension's name has no control characters and does not start with two underscores"
    if QUERY_MARKS.search(name):
        return "a dimension's name has no comma, colon or asterisk and does not start with an exclamation mark"
    return None


def value_fault(value: str) -> str | None:
    """Why this cannot be the value of a dimension."""
    if len(value) > MAX_DIMENSION_VALUE:
        return f"a dimension's value has at most {MAX_DIMENSION_VALUE} characters"
    if CONTROL.search(value):
        return "a dimension's value has no control characters"
    return None
