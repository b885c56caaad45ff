"""What a range becomes: whole steps, as fine as is kept; local days; moments of the past."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from aggregates.answers import frames_of
from aggregates.frames import Asked, Keeping, frame, shifted
from aggregates.levels import Kept
from aggregates.queries import MAX_ROWS, Previous, Query, TooManyRows, Unanswerable

DAY = 86_400
NOW = 1_795_435_200
"""23 Nov 2026, 12:00 UTC."""
MIDNIGHT = NOW - DAY // 2
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def keeping(zone: str = "UTC", folded: int = 0) -> Keeping:
    """Seconds for 2 hours, minutes for 15 days, quarters for 100; sealed up to a minute ago."""
    own = UTC if zone == "UTC" else ZoneInfo(zone)
    day = MIDNIGHT if zone == "UTC" else MIDNIGHT - 3600
    sealed = {"1s": 1 << 62, "1m": NOW - 60, "15m": NOW - 900, "1d": day}
    kept = {"1s": NOW - 7200, "1m": day - 15 * DAY, "15m": day - 100 * DAY, "1d": 0}
    return Keeping(Kept(sealed, kept, folded), own, 10)


def days(found: list[int], zone: str) -> list[str]:
    return [datetime.fromtimestamp(start, ZoneInfo(zone)).isoformat(timespec="minutes") for start in found]


@pytest.mark.parametrize(
    ("back", "step", "answered", "level"),
    [
        (3600, 1, 1, "1s"),
        (3600, 60, 60, "1m"),
        (3 * 3600, 1, 60, "1m"),  # seconds are gone
        (3 * 3600, 10, 60, "1m"),
        (20 * DAY, 60, 900, "15m"),
        (20 * DAY, 3600, 3600, "15m"),
        (200 * DAY, 3600, DAY, "1d"),
        (3600, None, None, "15m"),
        (200 * DAY, None, None, "1d"),
    ],
)
def test_a_step_is_as_fine_as_what_is_kept(back: int, step: int | None, answered: int | None, level: str) -> None:
    found = frame(Asked(NOW - back, NOW, step), keeping())
    assert (found.step, found.level) == (answered, level)
    assert found.start <= NOW - back < NOW <= found.end
    assert found.starts[0] == found.start
    assert found.ends[-1] == found.end
    assert [piece.start for piece in found.pieces[1:]] == [piece.end for piece in found.pieces[:-1]]


@pytest.mark.parametrize(
    ("first", "last", "compare", "length", "before"),
    [
        (NOW - 3600, NOW, "previous", 3600, NOW - 7200),
        (NOW - 1800, NOW, 150 * DAY, DAY, MIDNIGHT - 150 * DAY),  # only days are kept of then
        (NOW - 60 * DAY, NOW, "previous", 61 * DAY, MIDNIGHT - 121 * DAY),
        (NOW - 90, NOW - 30, 20 * DAY, 900, NOW - 900 - 20 * DAY),
    ],
)
def test_a_range_is_compared_with_one_of_the_same_length(
    first: int, last: int, compare: Previous | int, length: int, before: int
) -> None:
    query = Query("m", ("count",), first * 1000, last * 1000, None, compare=compare)
    shift = last - first if compare == "previous" else compare
    found, earlier = frames_of(query, Asked(first, last, None), shift, keeping())
    assert earlier
    assert (found.end - found.start, earlier.end - earlier.start) == (length, length)
    assert found.start <= first < last <= found.end
    assert earlier.start == before


def test_a_comparison_between_buckets_is_refused() -> None:
    query = Query("m", ("count",), (NOW - 900) * 1000, NOW * 1000, None, compare=20 * DAY + 60)
    with pytest.raises(Unanswerable, match="compare"):
        frames_of(query, Asked(NOW - 900, NOW, None), 20 * DAY + 60, keeping())


def test_bins_of_single_series_begin_with_minutes() -> None:
    found = frame(Asked(NOW - 95, NOW - 5, 10, finest="1m"), keeping())
    assert (found.step, found.start, found.end) == (60, NOW - 120, NOW)
    assert {piece.level for piece in found.minutes} == {"1m"}
    assert {piece.level for piece in found.pieces} == {"1m", "1s"}
    assert found.minutes[0].start == found.pieces[0].start
    assert found.minutes[-1].end == found.pieces[-1].end


def test_days_of_the_workspace_and_of_others() -> None:
    autumn = int(datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp())
    own = frame(Asked(autumn, autumn + DAY, DAY), keeping("Europe/Amsterdam"))
    assert days(own.starts.tolist(), "Europe/Amsterdam") == ["2026-10-24T00:00+02:00", "2026-10-25T00:00+02:00"]
    assert (own.ends - own.starts).tolist() == [DAY, DAY + 3600]
    assert own.level == "1d"
    other = frame(Asked(autumn, autumn + DAY, DAY, "Europe/Amsterdam"), keeping())
    assert other.starts.tolist() == own.starts.tolist()
    assert other.level == "15m"
    assert frame(Asked(autumn, autumn + DAY, DAY, "Europe/Amsterdam"), keeping("Europe/Amsterdam")).level == "1d"
    hours = frame(Asked(autumn, autumn + DAY, 3600, "Asia/Kathmandu"), keeping())
    assert hours.start % 3600 == 0  # the zone is one of days


def test_days_of_other_zones_reach_as_far_as_quarters() -> None:
    with pytest.raises(Unanswerable, match=r"quarters of an hour, which are kept from 2026-08-15") as refused:
        frame(Asked(NOW - 101 * DAY, NOW, DAY, "Asia/Kathmandu"), keeping())
    assert refused.value.error.field == "timezone"
    assert frame(Asked(NOW - 98 * DAY, NOW, DAY, "Asia/Kathmandu"), keeping()).level == "15m"


def test_as_of_ends_with_what_was_complete() -> None:
    found = frame(Asked(NOW - 3600, NOW, 60, as_of=NOW - 600), keeping())
    assert found.pieces[-1].end == NOW - 610
    assert found.end == NOW - 600  # the last step is not whole
    assert {piece.known for piece in (*found.pieces, *found.judged)} == {NOW - 660}
    before = frame(Asked(NOW - 3600, NOW, 60, as_of=NOW - 7000), keeping())
    assert (len(before.starts), before.pieces) == (0, [])
    assert frame(Asked(NOW - 3600, NOW, None, as_of=NOW - 7000), keeping()).ends.tolist() == [NOW - 3600]


def test_as_of_reaches_as_far_as_restatements_are_told_apart() -> None:
    kept = keeping(folded=NOW - 30 * DAY)
    assert frame(Asked(NOW - 40 * DAY, NOW, DAY, as_of=NOW - 30 * DAY + 10), kept).pieces
    with pytest.raises(Unanswerable, match="2026-10-24T12:00:10Z") as refused:
        frame(Asked(NOW - 40 * DAY, NOW, DAY, as_of=NOW - 30 * DAY + 9), kept)
    assert refused.value.error.field == "as_of"


def test_a_range_is_shifted_by_local_days() -> None:
    own = keeping("Europe/Amsterdam")
    monday = int(datetime(2026, 10, 26, tzinfo=AMSTERDAM).timestamp())
    asked = Asked(monday, monday + DAY, DAY)
    found = frame(asked, own)
    earlier = frame(shifted(asked, found, 2 * DAY, own), own)
    assert days(earlier.starts.tolist(), "Europe/Amsterdam") == ["2026-10-24T00:00+02:00"]
    weeks = frame(shifted(asked, found, 210 * DAY, own), own)
    assert days(weeks.starts.tolist(), "Europe/Amsterdam") == ["2026-03-30T00:00+02:00"]


def test_restatements_are_seen_in_minutes_where_there_is_no_step() -> None:
    found = frame(Asked(NOW - 30 * DAY, NOW, None), keeping())
    assert {piece.level for piece in found.pieces} == {"1d", "15m", "1m", "1s"}
    assert {piece.level for piece in found.judged} == {"15m", "1m", "1s"}
    assert frame(Asked(NOW - DAY, NOW, 900), keeping()).judged == frame(Asked(NOW - DAY, NOW, 900), keeping()).pieces


def test_too_many_buckets_are_refused_before_they_are_made() -> None:
    with pytest.raises(TooManyRows):
        frame(Asked(NOW - 7000, NOW + 10**9, 1), keeping())
    assert len(frame(Asked(NOW - 7000, NOW - 7000 + MAX_ROWS, 1), keeping()).starts) == MAX_ROWS
