"""`/api/v1/rejected`: dead letters listed, shown, and sent again."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Raw

from aggregates.journal import Journal
from aggregates.letterbox import Counts, Letterbox, Page, StoredLetter, TopicFreshness
from aggregates.queries import QueryError
from dashboard.answers import csv_text_cell, document, refusal, timestamp
from dashboard.api import json_object, read_body
from dashboard.outgoing import MAX_BYTES, Answered, preview
from dashboard.rejected_fields import ListRequest, ReplayRequest, cursor_of, parse_list, parse_replay
from dashboard.replay import NotReplayed, Replayed, Replayer, new_replay_id
from dashboard.resend import Ingest

LISTED_BYTES: Final = 4096
"""A list holds originals up to this size; a larger one comes with its own letter."""
_CSV: Final = (
    "id", "time", "reason", "field", "message", "metric", "event_id", "key", "protocol", "replayed", "size", "original"
)  # fmt: skip
Clock = Callable[[], int]


def rejected_router(letters: Letterbox, journal: Journal, ingest: Ingest, clock: Clock) -> APIRouter:
    """Routes over the dead letters; replays go to `ingest`. `clock` gives epoch milliseconds."""
    routes = APIRouter(prefix="/api/v1")
    replayer = Replayer(letters, journal, ingest, clock, new_replay_id)

    @routes.get("/rejected")
    async def list_rejected(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        wanted = parse_list(request.query_params.multi_items(), accept, clock())
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        return await asyncio.to_thread(_listed, letters, wanted, clock)

    @routes.get("/rejected/{letter_id:path}")
    async def show_rejected(letter_id: str) -> Response:
        found = await asyncio.to_thread(letters.letters, [letter_id], MAX_BYTES)
        if letter_id not in found:
            return refusal(404, QueryError("unknown_letter", "id", f"there is no letter {letter_id[:100]}"))
        return document(letter_document(found[letter_id]))

    @routes.post("/rejected/replay")
    async def replay_rejected(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            return refusal(413, QueryError("too_large", None, "the request is too long: name fewer letters"))
        fields = json_object(body)
        wanted = parse_replay(fields, clock()) if isinstance(fields, dict) else fields
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        return await _replay(letters, replayer, wanted, request.headers.get("authorization"))

    return routes


def _listed(letters: Letterbox, wanted: ListRequest, clock: Clock) -> Response:
    # Taken before: an answer may hold more than its position says, never less.
    freshness = letters.freshness()
    page = letters.page(wanted.wanted, wanted.limit, wanted.after, LISTED_BYTES)
    if wanted.format == "json":
        return document(list_document(page, letters.counts(wanted.wanted), freshness, clock()))
    following = cursor_of(page.next)
    headers = {"Cache-Control": "no-store", **({"X-Next-Cursor": following} if following else {})}
    if wanted.format == "ndjson":
        lines = b"".join(msgspec.json.encode(letter_document(letter)) + b"\n" for letter in page.letters)
        return Response(lines, media_type="application/x-ndjson", headers=headers)
    return Response(csv_text(page.letters), media_type="text/csv; charset=utf-8", headers=headers)


async def _replay(letters: Letterbox, replayer: Replayer, wanted: ReplayRequest, authorization: str | None) -> Response:
    chosen, missing, following = await asyncio.to_thread(_chosen, letters, wanted)
    if wanted.dry_run:
        answers = await asyncio.to_thread(preview, chosen, wanted.edits)
        outcome: Replayed | NotReplayed = Replayed(None, answers)
    else:
        outcome = await replayer.replay(chosen, wanted.edits, wanted.force, authorization)
    if isinstance(outcome, NotReplayed):
        return refusal(outcome.status, QueryError(outcome.code, None, outcome.message))
    return document(replay_document(outcome, missing, following, wanted.dry_run))


def _chosen(letters: Letterbox, wanted: ReplayRequest) -> tuple[Sequence[StoredLetter], list[Answered], str | None]:
    """The letters of a replay with their originals, the answers for ids that are none, and the next cursor."""
    if wanted.ids is None:
        page = letters.page(wanted.wanted, wanted.limit, wanted.after, 0, oldest_first=True)
        ids: tuple[str, ...] = tuple(letter.id for letter in page.letters)
        following = cursor_of(page.next)
    else:
        ids, following = wanted.ids, None
    found = letters.letters(ids, MAX_BYTES, MAX_BYTES)
    missing = [Answered(one, "not_found", message="there is no such letter") for one in ids if one not in found]
    return [found[one] for one in ids if one in found], missing, following


# --- documents ----------------------------------------------------------------------------------------------------


def list_document(page: Page, counts: Counts, freshness: TopicFreshness, now_ms: int) -> dict[str, object]:
    """The answer's JSON object."""
    return {
        "rejected": [letter_document(letter) for letter in page.letters],
        "next": cursor_of(page.next),
        "total": counts.total,
        "folded": counts.folded,
        "by_reason": dict(counts.by_reason),
        "by_metric": [{"metric": name, "count": count} for name, count in counts.by_metric.items()],
        "other_metrics": counts.other_metrics,
        "freshness": freshness_document(freshness, now_ms),
    }


def freshness_document(freshness: TopicFreshness, now_ms: int) -> dict[str, object]:
    mark = freshness.watermark_ms
    return {
        "position": freshness.position,
        "watermark": timestamp(mark),
        "lag_ms": None if mark is None else max(0, now_ms - mark),
        "lag": freshness.lag,
        "stopped": freshness.stopped,
    }


def letter_document(letter: StoredLetter) -> dict[str, object]:
    """One letter. The original stands under its form, where it is kept and not too large for this answer."""
    found: dict[str, object] = {
        "id": letter.id,
        "time": timestamp(letter.time_ms, always_ms=True),
        "record_time": timestamp(letter.record_ms, always_ms=True),
        "reason": letter.reason,
        "field": letter.field,
        "message": letter.message,
        "metric": letter.metric,
        "event_id": letter.event_id,
        "key": letter.key,
        "protocol": letter.protocol,
        "request_id": letter.request_id,
        "position": {"partition": letter.partition, "offset": letter.record, "index": letter.place},
        "replayed": letter.replay,
        "replay_of": None if letter.root == letter.id else letter.root,
        "size": letter.size,
        "cut": letter.cut,
        "kept": letter.kept,
    }
    if letter.original is not None:
        found[letter.form] = Raw(letter.original.encode()) if letter.form == "event" else letter.original
    return found


def replay_document(
    outcome: Replayed, missing: Sequence[Answered], following: str | None, dry_run: bool
) -> dict[str, object]:
    answers = [*outcome.letters, *missing]
    counts: dict[str, int] = {}
    for one in answers:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return {
        "replay": outcome.replay,
        "dry_run": dry_run,
        "counts": counts,
        "letters": [_answer_document(one) for one in answers],
        "recorded": outcome.recorded,
        "positions": list(outcome.positions),
        "next": following,
    }


def _answer_document(answer: Answered) -> dict[str, object]:
    found: dict[str, object] = {
        "id": answer.id,
        "outcome": answer.outcome,
        "code": answer.code,
        "message": answer.message,
        "event_id": answer.event_id,
        "became": answer.became,
    }
    if answer.event is not None:
        found["event"] = Raw(answer.event)
    return found


def csv_text(letters: Sequence[StoredLetter]) -> str:
    """RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_CSV)
    for letter in letters:
        cells = {**letter_document(letter), "original": letter.original}
        writer.writerow([csv_text_cell(cells[name]) for name in _CSV])
    return out.getvalue()
