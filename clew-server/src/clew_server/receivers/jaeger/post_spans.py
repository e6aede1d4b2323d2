"""Jaeger over gRPC: a `PostSpansRequest` of api_v2, into OTLP. No I/O.

The request is cut into its spans before protobuf makes objects, one span at a time, so that memory does not grow with what a
hostile request says; a span that is none costs its batch nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text, text_value
from clew_server.receivers.jaeger import model
from clew_server.receivers.jaeger.spans import JaegerSpan, Reference, Writer, event_of, resource_of
from clew_server.receivers.jaeger.tags import Tags, put
from clew_server.receivers.messages import inner, parsed
from clew_server.receivers.pieces import MAX_PART_FIELDS
from clew_server.receivers.wire import fields

_NO_TRACE_ID_HIGH: Final = bytes(8)
_NS_PER_S: Final = 1_000_000_000
_BATCH, _SPANS, _PROCESS = 1, 1, 2
# Where tags and what holds them lie: field number → the message's own such fields.
_INNER: Final = inner(model.MESSAGES)


def decode_post_spans(body: bytes, head: Head) -> OtlpBatch:
    """Raises BadInput, TooLarge."""
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    try:
        return _decode(body)
    except BadInput as error:
        if error.code == "malformed":
            why = str(error).rpartition("request: ")[2]
            raise BadInput(
                f"the bytes are not a PostSpansRequest of Jaeger's api_v2: {why}", code="malformed"
            ) from error
        raise


def _decode(body: bytes) -> OtlpBatch:
    spans, process = _cut(body)
    writer = Writer()
    resource_bytes = _resource(parsed(model.ProcessMessage, process, _INNER["Process"], "process of Jaeger"))
    of_spans: dict[bytes, bytes] = {}
    for at, end in spans:
        try:
            span = parsed(model.SpanMessage, body[at:end], _INNER["Span"], "span of Jaeger")
        except BadInput as error:
            if isinstance(error, TooLarge):
                raise
            writer.malformed()
        else:
            writer.add(_resource_of_span(span, of_spans) if span.HasField("process") else resource_bytes, _span(span))
    return writer.batch(body)


def _cut(body: bytes) -> tuple[list[tuple[int, int]], bytes]:
    """Where the spans lie, and the process. Of parts that come twice protobuf wants the second merged into the first."""
    spans: list[tuple[int, int]] = []
    process: list[bytes] = []
    others = 0
    for batch in fields(body, 0, len(body)):
        others += 1
        if batch.number == _BATCH and batch.wire_type == 2:
            for field in fields(body, batch.content, batch.end):
                if field.number == _SPANS and field.wire_type == 2:
                    spans.append((field.content, field.end))
                    if len(spans) > MAX_REQUEST_SPANS:
                        raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
                    continue
                if field.number == _PROCESS and field.wire_type == 2:
                    process.append(body[field.content : field.end])
                others += 1
                if others > MAX_PART_FIELDS:
                    break
        if others > MAX_PART_FIELDS:
            raise TooLarge(f"more than {MAX_PART_FIELDS} fields beside the spans")
    return spans, b"".join(process)


def _resource_of_span(span: Any, known: dict[bytes, bytes]) -> bytes:
    """OpenTelemetry's exporter writes the process to each span, the same one each time."""
    process = span.process.SerializeToString(deterministic=True)
    found = known.get(process)
    if found is None:
        found = _resource(span.process)
        if len(known) < _MOST_PROCESSES:
            known[process] = found
    return found


_MOST_PROCESSES: Final = 1024


def _resource(process: Any) -> bytes:
    return resource_of(text(process.service_name), _tags(process.tags))


def _span(span: Any) -> JaegerSpan:
    trace_id = _trace_id(span.trace_id)
    tags = _tags(span.tags)
    if span.process_id:
        tags.setdefault("jaeger.process_id", text_value(span.process_id))
    if span.warnings:
        tags.setdefault("jaeger.warnings", tuple(text(one) for one in span.warnings))
    return JaegerSpan(
        trace_id,
        span.span_id,
        b"",
        text(span.operation_name),
        [Reference(one.ref_type, _trace_id(one.trace_id), one.span_id) for one in span.references],
        span.flags,
        _ns(span.start_time),
        _ns(span.duration),
        tags,
        [event_of(_ns(log.timestamp), _tags(log.fields)) for log in span.logs],
    )


def _trace_id(raw: bytes) -> bytes:
    """Eight bytes are a short trace id."""
    return _NO_TRACE_ID_HIGH + raw if len(raw) == 8 else raw


def _ns(time: Any) -> int:
    return int(time.seconds) * _NS_PER_S + int(time.nanos)


def _tags(messages: Iterable[Any]) -> Tags:
    tags: Tags = {}
    for one in messages:
        key = text(one.key)
        value = _value(one)
        if key in tags:
            put(tags, key, value)
        else:
            tags[key] = value
    return tags


def _value(one: Any) -> Value:
    type_ = one.v_type
    if type_ == model.STRING:
        return text_value(one.v_str)
    if type_ == model.BOOL:
        return bool(one.v_bool)
    if type_ == model.INT64:
        return int(one.v_int64)
    if type_ == model.FLOAT64:
        return float(one.v_float64)
    if type_ == model.BINARY:
        return bytes(one.v_binary)
    return text_value(one.v_str)  # a type of a later version
