"""Patterns for the values of dimensions, in RE2's syntax.

RE2 looks at each character once. Python's own `re` tries again and again: `(a+)+` takes 1.7 s to refuse 26 characters
and twice as long for each one more, so that one line of a registry could stop a process. pyarrow has RE2 aboard. It
compiles the pattern at each call (8 µs for a short one), which is paid only where a series is met for the first time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

MAX_PATTERN: Final = 256
"""Longest pattern in characters."""
MAX_REPEATS: Final = 1000
"""Largest sum of the counts in braces: each one copies what stands before it, and compiling takes that long."""

_COUNTED: Final = re.compile(r"\{(?:\d+,)?(\d+),?\}")


def pattern_fault(pattern: str) -> str | None:
    """Why values cannot be compared with this pattern."""
    if not 0 < len(pattern) <= MAX_PATTERN:
        return f"a pattern has 1 to {MAX_PATTERN} characters"
    if sum(int(count) for count in _COUNTED.findall(pattern)) > MAX_REPEATS:
        return f"the counts in braces add up to more than {MAX_REPEATS}"
    try:
        _found(pattern, "")  # alone first: "a)|(b" is right only between the brackets that are put around it
        matches(pattern, "")
    except pa.ArrowInvalid as error:
        return f"no pattern in RE2's syntax: {str(error).removeprefix('Invalid regular expression: ')}"
    return None


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches a pattern without a fault."""
    return _found(rf"\A(?:{pattern})\z", value)


def _found(pattern: str, value: str) -> bool:
    found = pc.call_function("match_substring_regex", [pa.scalar(value, pa.utf8())], _options(pattern))
    return bool(found.as_py())


@lru_cache(maxsize=1024)
def _options(pattern: str) -> Any:
    return pc.MatchSubstringOptions(pattern)
