"""Jaeger's messages, written for tests and measurements: `Batch` in both encodings of Thrift, and `PostSpansRequest`.

Spans are plain values (`Span`), tags a list of pairs, so that a test states in one line what it sends. Written by the protocols'
definitions and not by what the receivers read, field by field and without shortcuts.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clew.otlp.encode import delimited, tag, varint

Tag = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids are unsigned integers, times microseconds."""

    trace_id: int
    span_id: int
    name: str = "op"
    parent_id: int = 0
    start_us: int = 1_795_415_211_795_788
    duration_us: int = 1000
    flags: int = 1
    tags: Sequence[Tag] = ()
    logs: Sequence[tuple[int, Sequence[Tag]]] = ()
    references: Sequence[tuple[int, int, int]] = ()
    """Type, trace id and span id of each."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process sends."""

    service: str
    spans: Sequence[Span]
    tags: Sequence[Tag] = field(default=(("hostname", "vm"), ("ip", "127.0.0.1")))


def http_body(batch: Batch) -> bytes:
    """What is posted to `/api/traces`."""
    writer = _Binary()
    _write_batch(writer, batch)
    return b"".join(writer.out)


def binary_datagram(batch: Batch) -> bytes:
    """What goes to port 6832."""
    writer = _Binary()
    writer.out.append(b"\x80\x01\x00\x04\x00\x00\x00\x09emitBatch\x00\x00\x00\x00")
    _write_arguments(writer, batch)
    return b"".join(writer.out)


def compact_datagram(batch: Batch) -> bytes:
    """What goes to port 6831."""
    writer = _Compact()
    writer.out.append(b"\x82\x81\x01\x09emitBatch")
    _write_arguments(writer, batch)
    return b"".join(writer.out)


def post_spans(batch: Batch) -> bytes:
    """A `PostSpansRequest` with the process at the batch."""
    process = delimited(1, batch.service.encode()) + _proto_tags(2, batch.tags)
    spans = b"".join([delimited(1, _proto_span(span)) for span in batch.spans])
    return delimited(1, spans + delimited(2, process))


class _Thrift(ABC):
    """Writes structs: `field` before each value, `stop` after the last."""

    def __init__(self) -> None:
        self.out: list[bytes] = []

    @abstractmethod
    def field(self, number: int, type_: int, before: int = 0) -> None: ...
    @abstractmethod
    def integer(self, type_: int, value: int) -> None: ...
    @abstractmethod
    def double(self, value: float) -> None: ...
    @abstractmethod
    def string(self, value: bytes) -> None: ...
    @abstractmethod
    def list_of_structs(self, count: int) -> None: ...
    @abstractmethod
    def boolean(self, number: int, before: int, value: bool) -> None: ...

    def stop(self) -> None:
        self.out.append(b"\0")


_I32, _I64, _DOUBLE, _STRING, _STRUCT, _LIST = 8, 10, 4, 11, 12, 15


class _Binary(_Thrift):
    def field(self, number: int, type_: int, before: int = 0) -> None:
        self.out.append(struct.pack(">bh", type_, number))

    def integer(self, type_: int, value: int) -> None:
        self.out.append(struct.pack(">i" if type_ == _I32 else ">q", value))

    def double(self, value: float) -> None:
        self.out.append(struct.pack(">d", value))

    def string(self, value: bytes) -> None:
        self.out += (struct.pack(">i", len(value)), value)

    def list_of_structs(self, count: int) -> None:
        self.out.append(struct.pack(">bi", _STRUCT, count))

    def boolean(self, number: int, before: int, value: bool) -> None:
        self.out.append(struct.pack(">bhb", 2, number, value))


_COMPACT: Final = {_I32: 5, _I64: 6, _DOUBLE: 7, _STRING: 8, _LIST: 9, _STRUCT: 12}


class _Compact(_Thrift):
    def field(self, number: int, type_: int, before: int = 0) -> None:
        self.out.append(bytes((number - before << 4 | _COMPACT[type_],)))

    def integer(self, type_: int, value: int) -> None:
        self.out.append(varint((value << 1 ^ value >> 63) & (1 << 64) - 1))

    def double(self, value: float) -> None:
        self.out.append(struct.pack("<d", value))

    def string(self, value: bytes) -> None:
        self.out += (varint(len(value)), value)

    def list_of_structs(self, count: int) -> None:
        self.out.append(bytes((count << 4 | 12,)) if count < 15 else b"\xfc" + varint(count))

    def boolean(self, number: int, before: int, value: bool) -> None:
        self.out.append(bytes((number - before << 4 | (1 if value else 2),)))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _write_arguments(writer: _Thrift, batch: Batch) -> None:
    writer.field(1, _STRUCT)
    _write_batch(writer, batch)
    writer.stop()


