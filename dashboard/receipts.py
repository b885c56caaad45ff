"""`/api/v1/receipts`: what became of one record of `events`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request, Response

from aggregates.queries import QueryError
from aggregates.readmodel import ReadModel
from aggregates.receipts import NoSuchRecord, Receipt, Receipts, RecordContent
from dashboard.answers import document, freshness_document, refusal, timestamp
from dashboard.api import Clock, is_number, single
from ingest.log import LogError

FIELDS: Final = ("position",)
_PATIENCE_S: Final = 5.0
_log = logging.getLogger("tallyboard.dashboard")


def receipts_router(receipts: Receipts, model: ReadModel, clock: Clock, patience_s: float = _PATIENCE_S) -> APIRouter:
    """The route. `patience_s`: how long the log may take to answer."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/receipts")
    async def get_receipt(request: Request) -> Response:
        wanted = parse_receipt(request.query_params.multi_items())
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        try:
            async with asyncio.timeout(patience_s):
                found = await receipts.receipt(*wanted)
        except NoSuchRecord as missing:
            return refusal(404, QueryError("unknown_position", "position", str(missing)))
        except (LogError, TimeoutError) as error:
            _log.warning("a receipt could not be read: %s", error or "no answer in time")
            return refusal(504, QueryError("log_timeout", None, "Kafka does not answer; ask again"))
        return document({**receipt_document(found), "freshness": freshness_document(model.freshness(clock()))})

    return routes


def parse_receipt(items: Sequence[tuple[str, str]]) -> tuple[int, int, str | None] | QueryError:
    """Partition, offset and what the topic's id begins with, of `p:o` or `<topic id prefix>;p:o`."""
    fields = single(items, FIELDS)
    if isinstance(fields, QueryError):
        return fields
    topic, semicolon, place = fields.get("position", "").rpartition(";")
    partition, _, offset = place.partition(":")
    if not (is_number(partition) and is_number(offset)) or (semicolon and not topic):
        message = "position must be <partition>:<offset>, such as 0:41, of one record"
        return QueryError("invalid_query", "position", message)
    return int(partition), int(offset), topic[:100] or None


def receipt_document(receipt: Receipt) -> dict[str, object]:
    """The answer's JSON object, without the freshness."""
    return {
        "position": {"topic": receipt.topic_id, "partition": receipt.partition, "offset": receipt.offset},
        "applied": receipt.applied,
        "applied_at": timestamp(receipt.applied_at_ms, always_ms=True),
        "lost": receipt.lost,
        "counted": receipt.counted,
        "duplicates": receipt.duplicates,
        "record": None if receipt.content is None else _record(receipt.content),
    }


def _record(content: RecordContent) -> dict[str, object]:
    return {
        "appended_at": timestamp(content.appended_ms, always_ms=True),
        "bytes": content.size,
        "events": content.events,
        "history": content.history,
        "undecodable": content.undecodable,
        "metrics": [
            {
                "metric": one.metric,
                "events": one.events,
                "series": one.series,
                "from": timestamp(one.first_ms),
                "to": timestamp(one.last_ms),
            }
            for one in content.metrics
        ],
        "windows": [
            {
                "level": found.level,
                "count": found.count,
                "buckets": [{"time": timestamp(start), "complete": complete} for start, complete in found.buckets],
            }
            for found in content.windows
        ],
    }
