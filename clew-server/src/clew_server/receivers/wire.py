"""Protobuf bytes walked field by field, without a parser: where fields begin and end, and how many there are. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from clew_server.errors import BadInput

_DEEPEST = 100  # where protobuf parsers stop


class Field(NamedTuple):
    """One field of a message: `body[start:end]` with its tag, `body[content:end]` without tag and length."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def broken(what: str) -> BadInput:
    return BadInput(f"the bytes are not an OTLP request: {what}", code="malformed")


def varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and the place behind it. Raises BadInput where it does not end before `end`."""
    value = shift = 0
    while at < end:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= 70:
            raise broken("a number of more than ten bytes")
    raise broken("they end inside a number")


def fields(body: bytes, at: int, end: int) -> Iterator[Field]:
    """The fields of the message `body[at:end]`. A group is one field. Raises BadInput for what is no message."""
    while at < end:
        start = at
        tag = body[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(body, start, end)
        content, at = _span_of(body, tag, at, end)
        yield Field(tag >> 3, tag & 7, start, content, at)


def _span_of(body: bytes, tag: int, at: int, end: int) -> tuple[int, int]:
    """Where the content behind a tag begins and ends."""
    wire_type = tag & 7
    content = at
    if wire_type == 2:
        if at < end and body[at] < 0x80:
            content = at + 1
            at = content + body[content - 1]
        else:
            length, content = varint(body, at, end)
            at = content + length
    elif wire_type == 0:
        _, at = varint(body, at, end)
    elif wire_type == 1:
        at += 8
    elif wire_type == 5:
        at += 4
    elif wire_type == 3:
        at = _end_of_group(body, tag >> 3, at, end)
    else:
        raise broken(f"wire type {wire_type} where a field should begin")
    if at > end or not 0 < tag >> 3 < 1 << 29:
        raise broken("a field ends beyond its message, or has no number")
    return content, at


def _end_of_group(body: bytes, number: int, at: int, end: int) -> int:
    """The place behind the end of a group that began before `at`."""
    open_groups = [number]
    while open_groups:
        tag, at = varint(body, at, end)
        if tag & 7 == 4:
            if open_groups.pop() != tag >> 3:
                raise broken("a group that another one's end closes")
        elif tag & 7 == 3:
            open_groups.append(tag >> 3)
            if len(open_groups) > _DEEPEST:
                raise broken("groups nested too deeply")
        else:
            _, at = _span_of(body, tag, at, end)
    return at


def count_fields(body: bytes, at: int, end: int, kind: str, limit: int) -> int:
    """Fields of a message and of the messages in it, as far as OTLP's schema goes; stops one beyond `limit`.

    `kind` is `scope_spans`, `spans`, `scope_logs`, `log_records`, `resource` or `scope`.
    """
    count = 0
    waiting = [(at, end, kind, 0)]
    while waiting:
        at, end, kind, depth = waiting.pop()
        inner = _MESSAGES[kind]
        for field in fields(body, at, end):
            count += 1
            if count > limit:
                return count
            child = inner.get(field.number) if field.wire_type == 2 else None
            if child is not None and depth < _DEEPEST:
                waiting.append((field.content, field.end, child, depth + 1))
    return count


# OTLP's messages below spans, log records, resources and scopes: field number → message. Strings and numbers are left out.
_MESSAGES: dict[str, dict[int, str]] = {
    "scope_spans": {1: "scope", 2: "spans"},
    "scope_logs": {1: "scope", 2: "log_records"},
    "spans": {9: "attribute", 11: "event", 13: "link"},
    "log_records": {5: "value", 6: "attribute"},
    "event": {3: "attribute"},
    "link": {4: "attribute"},
    "resource": {1: "attribute", 3: "entity"},
    "entity": {},
    "scope": {3: "attribute"},
    "attribute": {2: "value"},
    "value": {5: "list", 6: "map"},
    "list": {1: "value"},
    "map": {1: "attribute"},
}


def count_below(body: bytes, inner: Mapping[int, Any], limit: int, at: int = 0, end: int | None = None) -> int:
    """Fields of the message `body[at:end]` and of the messages in it; stops one beyond `limit`.

    `inner`: field number → the same for the message in that field. What it does not name is one field, whatever is in it.
    """
    count = 0
    for field in fields(body, at, len(body) if end is None else end):
        count += 1
        if count > limit:
            return count
        below = inner.get(field.number)
        if below is not None and field.wire_type == 2:
            count += count_below(body, below, limit - count, field.content, field.end)
    return count


def length_delimited(number: int, content: bytes) -> bytes:
    """A field of this number, below 16, with this content."""
    length, rest = bytearray((number << 3 | 2,)), len(content)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes(length) + content
