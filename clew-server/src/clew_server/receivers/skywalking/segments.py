"""SkyWalking over gRPC: `SegmentObject` and `SegmentCollection`, into OTLP. No I/O.

A large segment is cut into its spans before protobuf makes objects, one span at a time, so that memory does not grow with what a
hostile message says; so is one that cannot be parsed, of which a span that is none then costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.memory import check_memory
from clew_server.receivers.messages import inner, parsed
from clew_server.receivers.pieces import MAX_PART_FIELDS
from clew_server.receivers.skywalking.logs import Log
from clew_server.receivers.skywalking.messages import MESSAGES, SegmentMessage, SpanMessage
from clew_server.receivers.skywalking.properties import resource_of
from clew_server.receivers.skywalking.spans import Reference, Segment, SkyWalkingSpan, Writer, put
from clew_server.receivers.wire import fields

_SPANS, _SEGMENTS = 3, 1
_WHOLE_BYTES: Final = 64 << 10
"""A segment of up to this size is parsed at once: its objects take a few MiB at most."""
# Where tags and what holds them lie: field number → the message's own such fields.
_INNER: Final = inner(MESSAGES)["SpanObject"]


def decode_segment(body: bytes, head: Head) -> OtlpBatch:
    """One `SegmentObject`. Raises BadInput, TooLarge."""
    return _decoded(body, head, "SegmentObject")


def decode_collection(body: bytes, head: Head) -> OtlpBatch:
    """A `SegmentCollection`. Raises BadInput, TooLarge."""
    return _decoded(body, head, "SegmentCollection")


def _decoded(body: bytes, head: Head, message: str) -> OtlpBatch:
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    writer = Writer()
    try:
        if message == "SegmentObject":
            _add(writer, body, 0, len(body), head)
        else:
            _add_all(writer, body, head)
        return writer.batch(body)
    except BadInput as error:
        if error.code == "malformed":
            why = str(error).rpartition("request: ")[2]
            raise BadInput(f"the bytes are not a {message} of SkyWalking: {why}", code="malformed") from error
        raise


def _add_all(writer: Writer, body: bytes, head: Head) -> None:
    for count, field in enumerate(fields(body, 0, len(body)), 1):
        if count > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} segments in one request")
        if field.number == _SEGMENTS and field.wire_type == 2:
            _add(writer, body, field.content, field.end, head)


def _add(writer: Writer, body: bytes, at: int, end: int, head: Head) -> None:
    if end - at <= _WHOLE_BYTES:
        try:
            segment = SegmentMessage.FromString(body[at:end])
        except DecodeError as error:
            check_memory(error)  # else some span of it may be none
        else:
            _begin(writer, segment, head)
            for span in segment.spans:
                writer.add(_span(span))
            return
    spans, rest = _cut(body, at, end)
    _begin(writer, parsed(SegmentMessage, rest, {}, "segment of SkyWalking"), head)
    for start, stop in spans:
        try:
            span = parsed(SpanMessage, body[start:stop], _INNER, "span of SkyWalking")
        except BadInput as error:
            if isinstance(error, TooLarge):
                raise
            writer.malformed()
        else:
            writer.add(_span(span))


def _begin(writer: Writer, segment: Any, head: Head) -> None:
    resource_bytes = resource_of(text(segment.service), text(segment.serviceInstance), head)
    writer.segment(resource_bytes, Segment(text(segment.traceId), text(segment.traceSegmentId), segment.isSizeLimited))


def _cut(body: bytes, at: int, end: int) -> tuple[list[tuple[int, int]], bytes]:
    """Where the spans of a segment lie, and its other fields."""
    spans: list[tuple[int, int]] = []
    rest: list[bytes] = []
    for field in fields(body, at, end):
        if field.number == _SPANS and field.wire_type == 2:
            spans.append((field.content, field.end))
            if len(spans) > MAX_REQUEST_SPANS:
                raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
        else:
            rest.append(body[field.start : field.end])
            if len(rest) > MAX_PART_FIELDS:
                raise TooLarge(f"more than {MAX_PART_FIELDS} fields beside the spans")
    return spans, b"".join(rest)


def _span(span: Any) -> SkyWalkingSpan:
    return SkyWalkingSpan(
        span.spanId,
        span.parentSpanId,
        span.startTime,
        span.endTime,
        [_reference(one) for one in span.refs],
        text(span.operationName),
        text(span.peer),
        span.spanType,
        span.spanLayer,
        span.componentId,
        span.isError,
        _pairs(span.tags),
        [Log(one.time, _pairs(one.data)) for one in span.logs],
        span.skipAnalysis,
    )


def _reference(one: Any) -> Reference:
    return Reference(
        one.refType,
        text(one.traceId),
        text(one.parentTraceSegmentId),
        one.parentSpanId,
        text(one.parentService),
        text(one.parentServiceInstance),
        text(one.parentEndpoint),
        text(one.networkAddressUsedAtPeer),
    )


def _pairs(messages: Iterable[Any]) -> dict[str, Value]:
    pairs: dict[str, Value] = {}
    for one in messages:
        key, value = str(one.key, "utf-8", "replace"), str(one.value, "utf-8", "replace")
        if key in pairs:
            put(pairs, key, value)
        else:
            pairs[key] = value
    return pairs
