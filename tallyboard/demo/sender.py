"""Sends events over HTTP as a careful service does: the same events with the same ids until they are acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from tallyboard.failure import Failure

_RETRY = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 10.0
_LONGEST_OUTAGE_S = 600.0

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """What ingest said of one batch. `note` is its first complaint, if any."""

    accepted: int
    rejected: int
    note: str | None = None


def verdict(answer: httpx.Response) -> Sent:
    """Read an answer that is not to be retried. Raises `Failure` when the whole request was refused."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "accepted" not in body:
        detail = body.get("detail") if isinstance(body, dict) else None
        raise Failure(f"{answer.url} refused the events: {answer.status_code} {detail or answer.reason_phrase}.")
    errors = body.get("errors") or [{}]
    return Sent(int(body["accepted"]), int(body["rejected"]), errors[0].get("message"))


def retry_after(answer: httpx.Response | None, attempt: int) -> float:
    """Seconds to wait before the next attempt: what the server asks for, else 0.2 s doubling up to 10 s."""
    asked = answer.headers.get("retry-after", "") if answer is not None else ""
    return min(float(asked) if asked.isdigit() else 0.2 * 2 ** min(attempt, 10), _LONGEST_WAIT_S)


class Sender:
    """Posts batches to one ingest, one after the other."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self._url = f"{url.rstrip('/')}/v1/events"
        self._client = httpx.Client(timeout=30.0, trust_env=False)
        self._say = say
        self._complained: str | None = None

    def close(self) -> None:
        self._client.close()

    def send(self, events: Sequence[Event]) -> Sent:
        """Return when every event is acknowledged or rejected for good.

        Waits while ingest is away or says 503 or 429; raises `Failure` after ten minutes of that.
        """
        body = msgspec.json.encode(events)
        give_up = time.monotonic() + _LONGEST_OUTAGE_S
        attempt = 0
        while time.monotonic() < give_up:
            answer = self._post(body)
            if answer is not None and answer.status_code not in _RETRY:
                self._complain(None)
                return self._heard(verdict(answer))
            self._complain(f"{self._url} answers {answer.status_code}" if answer else f"no answer from {self._url}")
            time.sleep(retry_after(answer, attempt))
            attempt += 1
        raise Failure(f"{self._complained} for {_LONGEST_OUTAGE_S / 60:.0f} minutes: given up.")

    def _post(self, body: bytes) -> httpx.Response | None:
        try:
            return self._client.post(self._url, content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            return None

    def _heard(self, sent: Sent) -> Sent:
        if sent.rejected:
            self._say(f"{sent.rejected} events rejected: {sent.note}")
        return sent

    def _complain(self, complaint: str | None) -> None:
        """Say it once per outage, and once when it is over."""
        if complaint and not self._complained:
            self._say(f"{complaint}; sending the same events again until it takes them")
        elif self._complained and not complaint:
            self._say(f"{self._url} takes events again")
        self._complained = complaint
