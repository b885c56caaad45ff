"""Workload W1: metric events of 3 metrics × 6 countries × 200 products over ten minutes, as request bodies.

Seeded; the expected count and sum per (metric, country, minute) come from the same arrays the bodies are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

METRICS = ("orders.revenue", "payments.total", "visits.counted")
COUNTRIES = ("NL", "DE", "FR", "BE", "ES", "IT")
PRODUCTS = 200
SPAN_MS = 600_000
Expected = dict[tuple[str, str, int], tuple[int, float]]
"""(metric, country, minute in epoch seconds) → count and sum."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Columns of the events, in sending order. Values are whole cents."""

    metric: npt.NDArray[np.int64]
    country: npt.NDArray[np.int64]
    product: npt.NDArray[np.int64]
    cents: npt.NDArray[np.int64]
    times_ms: npt.NDArray[np.int64]
    ids: bool
    seed: int

    def __len__(self) -> int:
        return len(self.metric)

    def bodies(self, batch: int) -> Iterator[bytes]:
        """JSON arrays of `batch` events each."""
        rows = self.metric.tolist(), self.country.tolist(), self.product.tolist(), self.cents.tolist()
        columns = list(zip(*rows, self.times_ms.tolist(), strict=True))
        for start in range(0, len(columns), batch):
            events = (self._event(start + i, row) for i, row in enumerate(columns[start : start + batch]))
            yield b"[" + b",".join(events) + b"]"

    def _event(self, number: int, row: tuple[int, int, int, int, int]) -> bytes:
        metric, country, product, cents, time = row
        extra = f',"id":"{self.seed:08x}-{number:016x}"' if self.ids else ""
        return (
            f'{{"metric":"{METRICS[metric]}","value":{cents / 100},"timestamp":{time},'
            f'"dimensions":{{"country":"{COUNTRIES[country]}","product":"p{product}"}}{extra}}}'
        ).encode()

    def expected(self) -> Expected:
        """What every query answer has to add up to."""
        minutes = self.times_ms // 60_000 * 60
        first = int(minutes.min())
        groups = ((minutes - first) // 60 * len(METRICS) + self.metric) * len(COUNTRIES) + self.country
        counts, sums = np.bincount(groups), np.bincount(groups, self.cents)
        found: Expected = {}
        for group in np.flatnonzero(counts).tolist():
            rest, country = divmod(group, len(COUNTRIES))
            minute, metric = divmod(rest, len(METRICS))
            key = METRICS[metric], COUNTRIES[country], first + 60 * minute
            found[key] = int(counts[group]), float(sums[group]) / 100
        return found


def workload(events: int, end_ms: int, *, ids: bool = False, seed: int = 1, span_ms: int = SPAN_MS) -> Workload:
    """`events` events that end at `end_ms`, spread evenly over `span_ms`."""
    draw = np.random.default_rng(seed)
    return Workload(
        metric=draw.integers(0, len(METRICS), events),
        country=draw.integers(0, len(COUNTRIES), events),
        product=draw.integers(0, PRODUCTS, events),
        cents=draw.integers(1, 100_000, events),
        times_ms=end_ms - span_ms + np.arange(events) * span_ms // events,
        ids=ids,
        seed=seed,
    )
