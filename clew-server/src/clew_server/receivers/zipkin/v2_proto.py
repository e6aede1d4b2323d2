"""Zipkin v2 in protobuf (`zipkin.proto3.ListOfSpans`). No I/O.

Field numbers are those of Zipkin's definition. Texts, endpoints and tags are read as bytes: what comes back with most spans is
then looked up by its bytes, and text that is not UTF-8 costs nothing but its own characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import DecodeError

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import OtlpBatch
from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value
from clew_server.receivers.foreign.writing import address_text
from clew_server.receivers.memory import check_memory
from clew_server.receivers.messages import BOOL, BYTES, FIXED64, INT32, UINT64, Many, Message, One, build
from clew_server.receivers.pieces import MAX_PART_FIELDS, PIECE_BYTES
from clew_server.receivers.wire import Field, fields
from clew_server.receivers.zipkin.spans import NOWHERE, Annotation, Endpoint, Spans

KINDS: Final = (INTERNAL, CLIENT, SERVER, PRODUCER, CONSUMER)

_MESSAGES: Final[dict[str, Message]] = {
    "Annotation": {1: One("timestamp", FIXED64), 2: One("value", BYTES)},
    "Endpoint": {
        1: One("service_name", BYTES),
        2: One("ipv4", BYTES),
        3: One("ipv6", BYTES),
        4: One("port", INT32),
    },
    "Tag": {1: One("key", BYTES), 2: One("value", BYTES)},
    "Span": {
        1: One("trace_id", BYTES),
        2: One("parent_id", BYTES),
        3: One("id", BYTES),
        4: One("kind", INT32),
        5: One("name", BYTES),
        6: One("timestamp", FIXED64),
        7: One("duration", UINT64),
        8: One("local_endpoint", BYTES),
        9: One("remote_endpoint", BYTES),
        10: Many("annotations", "Annotation"),
        11: Many("tags", BYTES),
        12: One("debug", BOOL),
        13: One("shared", BOOL),
    },
    "ListOfSpans": {1: Many("spans", "Span")},
}

_CLASSES: Final = build("clew.zipkin", _MESSAGES)


def message(name: str, **fields: Any) -> Any:
    """A new message: `ListOfSpans`, `Span`, `Annotation`, `Endpoint` or `Tag`. Texts, endpoints and tags are bytes."""
    return _CLASSES[name](**fields)


_list_from: Final = _CLASSES["ListOfSpans"].FromString
_span_from: Final = _CLASSES["Span"].FromString
_endpoint_from: Final = _CLASSES["Endpoint"].FromString
_tag_from: Final = _CLASSES["Tag"].FromString

_NO_SPAN_ID: Final = bytes(8)
_HIGH: Final = bytes(8)
_LONGEST_KEPT_BYTES = 128


def decode_v2_proto(body: bytes) -> OtlpBatch:
    """Decode a ListOfSpans. Raises BadInput, TooLarge, MemoryError."""
    spans = Spans()
    for piece in _pieces(body):
        try:
            found = _list_from(piece).spans
        except DecodeError as error:
            check_memory(error)
            found = _one_at_a_time(piece, spans)
        for one in found:
            spans.expect()
            try:
                _add(spans, one)
            except BadInput as error:
                spans.reject(error)
            except DecodeError as error:
                check_memory(error)
                spans.reject(_malformed(error))
    return spans.batch(body)


def _malformed(error: Exception) -> BadInput:
    return BadInput(f"the bytes are not Zipkin spans in protobuf: {error}", code="malformed")


def _top(body: bytes) -> Iterator[Field]:
    try:
        yield from fields(body, 0, len(body))
    except BadInput as error:
        raise BadInput(str(error).replace("an OTLP request", "Zipkin spans in protobuf"), code="malformed") from error


def _pieces(body: bytes) -> Iterator[bytes]:
    """A large body in parts, so that protobuf's objects exist for half a MiB of it and not for all."""
    if len(body) <= PIECE_BYTES:
        yield body
        return
    begin = end = 0
    for field in _top(body):
        if field.end - begin > PIECE_BYTES and end > begin:
            yield body[begin:end]
            begin = field.start
        end = field.end
        if field.end - field.start > PIECE_BYTES and field.wire_type == 2:
            _check_long(body, field)
    if end > begin:
        yield body[begin:end]


def _check_long(body: bytes, span: Field) -> None:
    for count, _ in enumerate(fields(body, span.content, span.end)):
        if count > MAX_PART_FIELDS:
            raise TooLarge(f"more than {MAX_PART_FIELDS} tags, annotations and other fields in one span")


def _one_at_a_time(piece: bytes, spans: Spans) -> Iterator[Any]:
    """The spans of a piece that can be read; the others are rejected."""
    for field in _top(piece):
        if field.number != 1 or field.wire_type != 2:
            continue
        try:
            span = _span_from(piece[field.content : field.end])
        except DecodeError as error:
            check_memory(error)
            spans.expect()
            spans.reject(_malformed(error))
        else:
            yield span


def _add(spans: Spans, span: Any) -> None:
    trace_id = span.trace_id
    if len(trace_id) == 8:
        trace_id = _HIGH + trace_id
    elif len(trace_id) != 16:
        raise BadInput(f"trace_id must have 8 or 16 bytes, not {len(trace_id)}", code="trace_id")
    span_id, parent_id = span.id, span.parent_id
    if len(span_id) != 8:
        raise BadInput(f"id must have 8 bytes, not {len(span_id)}", code="span_id")
    if parent_id == _NO_SPAN_ID:
        parent_id = b""
    elif parent_id and len(parent_id) != 8:
        raise BadInput(f"parent_id must have 8 bytes, not {len(parent_id)}", code="malformed")
    kind, more = span.kind, None
    if 0 <= kind < 5:
        kind = KINDS[kind]
    else:
        kind, more = INTERNAL, {"zipkin.kind": str(kind)}
    local, remote = span.local_endpoint, span.remote_endpoint
    annotations = span.annotations
    spans.add(
        trace_id,
        span_id,
        parent_id,
        kind,
        span.name.decode("utf-8", "replace"),
        span.timestamp,
        span.duration,
        _endpoint(local) if local else NOWHERE,
        _endpoint(remote) if remote else NOWHERE,
        [Annotation(one.timestamp, one.value.decode("utf-8", "replace")) for one in annotations] if annotations else (),
        dict([_tag(raw) if len(raw) <= _LONGEST_KEPT_BYTES else _read_tag(raw) for raw in span.tags]),
        debug=span.debug,
        shared=span.shared,
        more=more,
    )


def _read_endpoint(raw: bytes) -> Endpoint:
    found = _endpoint_from(raw)
    made = Endpoint(
        found.service_name.decode("utf-8", "replace"), address_text(found.ipv4), address_text(found.ipv6), found.port
    )
    return made if any(made) else NOWHERE


_kept_endpoint: Final = lru_cache(maxsize=4096)(_read_endpoint)


def _endpoint(raw: bytes) -> Endpoint:
    return _kept_endpoint(raw) if len(raw) <= _LONGEST_KEPT_BYTES else _read_endpoint(raw)


def _read_tag(raw: bytes) -> tuple[str, Value]:
    found = _tag_from(raw)
    return found.key.decode("utf-8", "replace"), found.value.decode("utf-8", "replace")


_tag: Final = lru_cache(maxsize=8192)(_read_tag)
