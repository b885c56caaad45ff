"""Keys: what proves one, what is kept of it, what the file may say, and what a request is told."""

from __future__ import annotations

import inspect
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ingest.access import Access
from ingest.keys import ID_BYTES, SECRET_BYTES, Key, KeyRing, KeysError, NewKey, Scope, mint
from ingest.keys_edit import edit, render
from ingest.keys_file import FILE_NAME, load, mistakes, warnings
from ingest.problems import Problem
from ingest.watched import Watched

NOW_MS = 1_795_440_000_000
DAY_MS = 86_400_000
WRITER = Key("", "shop", frozenset({Scope.WRITE}))
FULL = replace(
    WRITER,
    name='Jo\'s "shop" \\ Köln',
    scopes=frozenset(Scope),
    expires_ms=NOW_MS + DAY_MS + 7,
    rate=2.5,
    burst=20,
    series_limit=1000,
)


def minted(wanted: Key = WRITER, ring: KeyRing | None = None) -> NewKey:
    return mint(ring or KeyRing(), wanted, NOW_MS, secrets.token_bytes)


def ring_of(*made: NewKey) -> KeyRing:
    ring = KeyRing()
    for one in made:
        ring = ring.including(one.stored)
    return ring


def bearer(text: str, scheme: str = "Bearer") -> bytes:
    return f"{scheme} {text}".encode()


# --- what proves a key --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "BEARER "])
def test_the_text_of_a_key_proves_it(scheme: str) -> None:
    made = minted(FULL)
    key = ring_of(minted(), made, minted()).authenticate(bearer(made.text, scheme), NOW_MS)
    assert key == made.stored.key == replace(FULL, id=made.stored.key.id)


def test_everything_else_proves_nothing() -> None:
    made, other = minted(), minted()
    ring = ring_of(made, other)
    tb, key_id, secret = made.text.split("_")
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    texts = [
        f"{tb}_{key_id}_{wrong}",
        f"{tb}_{key_id}_{other.text.split('_')[2]}",
        f"{tb}_{key_id}_{secret}a",
        f"{tb}_{key_id}_{secret[:-1]}",
        f"{tb}_{key_id}_",
        f"{tb}_aaaaaaaa_{secret}",
        f"{key_id}_{secret}",
        made.text.upper(),
        f"{made.text} {made.text}",
        f"{made.text}\x00",
        made.stored.digest.hex(),
        f"sha256:{made.stored.digest.hex()}",
        secret,
        "",
        "x" * 16_000,
    ]
    headers: list[bytes | None] = [None, b"", b"Bearer", made.text.encode(), b"\xff\xfe", bearer(made.text, "Basic")]
    for header in [*headers, *map(bearer, texts), bearer(made.text).replace(b" ", b"")]:
        assert ring.authenticate(header, NOW_MS) is None, header
    assert KeyRing().authenticate(bearer(made.text), NOW_MS) is None


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    made = minted(replace(WRITER, expires_ms=NOW_MS + 1000))
    ring, key_id = ring_of(made), made.stored.key.id
    header = bearer(made.text)
    assert ring.authenticate(header, NOW_MS + 999) is not None
    assert ring.authenticate(header, NOW_MS + 1000) is None
    revoked = ring.revoking(key_id, NOW_MS + 5)
    assert revoked.authenticate(header, NOW_MS + 6) is None
    assert revoked.authenticate(header, NOW_MS - DAY_MS) is None, "a clock that is behind revives nothing"
    assert revoked.revoking(key_id, NOW_MS + 99) is revoked, "the first date stays"
    states = [ring.keys[key_id].state(NOW_MS), ring.keys[key_id].state(NOW_MS + 1000), revoked.keys[key_id].state(0)]
    assert states == ["active", "expired", "revoked"]
    assert (len(ring.active(NOW_MS)), revoked.active(NOW_MS)) == (1, [])
    assert revoked.including(minted().stored).summary(NOW_MS) == "1 active, 1 revoked"


def test_scopes() -> None:
    may = {
        scope: [asked for asked in Scope if replace(WRITER, scopes=frozenset({scope})).may(asked)] for scope in Scope
    }
    assert may == {Scope.WRITE: [Scope.WRITE], Scope.READ: [Scope.READ], Scope.ADMIN: list(Scope)}


