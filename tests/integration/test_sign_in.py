"""Keys over a real dashboard: who may ask what, signing in and out, websockets that end with their key."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from dashboard.access import OPEN, Keys
from dashboard.gate import SIGN_IN_AGAIN
from dashboard.sessions import SECRET_BYTES, SECRET_FILE, Sessions, secret_in
from dashboard.sign_in import TRIES, Tries
from dashboard.telemetry import AlwaysReady, Noticed
from ingest import keys_file
from ingest.keys import Key, KeyRing, NewKey, Scope, mint
from ingest.keys_edit import edit
from ingest.watched import Watched
from tests.site import NOON, Site

HOLDS_WITHIN_S = 2.0
"""How soon a revoked key is promised to hold for open pages; the file is looked at by `tests/integration/test_keys`."""
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
SECRET = b"for these tests, and long enough!"


def a_key(*scopes: Scope, **fields: Any) -> NewKey:
    return mint(KeyRing(), replace(Key("", "wall", frozenset(scopes)), **fields), NOON, os.urandom)


READ, WRITE = a_key(Scope.READ), a_key(Scope.WRITE)
BOTH, ADMIN = a_key(Scope.READ, Scope.WRITE), a_key(Scope.ADMIN)
EXPIRED, SOON = a_key(Scope.READ, expires_ms=NOON - 1), a_key(Scope.READ, expires_ms=NOON + 60_000)
REVOKED = a_key(Scope.READ)
ALL = (READ, WRITE, BOTH, ADMIN, EXPIRED, SOON, REVOKED)


def ring() -> KeyRing:
    found = KeyRing()
    for key in ALL:
        found = found.including(key.stored)
    return found.revoking(REVOKED.stored.key.id, NOON)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, Keys(ring()), tick_ms=50, session_secret=SECRET)
    running.start()
    running.sell((1, 3.0, "NL"))
    yield running
    running.close()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url) as found:
        yield found


def bearer(key: NewKey | str, kind: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{kind} {key if isinstance(key, str) else key.text}"}


def sign_in(client: httpx.Client, key: NewKey | str, following: str = "/", **headers: str) -> httpx.Response:
    fields = {"key": key if isinstance(key, str) else key.text, "next": following}
    return client.post("/sign-in", data=fields, headers={"origin": str(client.base_url).rstrip("/"), **headers})


def revoke(site: Site, key: NewKey) -> None:
    assert site.keys is not None
    assert site.keys.ring is not None
    site.keys.ring = site.keys.ring.revoking(key.stored.key.id, NOON)


def live(site: Site, **headers: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{site.port}/live", additional_headers=headers, origin=Origin(site.url))


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_question_needs_a_key_that_may_read(client: httpx.Client) -> None:
    for path in ("/api/v1/query?metric=orders.revenue", "/api/v1/catalogue", "/api/v1/annotations"):
        asks_for_a_reader(client, path)


def asks_for_a_reader(client: httpx.Client, path: str) -> None:
    for headers in ({}, bearer(EXPIRED), bearer(REVOKED), bearer("tb_aaaaaaaa_" + "a" * 32), bearer("nonsense")):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"
    assert client.get(path, headers=bearer(WRITE)).status_code == 403
    for key in (READ, BOTH, ADMIN, SOON):
        assert client.get(path, headers=bearer(key)).status_code == 200
    assert client.get(path, headers=bearer(READ, "Token")).status_code == 200


def test_a_query_by_post_is_a_question(client: httpx.Client) -> None:
    asked = {"metric": "orders.revenue", "measures": ["sum"]}
    assert client.post("/api/v1/query", json=asked).status_code == 401
    assert client.post("/api/v1/query", json=asked, headers=bearer(READ)).status_code == 200


CHANGES = [
    ("POST", "/api/v1/annotations"),
    ("POST", "/api/v1/rejected/replay"),
    ("DELETE", "/api/v1/annotations/x"),
    ("PATCH", "/api/v1/query"),
]


def test_changes_need_a_key_that_may_write_as_well(client: httpx.Client) -> None:
    for method, path in CHANGES:
        assert client.request(method, path, json={}).status_code == 401
        for key in (READ, WRITE):
            refused = client.request(method, path, json={}, headers=bearer(key))
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        for key in (BOTH, ADMIN):
            assert client.request(method, path, json={}, headers=bearer(key)).status_code not in (401, 403)


def test_everything_that_is_not_named_open_needs_a_key(site: Site, client: httpx.Client) -> None:
    for path in ("/", "/explore", "/nope", "/api/nope", "/_dash-layout", "/_dash-dependencies", "/assetsx", "/reports"):
        assert client.get(path).status_code == 401, path
    assert client.post("/_dash-update-component", json={}).status_code == 401
    assert client.request("DELETE", "/assets/main.css").status_code == 401
    for path in (*OPEN, "/assets/main.css", "/assets/mark.svg"):
        assert client.get(path).status_code not in (401, 403), path


def test_without_keys_nobody_is_asked(tmp_path: Path) -> None:
    open_ = Site(tmp_path)
    open_.start()
    with httpx.Client(base_url=open_.url) as client:
        assert client.get("/api/v1/catalogue").status_code == 200
        assert client.get("/session").json() == {"asks": False, "key": None}
        assert client.get("/sign-in").headers["location"] == "/"
        assert sign_in(client, READ, "/explore").headers["location"] == "/explore"
        assert "set-cookie" not in sign_in(client, READ).headers
    open_.close()


def test_keys_that_appear_are_asked_for_from_then_on(tmp_path: Path) -> None:
    site = Site(tmp_path, Keys(), tick_ms=50)
    site.start()
    with live(site) as socket:
        socket.recv(5)
        assert site.keys is not None
        site.keys.ring = ring()
        assert closed_with(socket) == SIGN_IN_AGAIN
    assert httpx.get(site.url + "/api/v1/catalogue").status_code == 401
    site.close()


# --- signing in ---------------------------------------------------------------------------------------------------


def test_a_page_asks_for_a_key_and_goes_on_to_where_it_was(client: httpx.Client) -> None:
    wanted = "/explore?metric=orders.revenue&where=country:NL&find=%3Cb%3E%22"
    asked = client.get(wanted, headers=PAGE)
    assert asked.status_code == 401
    assert asked.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in asked.headers["content-security-policy"]
    assert "unsafe" not in asked.headers["content-security-policy"]
    (following,) = re.findall(r'name="next" value="([^"]*)"', asked.text)
    assert following.replace("&amp;", "&") == wanted

    entered = sign_in(client, READ, wanted)
    assert (entered.status_code, entered.headers["location"]) == (303, wanted)
    assert 'id="react-entry-point"' in client.get(wanted, headers=PAGE).text
    assert client.get("/api/v1/catalogue").status_code == 200
    assert client.get("/session").json()["key"]["id"] == READ.stored.key.id
    assert client.get("/", headers=PAGE).headers["cache-control"] == "no-store"


def test_the_cookie_is_not_the_key_and_no_script_reads_it(client: httpx.Client) -> None:
    cookie = sign_in(client, READ).headers["set-cookie"]
    assert READ.text not in cookie
    assert READ.text.split("_")[2] not in cookie
    assert READ.stored.digest.hex() not in cookie
    words = {word.strip().lower() for word in cookie.split(";")}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={30 * 86400}"} <= words
    assert "secure" not in words
    secure = sign_in(client, READ, origin=str(client.base_url).replace("http:", "https:").rstrip("/"))
    assert "; secure" in secure.headers["set-cookie"].lower()


def test_a_session_ends_no_later_than_its_key(site: Site, client: httpx.Client) -> None:
    assert "Max-Age=60;" in sign_in(client, SOON).headers["set-cookie"]
    assert client.get("/api/v1/catalogue").status_code == 200
    site.now_ms = NOON + 60_000
    assert client.get("/api/v1/catalogue").status_code == 401


def test_a_session_ends_after_its_days(site: Site, client: httpx.Client) -> None:
    sign_in(client, READ)
    site.now_ms = NOON + 30 * 86_400_000 - 1
    assert client.get("/api/v1/catalogue").status_code == 200
    site.now_ms += 1
    assert client.get("/api/v1/catalogue").status_code == 401


def test_a_revoked_key_ends_its_sessions(site: Site, client: httpx.Client) -> None:
    sign_in(client, READ)
    revoke(site, READ)
    assert client.get("/api/v1/catalogue").status_code == 401
    assert client.get("/session").json() == {"asks": True, "key": None}


def test_a_session_of_a_key_that_may_not_write_changes_nothing(client: httpx.Client) -> None:
    here = {"origin": str(client.base_url).rstrip("/")}
    sign_in(client, READ)
    assert client.post("/api/v1/annotations", json={}, headers=here).status_code == 403
    sign_in(client, BOTH)
    assert client.post("/api/v1/annotations", json={}, headers=here).status_code == 400
    # a cookie alone is no wish of a person: the browser has to say that a page of ours asks
    assert client.post("/api/v1/annotations", json={}).status_code == 403
    fetched = {"sec-fetch-site": "same-origin"}
    assert client.post("/api/v1/annotations", json={}, headers=fetched).status_code == 400


def test_a_key_in_the_header_counts_before_the_cookie(client: httpx.Client) -> None:
    sign_in(client, READ)
    assert client.get("/api/v1/catalogue", headers=bearer(REVOKED)).status_code == 401
    assert client.get("/api/v1/catalogue", headers={"Authorization": "Basic dTpw"}).status_code == 200


def test_sign_out_ends_the_session_wherever_its_cookie_is(site: Site, client: httpx.Client) -> None:
    cookie = sign_in(client, READ).headers["set-cookie"].partition(";")[0]
    here = {"origin": site.url}
    assert client.post("/sign-out").status_code == 403
    left = client.post("/sign-out", headers=here)
    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert "max-age=0" in left.headers["set-cookie"].lower()
    assert not client.cookies
    assert httpx.get(site.url + "/api/v1/catalogue", headers={"Cookie": cookie}).status_code == 401


def test_replicas_with_one_secret_take_each_others_sessions(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    cookie = sign_in(client, READ).headers["set-cookie"].partition(";")[0]
    for name, secret, status in (("same", SECRET, 200), ("other", SECRET[::-1], 401)):
        (tmp_path / name).mkdir()
        replica = Site(tmp_path / name, Keys(ring()), session_secret=secret)
        replica.start()
        # under the other's name too: it is the signature that does not hold
        theirs = sign_in(httpx.Client(base_url=replica.url), READ).headers["set-cookie"].partition("=")[0]
        both = f"{cookie}; {theirs}={cookie.partition('=')[2]}"
        answer = httpx.get(replica.url + "/api/v1/catalogue", headers={"Cookie": both})
        assert answer.status_code == status, name
        replica.close()


def test_signing_in_with_what_is_no_key(client: httpx.Client) -> None:
    for given in (EXPIRED.text, REVOKED.text, "", "tb_", READ.text[:-1], READ.text + "é", "x" * 10_000, "\x00\n"):
        client.cookies.clear()
        with httpx.Client(base_url=client.base_url) as other:
            answer = sign_in(other, given)
        assert answer.status_code in (401, 429)
        assert "set-cookie" not in answer.headers
    assert sign_in(client, f" {WRITE.text}\n").status_code in (403, 429)


def test_wrong_keys_from_one_place_become_slow(client: httpx.Client) -> None:
    answers = [sign_in(client, "tb_wrong").status_code for _ in range(TRIES + 1)]
    assert answers == [401] * TRIES + [429]
    slowed = sign_in(client, READ)
    assert slowed.status_code == 429
    assert 1 <= int(slowed.headers["retry-after"]) <= 6
    assert "set-cookie" not in slowed.headers


def test_tries_come_back_and_are_kept_apart() -> None:
    now = [100.0]
    tries = Tries(lambda: now[0])
    for _ in range(TRIES):
        assert tries.wait_s("10.0.0.1") == 0
        tries.failed("10.0.0.1")
        tries.failed("2001:db8::1")
    assert tries.wait_s("10.0.0.1") == tries.wait_s("2001:db8::ffff") == 6
    assert tries.wait_s("10.0.0.2") == tries.wait_s("2001:db8:0:1::1") == tries.wait_s("nowhere") == 0
    now[0] += 6
    assert tries.wait_s("10.0.0.1") == 0


ELSEWHERE = (
    "//evil.example", "/\\evil.example", "https://evil.example/", "/explore//evil", "\\\\evil", "javascript:alert(1)",
    "/explore@evil.example", "/sign-out", "/api/v1/catalogue", "", "explore", "/%2fevil.example", "/\t/evil.example",
)  # fmt: skip


def test_no_way_on_leads_elsewhere(client: httpx.Client) -> None:
    for following in ELSEWHERE:
        assert sign_in(client, READ, following).headers["location"] == "/"
        client.cookies.clear()
        shown = client.get("/sign-in", params={"next": following}).text
        assert re.findall(r'name="next" value="([^"]*)"', shown) == ["/"], following


def test_a_way_on_cannot_write_headers(client: httpx.Client) -> None:
    entered = sign_in(client, READ, "/explore?x=1\r\nSet-Cookie: a=b\u2028ü#")
    assert entered.headers["location"] == "/explore?x=1%0D%0ASet-Cookie:%20a=b%E2%80%A8%C3%BC%23"
    assert len(entered.headers.get_list("set-cookie")) == 1


def test_only_pages_of_this_server_sign_in(client: httpx.Client) -> None:
    fields = {"key": READ.text}
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/sign-in", data=fields, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert client.post("/sign-in", data=fields, headers={"sec-fetch-site": "same-origin"}).status_code == 303


def test_a_link_on_another_site_leads_here_although_the_cookie_stays_behind(site: Site, client: httpx.Client) -> None:
    clicked = {**PAGE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = client.get("/explore?metric=a&by=b", headers=clicked)
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/explore?metric=a&amp;by=b">' in answer.text
    assert "<form" not in answer.text


# --- the websocket ------------------------------------------------------------------------------------------------


def test_the_push_is_refused_without_a_session(site: Site) -> None:
    for headers in ({}, bearer(REVOKED), bearer(WRITE), {"Cookie": "tallyboard_00000000=1.a.b.c"}):
        with pytest.raises(InvalidStatus) as refused:
            live(site, **headers)
        assert refused.value.response.status_code in (401, 403)
    with live(site, **bearer(READ)) as socket:
        assert json.loads(socket.recv(5))["now"] == NOON


@pytest.mark.parametrize("how", ["revoked", "expired", "lost its scope", "replaced", "signed out"])
def test_the_push_ends_with_its_session(site: Site, client: httpx.Client, how: str) -> None:
    cookie = sign_in(client, SOON).headers["set-cookie"].partition(";")[0]
    other = sign_in(httpx.Client(base_url=site.url), READ).headers["set-cookie"].partition(";")[0]
    with live(site, Cookie=cookie) as socket, live(site, Cookie=other) as stays:
        socket.recv(5)
        assert site.keys is not None
        assert site.keys.ring is not None
        begin = time.monotonic()
        if how == "revoked":
            revoke(site, SOON)
        elif how == "expired":
            site.now_ms = NOON + 60_000
        elif how == "signed out":
            client.post("/sign-out", headers={"origin": site.url})
        else:
            stored = SOON.stored
            changed = {"digest": b"x" * 32} if how == "replaced" else {"key": replace(stored.key, scopes=frozenset())}
            site.keys.ring = site.keys.ring.including(replace(stored, **changed))
        assert closed_with(socket) == SIGN_IN_AGAIN
        assert time.monotonic() - begin < 4 * HOLDS_WITHIN_S  # this machine may be busy
        assert stays.recv(5)


def closed_with(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        read_on(socket)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def read_on(socket: ClientConnection) -> None:
    for _ in range(1000):
        socket.recv(10)


async def test_changes_of_the_file_hold_and_mistakes_do_not(tmp_path: Path) -> None:
    path = tmp_path / keys_file.FILE_NAME
    watched = Watched([path], lambda: keys_file.load(path))
    keys = Keys(watched.value)
    following = asyncio.create_task(keys.follow(watched, lambda: NOON))
    edit(path, lambda _: ring())
    await until(lambda: keys.ring == ring())
    edit(path, lambda found: found.revoking(READ.stored.key.id, NOON))
    await until(lambda: keys.ring is not None and READ.stored.key not in keys.ring.active(NOON))
    path.write_text("nonsense")
    await until(lambda: keys.problem is not None)
    assert Noticed(AlwaysReady(), keys).health() == {"notices": {"keys.toml": keys.problem}}
    path.unlink()
    await until(lambda: "gone" in (keys.problem or ""))
    assert keys.ring is not None
    assert BOTH.stored.key in keys.ring.active(NOON)
    following.cancel()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail("not within 20 s")


# --- the secret ---------------------------------------------------------------------------------------------------


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = secret_in(folder)
    assert len(secret) == SECRET_BYTES
    assert secret_in(folder) == secret
    assert (folder / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [SECRET_FILE]
    (folder / SECRET_FILE).write_bytes(b"cut")
    assert secret_in(folder) not in (secret, b"cut")


def test_installations_have_cookies_of_their_own_names() -> None:
    assert Sessions(SECRET).cookie_name == Sessions(SECRET).cookie_name != Sessions(b"another").cookie_name


def test_sessions_that_ended_are_remembered_within_bounds() -> None:
    sessions, found = Sessions(SECRET, most_ended=3), ring()
    issued = [sessions.issue(READ.stored, NOON).session for _ in range(4)]
    for session in issued:
        sessions.end(session, NOON)
    assert [sessions.holds(session, found, NOON) for session in issued] == [True, False, False, False]


# --- what browsers and others send --------------------------------------------------------------------------------

BAD = [
    "=", ";", ";;;;", "a", "=;=;=", "NAME", "NAME=", 'NAME="', "NAME=1", "NAME=1...", "NAME=" + "x" * 4000,
    "NAME=1.aaaaaaaa.1.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "NAME=1.READ.99999999999999.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "NAME=1.READ.999999999999999999999999.AAAAAAAAAAAAAAAAAAAAAA.AAAA", "NAME=1.READ.-1.A.A", "NAME=é; NAME=\xff",
    "NAME=1.\u0661.1.A.A".encode().decode("latin-1"), "NAME=KEY", "; ".join(["NAME=1"] * 500), "a=1;\tNAME = x ;\t; b",
]  # fmt: skip


def test_bad_cookies_are_nobody(site: Site, client: httpx.Client) -> None:
    name = sign_in(httpx.Client(base_url=site.url), READ).headers["set-cookie"].partition("=")[0]
    for cookie in BAD:
        sent = cookie.replace("NAME", name).replace("READ", READ.stored.key.id).replace("KEY", READ.text)
        headers = [(b"cookie", sent.encode("latin-1"))]
        for path in ("/", "/api/v1/catalogue", "/_dash-layout"):
            assert client.get(path, headers=headers).status_code == 401, cookie
        assert client.get("/session", headers=headers).json()["key"] is None
        assert client.get("/sign-in", headers=headers).status_code == 200


def test_every_change_of_a_cookie_makes_it_worthless(site: Site, client: httpx.Client) -> None:
    name, _, value = sign_in(client, READ).headers["set-cookie"].partition(";")[0].partition("=")
    client.cookies.clear()
    assert client.get("/api/v1/catalogue", headers={"Cookie": f"{name}={value}"}).status_code == 200
    for place in range(0, len(value), 3):
        other = "b" if value[place] != "b" else "c"
        changed = value[:place] + other + value[place + 1 :]
        assert client.get("/api/v1/catalogue", headers={"Cookie": f"{name}={changed}"}).status_code == 401, place
    later = re.sub(r"\.(\d+)\.", lambda found: f".{int(found[1]) + 1}.", value)
    assert client.get("/api/v1/catalogue", headers={"Cookie": f"{name}={later}"}).status_code == 401


def test_bad_authorization_is_nobody(client: httpx.Client) -> None:
    for given in (b"", b"Bearer", b"bearer  tb_a_b", b"Token \xff\xfe", b"Bearer " + b"x" * 8000, b"Bearer tb_\x80",
                  b"Digest username=x", b"Bearer a, Bearer b"):  # fmt: skip
        assert client.get("/api/v1/catalogue", headers=[(b"authorization", given)]).status_code == 401, given


def test_two_keys_are_none(client: httpx.Client) -> None:
    twice = [(b"authorization", f"Bearer {READ.text}".encode())] * 2
    assert client.get("/api/v1/catalogue", headers=twice).status_code == 401


FORMS = [
    (b"", "application/x-www-form-urlencoded", 401),
    (b"\xff\xfe=%ff&key=%00&next=%f0", "application/x-www-form-urlencoded", 401),
    (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded", 400),
    (b"key=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
    (b'{"key": "a"}', "application/json", 415),
    (b"key=a", "text/plain", 415),
    (b"key=a", "", 415),
    (b"--x\r\n", "multipart/form-data; boundary=x", 415),
]


def test_bad_forms_are_refused(client: httpx.Client) -> None:
    for body, kind, status in FORMS:
        headers = {"origin": str(client.base_url).rstrip("/"), "content-type": kind}
        assert client.post("/sign-in", content=body, headers=headers).status_code == status, kind
