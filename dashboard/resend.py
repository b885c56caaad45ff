"""Sending edited events to ingest, and what its answer says about each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from aggregates.replays import Outcome
from dashboard.edits import Sendable

_PATH: Final = "/v1/events"
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 30.0
_NOTHING_KEPT: Final = frozenset({400, 401, 403, 404, 405, 408, 413, 414, 415, 421, 429, 431})
"""Statuses after which nothing of the request was kept."""
_NOTHING_KEPT_503: Final = frozenset({"busy", "unavailable", "draining"})
_MAX_MESSAGE: Final = 500
_NO_ANSWER: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one event; `became` is the id of the dead letter it is now."""

    outcome: Outcome
    code: str | None = None
    message: str | None = None
    became: str | None = None


@dataclass(frozen=True, slots=True)
class BatchSent:
    """One `Sent` for each event, in order. `refused`: ingest took nothing, and would take nothing else either."""

    events: tuple[Sent, ...]
    position: str | None = None
    refused: Sent | None = None


class _Error(msgspec.Struct):
    index: int
    code: str
    message: str | None = None


class _Receipt(msgspec.Struct):
    request_id: str
    accepted: int
    rejected: int
    errors: list[_Error]
    position: str = ""


class _Problem(msgspec.Struct):
    code: str | None = None
    detail: str | None = None


class Ingest:
    """The write API at an address. `transport` is for tests."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._transport = transport

    async def send(self, events: Sequence[Sendable], history: bool, authorization: str | None) -> BatchSent:
        """Send events of one kind as one request; in halves where ingest finds that too much."""
        media_type = "application/cloudevents-batch+json" if events[0].cloudevent else "application/json"
        headers = {"content-type": media_type, **({"authorization": authorization} if authorization else {})}
        body = b"[" + b",".join(event.body for event in events) + b"]"
        try:
            async with self._client() as client:
                answer = await client.post(
                    self._url + _PATH, content=body, headers=headers, params={"import": "true"} if history else None
                )
        except _NO_ANSWER as error:
            refused = Sent(Outcome.NOT_SENT, "unreachable", f"ingest at {self._url} does not answer: {error}")
            return BatchSent((refused,) * len(events), refused=refused)
        except (httpx.TransportError, httpx.DecodingError) as error:
            return _unknown(len(events), f"no answer of ingest: {error or type(error).__name__}")
        if answer.status_code == 413 and len(events) > 1:
            half = len(events) // 2
            first = await self.send(events[:half], history, authorization)
            return _together(first, await self.send(events[half:], history, authorization))
        return read_answer(answer.status_code, answer.content, len(events))

    def _client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
        return httpx.AsyncClient(transport=self._transport, timeout=timeout, trust_env=False)


def read_answer(status: int, body: bytes, size: int) -> BatchSent:
    """What an answer of ingest says about the `size` events of its request. Whatever is not certain is unknown."""
    if status in (202, 422):
        try:
            return _receipt(msgspec.json.decode(body, type=_Receipt), size)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Contradiction):
            return _unknown(size, "ingest's answer cannot be read")
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    message = (problem.detail or f"ingest answers {status}")[:_MAX_MESSAGE]
    if status in _NOTHING_KEPT or 300 <= status < 400 or (status == 503 and problem.code in _NOTHING_KEPT_503):
        refused = Sent(Outcome.NOT_SENT, problem.code or str(status), message)
        return BatchSent((refused,) * size, refused=None if status == 413 else refused)
    return _unknown(size, message, problem.code)


class _Contradiction(Exception):
    """The numbers of a receipt do not fit its request."""


def _receipt(receipt: _Receipt, size: int) -> BatchSent:
    errors = {error.index: error for error in receipt.errors}
    if receipt.accepted + receipt.rejected != size or len(errors) != receipt.rejected:
        raise _Contradiction
    if not all(0 <= index < size for index in errors):
        raise _Contradiction
    accepted = Sent(Outcome.ACCEPTED)
    events = [accepted] * size
    for index, error in errors.items():
        became = f"{receipt.request_id}/{index}"
        events[index] = Sent(Outcome.REJECTED, error.code, (error.message or "")[:_MAX_MESSAGE], became)
    return BatchSent(tuple(events), receipt.position or None)


def _unknown(size: int, message: str, code: str | None = None) -> BatchSent:
    return BatchSent((Sent(Outcome.UNKNOWN, code or "outcome_unknown", message[:_MAX_MESSAGE]),) * size)


def _together(first: BatchSent, second: BatchSent) -> BatchSent:
    positions = [position for position in (first.position, second.position) if position]
    return BatchSent(first.events + second.events, " ".join(positions) or None, first.refused or second.refused)