def test_secrets_are_random_and_only_their_hash_is_kept() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return secrets.token_bytes(size)

    made = mint(KeyRing(), WRITER, NOW_MS, random)
    assert asked == [ID_BYTES, SECRET_BYTES]
    assert SECRET_BYTES * 8 >= 160
    assert re.fullmatch(r"tb_[a-z2-7]{8}_[a-z2-7]{32}", made.text)
    assert made.stored.digest == sha256(made.text.encode()).digest()
    secret = made.text.split("_")[2]
    assert all(secret not in text for text in (repr(made), repr(made.stored), render(ring_of(made))))


def test_an_id_is_never_given_twice() -> None:
    ids = iter([b"aaaaa", b"aaaaa", b"aaaaa", b"bbbbb"])

    def random(size: int) -> bytes:
        return next(ids) if size == ID_BYTES else secrets.token_bytes(size)

    first = mint(KeyRing(), WRITER, NOW_MS, random)
    second = mint(ring_of(first), WRITER, NOW_MS, random)
    assert first.stored.key.id != second.stored.key.id


def test_hashes_are_compared_in_constant_time_and_unknown_ids_too() -> None:
    """Time itself is not measured: it would fail on a busy machine and prove nothing on an idle one."""
    source = inspect.getsource(KeyRing.authenticate)
    assert source.count("hmac.compare_digest(") == 1
    assert "==" not in source.split("compare_digest")[0].split("match is None")[1]
    assert "_NOBODY if stored is None" in source
    assert "return" not in source.split("self.keys.get")[1].split("compare_digest")[0], "no shorter way for unknown ids"


# --- the file -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    ring = ring_of(minted(FULL), minted(), minted(replace(FULL, rate=1e-7, burst=None)))
    ring = ring.revoking(next(iter(ring.keys)), NOW_MS + 123)
    assert edit(path, lambda _: ring) == load(path) == ring
    assert mistakes(path) == []
    text = path.read_text()
    assert text.startswith("# ")
    assert tomllib.loads(text)["keys"].keys() == ring.keys.keys()


def test_the_file_is_its_owners_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    for before in (None, 0o644):
        if before is not None:
            path.chmod(before)
            assert len(warnings(path)) == 1
            assert "0644" in warnings(path)[0]
        edit(path, lambda ring: ring.including(minted().stored))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert warnings(path) == []
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME], "no lock and no temporary file is left"
    assert warnings(tmp_path / "missing.toml") == []


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    edit(path, lambda ring: ring.including(minted().stored))
    before, inode = path.read_bytes(), path.stat().st_ino

    def fails(ring: KeyRing) -> KeyRing:
        raise LookupError

    with pytest.raises(LookupError):
        edit(path, fails)
    edit(path, lambda ring: ring)
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode), "nothing changed, nothing written"
    path.write_text(f"{before.decode()}\nwrong = 1\n")
    with pytest.raises(KeysError, match="unknown field"):
        edit(path, lambda ring: ring.including(minted().stored))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, target = tmp_path / FILE_NAME, tmp_path / "kept" / "keys.toml"
    link.symlink_to(target)
    edit(link, lambda ring: ring.including(minted().stored))
    assert link.is_symlink()
    assert load(target) == load(link) is not None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be written: No such file or directory"):
        edit(tmp_path / "no" / FILE_NAME, lambda ring: ring)


def test_edits_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: edit(path, lambda ring: ring.including(minted(WRITER, ring).stored)), range(24)))
    ring = load(path)
    assert ring is not None
    assert len(ring.keys) == 24


