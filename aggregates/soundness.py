"""Whether the series of a record are ones that read models can take: a known kind, dimensions of texts.

Ingest writes no others. Whoever writes into Kafka directly may, and a series that cannot be read would end every
replica. So such a record counts as undecodable, in the worker, before anything is made of it.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ingest.events import DecodedEvents, Undecodable, decode
from ingest.series import Kind

_KINDS = pa.array([kind.value for kind in Kind])
_DIMENSIONS = msgspec.json.Decoder(dict[str, str])


def read(value: bytes | None) -> DecodedEvents | Undecodable:
    """The events of a record value, or why it cannot be counted."""
    events = decode(value)
    if isinstance(events, Undecodable) or not len(events.keys):
        return events
    if not pc.all(pc.is_in(events.series.field("kind"), _KINDS)).as_py():
        return Undecodable("a series has a kind that is not known")
    if not _are_dimensions(events.series.field("dimensions")):
        return Undecodable("the dimensions of a series are no JSON object of texts")
    return events


def _are_dimensions(texts: pa.StringArray) -> bool:
    """Whether each text is an object of texts. They are read as lines, all at once: a text of several lines makes too
    many of them, and none of the others can make up for it, as every text begins an object."""
    if not pc.all(pc.starts_with(texts, "{")).as_py():
        return False
    together = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "\n")
    try:
        return len(_DIMENSIONS.decode_lines(together[0].as_buffer())) == len(texts)
    except msgspec.MsgspecError:
        return False
