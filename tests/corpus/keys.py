"""Rows 3, 4, 18 and 33: who sends, what they may do, and how much of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ingest.keys import Key, KeyRing, NewKey, Scope, mint
from tests.corpus.case import EVENT, PRESENT, Case
from tests.raw_http import request

_DRAW = random.Random(4).randbytes
_WRITE = frozenset({Scope.WRITE})


def _new(name: str, scopes: frozenset[Scope] = _WRITE, **limits: Any) -> NewKey:
    return mint(KeyRing(), Key("", name, scopes, **limits), 0, _DRAW)


GOOD = _new("good")
_READ = _new("reads only", frozenset({Scope.READ}))
_EXPIRED = _new("expired", expires_ms=1)
_REVOKED = _new("revoked")
_UNKNOWN = _new("in no ring")
_SLOW = [_new("slow", rate=0.01, burst=5) for _ in range(2)]
_FEW = [_new("few series", series_limit=1) for _ in range(2)]


def ring() -> KeyRing:
    """All keys of the cases but the unknown one."""
    found = KeyRing()
    for each in (GOOD, _READ, _EXPIRED, _REVOKED, *_SLOW, *_FEW):
        found = found.including(each.stored)
    return found.revoking(_REVOKED.stored.key.id, 1)


def bearing(key: NewKey) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {key.text}")]


UNAUTHORIZED = {"www-authenticate": "Bearer", "connection": "close"}
SENT = "a valid key is needed, as the header Authorization: Bearer <key>"  # the same for all: nothing is to be learned


def refused(name: str, headers: Sequence[tuple[str, str]], **more: Any) -> Case:
    """401 before anything of the body was read: it never comes."""
    raw = request(headers=headers, length=1_000, **more)
    return Case(3, name, raw, 401, "unauthorized", UNAUTHORIZED, detail=SENT, closes=True, world="keys")


_SECRET = GOOD.text[-32:]
CASES = [
    refused("none", []),
    refused("empty", [("Authorization", "")]),
    refused("malformed", [("Authorization", "Bearer x")]),
    refused("basic", [("Authorization", "Basic dXNlcjpwYXNz")]),
    refused("without-scheme", [("Authorization", GOOD.text)]),
    refused("unknown", bearing(_UNKNOWN)),
    refused("wrong-secret", [("Authorization", f"Bearer {GOOD.text[:-1]}{'a' if GOOD.text[-1] != 'a' else 'b'}")]),
    refused("secret-of-another", [("Authorization", f"Bearer {_REVOKED.text[:-32]}{_SECRET}")]),
    refused("two-keys-in-one", [("Authorization", f"Bearer {_UNKNOWN.text}, {GOOD.text}")]),
    refused("long", [("Authorization", "Bearer " + "x" * 10_000)]),
    refused("eight-bits", [("Authorization", "Bearer tb_\xff\xfe")]),
    refused("expired", bearing(_EXPIRED)),
    refused("revoked", bearing(_REVOKED)),
    refused("in-the-address", [], path=f"/v1/events?key={GOOD.text}"),
    refused("expecting-to-go-on", [("Expect", "100-continue")]),
    refused("wrong-type-too", [], content_type="text/plain"),
    Case(4, "reads-only", request(EVENT, headers=bearing(_READ)), 403, "forbidden", world="keys"),
    Case(
        4,
        "reads-only-unread",
        request(headers=bearing(_READ), length=1_000),
        403,
        "forbidden",
        closes=True,
        world="keys",
    ),
    Case(
        18,
        "rate",
        request(EVENT, headers=bearing(_SLOW[0])),
        429,
        "rate_limited",
        {"retry-after": PRESENT},
        before=request(f"[{','.join([EVENT] * 5)}]", headers=bearing(_SLOW[0])),
        world="keys",
    ),
    Case(
        18,
        "rejected-events-count",
        request(EVENT, headers=bearing(_SLOW[1])),
        429,
        "rate_limited",
        {"retry-after": PRESENT},
        before=request(f"[{EVENT},1,2,3,4]", headers=bearing(_SLOW[1])),
        world="keys",
    ),
    Case(
        33,
        "new-series",
        request('{"metric":"another","value":1}', headers=bearing(_FEW[0])),
        422,
        rejected=1,
        reasons=("series_limit",),
        before=request(EVENT, headers=bearing(_FEW[0])),
        world="keys",
    ),
    Case(
        33,
        "beside-a-known-one",
        request(f'[{{"metric":"another","value":1}},{EVENT}]', headers=bearing(_FEW[1])),
        202,
        accepted=1,
        rejected=1,
        reasons=("series_limit",),
        indices=(0,),
        before=request(EVENT, headers=bearing(_FEW[1])),
        world="keys",
    ),
]
