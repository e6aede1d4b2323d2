"""Pinpoint's messages, written for tests and measurements: `PSpanMessage`, metadata, and the JSON of its Python agent.

Written field by field from the protocol's definitions, and not by what the receivers read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clew.otlp.encode import delimited, tag, varint

NONE: Final = -1
HEADERS: Final = {"agentid": "agent-1", "applicationname": "shop", "starttime": "1795414467512", "servicetype": "1000"}
"""Metadata of the calls of an agent."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it is on the wire: `start_elapsed` counts from the event before, a `depth` of 0 repeats the last."""

    sequence: int = 0
    depth: int = 1
    start_elapsed: int = 0
    end_elapsed: int = 0
    service_type: int = 5000
    api_id: int = 0
    next_span_id: int = NONE
    end_point: str = ""
    destination: str = ""
    starts_async: int = 0
    exception: tuple[int, str] | None = None
    annotations: Sequence[tuple[int, Any]] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A span with the events that come with it."""

    span_id: int
    transaction: tuple[str, int, int] = ("agent-1", 1_795_414_467_512, 1)
    parent_id: int = NONE
    start_ms: int = 1_795_414_473_769
    elapsed_ms: int = 100
    rpc: str = "/"
    end_point: str = "shop:80"
    remote: str = "10.0.0.9"
    service_type: int = 1010
    api_id: int = 0
    flag: int = 0
    err: int = 0
    exception: tuple[int, str] | None = None
    annotations: Sequence[tuple[int, Any]] = ()
    events: Sequence[Event] = ()
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events that come apart from their span."""

    span_id: int
    events: Sequence[Event]
    transaction: tuple[str, int, int] = ("agent-1", 1_795_414_467_512, 1)
    key_time_ms: int = 1_795_414_473_769
    async_id: tuple[int, int] | None = None
    end_point: str = field(default="shop:80")


def span_message(span: Span) -> bytes:
    """A `PSpanMessage` with a span."""
    accepted = (
        _text(1, span.rpc)
        + _text(2, span.end_point)
        + _text(3, span.remote)
        + (delimited(4, _text(1, span.caller) + _number(2, 1000)) if span.caller else b"")
    )
    body = b"".join(
        (
            _number(1, 1),
            _transaction(span.transaction),
            _fixed(3, span.span_id),
            _fixed(4, span.parent_id),
            _number(5, span.start_ms),
            _number(6, span.elapsed_ms),
            _number(7, span.api_id),
            _number(8, span.service_type),
            delimited(9, accepted),
            *(delimited(10, _annotation(*one)) for one in span.annotations),
            _number(11, span.flag),
            _number(12, _zigzag(span.err)),
            *(delimited(13, _event(one)) for one in span.events),
            delimited(14, _exception(*span.exception)) if span.exception else b"",
            _number(15, 1000),
        )
    )
    return delimited(1, body)


def chunk_message(chunk: Chunk) -> bytes:
    """A `PSpanMessage` with a chunk."""
    body = b"".join(
        (
            _number(1, 1),
            _transaction(chunk.transaction),
            _fixed(3, chunk.span_id),
            _text(4, chunk.end_point),
            *(delimited(5, _event(one)) for one in chunk.events),
            _number(6, 1000),
            _number(7, chunk.key_time_ms),
            delimited(8, _number(1, chunk.async_id[0]) + _number(2, chunk.async_id[1])) if chunk.async_id else b"",
        )
    )
    return delimited(2, body)


def batch_message(messages: Sequence[bytes]) -> bytes:
    """A `PSpanMessageBatch` of messages of `span_message` and `chunk_message`."""
    return b"".join([delimited(1, message) for message in messages])


def api_metadata(api_id: int, text: str, line: int = -1, type_: int = 0) -> bytes:
    """A `PApiMetaData`."""
    return _number(1, api_id) + _text(2, text) + _number(3, line) + _number(4, type_)


def id_and_text(number: int, text: str) -> bytes:
    """A `PSqlMetaData` or a `PStringMetaData`."""
    return _number(1, number) + _text(2, text)


def exception_metadata(span: Span, exceptions: Sequence[tuple[str, str, int]]) -> bytes:
    """A `PExceptionMetaData`: class, message and time of each, with one frame of a stack."""
    frame = _text(1, "shop.Stock") + _text(2, "Stock.java") + _number(3, 7) + _text(4, "look")
    made = [
        delimited(1, _text(1, name) + _text(2, message) + _number(3, time_ms) + _number(4, 1) + delimited(6, frame))
        for name, message, time_ms in exceptions
    ]
    return b"".join(made) + _transaction(span.transaction) + _fixed(3, span.span_id)


def collector_frame(body: dict[str, Any]) -> bytes:
    """A span of the agent for Python, in its frame."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    return struct.pack(">II", 1, len(raw)) + raw


def _event(one: Event) -> bytes:
    message = _fixed(1, one.next_span_id) + _text(2, one.end_point) + _text(3, one.destination)
    return b"".join(
        (
            _number(1, one.sequence),
            _number(2, one.depth),
            _number(3, one.start_elapsed),
            _number(4, one.end_elapsed),
            _number(5, _zigzag(one.service_type)),
            *(delimited(6, _annotation(*annotation)) for annotation in one.annotations),
            _number(10, _zigzag(one.api_id)),
            delimited(11, _exception(*one.exception)) if one.exception else b"",
            delimited(12, delimited(1, message)),
            _number(13, one.starts_async),
        )
    )


def _annotation(key: int, value: Any) -> bytes:
    match value:
        case bool():
            inner = tag(2, 0) + varint(int(value))
        case int():
            inner = tag(3, 0) + varint(value & _UINT64)
        case str():
            inner = delimited(1, value.encode())
        case float():
            inner = tag(6, 1) + struct.pack("<d", value)
        case bytes():
            inner = delimited(7, value)
        case (int() as number, str() as first, str() as second):
            inner = delimited(11, _number(1, number) + delimited(2, _text(1, first)) + delimited(3, _text(1, second)))
        case (int() as number, str() as first):
            inner = delimited(9, _number(1, number) + delimited(2, _text(1, first)))
        case _:
            raise TypeError(f"no annotation: {value!r}")
    return _number(1, key) + delimited(2, inner)


def _exception(number: int, message: str) -> bytes:
    return _number(1, number) + delimited(2, _text(1, message))


def _transaction(one: tuple[str, int, int]) -> bytes:
    return delimited(2, _text(1, one[0]) + _number(2, one[1]) + _number(3, one[2]))


_UINT64: Final = (1 << 64) - 1


def _number(number: int, value: int) -> bytes:
    return tag(number, 0) + varint(value & _UINT64) if value else b""


def _zigzag(value: int) -> int:
    return value << 1 ^ value >> 31


def _fixed(number: int, value: int) -> bytes:
    return tag(number, 1) + struct.pack("<q", value) if value else b""


def _text(number: int, value: str) -> bytes:
    return delimited(number, value.encode()) if value else b""
