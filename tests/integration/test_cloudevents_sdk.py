"""What the CloudEvents SDK sends, in each mode, is taken by the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from ingest.protocols.cloudevents import BATCHED
from ingest.settings import IngestSettings
from tests.ingest_server import IngestServer, serving

SENT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)


@pytest.fixture(scope="module")
def server() -> Iterator[IngestServer]:
    with serving(IngestSettings()) as running:
        yield running


def made(number: int, **attributes: Any) -> CloudEvent:
    given = {
        "type": "sdk.größe",
        "source": "/shop/nl",
        "id": f"{number}",
        "time": SENT,
        "datacontenttype": "application/json",
    }
    return CloudEvent(given | attributes, {"value": number, "dimensions": {"country": "NL"}})


def post(server: IngestServer, message: HTTPMessage) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{server.port}/v1/events", content=message.body, headers=message.headers)


def stored(server: IngestServer, id_: str) -> tuple[str, float, int]:
    """Metric, value and time of the one event with an id."""
    found = [
        (str(batch.series[int(batch.index[row])]["metric"]), float(batch.values[row]), int(batch.times[row]))
        for batch in server.stored()
        for row, own in enumerate(batch.ids if batch.ids is not None else [])
        if str(own) == id_
    ]
    (event,) = found
    return event


def batch_of(events: list[CloudEvent]) -> HTTPMessage:
    """The SDK has no batches: its events in a JSON array are one."""
    texts = [JSONFormat().write(event) for event in events]
    return HTTPMessage({"content-type": BATCHED}, b"[" + b",".join(texts) + b"]")


MODES: dict[str, Callable[[CloudEvent], HTTPMessage]] = {
    "structured": to_structured_event,
    "binary": to_binary_event,
    "batch": lambda event: batch_of([event]),
}


@pytest.mark.parametrize(("number", "mode"), list(enumerate(MODES)))
def test_each_mode(server: IngestServer, number: int, mode: str) -> None:
    message = MODES[mode](made(number, traceparent="00-ab-cd-01", subject='a "quoted" % subject €'))
    answer = post(server, message)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert stored(server, f"/shop/nl/{number}") == ("sdk.größe", number, int(SENT.timestamp() * 1000))


def test_binary_mode_without_a_content_type(server: IngestServer) -> None:
    message = to_binary_event(CloudEvent({"type": "sdk.untyped", "source": "s", "id": "10"}, {"value": 10}))
    assert "content-type" not in message.headers
    assert post(server, message).status_code == 202
    assert stored(server, "s/10")[:2] == ("sdk.untyped", 10)


def test_data_as_bytes(server: IngestServer) -> None:
    event = CloudEvent({"type": "sdk.bytes", "source": "s", "id": "1"}, b'{"value": 5}')
    assert post(server, to_structured_event(event)).status_code == 202
    assert stored(server, "s/1")[:2] == ("sdk.bytes", 5)


def test_a_batch_with_a_bad_event(server: IngestServer) -> None:
    bad = CloudEvent({"type": "sdk.bad", "source": "s", "id": "bad"}, {"value": "12.5"})
    answer = post(server, batch_of([made(20), bad, made(21)]))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    (error,) = answer.json()["errors"]
    assert (error["index"], error["id"], error["field"], error["code"]) == (1, "s/bad", "data.value", "wrong_type")