def test_no_file_is_no_ring_until_there_was_one(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    assert mistakes(path) == []
    watched = Watched([path], lambda: load(path))
    assert str(watched.value) == "None"
    ring = edit(path, lambda ring: ring.including(minted().stored))
    assert watched.poll()
    assert watched.value == ring
    path.unlink()
    assert not watched.poll()
    assert watched.value == ring, "whoever deletes the file opens nothing"
    assert "gone" in str(watched.problem)
    path.touch(0o600)
    assert any(watched.poll() for _ in range(3))
    assert watched.value == KeyRing(), "an empty file: keys are asked for, and none opens"


KEY = f"""
[keys.abcdefgh]
name = "shop"
hash = "sha256:{"0" * 64}"
scopes = ["write"]
created = 2026-11-23T10:00:00Z
"""
MISTAKES: Mapping[str, tuple[str, int | None, str, str]] = {
    "not toml": (KEY + "rate 5\n", 7, "", "not TOML"),
    "twice": (KEY + KEY, 8, "", "not TOML"),
    "endless number": (KEY + f"rate = {'9' * 5000}\n", None, "", "not TOML"),
    "top field": ("keyz = 1\n" + KEY, 1, "keyz", "unknown field; known: keys"),
    "top table": (KEY + "[other]\n", 7, "other", "unknown field; known: keys"),
    "keys no table": ("\nkeys = 5\n", 2, "keys", "expected tables [keys.<id>]"),
    "key no table": ("\n[keys]\nabcdefgh = 5\n", 3, "keys.abcdefgh", "expected a table"),
    "id": (KEY.replace("abcdefgh", "ABC"), 2, "keys.ABC", "expected an id of 8 characters"),
    "id like a key": (KEY.replace("abcdefgh", minted().text), 2, "keys.…", "expected an id of 8 characters"),
    "unknown field": (KEY + "rat = 5\n", 7, "keys.abcdefgh.rat", "unknown field; known: name, hash"),
    "no name": (KEY.replace('name = "shop"', ""), 2, "keys.abcdefgh.name", "missing"),
    "no hash": (KEY.replace("hash", "# hash"), 2, "keys.abcdefgh.hash", "missing"),
    "empty name": (KEY.replace("shop", ""), 3, "keys.abcdefgh.name", "1 to 100 printable characters"),
    "name of lines": (KEY.replace("shop", "a\\nb"), 3, "keys.abcdefgh.name", "1 to 100 printable characters"),
    "name too long": (KEY.replace("shop", "a" * 101), 3, "keys.abcdefgh.name", "1 to 100 printable characters"),
    "secret as hash": (KEY.replace("sha256:", "tb_"), 4, "keys.abcdefgh.hash", "expected sha256: and 64"),
    "short hash": (KEY.replace("0" * 64, "0" * 63), 4, "keys.abcdefgh.hash", "expected sha256: and 64"),
    "scope": (KEY.replace("write", "writ"), 5, "keys.abcdefgh.scopes", "expected a list of write, read, admin"),
    "no scope": (KEY.replace('["write"]', "[]"), 5, "keys.abcdefgh.scopes", "expected a list of"),
    "one scope": (KEY.replace('["write"]', '"write"'), 5, "keys.abcdefgh.scopes", "expected a list of"),
    "local time": (KEY.replace("00Z", "00"), 6, "keys.abcdefgh.created", "expected a time with zone"),
    "date": (KEY + "expires = 2027-01-01\n", 7, "keys.abcdefgh.expires", "expected a time with zone"),
    "text": (KEY + 'revoked = "yes"\n', 7, "keys.abcdefgh.revoked", "expected a time with zone"),
    "time before time": (KEY + "expires = 1969-12-31T23:59:59Z\n", 7, "keys.abcdefgh.expires", "1970 and 9999"),
    "end of time": (KEY + "expires = 9999-12-31T23:59:59-23:00\n", 7, "keys.abcdefgh.expires", "1970 and 9999"),
    "rate 0": (KEY + "rate = 0\n", 7, "keys.abcdefgh.rate", "above 0"),
    "rate nan": (KEY + "rate = nan\n", 7, "keys.abcdefgh.rate", "above 0"),
    "rate inf": (KEY + "rate = inf\n", 7, "keys.abcdefgh.rate", "above 0"),
    "rate true": (KEY + "rate = true\n", 7, "keys.abcdefgh.rate", "above 0"),
    "burst 0": (KEY + "rate = 5\nburst = 0\n", 8, "keys.abcdefgh.burst", "a whole number from 1"),
    "burst 1.5": (KEY + "rate = 5\nburst = 1.5\n", 8, "keys.abcdefgh.burst", "a whole number from 1"),
    "burst alone": (KEY + "burst = 5\n", 7, "keys.abcdefgh.burst", "no meaning without rate"),
    "series": (KEY + "series_limit = -1\n", 7, "keys.abcdefgh.series_limit", "a whole number from 1"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_names_file_line_and_field(case: str, tmp_path: Path) -> None:
    text, line, field, message = MISTAKES[case]
    path = tmp_path / FILE_NAME
    path.write_text(text)
    (found,) = mistakes(path)
    assert (found.file, found.line, found.field) == (str(path), line, field)
    assert message in found.message
    assert str(found).startswith(f"{path}:{line}: " if line else f"{path}: ")
    with pytest.raises(KeysError):
        load(path)


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(KEY.replace("shop", "") + "rate = 0\n" + KEY.replace("abcdefgh", "hgfedcba") + "a = 1\nb = 2\n")
    assert [(found.line, found.field.split(".")[-1]) for found in mistakes(path)] == [
        (3, "name"),
        (7, "rate"),
        (14, "a"),
        (15, "b"),
    ]


def test_times_may_be_texts_and_of_any_zone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(KEY.replace("2026-11-23T10:00:00Z", '"2026-11-23T11:00:00.250+01:00"'))
    ring = load(path)
    assert ring is not None
    assert ring.keys["abcdefgh"].created_ms == 1_795_428_000_250


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_is_no_text(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    (found,) = mistakes(path)
    assert found.line is None


# --- what a request is told ---------------------------------------------------------------------------------------


class Clocks:
    def __init__(self) -> None:
        self.wall_ms, self.monotonic_s = NOW_MS, 50.0


def access_to(ring: KeyRing | None, clocks: Clocks | None = None) -> Access:
    clocks = clocks or Clocks()
    return Access(lambda: ring, lambda: clocks.wall_ms, lambda: clocks.monotonic_s)


def test_without_keys_nobody_is_asked() -> None:
    access = access_to(None)
    assert access.admit({}, Scope.WRITE) is None
    assert access.admit({b"authorization": b"Bearer whatever"}, Scope.ADMIN) is None
    assert access.charge(None, 10**9) is None


def test_whatever_is_wrong_the_answer_is_the_same() -> None:
    expired, revoked = minted(replace(WRITER, expires_ms=NOW_MS - 1)), minted()
    ring = ring_of(expired, revoked, minted()).revoking(revoked.stored.key.id, NOW_MS - 5)
    access = access_to(ring)
    wrong = [None, b"", b"Basic eDp5", *(bearer(one.text) for one in (expired, revoked, minted()))]
    wrong += [bearer(revoked.text[:-4] + "aaaa")]
    answers = [access.admit({} if one is None else {b"authorization": one}, Scope.WRITE) for one in wrong]
    assert isinstance(answers[0], Problem)
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0].status, answers[0].code) == (401, "unauthorized")
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
    assert answers[0].headers["Connection"] == "close", "the body that was not read must not be taken for a request"


def test_a_key_without_the_scope_is_forbidden_and_named() -> None:
    made = minted(replace(WRITER, scopes=frozenset({Scope.READ})))
    answer = access_to(ring_of(made)).admit({b"authorization": bearer(made.text)}, Scope.WRITE)
    assert isinstance(answer, Problem)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert made.stored.key.id in answer.detail
    assert made.text.split("_")[2] not in answer.body("r").decode()


def test_a_change_of_the_ring_holds_from_the_next_request_on() -> None:
    made = minted()
    rings: list[KeyRing | None] = [None]
    access = Access(lambda: rings[-1], lambda: NOW_MS, lambda: 0.0)
    headers = {b"authorization": bearer(made.text)}
    assert access.admit(headers, Scope.WRITE) is None
    rings.append(ring_of(made))
    assert access.admit(headers, Scope.WRITE) == made.stored.key
    rings.append(ring_of(made).revoking(made.stored.key.id, NOW_MS))
    assert isinstance(access.admit(headers, Scope.WRITE), Problem)


def test_over_its_rate_a_key_waits_as_long_as_it_is_told() -> None:
    clocks = Clocks()
    access = access_to(KeyRing(), clocks)
    key = replace(WRITER, id="abcdefgh", rate=10.0, burst=20)
    assert access.charge(key, 20) is None
    assert access.charge(key, 0) is None
    refused = access.charge(key, 15)
    assert isinstance(refused, Problem)
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "rate_limited", "2")
    assert "abcdefgh" in refused.detail
    clocks.monotonic_s += 2
    clocks.wall_ms -= DAY_MS  # the wall clock has no say in it
    assert access.charge(key, 15) is None
    assert access.charge(replace(key, id="hgfedcba"), 20) is None, "another key has its own bucket"
