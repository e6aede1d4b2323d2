"""What OpenCensus' messages have in common: texts, times, ids, attributes. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from clew.ids import span_id_from_hex, trace_id_from_hex
from clew_server.errors import BadInput
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text, text_value
from clew_server.receivers.memory import check_memory
from clew_server.receivers.opencensus.model import AttributeEntryMessage

TRUNCATED: Final = "opencensus.truncated_byte_count"
"""How many bytes the sender cut off a text; behind a dot the key of an attribute whose value it was."""

_NS_PER_S: Final = 1_000_000_000
_NO_TRACE_ID_HIGH: Final = bytes(8)
_LONGEST_KEPT_BYTES: Final = 128


class Attributes(NamedTuple):
    """Attributes of a span, an annotation or a link."""

    items: dict[str, Value]
    dropped: int = 0
    """How many the sender left out."""


NO_ATTRIBUTES: Final = Attributes({})


def ns_of(time: Any) -> int:
    """A Timestamp in ns since the epoch, not yet checked."""
    return int(time.seconds) * _NS_PER_S + int(time.nanos)


def trace_id_of(raw: bytes) -> bytes:
    """16 bytes from a trace id of 16 or 8 bytes or from its hex digits; what is none of these stays as it is."""
    if len(raw) == 16 or not raw:
        return raw
    if len(raw) == 8:
        return _NO_TRACE_ID_HIGH + raw
    try:
        return trace_id_from_hex(raw.decode("ascii")) if len(raw) == 32 else raw
    except ValueError:
        return raw


def span_id_of(raw: bytes) -> bytes:
    """8 bytes from a span id of 8 bytes or from its hex digits; what is none of these stays as it is."""
    try:
        return span_id_from_hex(raw.decode("ascii")) if len(raw) == 16 else raw
    except ValueError:
        return raw


def attributes_of(message: Any) -> Attributes:
    """The attributes of a message `Attributes`; of a key that comes twice the last value, as in every protobuf map.

    Raises BadInput for an entry that is none.
    """
    items: dict[str, Value] = {}
    for raw in message.attribute_map:
        key, value, truncated = _entry(raw) if len(raw) <= _LONGEST_KEPT_BYTES else _read_entry(raw)
        items[key] = value
        if truncated > 0:
            items[f"{TRUNCATED}.{key}"] = truncated
    return Attributes(items, max(0, message.dropped_attributes_count))


def trace_state_of(message: Any) -> str:
    """A Tracestate as W3C writes it."""
    return ",".join(f"{text(one.key)}={text(one.value)}" for one in message.entries)


def _read_entry(raw: bytes) -> tuple[str, Value, int]:
    try:
        entry = AttributeEntryMessage.FromString(raw)
    except DecodeError as error:
        check_memory(error)
        raise BadInput(f"an attribute: {error}", code="malformed") from error
    key, which = text(entry.key), entry.value.WhichOneof("value")
    if which is None:
        return key, "", 0
    value = getattr(entry.value, which)
    if which == "string_value":
        return key, text_value(value.value), value.truncated_byte_count
    return key, value, 0


_entry: Final = lru_cache(maxsize=8192)(_read_entry)
