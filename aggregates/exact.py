"""Sums of doubles that do not depend on the order of their parts. Pure.

Threads add in an order of their own, so a plain sum differs in its last digits from run to run. Whole numbers add up
to the same in any order: each part is taken apart into a multiple of 2^-8 and a rest in multiples of 2^-70, both 64-bit
integers, which DuckDB adds in 128 bits. That is exact for parts between 1e-5 and 9e15 in size, and to 1e-9 from 1e-12;
smaller and larger ones are added as doubles.
"""

from __future__ import annotations

from typing import Final

_HIGH: Final = "256.0"
_LOW: Final = "1180591620717411303424.0"


def exact_sum(column: str) -> str:
    """SQL of the sum of a column of doubles; null of nothing."""
    ordinary = f"abs({column}) >= 1e-12 AND abs({column}) < 9007199254740992.0"
    part = f"(CASE WHEN {ordinary} THEN {column} ELSE 0.0 END)"
    high = f"({part} * {_HIGH})::BIGINT"
    low = f"(({part} - {high} / {_HIGH}) * {_LOW})::BIGINT"
    return f"sum({high})::DOUBLE / {_HIGH} + sum({low})::DOUBLE / {_LOW} + sum({column} - {part})"
