"""Shrinks a span that exceeds the size limit by removing its largest parts, and counts what was removed."""

from __future__ import annotations

from typing import Final, NamedTuple

from clew.otlp import decode, encode
from clew.otlp import fields as f

# An item that alone takes more of the limit than this is dropped first, of any kind.
_LARGE_SHARE: Final = 16
# Repeated fields of a span, the count of what is dropped of each, and the order in which they are given up.
_COUNT_OF: Final = {
    f.SPAN_EVENTS: f.SPAN_DROPPED_EVENTS,
    f.SPAN_LINKS: f.SPAN_DROPPED_LINKS,
    f.SPAN_ATTRIBUTES: f.SPAN_DROPPED_ATTRIBUTES,
}
_COUNTS: Final = frozenset(_COUNT_OF.values())
# A tag and the longest varint of 32 bits, for each of the counts; the outer tag and length.
_ROOM_FOR_COUNTS: Final = 3 * 6
_ROOM_FOR_HEAD: Final = 1 + 5
_MAX_COUNT: Final = (1 << 32) - 1
_CONTINUES: Final = 0x80


class _Field(NamedTuple):
    number: int
    raw: bytes  # tag, length and value


def shrink(span: bytes, max_bytes: int) -> bytes | None:
    """An encoded span (an element of ScopeSpans.spans, tag and length included) in at most `max_bytes`.

    Until it fits it loses, in this order: whatever is larger than a sixteenth of `max_bytes`, the largest first; its
    oldest events; its oldest links; its largest attributes. Each is counted in the span's own `dropped_…_count`.
    If that is not enough it loses its trace state and status message, and the end of its name. What is kept stays as
    it is and in its order. `None` if nothing helps. Raises ValueError for bytes that are no span.
    """
    if len(span) <= max_bytes:
        return span
    (body,) = decode.messages(span, f.SCOPE_SPANS_SPANS)
    kept = _split(body)
    counts = {number: value for number, value in decode.fields(body) if number in _COUNTS and isinstance(value, int)}
    kept = [field for field in kept if field.number not in _COUNTS]
    room = max_bytes - _ROOM_FOR_HEAD - _ROOM_FOR_COUNTS
    excess = sum(len(field.raw) for field in kept) - room

    given_up: set[int] = set()
    for position in _order_of_loss(kept, max_bytes // _LARGE_SHARE):
        if excess <= 0:
            break
        given_up.add(position)
        count = _COUNT_OF[kept[position].number]
        counts[count] = min(counts.get(count, 0) + 1, _MAX_COUNT)
        excess -= len(kept[position].raw)
    kept = [field for position, field in enumerate(kept) if position not in given_up]

    if excess > 0:
        kept = _cut_texts(kept, excess)
    kept += [_Field(number, encode.tag(number, f.VARINT) + encode.varint(count)) for number, count in counts.items()]
    kept.sort(key=lambda field: field.number)
    smaller = encode.delimited(f.SCOPE_SPANS_SPANS, b"".join([field.raw for field in kept]))
    return smaller if len(smaller) <= max_bytes else None


def _split(message: bytes) -> list[_Field]:
    fields: list[_Field] = []
    position = 0
    while position < len(message):
        begin = position
        tag, position = decode.read_varint(message, position)
        wire_type = tag & 7
        if wire_type == f.BYTES:
            length, position = decode.read_varint(message, position)
            position += length
        elif wire_type == f.VARINT:
            while message[position] & _CONTINUES:
                position += 1
            position += 1
        else:
            position += 8 if wire_type == f.FIXED64 else 4
        fields.append(_Field(tag >> 3, message[begin:position]))
    return fields


def _order_of_loss(fields: list[_Field], large_bytes: int) -> list[int]:
    sizes = [len(field.raw) for field in fields]
    droppable = [position for position, field in enumerate(fields) if field.number in _COUNT_OF]
    large = sorted((p for p in droppable if sizes[p] > large_bytes), key=lambda p: -sizes[p])
    small = [p for p in droppable if sizes[p] <= large_bytes]
    events = [p for p in small if fields[p].number == f.SPAN_EVENTS]
    links = [p for p in small if fields[p].number == f.SPAN_LINKS]
    attributes = sorted((p for p in small if fields[p].number == f.SPAN_ATTRIBUTES), key=lambda p: -sizes[p])
    return large + events + links + attributes


def _cut_texts(fields: list[_Field], excess: int) -> list[_Field]:
    kept: list[_Field] = []
    # The name, which says most, comes last.
    for field in sorted(fields, key=lambda field: field.number == f.SPAN_NAME):
        if excess <= 0 or field.number not in (f.SPAN_TRACE_STATE, f.SPAN_STATUS, f.SPAN_NAME):
            kept.append(field)
            continue
        before = len(field.raw)
        cut = _without_text(field, excess)
        if cut is not None:
            kept.append(cut)
            before -= len(cut.raw)
        excess -= before
    return kept


def _without_text(field: _Field, excess: int) -> _Field | None:
    (value,) = decode.messages(field.raw, field.number)
    if field.number == f.SPAN_TRACE_STATE:
        return None
    if field.number == f.SPAN_STATUS:
        code = sum(
            found for number, found in decode.fields(value) if number == f.STATUS_CODE and isinstance(found, int)
        )
        return _Field(field.number, encode.delimited(field.number, encode.status(code, "")))
    # A character that is cut through goes with the rest.
    name = value[: max(0, len(value) - excess)].decode("utf-8", "ignore").encode()
    return _Field(field.number, encode.delimited(field.number, name)) if name else None
