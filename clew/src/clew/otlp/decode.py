"""OTLP bytes to fields: just enough to read a collector's answer and to print what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from clew.otlp import fields as f

_fixed32: Final = Struct("<I").unpack_from
_fixed64: Final = Struct("<Q").unpack_from
_double: Final = Struct("<d").unpack


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The varint at `position` and the position after it. Raises ValueError where it is cut short or too long."""
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError(f"no varint at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of one message, in order: bytes for length-delimited, else an unsigned integer.

    Raises ValueError where the bytes are no protobuf message; groups count as such.
    """
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        value: int | bytes
        if wire_type == f.VARINT:
            value, position = read_varint(data, position)
        elif wire_type == f.BYTES:
            length, position = read_varint(data, position)
            value = data[position : position + length]
            position += length
        elif wire_type == f.FIXED64 and position + 8 <= len(data):
            value = _fixed64(data, position)[0]
            position += 8
        elif wire_type == f.FIXED32 and position + 4 <= len(data):
            value = _fixed32(data, position)[0]
            position += 4
        else:
            raise ValueError(f"no field at byte {position}")
        if position > len(data):
            raise ValueError(f"field {number} is cut short")
        yield number, value


def messages(data: bytes, number: int) -> Iterator[bytes]:
    """The values of the length-delimited field `number` of one message."""
    for found, value in fields(data):
        if found == number and isinstance(value, bytes):
            yield value


def any_value(data: bytes) -> Any:
    """An AnyValue as a Python value: `None`, str, bool, int, float, bytes, list or dict."""
    result: Any = None
    for number, value in fields(data):
        if isinstance(value, int):
            if number == f.ANY_BOOL:
                result = value != 0
            elif number == f.ANY_INT:
                result = value - (1 << 64) if value >> 63 else value
            elif number == f.ANY_DOUBLE:
                result = _double(value.to_bytes(8, "little"))[0]
        elif number == f.ANY_STRING:
            result = value.decode()
        elif number == f.ANY_ARRAY:
            result = [any_value(item) for item in messages(value, f.LIST_VALUES)]
        elif number == f.ANY_KVLIST:
            result = attributes(value, f.LIST_VALUES)
        elif number == f.ANY_BYTES:
            result = value
    return result


def attributes(data: bytes, number: int) -> dict[str, Any]:
    """The repeated KeyValue field `number` of one message."""
    result: dict[str, Any] = {}
    for item in messages(data, number):
        pair: dict[int, int | bytes] = dict(fields(item))
        key, value = pair.get(f.KEY_VALUE_KEY, b""), pair.get(f.KEY_VALUE_VALUE, b"")
        if isinstance(key, bytes) and isinstance(value, bytes):
            result[key.decode()] = any_value(value)
    return result


def rejection(response: bytes) -> tuple[int, str]:
    """How many spans an ExportTraceServiceResponse refuses, and its message; (0, "") for full success."""
    rejected, message = 0, ""
    for partial in messages(response, f.RESPONSE_PARTIAL_SUCCESS):
        for number, value in fields(partial):
            if number == f.PARTIAL_REJECTED_SPANS and isinstance(value, int):
                rejected = value
            elif number == f.PARTIAL_ERROR_MESSAGE and isinstance(value, bytes):
                message = value.decode("utf-8", "replace")
    return rejected, message
