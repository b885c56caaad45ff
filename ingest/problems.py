"""Answers to requests that are refused as a whole: RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a whole request is refused; `code` is stable, `detail` is for people."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        return msgspec.json.encode(
            {
                "type": "about:blank",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                "request_id": request_id,
            }
        )


def unavailable(code: str, detail: str, retry_after_s: int, **headers: str) -> Problem:
    """503: nothing is wrong with the request; the client should send it again, with the same ids."""
    return Problem(503, code, detail, {"Retry-After": str(retry_after_s), **headers})
