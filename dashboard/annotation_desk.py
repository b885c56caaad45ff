"""Takes changes of annotations to the journal, and answers from what was read of it.

A change is answered when this replica has read it from the journal, so that the answer is what everybody sees.
"""

from __future__ import annotations

import uuid
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final, Protocol

from fastapi import Response

from aggregates.annotations import ANNOTATION, MOST, Action, Annotation, Annotations, Content, touching
from aggregates.letterbox import TopicFreshness
from aggregates.queries import QueryError
from dashboard.annotation_fields import Addition, ListRequest, cursor_of
from dashboard.answers import document, refusal, timestamp
from dashboard.rejected import freshness_document
from dashboard.runner import RETRY_AFTER_S
from ingest.log import LogError

READ_WITHIN_S: Final = 10.0
WAITING: Final = 50
"""Changes and lists that may wait for the journal at the same time."""
Clock = Callable[[], int]


class Writing(Protocol):
    """The journal, as `aggregates.journal.Journal` is it."""

    async def append(self, kind: str, body: Mapping[str, object]) -> int: ...

    async def has_read(self, offset: int, timeout_s: float) -> bool: ...

    async def reach(self, prefix: str, wanted: Mapping[int, int], timeout_s: float) -> bool | None: ...

    def position(self, offset: int) -> str: ...

    def freshness(self) -> TopicFreshness: ...


