"""Jaeger's Thrift: a `Batch`, bare over HTTP and as the argument of `emitBatch` in a datagram, into OTLP. No I/O.

A span whose fields all are there, in the order of their numbers, is read in a few steps; any other one by the table.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.contract import MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.jaeger.spans import JaegerSpan, Reference, Writer, event_of, resource_of
from clew_server.receivers.jaeger.tags import binary_tags, compact_tags
from clew_server.receivers.pieces import MAX_PART_FIELDS
from clew_server.receivers.thrift import (
    I32,
    I64,
    LIST,
    STOP,
    STRING,
    STRUCT,
    BinaryReader,
    CompactReader,
    Field,
    Fields,
    Reader,
    as_bad_input,
    malformed,
)

MEDIA_TYPES: Final = ("application/x-thrift", "application/vnd.apache.thrift.binary")
EMIT_BATCH: Final = "emitBatch"

_pack_id: Final = Struct(">q").pack
_pack_trace_id: Final = Struct(">qq").pack

REFERENCE: Final = {
    1: Field("type", I32),
    2: Field("trace_id_low", I64),
    3: Field("trace_id_high", I64),
    4: Field("span_id", I64),
}


def _references(reader: Reader) -> list[Reference]:
    """The list of references that begins here."""
    return [
        Reference(
            one.get("type", 0),
            _pack_trace_id(one.get("trace_id_high", 0), one.get("trace_id_low", 0)),
            _pack_id(one.get("span_id", 0)),
        )
        for one in reader.structs(REFERENCE, at_most=MAX_PART_FIELDS)
    ]


def _events(log: Fields, reader: Reader) -> list[bytes]:
    """The list of logs that begins here, as events."""
    logs = reader.structs(log, at_most=MAX_PART_FIELDS)
    return [event_of(1000 * one.get("timestamp", 0), one.get("fields", {})) for one in logs]


class Tables(NamedTuple):
    """What is read of the structs that hold tags."""

    process: Fields
    span: Fields
    log: Fields


def _tables(read_tags: Callable[[Any], Any]) -> Tables:
    tags = Field("tags", LIST, None, read_tags)
    log = {1: Field("timestamp", I64), 2: Field("fields", LIST, None, read_tags)}
    process = {1: Field("service", STRING), 2: tags}
    span = {
        1: Field("trace_id_low", I64),
        2: Field("trace_id_high", I64),
        3: Field("span_id", I64),
        4: Field("parent_id", I64),
        5: Field("name", STRING),
        6: Field("references", LIST, None, _references),
        7: Field("flags", I32),
        8: Field("start", I64),
        9: Field("duration", I64),
        10: tags,
        11: Field("events", LIST, None, lambda reader: _events(log, reader)),
    }
    return Tables(process, span, log)


BINARY_TABLES: Final = _tables(binary_tags)
COMPACT_TABLES: Final = _tables(compact_tags)


def _by_table(reader: Reader, table: Fields) -> JaegerSpan:
    found = reader.struct(table, 1)
    return JaegerSpan(
        _pack_trace_id(found.get("trace_id_high", 0), found.get("trace_id_low", 0)),
        _pack_id(found.get("span_id", 0)),
        _pack_id(found.get("parent_id", 0)),
        text(found.get("name", b"")),
        found.get("references", ()),
        found.get("flags", 0),
        1000 * found.get("start", 0),
        1000 * found.get("duration", 0),
        found.get("tags", {}),
        found.get("events", ()),
    )


def _binary_span(reader: BinaryReader) -> JaegerSpan:
    at = reader.at
    found = _quick_binary_span(reader)
    if found is None:
        reader.at = at
        return _by_table(reader, BINARY_TABLES.span)
    return found


def _quick_binary_span(reader: BinaryReader) -> JaegerSpan | None:
    """None for a span that is written in another way; the reader then is anywhere."""
    body, at = reader.body, reader.at + _IDS_BYTES
    if at > len(body):
        return None
    f1, low, f2, high, f3, span_id, f4, parent_id, f5, length = _ids_and_length(body, reader.at)
    if f1 != b"\x0a\0\1" or f2 != b"\x0a\0\2" or f3 != b"\x0a\0\3" or f4 != b"\x0a\0\4" or f5 != b"\x0b\0\5":
        return None
    name, at = body[at : at + length], at + length
    references: list[Reference] = []
    if body[at : at + 8] == _NO_REFERENCES:
        at += 8
    elif body[at : at + 3] == b"\x0f\0\6":
        reader.at = at + 3
        references = _references(reader)
        at = reader.at
    if length < 0 or at + _TIMES_BYTES > len(body):
        return None
    f7, flags, f8, start_us, f9, duration_us, f10 = _flags_and_times(body, at)
    if f7 != b"\x08\0\7" or f8 != b"\x0a\0\x08" or f9 != b"\x0a\0\x09" or f10 != b"\x0f\0\x0a":
        return None
    reader.at = at + _TIMES_BYTES
    tags = binary_tags(reader)
    at = reader.at
    events: list[bytes] = []
    if body[at : at + 8] == _NO_LOGS:
        at += 8
    elif body[at : at + 3] == b"\x0f\0\x0b":
        reader.at = at + 3
        events = _events(BINARY_TABLES.log, reader)
        at = reader.at
    if body[at : at + 1] != b"\0":
        return None
    reader.at = at + 1
    times = 1000 * start_us, 1000 * duration_us
    return JaegerSpan(high + low, span_id, parent_id, text(name), references, flags, *times, tags, events)


_ids_and_length: Final = Struct(">3s8s3s8s3s8s3s8s3si").unpack_from
_IDS_BYTES: Final = 51
_flags_and_times: Final = Struct(">3si3sq3sq3s").unpack_from
_TIMES_BYTES: Final = 32
_NO_REFERENCES: Final = b"\x0f\0\6\x0c\0\0\0\0"
_NO_LOGS: Final = b"\x0f\0\x0b\x0c\0\0\0\0"


def _compact_span(reader: CompactReader) -> JaegerSpan:
    at = reader.at
    found = _quick_compact_span(reader)
    if found is None:
        reader.at = at
        return _by_table(reader, COMPACT_TABLES.span)
    return found


def _quick_compact_span(reader: CompactReader) -> JaegerSpan | None:
    """None for a span that is written in another way; the reader then is anywhere."""
    body = reader.body
    ids = []
    for _ in range(4):
        if body[reader.at] != 0x16:
            return None
        reader.at += 1
        ids.append(reader.zigzag())
    if body[reader.at] != 0x18:
        return None
    reader.at += 1
    name = reader.string()
    references: list[Reference] = []
    head_of_flags = 0x25
    if body[reader.at] == 0x19:
        reader.at += 1
        references, head_of_flags = _references(reader), 0x15
    numbers = []
    for head in (head_of_flags, 0x16, 0x16):
        if body[reader.at] != head:
            return None
        reader.at += 1
        numbers.append(reader.zigzag())
    if body[reader.at] != 0x19:
        return None
    reader.at += 1
    tags = compact_tags(reader)
    events: list[bytes] = []
    if body[reader.at] == 0x19:
        reader.at += 1
        if body[reader.at] < 0x10:  # none
            reader.at += 1
        else:
            events = _events(COMPACT_TABLES.log, reader)
    if body[reader.at] != 0:
        return None
    reader.at += 1
    low, high, span_id, parent_id = ids
    flags, start_us, duration_us = numbers
    packed = _pack_trace_id(high, low), _pack_id(span_id), _pack_id(parent_id)
    return JaegerSpan(*packed, text(name), references, flags, 1000 * start_us, 1000 * duration_us, tags, events)


class _Form(NamedTuple):
    """What is read in another way in each of the two encodings."""

    process: Fields
    read_span: Callable[[Any], JaegerSpan]


_BINARY: Final = _Form(BINARY_TABLES.process, _binary_span)
_COMPACT: Final = _Form(COMPACT_TABLES.process, _compact_span)


def decode_http(body: bytes, head: Head) -> OtlpBatch:
    """A `Batch` in the binary encoding without a message around it. Raises BadInput, TooLarge, Unsupported."""
    check_media_type(head)
    reader = BinaryReader(body)
    writer = Writer()
    with as_bad_input():
        _read_batch(reader, _BINARY, writer)
    reader.end()
    return writer.batch(body)


def check_media_type(head: Head) -> None:
    """Raises Unsupported for anything but Thrift."""
    media = head.content_type.partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise Unsupported(
            f"Content-Type {media or '(none)'}: send {' or '.join(MEDIA_TYPES)}", code="unsupported_media_type"
        )


def decode_compact(body: bytes, head: Head) -> OtlpBatch:
    """A datagram as port 6831 gets it. Raises BadInput, TooLarge."""
    return _emitted(CompactReader(body), _COMPACT)


def decode_binary(body: bytes, head: Head) -> OtlpBatch:
    """A datagram as port 6832 gets it. Raises BadInput, TooLarge."""
    return _emitted(BinaryReader(body), _BINARY)


def _emitted(reader: Reader, form: _Form) -> OtlpBatch:
    message = reader.message()
    if message.name != EMIT_BATCH:
        raise BadInput(f"a call of {message.name!r}: {EMIT_BATCH} is what Jaeger's clients call here", code="malformed")
    writer = Writer()
    arguments = {1: Field("batch", STRUCT, None, lambda reader: _read_batch(reader, form, writer))}
    if not reader.struct(arguments):
        raise BadInput(f"{EMIT_BATCH} without a batch", code="malformed")
    reader.end()
    return writer.batch(reader.body)


def _read_batch(reader: Reader, form: _Form, writer: Writer) -> bool:
    """Read the struct that begins here. Spans are written as they are read, in whatever order process and spans come."""
    resource_bytes: bytes | None = None
    spans_before_process: list[int] = []
    number = 0
    while True:
        type_, number = reader.field_head(number)
        if type_ == STOP:
            break
        if number == 1 and type_ == STRUCT:
            process = reader.struct(form.process, 1)
            resource_bytes = resource_of(text(process.get("service", b"")), process.get("tags", {}))
        elif number == 2 and type_ == LIST:
            if resource_bytes is None:
                spans_before_process.append(reader.at)
                reader.skip(LIST)
            else:
                _read_spans(reader, form, resource_bytes, writer)
        else:
            reader.skip(type_, 1)
    end = reader.at
    for at in spans_before_process:
        reader.at = at
        _read_spans(reader, form, resource_bytes or b"", writer)
    reader.at = end
    return True


def _read_spans(reader: Reader, form: _Form, resource_bytes: bytes, writer: Writer) -> None:
    type_, count = reader.list_head()
    if count and type_ != STRUCT:
        raise malformed(f"a list of type {type_} where spans should be")
    if count > MAX_REQUEST_SPANS:
        raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
    for _ in range(count):
        writer.add(resource_bytes, form.read_span(reader))
