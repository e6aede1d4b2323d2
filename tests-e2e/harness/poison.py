"""Requests nobody should send, made from OTLP's own descriptors: each field in each wire type, groups, wrong nesting, and more."""

from __future__ import annotations

import random
import struct
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import delimited as field
from clew.otlp.encode import tag, varint

REQUEST: Descriptor = ExportTraceServiceRequest.DESCRIPTOR
_MESSAGE = FieldDescriptor.TYPE_MESSAGE
_DEEPEST = 7
_OURS_AND_UNKNOWN = (16, 99, 500, 1000, 1001, 1002, 1003, (1 << 29) - 1)


class Poisoner:
    """Makes one request for a seed. `trace_ids` are those of its spans whose ids are in order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._poison = self._random.choice((0.0, 0.005, 0.02, 0.1))
        self.trace_ids: list[bytes] = []

    def protobuf(self) -> bytes:
        """The body of an OTLP/protobuf request."""
        kind = self._random.random()
        if kind < 0.03:
            return self._enormous()
        body = self._message(REQUEST, 0)
        if kind < 0.06:  # damage that no structure foresees
            damaged = bytearray(body)
            for _ in range(self._random.randint(1, 4)):
                if damaged:
                    damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
            body = bytes(damaged)
        return body

    def json(self) -> Any:
        """The value of an OTLP/JSON request."""
        return self._json_message(REQUEST, 0)

    # Protobuf

    def _message(self, descriptor: Descriptor, depth: int) -> bytes:
        chance = self._random
        parts: list[bytes] = []
        for described in descriptor.fields:
            if described.name == "trace_id" and descriptor.name == "Span":
                trace_id = chance.randbytes(16)
                self.trace_ids.append(trace_id)
                parts.append(field(1, trace_id))
            elif described.name == "span_id" and descriptor.name == "Span":
                parts.append(field(2, chance.randbytes(8)))
            else:
                parts.extend(self._field(described, depth) for _ in range(self._times(described, depth)))
            if chance.random() < self._poison:
                parts.append(self._strange(described, depth))
        if chance.random() < self._poison:
            chance.shuffle(parts)
        return b"".join(parts)

    def _times(self, described: FieldDescriptor, depth: int) -> int:
        if described.type == _MESSAGE and depth >= _DEEPEST:
            return 0
        if depth < 3 and described.name in ("resource_spans", "scope_spans", "spans"):
            return self._random.choice((1, 1, 2, 3))
        if described.is_repeated:
            return self._random.choice((0, 0, 1, 2))
        return self._random.choice((0, 1))

    def _field(self, described: FieldDescriptor, depth: int) -> bytes:
        number, kind, chance = described.number, described.type, self._random
        if kind == _MESSAGE:
            return field(number, self._message(described.message_type, depth + 1))
        if kind == FieldDescriptor.TYPE_STRING:
            return field(number, self._text(described).encode())
        if kind == FieldDescriptor.TYPE_BYTES:
            return field(number, chance.randbytes(chance.choice((0, 7, 8, 16, 17))))
        if kind in (FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_DOUBLE):
            return tag(number, 1) + chance.choice(
                (struct.pack("<Q", self._number()), struct.pack("<d", self._double()))
            )
        if kind == FieldDescriptor.TYPE_FIXED32:
            return tag(number, 5) + chance.randbytes(4)
        return tag(number, 0) + varint(self._number())

    def _text(self, described: FieldDescriptor) -> str:
        texts = ("", "service.name", "GET /", "😀", "\0", "a\nb", "%", "'", "\\", "http.route", "x" * 300, "\U0010ffff")
        return self._random.choice(texts) if described.name != "key" else self._random.choice(("service.name", *texts))

    def _number(self) -> int:
        return self._random.choice(
            (0, 1, 2, 5, 127, 128, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 1795346136783749738)
        )

    def _double(self) -> float:
        return self._random.choice((0.0, -0.0, 1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")))

    def _strange(self, described: FieldDescriptor, depth: int) -> bytes:
        """A field that is there, or is not, in a form it should not have."""
        chance = self._random
        number = chance.choice((described.number, described.number, described.number, chance.choice(_OURS_AND_UNKNOWN)))
        content = self._field(described, depth + 1 if described.type == _MESSAGE else depth)
        return chance.choice(
            (
                lambda: tag(number, 0) + varint(self._number()),
                lambda: tag(number, 1) + chance.randbytes(8),
                lambda: tag(number, 5) + chance.randbytes(4),
                lambda: field(number, chance.randbytes(chance.choice((0, 1, 3, 40)))),
                lambda: field(number, b"\xff\xfe\x80"),
                lambda: tag(number, 3) + content + tag(number, 4),
                lambda: tag(number, 3) + tag(number, 3) + tag(number, 4) + content + tag(number, 4),
                lambda: tag(number, 4),
                lambda: content * chance.choice((2, 3, 50)),
                lambda: bytes((number << 3 & 0x7F | 0x80 | 2, 0x80, 0x00)) + varint(0) if number < 16 else content,
                lambda: field(number, content),
                lambda: field(number, self._message(chance.choice(_ALL_MESSAGES), max(depth, _DEEPEST - 2))),
                lambda: field(number, b"".join(varint(self._number()) for _ in range(20))),
                lambda: tag(number, 2) + varint(2**40),
                lambda: self._deep(number),
            )
        )()

    def _deep(self, number: int) -> bytes:
        """A value in a value in a value …"""
        content = b"\x18\x05"
        for _ in range(self._random.choice((10, 30, 45, 60, 200))):
            content = field(*self._random.choice(((5, field(1, content)), (6, field(1, field(2, content))))))
        return field(number, field(1, b"deep") + field(2, content))

    def _enormous(self) -> bytes:
        chance = self._random
        trace_id = chance.randbytes(16)
        self.trace_ids.append(trace_id)
        ids = field(1, trace_id) + field(2, chance.randbytes(8))
        name = b"n" * 10_000_000
        empty = chance.choice(
            (b"\x0a\x00", b"\x12\x00", b"\x1a\x00", b"\x4a\x00", b"\x5a\x00", b"\x6a\x00", b"\x08\x05")
        )
        many = empty * chance.choice((1000, 60_000, 1_000_000, 3_000_000))
        attribute = field(1, b"k") + field(2, field(1, name))
        return chance.choice(
            (
                lambda: field(1, field(2, field(2, ids + field(5, name)))),
                lambda: field(1, field(2, field(2, ids + field(9, field(1, name))))),
                lambda: field(1, field(2, field(2, ids + field(9, attribute)))),
                lambda: field(1, field(1, field(1, attribute)) + field(2, field(2, ids))),
                lambda: field(1, field(2, field(1, field(1, name)) + field(2, ids))),
                lambda: many,
                lambda: field(1, many + field(2, field(2, ids))),
                lambda: field(1, field(1, many) + field(2, field(2, ids))),
                lambda: field(1, field(2, many + field(2, ids))),
                lambda: field(1, field(2, field(1, many) + field(2, ids))),
                lambda: field(1, field(2, field(2, ids + many))),
                lambda: field(1, field(2, field(2, ids + field(9, field(1, b"k") + field(2, field(5, many)))))),
                lambda: field(1, field(2, field(2, ids + field(11, many) + field(13, many)))),
            )
        )()

    # JSON

    def _json_message(self, descriptor: Descriptor, depth: int) -> Any:
        chance = self._random
        made: dict[str, Any] = {}
        for described in descriptor.fields:
            name = described.json_name
            if described.name == "trace_id" and descriptor.name == "Span":
                trace_id = chance.randbytes(16)
                self.trace_ids.append(trace_id)
                made[name] = trace_id.hex()
            elif described.name == "span_id" and descriptor.name == "Span":
                made[name] = chance.randbytes(8).hex()
            elif times := self._times(described, depth):
                values = [self._json_value(described, depth) for _ in range(times)]
                made[name] = values if described.is_repeated else values[0]
            if chance.random() < self._poison:
                made[chance.choice((name, described.name))] = self._json_strange()
        return made

    def _json_value(self, described: FieldDescriptor, depth: int) -> Any:
        kind, chance = described.type, self._random
        if kind == _MESSAGE:
            return self._json_message(described.message_type, depth + 1)
        if kind == FieldDescriptor.TYPE_STRING:
            return chance.choice((self._text(described), "cut \ud83d", "\udc00"))
        if kind == FieldDescriptor.TYPE_BYTES:
            return chance.choice(("", "AQI=", "01" * 8, "01" * 16))
        if kind == FieldDescriptor.TYPE_DOUBLE:
            return chance.choice((1.5, "1.5", "NaN", "-Infinity", 1e308, self._double()))
        if kind == FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        return chance.choice((0, 1, 2, "3", self._number() % 2**31, str(self._number() % 2**31)))

    def _json_strange(self) -> Any:
        deep: Any = 1
        for _ in range(self._random.choice((5, 50, 200))):
            deep = {"arrayValue": {"values": [deep]}}
        return self._random.choice(
            (
                None,
                True,
                5,
                -1,
                2**70,
                1.5,
                "1_000",
                "SPAN_KIND_SERVER",
                "nothing",
                [],
                {},
                [None],
                [[1]],
                {"values": 5},
                deep,
            )
        )


def _all_messages(descriptor: Descriptor, found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    if descriptor.full_name not in found:
        found[descriptor.full_name] = descriptor
        for described in descriptor.fields:
            if described.type == _MESSAGE:
                _all_messages(described.message_type, found)
    return found


_ALL_MESSAGES = list(_all_messages(REQUEST, {}).values())
