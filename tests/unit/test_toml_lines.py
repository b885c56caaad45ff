"""Lines of keys in TOML: every way to spell a key, a text and a table."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.toml_lines import Place, line_of, lines_of
from tests.documents import ROOT

TRICKY = '''\
# a comment with = [ " {
plain = 1 # and "another" = one
"quoted.key" = 'text # no comment'
'literal' = "a \\" quote"
a . "b.c" . d = [1, 2,
  [3], # three
  { x = 1, y.z = """two
lines"" with quotes""""" },
]
many = \'\'\'
[not.a.header]
key = 5 \'\' \'\'\'
when = 1979-05-27 07:32:00
inline = { deep = { deeper = [ { p = 1 }, { p = 2 } ] }, other = [] }
[table]
x = true
[table."sub.table"] # behind
  x = -1e5
[[list]]
name = "first"
[list.inner]
n = 1
[[list]]
  name = "\\u0041"
  [[list.more]]
  m = 1
  [[list.more]]
  m = 2
[ a . other ]
"\\u0061" = 1'''


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Everything in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*place, key)
        yield from places(child, (*place, key))


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("plain",), 2),
        (("quoted.key",), 3),
        (("literal",), 4),
        (("a",), 5),
        (("a", "b.c", "d"), 5),
        (("a", "b.c", "d", 1), 5),
        (("a", "b.c", "d", 2), 6),
        (("a", "b.c", "d", 2, 0), 6),
        (("a", "b.c", "d", 3, "y", "z"), 7),
        (("many",), 10),
        (("when",), 13),
        (("inline", "deep", "deeper", 1, "p"), 14),
        (("inline", "other"), 14),
        (("table", "x"), 16),
        (("table", "sub.table"), 17),
        (("table", "sub.table", "x"), 18),
        (("list", 0, "name"), 20),
        (("list", 0, "inner", "n"), 22),
        (("list", 1), 23),
        (("list", 1, "name"), 24),
        (("list", 1, "more", 1, "m"), 28),
        (("a", "other", "a"), 30),
        (("a", "other", "missing"), 29),
        (("plain", "missing", 5), 2),
        (("missing",), None),
        ((), None),
    ],
)
def test_lines(place: Place, line: int | None) -> None:
    assert line_of(lines_of(TRICKY), place) == line


def test_everything_in_a_document_has_a_line() -> None:
    texts = [TRICKY, TRICKY.replace("\n", "\r\n")]
    texts += [path.read_text() for path in [ROOT / "pyproject.toml", *(ROOT / "tallyboard").rglob("*.toml")]]
    for text in texts:
        lines = lines_of(text)
        assert set(places(tomllib.loads(text))) <= set(lines)
        assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def test_what_cannot_be_followed_has_no_lines() -> None:
    for text in ("[", "a", "a = ", '"\\x" = 1', '"', "a = [1", "[a", "=", "a = " + "[" * 100_000):
        assert lines_of(text) == {}


@settings(max_examples=200)
@given(st.text("ab=.\"[]{}'#\n ,1\\", max_size=30))
def test_valid_documents_are_followed_to_the_end(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except ValueError:
        lines_of(text)  # whatever it is, it ends
        return
    assert set(places(document)) <= set(lines_of(text))


def test_no_text_takes_long() -> None:
    """Possessive patterns: no start of a text is looked at twice for each of its characters."""
    for text in (
        'a = "' + "\\" * 200_001,
        "a = '''" + "'" * 200_000,
        "#" * 200_000,
        " " * 200_000 + "a",
        "[" * 200_000,
    ):
        lines_of(text)
