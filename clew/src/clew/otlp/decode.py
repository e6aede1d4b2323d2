"""OTLP bytes to fields: just enough to read a collector's answer, to print what was sent, and to find where fields lie."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

from clew.otlp import fields as f

_fixed32: Final = Struct("<I").unpack_from
_fixed64: Final = Struct("<Q").unpack_from
_double: Final = Struct("<d").unpack


_GROUP: Final = 3
_END_OF_GROUP: Final = 4
_DEEPEST_GROUP: Final = 100  # where protobuf parsers stop


class Field(NamedTuple):
    """Where a field lies: `data[start:end]` with its tag, `data[content:end]` without tag and length."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and the place behind it. Raises ValueError where it does not end before `end` or within ten bytes."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= 70:
            raise ValueError("a number of more than ten bytes")
    raise ValueError("they end inside a number")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The 64-bit varint at `position` and the position after it. Raises ValueError where it is cut short or too long."""
    value, position = varint(data, position, len(data))
    return value & 0xFFFF_FFFF_FFFF_FFFF, position


def walk(data: bytes, at: int, end: int) -> Iterator[Field]:
    """Where the fields of the message `data[at:end]` lie, in order; a group is one field. Nothing is copied.

    Raises ValueError where the bytes are no protobuf message.
    """
    while at < end:
        start = at
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(data, start, end)
        content, at = _span_of(data, tag, at, end)
        yield Field(tag >> 3, tag & 7, start, content, at)


def _span_of(data: bytes, tag: int, at: int, end: int) -> tuple[int, int]:
    """Where the content behind a tag begins and ends."""
    wire_type = tag & 7
    content = at
    if wire_type == f.BYTES:
        if at < end and data[at] < 0x80:
            content = at + 1
            at = content + data[content - 1]
        else:
            length, content = varint(data, at, end)
            at = content + length
    elif wire_type == f.VARINT:
        _, at = varint(data, at, end)
    elif wire_type == f.FIXED64:
        at += 8
    elif wire_type == f.FIXED32:
        at += 4
    elif wire_type == _GROUP:
        at = _end_of_group(data, tag >> 3, at, end)
    else:
        raise ValueError(f"wire type {wire_type} where a field should begin")
    if at > end or not 0 < tag >> 3 < 1 << 29:
        raise ValueError("a field ends beyond its message, or has no number")
    return content, at


def _end_of_group(data: bytes, number: int, at: int, end: int) -> int:
    """The place behind the end of a group that began before `at`."""
    open_groups = [number]
    while open_groups:
        tag, at = varint(data, at, end)
        if tag & 7 == _END_OF_GROUP:
            if open_groups.pop() != tag >> 3:
                raise ValueError("a group that another one's end closes")
        elif tag & 7 == _GROUP:
            open_groups.append(tag >> 3)
            if len(open_groups) > _DEEPEST_GROUP:
                raise ValueError("groups nested too deeply")
        else:
            _, at = _span_of(data, tag, at, end)
    return at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of one message, in order: bytes for length-delimited, else an unsigned integer.

    Raises ValueError where the bytes are no protobuf message; groups count as such.
    """
    for number, wire_type, _, content, end in walk(data, 0, len(data)):
        if wire_type == f.BYTES:
            yield number, data[content:end]
        elif wire_type == f.VARINT:
            yield number, read_varint(data, content)[0]
        elif wire_type == f.FIXED64:
            yield number, _fixed64(data, content)[0]
        elif wire_type == f.FIXED32:
            yield number, _fixed32(data, content)[0]
        else:
            raise ValueError("a group, which OTLP does not have")


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
