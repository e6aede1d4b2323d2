"""Requests in which one field of one message has a wire type or a number that OTLP does not know, made from its descriptors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
START = 1_795_346_136_783_749_738


class Variant(NamedTuple):
    """`extra` is put behind the known fields of every `message` of a request (`request_with`)."""

    message: str
    field: int
    wire_type: int
    extra: bytes


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def sized(field: int, content: bytes) -> bytes:
    return tag(field, LENGTH) + varint(len(content)) + content


def variants() -> Iterator[Variant]:
    """Every field of every message below the request, and numbers beyond them, in every wire type."""
    messages: dict[str, Descriptor] = {}

    def collect(descriptor: Descriptor) -> None:
        if descriptor.name not in messages:
            messages[descriptor.name] = descriptor
            for field in descriptor.fields:
                if field.message_type is not None:
                    collect(field.message_type)

    collect(ExportTraceServiceRequest.DESCRIPTOR)
    del messages["ExportTraceServiceRequest"]
    for name, descriptor in messages.items():
        for number in [field.number for field in descriptor.fields] + [900, 1000, 1001, 1002]:
            content = {
                VARINT: varint(5),
                FIXED64: b"ABCDEFGH",
                FIXED32: b"ABCD",
                LENGTH: b"\x03\x08\x01\x02",
                GROUP: tag(1, VARINT) + b"\x07" + sized(2, b"\xff\xfe") + tag(number, GROUP_END),
            }
            for wire_type, bytes_ in content.items():
                yield Variant(name, number, wire_type, tag(number, wire_type) + bytes_)


def request_with(message: str, extra: bytes, trace_id: bytes) -> bytes:
    """A request of one span that uses every message, with `extra` in each message of this name."""

    def made(name: str, content: bytes) -> bytes:
        return content + (extra if name == message else b"")

    value = made("AnyValue", sized(1, b"hello"))
    pair = made("KeyValue", sized(1, b"key") + sized(2, value))
    array = made("AnyValue", sized(5, made("ArrayValue", sized(1, value))))
    pairs = made("AnyValue", sized(6, made("KeyValueList", sized(1, pair))))

    def attributes(field: int) -> bytes:
        listed = made("KeyValue", sized(1, b"list") + sized(2, array))
        nested = made("KeyValue", sized(1, b"pairs") + sized(2, pairs))
        return sized(field, pair) + sized(field, listed) + sized(field, nested)

    entity = made("EntityRef", sized(2, b"host"))
    resource = made("Resource", attributes(1) + sized(3, entity))
    scope = made("InstrumentationScope", sized(1, b"lib") + sized(2, b"1") + attributes(3))
    event = made("Event", tag(1, FIXED64) + struct.pack("<Q", START) + sized(2, b"event") + attributes(3))
    link = made("Link", sized(1, b"L" * 16) + sized(2, b"l" * 8) + attributes(4))
    status = made("Status", sized(2, b"it failed") + tag(3, VARINT) + varint(2))
    span = made(
        "Span",
        sized(1, trace_id)
        + sized(2, b"spanspan")
        + sized(4, b"parentid")
        + sized(5, b"op")
        + tag(6, VARINT)
        + varint(2)
        + tag(7, FIXED64)
        + struct.pack("<Q", START)
        + tag(8, FIXED64)
        + struct.pack("<Q", START + 1_000_000)
        + attributes(9)
        + sized(11, event)
        + sized(13, link)
        + sized(15, status)
        + tag(16, FIXED32)
        + struct.pack("<I", 257),
    )
    scope_spans = made("ScopeSpans", sized(1, scope) + sized(2, span) + sized(3, b"scope url"))
    return sized(1, made("ResourceSpans", sized(1, resource) + sized(2, scope_spans) + sized(3, b"resource url")))
