"""Hashes of many texts at once, and grouping by hash: numpy only, no loop over rows. Pure.

The hash of a text, for a seed and an odd multiplier K: h ← seed; for each 8 bytes w of its UTF-8 form (little endian,
the last ones filled up with zeros) h ← mix(h ⊕ w); then h ← mix(h ⊕ length in bytes); mix(x) = p ⊕ (p ≫ 32) where
p = x · K mod 2^64. Of a text longer than 512 bytes, the bytes from there on count as one w: their BLAKE2b of 8 bytes.
Each step is a bijection of h, so texts of up to 8 bytes and equal length never share a hash.

It is fast and spreads well; it is no defence against somebody who searches for collisions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.series import Int64Array, UInt64Array

_WORDS = 64
"""Words of a text that are mixed in one by one."""
_SHIFT = np.uint64(32)
_WORD_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)


@dataclass(frozen=True, slots=True)
class Mix:
    """One member of the family of hashes."""

    seed: np.uint64
    multiplier: np.uint64

    def __call__(self, values: UInt64Array) -> UInt64Array:
        product = values * self.multiplier
        product ^= product >> _SHIFT
        return product


def hash_texts(texts: pa.StringArray, mixes: tuple[Mix, ...]) -> list[UInt64Array]:
    """One hash per text and member: uint64, shape (n,) each. `texts` holds no nulls."""
    hashes = [np.full(len(texts), mix.seed) for mix in mixes]
    if not len(texts):
        return hashes
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    # Eight bytes of padding let every start be read as a whole word; what lies behind the text is masked off.
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.zeros(last - first + 8, np.uint8)
    data[:-8] = np.frombuffer(texts.buffers()[2] or b"", np.uint8, last - first, first) if last > first else 0
    words = np.ndarray((last - first + 1,), "<u8", data.data, strides=(1,))
    starts -= first
    shortest, longest = int(lengths.min()), int(lengths.max())
    for at in range(0, min(longest, 8 * _WORDS), 8):
        if at + 8 <= shortest:
            word = words[starts + at]
            hashes = [mix(h ^ word) for h, mix in zip(hashes, mixes, strict=True)]
            continue
        rows = np.flatnonzero(lengths > at)  # a text's hash must not depend on the length of its neighbours
        word = words[starts[rows] + at] & _WORD_MASKS[np.minimum(lengths[rows] - at, 8)]
        for h, mix in zip(hashes, mixes, strict=True):
            h[rows] = mix(h[rows] ^ word)
    if longest > 8 * _WORDS:
        _mix_tails(hashes, mixes, data, starts, lengths)
    ends = lengths.astype(np.uint64)
    return [mix(h ^ ends) for h, mix in zip(hashes, mixes, strict=True)]


def _mix_tails(
    hashes: list[UInt64Array],
    mixes: tuple[Mix, ...],
    data: np.ndarray[tuple[int], np.dtype[np.uint8]],
    starts: Int64Array,
    lengths: Int64Array,
) -> None:
    """What lies behind the first 512 bytes, row by row: no sender of ours makes such texts, but a record may."""
    for row in np.flatnonzero(lengths > 8 * _WORDS).tolist():
        tail = data[starts[row] + 8 * _WORDS : starts[row] + lengths[row]]
        word = np.uint64(int.from_bytes(hashlib.blake2b(tail.tobytes(), digest_size=8).digest(), "little"))
        for h, mix in zip(hashes, mixes, strict=True):
            h[row : row + 1] = mix(h[row : row + 1] ^ word)


def order_by(values: UInt64Array) -> Int64Array:
    """Places of the values in ascending order, equal values by place: a stable argsort, several times faster for
    values that are spread over all 64 bits.

    The place takes the low bits of a copy of the value, so that plain integers are sorted. That is right unless two
    different values share the high bits, which is looked for.
    """
    count = len(values)
    low = np.uint64((1 << max(1, (count - 1).bit_length())) - 1)
    packed = (values & ~low) | np.arange(count, dtype=np.uint64)
    packed.sort()
    order = (packed & low).astype(np.int64)
    ordered = values[order]
    if count > 1 and bool((ordered[1:] < ordered[:-1]).any()):
        return np.argsort(values, kind="stable")
    return order


def distinct(values: UInt64Array) -> tuple[Int64Array, Int64Array]:
    """(first, inverse): where each distinct value first stands, by value ascending, and which of them each is."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = order_by(values)
    ordered = values[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    inverse = np.empty(len(values), np.int64)
    inverse[order] = np.cumsum(starts) - 1
    return order[starts], inverse
