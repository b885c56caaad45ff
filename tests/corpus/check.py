"""Whether an answer is the one a case expects, and the good events that are sent beside."""

from __future__ import annotations

import itertools

from tests.corpus import keys
from tests.corpus.case import PRESENT, Case
from tests.raw_http import Talk, request, talk

_NUMBERS = itertools.count()


def check_answer(case: Case, heard: Talk) -> None:
    answer = heard.answer
    assert answer.status == case.status, answer.body
    assert tuple(heard.interim) == case.interim
    assert heard.closed or not case.closes
    for name, value in case.headers.items():
        assert name in answer.headers if value == PRESENT else answer.headers.get(name) == value
    if "retry-after" in answer.headers:
        assert int(answer.headers["retry-after"]) >= 1
    if not answer.body:
        assert case.raw[:4] == b"HEAD"
    elif answer.status in (202, 422):
        check_receipt(case, heard)
    else:
        check_problem(case, heard)


def check_receipt(case: Case, heard: Talk) -> None:
    answer = heard.answer
    assert answer.headers["content-type"] == "application/json"
    receipt = answer.json
    assert set(receipt) == {"request_id", "accepted", "rejected", "errors", "position"}
    errors = receipt["errors"]
    assert (receipt["accepted"], receipt["rejected"]) == (case.accepted, case.rejected or 0)
    assert len(errors) == receipt["rejected"]
    for expected, field in ((case.reasons, "code"), (case.indices, "index"), (case.fields, "field")):
        assert not expected or tuple(error[field] for error in errors) == expected


def check_problem(case: Case, heard: Talk) -> None:
    answer = heard.answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id"}
    assert problem["status"] == case.status
    assert problem["detail"]
    assert len(problem["request_id"]) == 32
    assert case.code is None or problem["code"] == case.code
    assert case.detail is None or problem["detail"] == case.detail


async def send_good(port: int) -> str:
    """An event that must be taken; its id."""
    id_ = f"good/{next(_NUMBERS)}"
    raw = request(f'{{"metric":"good","value":1,"id":"{id_}"}}', headers=keys.bearing(keys.GOOD))
    heard = await talk(port, raw)
    assert heard.answer.status == 202, heard.answer.body
    return id_
