"""The clients of one ingest process: they send seeded requests, some again with the same ids, and record everything."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.history import CUT, REFUSED_CONNECTION, TIMEOUT, Attempt, History, Kind, Outcome, Request, value_of
from tests.chaos.raw_http import Answer, Connection

ANSWER_S = 25.0
"""Longest wait for an answer; ingest's own bound is about 7 s on an idle machine."""
PATH = "/v1/events"
_KINDS = {
    Kind.GOOD: 60, Kind.MIXED: 14, Kind.WRONG: 5, Kind.ATOMIC: 5, Kind.KEYED: 6, Kind.REFUSED: 5, Kind.CUT: 5,
}  # fmt: skip
_EVENTS = 24
_PATIENT = 0.5
_TRIES = 12
_PAUSE_S = 0.04
_BACK_OFF_S = (0.05, 0.6)


@dataclass(slots=True)
class Clients:
    """`count` connections to the ingest process `lane` on `port`."""

    lane: str
    port: int
    count: int
    history: History
    now_s: Callable[[], float]
    """The clock of the run."""
    acknowledged_s: float = 0.0
    """When the last acknowledgement came."""
    _stopping: bool = False
    _numbers: list[int] = field(default_factory=lambda: [0])

    def stop(self) -> None:
        """What was begun is finished; an unacknowledged request may be left as it is."""
        self._stopping = True

    async def run(self) -> None:
        """Send until `stop`."""
        await asyncio.gather(*(self._client() for _ in range(self.count)))

    async def _client(self) -> None:
        connection = Connection(self.port)
        try:
            while not self._stopping:
                self._numbers[0] += 1
                draw = random.Random(f"{self.history.seed}/{self.lane}/{self._numbers[0]}")
                await self._deliver(connection, self._drawn(self._numbers[0], draw), draw)
                await asyncio.sleep(draw.uniform(0, _PAUSE_S))
        finally:
            connection.close()

    def _drawn(self, number: int, draw: random.Random) -> Request:
        kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0]
        name = f"{self.history.seed}-{self.lane}-{number}"
        size = draw.randrange(1, _EVENTS)
        wrong: tuple[int, ...] = ()
        if kind in (Kind.MIXED, Kind.ATOMIC):
            size += 1
            wrong = tuple(sorted(draw.sample(range(size), draw.randrange(1, size))))
        elif kind is Kind.WRONG:
            wrong = tuple(range(size))
        ids = tuple(f"{name}/{index}" for index in range(size))
        request = Request(number, self.lane, kind, ids, wrong[:1] if kind is Kind.ATOMIC else wrong)
        self.history.requests.append(request)
        return request

    async def _deliver(self, connection: Connection, request: Request, draw: random.Random) -> None:
        """Patient clients send again, with the same ids, until they are answered; the others take what comes."""
        message = message_of(request, draw)
        tries = _TRIES if draw.random() < _PATIENT else 1
        while tries:
            tries -= 1
            attempt = Attempt(self.now_s())
            request.attempts.append(attempt)
            await self._send(connection, request, attempt, *message)
            attempt.ended_s = self.now_s()
            if attempt.outcome is Outcome.OK:
                self.acknowledged_s = attempt.ended_s
            definite = attempt.status is not None and attempt.status < 500
            if definite or attempt.error == CUT or self._stopping:
                return
            if attempt.outcome is not Outcome.OK:  # an impatient client is not a busy one
                await asyncio.sleep(draw.uniform(*_BACK_OFF_S))

    async def _send(
        self, connection: Connection, request: Request, attempt: Attempt, target: str, headers: dict[str, str],
        body: bytes,
    ) -> None:  # fmt: skip
        def sent() -> None:
            attempt.sent_s = self.now_s()

        try:
            async with asyncio.timeout(ANSWER_S):
                if request.kind is Kind.CUT:
                    attempt.error = CUT
                    await connection.post_half(target, headers, body)
                else:
                    record(attempt, await connection.post(target, headers, body, sent))
        except TimeoutError:
            attempt.error = TIMEOUT
        except ConnectionRefusedError:
            attempt.error = REFUSED_CONNECTION
        except (OSError, EOFError) as error:
            attempt.error = attempt.error or type(error).__name__


def message_of(request: Request, draw: random.Random) -> tuple[str, dict[str, str], bytes]:
    """Target, headers and body of a request."""
    headers = {"Content-Type": "application/json"}
    target = PATH
    events = [_event(request, index, draw) for index in range(len(request.ids))]
    if request.kind is Kind.ATOMIC:
        target += "?atomic=true"
    if request.kind is Kind.KEYED:
        headers["Idempotency-Key"] = request.ids[0].rpartition("/")[0]
    body = json.dumps(events).encode()
    if request.kind is Kind.REFUSED:
        if draw.random() < 0.5:
            headers["Content-Type"] = "text/html"
        else:
            body += b"]"
    return target, headers, body


def _event(request: Request, index: int, draw: random.Random) -> dict[str, object]:
    id_ = request.ids[index]
    event: dict[str, object] = {
        "metric": f"chaos.m{draw.randrange(3)}",
        "value": value_of(id_),
        "dimensions": {"shop": f"s{draw.randrange(8)}"},
    }
    if request.kind is not Kind.KEYED:
        event["id"] = id_
    if index in request.wrong:
        if draw.random() < 0.5:
            event["value"] = True
        else:
            event["timestamp"] = time.time_ns() // 1_000_000 + 86_400_000
    return event


def record(attempt: Attempt, answer: Answer) -> None:
    """Take down what a server answered."""
    attempt.status = answer.status
    attempt.retry_after = answer.headers.get("retry-after", "")
    try:
        told = json.loads(answer.body)
    except ValueError:
        attempt.code = "not json"
        return
    attempt.code = str(told.get("code", ""))
    attempt.request_id = str(told.get("request_id", ""))
    attempt.position = str(told.get("position", ""))
    attempt.accepted = int(told.get("accepted", 0))
    attempt.rejected = {int(error["index"]): str(error["code"]) for error in told.get("errors", ())}
