"""Requests in which one field of one message has a wire type or a number that OTLP does not know, made from its descriptors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import delimited, tag, varint

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
START = 1_795_346_136_783_749_738


class Variant(NamedTuple):
    """`extra` is put behind the known fields of every `message` of a request (`request_with`)."""

    message: str
    field: int
    wire_type: int
    extra: bytes


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
                GROUP: tag(1, VARINT) + b"\x07" + delimited(2, b"\xff\xfe") + tag(number, GROUP_END),
            }
            for wire_type, bytes_ in content.items():
                yield Variant(name, number, wire_type, tag(number, wire_type) + bytes_)


def request_with(message: str, extra: bytes, trace_id: bytes) -> bytes:
    """A request of one span that uses every message, with `extra` in each message of this name."""

    def made(name: str, content: bytes) -> bytes:
        return content + (extra if name == message else b"")

    value = made("AnyValue", delimited(1, b"hello"))
    pair = made("KeyValue", delimited(1, b"key") + delimited(2, value))
    array = made("AnyValue", delimited(5, made("ArrayValue", delimited(1, value))))
    pairs = made("AnyValue", delimited(6, made("KeyValueList", delimited(1, pair))))

    def attributes(field: int) -> bytes:
        listed = made("KeyValue", delimited(1, b"list") + delimited(2, array))
        nested = made("KeyValue", delimited(1, b"pairs") + delimited(2, pairs))
        return delimited(field, pair) + delimited(field, listed) + delimited(field, nested)

    entity = made("EntityRef", delimited(2, b"host"))
    resource = made("Resource", attributes(1) + delimited(3, entity))
    scope = made("InstrumentationScope", delimited(1, b"lib") + delimited(2, b"1") + attributes(3))
    event = made("Event", tag(1, FIXED64) + struct.pack("<Q", START) + delimited(2, b"event") + attributes(3))
    link = made("Link", delimited(1, b"L" * 16) + delimited(2, b"l" * 8) + attributes(4))
    status = made("Status", delimited(2, b"it failed") + tag(3, VARINT) + varint(2))
    span = made(
        "Span",
        delimited(1, trace_id)
        + delimited(2, b"spanspan")
        + delimited(4, b"parentid")
        + delimited(5, b"op")
        + tag(6, VARINT)
        + varint(2)
        + tag(7, FIXED64)
        + struct.pack("<Q", START)
        + tag(8, FIXED64)
        + struct.pack("<Q", START + 1_000_000)
        + attributes(9)
        + delimited(11, event)
        + delimited(13, link)
        + delimited(15, status)
        + tag(16, FIXED32)
        + struct.pack("<I", 257),
    )
    scope_spans = made("ScopeSpans", delimited(1, scope) + delimited(2, span) + delimited(3, b"scope url"))
    return delimited(
        1, made("ResourceSpans", delimited(1, resource) + delimited(2, scope_spans) + delimited(3, b"resource url"))
    )
