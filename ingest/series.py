"""What a series is: its identity, its stable key, and the numbers a process gives to the series it meets.

Part of the contract of the log: everything downstream partitions, groups and removes duplicates by `Series.key`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]

SERIES_TYPE = pa.struct(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("metric", pa.utf8(), nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("unit", pa.utf8()),
        pa.field("dimensions", pa.utf8(), nullable=False),
    ]
)


class Kind(StrEnum):
    """What the values of a metric mean, and so how they merge."""

    COUNTER = "counter"
    GAUGE = "gauge"
    DISTRIBUTION = "distribution"
    UNIQUE = "unique"
    CUMULATIVE = "cumulative"


@dataclass(frozen=True, slots=True)
class Series:
    """One stream of values: metric, kind, dimensions (pairs sorted by name). The unit is not part of its identity."""

    metric: str
    kind: Kind
    dimensions: tuple[tuple[str, str], ...] = ()
    unit: str | None = None

    @property
    def key(self) -> int:
        """Stable 64-bit identity: the first 8 bytes (little endian) of BLAKE2b over the canonical JSON form."""
        canonical = json.dumps(
            [self.metric, self.kind.value, self.dimensions], ensure_ascii=False, separators=(",", ":")
        )
        digest = hashlib.blake2b(canonical.encode("utf-8"), digest_size=8).digest()
        return int.from_bytes(digest, "little")

    @property
    def dimensions_json(self) -> str:
        """The dimensions as a compact JSON object, names sorted."""
        return json.dumps(dict(self.dimensions), ensure_ascii=False, separators=(",", ":"))


def partition_of(key: int, partitions: int) -> int:
    """Partition of a series: its key modulo the partition count (the same rule on both topics)."""
    return key % partitions


class SeriesTable:
    """Every series seen by one process, numbered from 0: an event batch refers to a series by its number.

    Grows only; a process that meets too many series starts a new table. Not thread-safe.
    """

    def __init__(self) -> None:
        self._numbers: dict[Series, int] = {}
        self._pending: list[Series] = []
        self._chunk: pa.StructArray = pa.array([], SERIES_TYPE)
        self._tail: pa.StructArray = pa.array([], SERIES_TYPE)
        self._keys: UInt64Array = np.empty(64, np.uint64)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def keys(self) -> UInt64Array:
        """Key of every series, by number: uint64, shape (len(self),)."""
        return self._keys[: len(self._numbers)]

    def intern(self, series: Series) -> int:
        """Number of the series, given on first sight."""
        number = self._numbers.get(series)
        if number is not None:
            return number
        number = len(self._numbers)
        if number == len(self._keys):
            self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])
        self._keys[number] = series.key
        self._numbers[series] = number
        self._pending.append(series)
        return number

    def take(self, numbers: Int32Array) -> pa.StructArray:
        """Series of the given numbers (ascending) as Arrow structs of `SERIES_TYPE`."""
        self._settle()
        split = int(np.searchsorted(numbers, len(self._chunk)))
        if split == len(numbers):
            return self._chunk.take(pa.array(numbers))
        tail = self._tail.take(pa.array(numbers[split:] - len(self._chunk)))
        if split == 0:
            return tail
        return pa.concat_arrays([self._chunk.take(pa.array(numbers[:split])), tail])

    def _settle(self) -> None:
        """Bring series interned since the last call into Arrow form: a short tail, merged when it is half as long as
        the rest, so that growth costs a constant amount per series."""
        if not self._pending:
            return
        start = len(self._chunk) + len(self._tail)
        self._tail = pa.concat_arrays([self._tail, _series_structs(self._pending, self._keys[start:])])
        self._pending = []
        if 2 * len(self._tail) > len(self._chunk):
            self._chunk = pa.concat_arrays([self._chunk, self._tail])
            self._tail = pa.array([], SERIES_TYPE)


def _series_structs(series: list[Series], keys: UInt64Array) -> pa.StructArray:
    columns = [
        pa.array(keys[: len(series)]),
        pa.array([s.metric for s in series], pa.utf8()),
        pa.array([s.kind.value for s in series], pa.utf8()),
        pa.array([s.unit for s in series], pa.utf8()),
        pa.array([s.dimensions_json for s in series], pa.utf8()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(SERIES_TYPE))
