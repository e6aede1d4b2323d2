"""Protobuf bytes walked field by field, without a parser: where fields lie, and how many there are. No I/O.

The walk is `clew.otlp.decode`'s; what it says about bytes that are no message becomes a refusal here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clew.otlp import decode
from clew.otlp.decode import Field
from clew_server.errors import BadInput

__all__ = ["Field", "broken", "count_below", "count_fields", "fields", "varint"]

_DEEPEST = 100  # where protobuf parsers stop


def broken(what: str) -> BadInput:
    return BadInput(f"the bytes are not an OTLP request: {what}", code="malformed")


def varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and the place behind it. Raises BadInput where it does not end before `end`."""
    try:
        return decode.varint(body, at, end)
    except ValueError as error:
        raise broken(str(error)) from None


def fields(body: bytes, at: int, end: int) -> Iterator[Field]:
    """The fields of the message `body[at:end]`. A group is one field. Raises BadInput for what is no message."""
    try:
        yield from decode.walk(body, at, end)
    except ValueError as error:
        raise broken(str(error)) from None


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
