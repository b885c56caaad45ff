"""What a request may ask for, and what is refused because a client would rely on it."""

from __future__ import annotations

import pytest

from ingest.problems import Problem
from ingest.wishes import MAX_IDEMPOTENCY_KEY, Wishes, wishes_of


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", Wishes()),
        (b"atomic=true", Wishes(atomic=True)),
        (b"atomic", Wishes(atomic=True)),
        (b"atomic=1&import=TRUE", Wishes(atomic=True, history=True)),
        (b"import=true", Wishes(history=True)),
        (b"atomic=false&import=0", Wishes()),
    ],
)
def test_flags(query: bytes, expected: Wishes) -> None:
    assert wishes_of(query, {}) == expected


@pytest.mark.parametrize(
    "query", [b"atomc=true", b"atomic=yes", b"atomic=true&atomic=true", b"import=2", b"x", b"%00=1", b"atomic=\xff"]
)
def test_a_wish_that_is_not_understood_is_refused(query: bytes) -> None:
    outcome = wishes_of(query, {})
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.code) == (400, "invalid_parameter")


def test_an_idempotency_key_names_the_events() -> None:
    assert wishes_of(b"", {b"idempotency-key": b"order 7"}) == Wishes(id_prefix="order 7")


@pytest.mark.parametrize("key", [b"", b"x" * (MAX_IDEMPOTENCY_KEY + 1), b"a\tb", "é".encode(), b"\x7f"])
def test_a_bad_idempotency_key_is_refused(key: bytes) -> None:
    outcome = wishes_of(b"", {b"idempotency-key": key})
    assert isinstance(outcome, Problem)
    assert (outcome.status, outcome.code) == (400, "invalid_idempotency_key")