def _write_batch(writer: _Thrift, batch: Batch) -> None:
    writer.field(1, _STRUCT)
    writer.field(1, _STRING)
    writer.string(batch.service.encode())
    _write_tags(writer, 2, 1, batch.tags)
    writer.stop()
    writer.field(2, _LIST, 1)
    writer.list_of_structs(len(batch.spans))
    for span in batch.spans:
        _write_span(writer, span)
    writer.stop()


def _write_span(writer: _Thrift, span: Span) -> None:
    low, high = span.trace_id & (1 << 64) - 1, span.trace_id >> 64
    for number, value in enumerate((low, high, span.span_id, span.parent_id), 1):
        writer.field(number, _I64, number - 1)
        writer.integer(_I64, _signed(value))
    writer.field(5, _STRING, 4)
    writer.string(span.name.encode())
    last = 5
    if span.references:
        writer.field(6, _LIST, 5)
        writer.list_of_structs(len(span.references))
        for type_, trace_id, span_id in span.references:
            writer.field(1, _I32)
            writer.integer(_I32, type_)
            for number, value in enumerate((trace_id & (1 << 64) - 1, trace_id >> 64, span_id), 2):
                writer.field(number, _I64, number - 1)
                writer.integer(_I64, _signed(value))
            writer.stop()
        last = 6
    writer.field(7, _I32, last)
    writer.integer(_I32, span.flags)
    for number, value in ((8, span.start_us), (9, span.duration_us)):
        writer.field(number, _I64, number - 1)
        writer.integer(_I64, value)
    _write_tags(writer, 10, 9, span.tags)
    writer.field(11, _LIST, 10)
    writer.list_of_structs(len(span.logs))
    for time_us, fields in span.logs:
        writer.field(1, _I64)
        writer.integer(_I64, time_us)
        _write_tags(writer, 2, 1, fields)
        writer.stop()
    writer.stop()


def _write_tags(writer: _Thrift, number: int, before: int, tags: Sequence[Tag]) -> None:
    writer.field(number, _LIST, before)
    writer.list_of_structs(len(tags))
    for key, value in tags:
        writer.field(1, _STRING)
        writer.string(key.encode())
        type_ = _types(value)[0]
        writer.field(2, _I32, 1)
        writer.integer(_I32, type_)
        if isinstance(value, bool):
            writer.boolean(5, 2, value)
        elif isinstance(value, int):
            writer.field(6, _I64, 2)
            writer.integer(_I64, value)
        elif isinstance(value, float):
            writer.field(4, _DOUBLE, 2)
            writer.double(value)
        else:
            writer.field(7 if isinstance(value, bytes) else 3, _STRING, 2)
            writer.string(value if isinstance(value, bytes) else value.encode())
        writer.stop()


def _types(value: Any) -> tuple[int, int]:
    """The type of a tag by its number in Thrift and in protobuf, which count differently."""
    if isinstance(value, bool):
        return 2, 1
    if isinstance(value, int):
        return 3, 2
    if isinstance(value, float):
        return 1, 3
    return (4, 4) if isinstance(value, bytes) else (0, 0)


def _proto_span(span: Span) -> bytes:
    trace_id = span.trace_id.to_bytes(16, "big")
    references = [(0, span.trace_id, span.parent_id)] if span.parent_id else []
    return b"".join(
        (
            delimited(1, trace_id),
            delimited(2, span.span_id.to_bytes(8, "big")),
            delimited(3, span.name.encode()),
            *[
                delimited(
                    4, delimited(1, t.to_bytes(16, "big")) + delimited(2, s.to_bytes(8, "big")) + _number(3, kind)
                )
                for kind, t, s in (*references, *span.references)
            ],
            _number(5, span.flags),
            delimited(6, _number(1, span.start_us // 1_000_000) + _number(2, span.start_us % 1_000_000 * 1000)),
            delimited(7, _number(1, span.duration_us // 1_000_000) + _number(2, span.duration_us % 1_000_000 * 1000)),
            _proto_tags(8, span.tags),
            *[
                delimited(
                    9,
                    delimited(1, _number(1, time_us // 1_000_000) + _number(2, time_us % 1_000_000 * 1000))
                    + _proto_tags(2, fields),
                )
                for time_us, fields in span.logs
            ],
        )
    )


def _number(number: int, value: int) -> bytes:
    return tag(number, 0) + varint(value & (1 << 64) - 1) if value else b""


def _proto_tags(number: int, tags: Sequence[Tag]) -> bytes:
    return b"".join([delimited(number, _proto_tag(key, value)) for key, value in tags])


def _proto_tag(key: str, value: Any) -> bytes:
    head = delimited(1, key.encode()) + _number(2, _types(value)[1])
    if isinstance(value, bool):
        return head + _number(4, value)
    if isinstance(value, int):
        return head + _number(5, value)
    if isinstance(value, float):
        return head + tag(6, 1) + struct.pack("<d", value)
    return head + (delimited(7, value) if isinstance(value, bytes) else delimited(3, value.encode()))
