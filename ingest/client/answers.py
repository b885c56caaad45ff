"""What an answer of ingest means for the events that were sent: verdicts, a refusal, or that they have to go again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
"""After these the same events are sent again, with the same ids."""
DENIED: Final = frozenset({401, 403})
LONGEST_RETRY_AFTER_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the names of `headers` are in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection failed or the time was over: what was sent may be durable or not."""

    detail: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """The verdict on one event that was not taken. `index` counts from 0 among the events that were sent together;
    `code` is one of ingest's verdict codes, `field` the path of what is wrong."""

    index: int
    id: str | None
    code: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Every event of a request is durable: accepted, or rejected and kept. `position` waits for them in a query."""

    accepted: int
    rejected: tuple[Rejection, ...] = ()
    position: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Events that were given up as a whole. `status` is 0 when the decision was the client's own."""

    status: int
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}" if self.status else f"{self.code}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Denied:
    """401 or 403: worth a few more attempts, because a new key is not known everywhere at once."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class TooLarge:
    """413: fewer events at once may be taken."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Again:
    """To be sent again, not before `after_s` seconds when the server said so."""

    after_s: float | None
    reason: str
    status: int = 0
    """0: there was no answer."""


Meaning = Verdicts | Refusal | Denied | TooLarge | Again


def meaning(answer: Answer | NoAnswer, events: int, wall_s: float) -> Meaning:
    """What the answer to a request of `events` events means; `wall_s` is the time of day in epoch seconds."""
    if isinstance(answer, NoAnswer):
        return Again(None, answer.detail)
    if answer.status == 422 or 200 <= answer.status < 300:
        return _verdicts(answer, events)
    refusal = _refusal(answer)
    if answer.status in AGAIN:
        return Again(retry_after_s(answer.headers.get("retry-after"), wall_s), str(refusal), answer.status)
    if answer.status in DENIED:
        return Denied(refusal)
    return TooLarge(refusal) if answer.status == 413 else refusal


def retry_after_s(text: str | None, wall_s: float) -> float | None:
    """Seconds that a `Retry-After` asks for (a number or a date), at most `LONGEST_RETRY_AFTER_S`."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - wall_s
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def latest(positions: Iterable[str]) -> str:
    """One position behind all the given ones of one topic."""
    topic, offsets = "", dict[int, int]()
    for position in positions:
        prefix, _, pairs = position.partition(";")
        topic = prefix or topic
        for pair in filter(None, pairs.split(",")):
            partition, offset = (int(part) for part in pair.split(":"))
            offsets[partition] = max(offset, offsets.get(partition, 0))
    return f"{topic};{','.join(f'{p}:{o}' for p, o in sorted(offsets.items()))}" if topic else ""


def _verdicts(answer: Answer, events: int) -> Verdicts | Refusal:
    document = _object(answer.body)
    try:
        rejected = tuple(_rejection(error, events) for error in document["errors"])
        verdicts = Verdicts(
            int(document["accepted"]), rejected, str(document.get("position", "")), str(document.get("request_id", ""))
        )
        counted = verdicts.accepted + int(document["rejected"])
    except (KeyError, TypeError, ValueError) as error:
        return Refusal(answer.status, "unreadable_answer", f"not an answer of Tallyboard: {error!r}")
    if counted != events or int(document["rejected"]) != len(rejected):
        return Refusal(answer.status, "unreadable_answer", f"{events} events were sent, {counted} are answered for")
    return verdicts


def _rejection(error: Mapping[str, Any], events: int) -> Rejection:
    index = int(error["index"])
    if not 0 <= index < events:
        raise ValueError(f"index {index} of {events} events")
    return Rejection(index, error.get("id"), str(error["code"]), error.get("field"), str(error.get("message", "")))


def _refusal(answer: Answer) -> Refusal:
    document = _object(answer.body)
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "unknown status"
    if location := answer.headers.get("location"):
        phrase = f"{phrase}, at {location}: redirects are not followed"
    code = document.get("code") or f"http_{answer.status}"
    return Refusal(answer.status, str(code), str(document.get("detail") or phrase))


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