class Desk:
    """The annotations of a replica, and its way to the journal."""

    def __init__(self, annotations: Annotations, journal: Writing, clock: Clock) -> None:
        self._annotations, self._journal, self._clock = annotations, journal, clock
        self._waiting = 0

    # --- asking ---------------------------------------------------------------------------------------------------

    async def listed(self, wanted: ListRequest) -> Response:
        """A page of annotations."""
        if wanted.wait is not None and (late := await self._late(*wanted.wait)) is not None:
            return late
        # Taken before: an answer may hold more than its position says, never less.
        freshness = self._journal.freshness()
        every = self._annotations.all
        if wanted.after is not None:
            every = every[bisect_right(every, wanted.after, key=lambda one: one.place) :]
        found = list(islice(touching(every, wanted.start_ms, wanted.end_ms, wanted.metric), wanted.limit + 1))
        page = found[: wanted.limit]
        return document(
            {
                "annotations": [annotation_document(one) for one in page],
                "next": cursor_of(page[-1]) if len(found) > len(page) else None,
                "freshness": freshness_document(freshness, self._clock()),
            }
        )

    def known(self, id_: str) -> Annotation | Response:
        """The annotation of an id, or the answer that there is none."""
        found = self._annotations.get(id_)
        if found is not None:
            return found
        if self._annotations.was_removed(id_):
            return refusal(409, QueryError("annotation_removed", "id", f"annotation {id_} was removed"))
        return refusal(404, QueryError("unknown_annotation", "id", f"there is no annotation {id_[:100]}"))

    async def _late(self, topic: str, wanted: Mapping[int, int], timeout_s: float) -> Response | None:
        if self._waiting >= WAITING:
            return _busy()
        self._waiting += 1
        try:
            reached = await self._journal.reach(topic, wanted, timeout_s)
        finally:
            self._waiting -= 1
        if reached is None:
            message = "the position is not one of the journal, as a change of an annotation gives it"
            return refusal(400, QueryError("unknown_topic", "min_position", message))
        if reached:
            return None
        return refusal(504, QueryError("position_not_reached", "min_position", f"not read within {timeout_s:g} s"))

    # --- changing -------------------------------------------------------------------------------------------------

    async def add(self, wanted: Addition, keyed: str | None, author: str | None) -> Response:
        """Add an annotation, once for an id."""
        id_ = wanted.id or keyed or uuid.uuid4().hex
        found = self._annotations.get(id_)
        if found is not None:
            return self._there(wanted, found, self._journal.position(found.record))
        if self._annotations.was_removed(id_):
            return refusal(409, QueryError("annotation_removed", "id", f"annotation {id_} was removed"))
        if self._annotations.is_full:
            return _full()
        said = wanted.content
        fields = {"at_ms": said.at_ms, "end_ms": said.end_ms, "text": said.text, "metric": said.metric}
        written = await self._write(id_, Action.ADD, author, fields)
        if isinstance(written, Response):
            return written
        position, record = written
        found = self._annotations.get(id_)
        if found is None:  # removed since, by somebody who was quick, or one too many
            return _full() if not self._annotations.was_removed(id_) else _changed(None, position)
        return _changed(found, position, 201) if found.record == record else self._there(wanted, found, position)

    def _there(self, wanted: Addition, found: Annotation, position: str) -> Response:
        if wanted.is_that_of(found):
            return _changed(found, position)
        return refusal(409, QueryError("id_taken", "id", f"annotation {found.id} says something else"))

    async def edit(self, known: Annotation, content: Content, named: Collection[str], author: str | None) -> Response:
        """Change what is named."""
        fields: dict[str, object] = {}
        if "at" in named or "end" in named:
            fields |= {"at_ms": content.at_ms, "end_ms": content.end_ms}
        if "text" in named:
            fields["text"] = content.text
        if "metric" in named:
            fields["metric"] = content.metric
        written = await self._write(known.id, Action.EDIT, author, fields)
        if isinstance(written, Response):
            return written
        found = self.known(known.id)
        return found if isinstance(found, Response) else _changed(found, written[0])

    async def remove(self, id_: str, author: str | None) -> Response:
        """Remove an annotation; one that was removed already stays so."""
        if self._annotations.was_removed(id_):
            return _changed(None, self._journal.freshness().position)
        known = self.known(id_)
        if isinstance(known, Response):
            return known
        written = await self._write(id_, Action.REMOVE, author, {})
        return written if isinstance(written, Response) else _changed(None, written[0])

    async def _write(
        self, id_: str, action: Action, author: str | None, fields: Mapping[str, object]
    ) -> tuple[str, int] | Response:
        """Journal an entry and wait until it is read: the position behind it and its offset."""
        if self._waiting >= WAITING:
            return _busy()
        self._waiting += 1
        try:
            entry = {"id": id_, "action": action, "author": author, "time": self._clock(), **fields}
            offset = await self._journal.append(ANNOTATION, entry)
            if await self._journal.has_read(offset, READ_WITHIN_S):
                return self._journal.position(offset), offset
        except LogError as error:
            message = f"the journal cannot be written: {error}; the change may be in it all the same"
            return refusal(503, QueryError("journal_unavailable", None, message), RETRY_AFTER_S)
        finally:
            self._waiting -= 1
        message = f"it is written; this replica did not read the journal within {READ_WITHIN_S:g} s"
        return refusal(503, QueryError("journal_behind", None, message), RETRY_AFTER_S)


def _busy() -> Response:
    return refusal(503, QueryError("busy", None, "other changes are being written: try again"), RETRY_AFTER_S)


def _full() -> Response:
    return refusal(409, QueryError("too_many_annotations", None, f"there are {MOST} annotations: remove some"))


def _changed(annotation: Annotation | None, position: str, status: int = 200) -> Response:
    answer = document(
        {"annotation": None if annotation is None else annotation_document(annotation), "position": position}
    )
    answer.status_code = status
    return answer


def annotation_document(one: Annotation) -> dict[str, object]:
    """One annotation."""
    return {
        "id": one.id,
        "at": timestamp(one.at_ms),
        "end": timestamp(one.end_ms),
        "text": one.text,
        "metric": one.metric,
        "author": one.author,
        "created_at": timestamp(one.created_ms, always_ms=True),
        "edits": one.edits,
        "edited_at": timestamp(one.edited_ms, always_ms=True),
        "edited_by": one.edited_by,
    }
