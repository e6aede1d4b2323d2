"""A trace in the JSON that Jaeger's `/api/traces` answers with: spans with tags, logs and references, processes, warnings.

Times are whole microseconds, rounded down, as Jaeger's are. Made in pieces, so that a large trace is never one text.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.api.jaeger.ids import jaeger_id
from clew_server.model.attributes import plain
from clew_server.model.lean import lean_class
from clew_server.model.search import KIND_WORDS
from clew_server.model.text import value_text
from clew_server.model.trace import ADJUSTED, MISSING, SAME_ID, Trace

NO_SERVICE: Final = "unknown_service"
"""What a resource without `service.name` is called, since Jaeger's tools need a name: OpenTelemetry's own default."""

_PIECE_CHARACTERS: Final = 256 << 10
_KNOWN_TAGS: Final = 20_000
_KNOWN_TAG_BYTES: Final = 1_000
_SAFE_INTEGER: Final = (1 << 53) - 1
_REFERENCE_TYPE: Final = "opentracing.ref_type"
_SAMPLED: Final = 1
_UNSET, _OK, _ERROR = 0, 1, 2
_INTERNAL: Final = 1

_Span = lean_class(Span.DESCRIPTOR)
_Event = lean_class(Span.Event.DESCRIPTOR)


def trace_pieces(trace: Trace) -> Iterator[bytes]:
    """The JSON object of one trace. Of one that has no spans nothing can be said: there is none."""
    tags = _Tags()
    # Spans of one resource are of one process, whatever their scopes.
    resources = list(dict.fromkeys(origin.resource for origin in trace.stored.origins))
    names = {resource: f'"p{number}"' for number, resource in enumerate(resources, 1)}
    processes = [names[origin.resource] for origin in trace.stored.origins]
    trace_id = ""
    waiting: list[str] = []
    size = 0
    head = ""
    for row, text in enumerate(_spans(trace, tags, processes)):
        if not row:
            trace_id = jaeger_id(trace.span(0).trace_id.hex())
            head = f'{{"traceID":"{trace_id}","spans":['
        waiting.append(text)
        size += len(text)
        if size >= _PIECE_CHARACTERS:
            yield (head + ",".join(waiting)).encode()
            head, size = ",", 0
            waiting.clear()
    named = ",".join(f"{name}:{_process(resource, tags)}" for resource, name in names.items())
    spans = (head + ",".join(waiting)) if waiting else ""
    yield f'{spans}],"processes":{{{named}}},"warnings":{_warnings(_of_trace(trace))}}}'.encode()


def _spans(trace: Trace, tags: _Tags, processes: list[str]) -> Iterator[str]:
    """The JSON of each row."""
    scopes = [_scope_tags(origin.scope, tags) for origin in trace.stored.origins]
    trace_id = jaeger_id(trace.span(0).trace_id.hex()) if len(trace) else ""
    quoted: dict[str, str] = {}
    for row, raw in enumerate(trace.stored.raw):
        span = _Span.FromString(raw)
        origin = trace.stored.origin[row]
        name = trace.name_of(row)
        head = f'{{"traceID":"{trace_id}","spanID":"{span.span_id.hex()}"'
        if span.flags & _SAMPLED:
            head += ',"flags":1'
        yield (
            f'{head},"operationName":{quoted.get(name) or quoted.setdefault(name, encode_basestring(name))}'
            f',"references":[{",".join(_references(trace_id, trace, row, span))}]'
            f',"startTime":{(trace.t0_unix_nano + trace.start_ns[row]) // 1_000}'
            f',"duration":{trace.duration_ns[row] // 1_000}'
            f',"tags":[{",".join(_span_tags(span, scopes[origin], tags))}]'
            f',"logs":[{",".join(_logs(span, tags))}]'
            f',"processID":{processes[origin]},"warnings":{_warnings(_of_span(trace, row, span))}}}'
        )


class _Tags:
    """Makes the JSON of attributes. Those that come again and again (most do) are made once."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def of(self, raw: Iterable[bytes]) -> list[str]:
        """Tags of attributes, each as its protobuf."""
        known = self._known
        return [known.get(one) or self._made(one) for one in raw]

    def _made(self, raw: bytes) -> str:
        try:
            text = tag(KeyValue.FromString(raw))
        except DecodeError:
            text = _text_tag("", base64.b64encode(raw).decode())
        if len(raw) <= _KNOWN_TAG_BYTES and len(self._known) < _KNOWN_TAGS:
            self._known[raw] = text
        return text


def tag(pair: KeyValue) -> str:
    """One attribute as Jaeger's tag: `key`, `type` (string, bool, int64, float64, binary) and `value`.

    An integer that JavaScript's numbers cannot hold is a text; a list or a map is its JSON as a string.
    """
    key, value = encode_basestring(pair.key), pair.value
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return f'{{"key":{key},"type":"string","value":{encode_basestring(value.string_value)}}}'
    if kind == "int_value":
        number = value.int_value
        shown = str(number) if abs(number) <= _SAFE_INTEGER else f'"{number}"'
        return f'{{"key":{key},"type":"int64","value":{shown}}}'
    if kind == "bool_value":
        return f'{{"key":{key},"type":"bool","value":{"true" if value.bool_value else "false"}}}'
    if kind == "double_value":
        return f'{{"key":{key},"type":"float64","value":{json.dumps(_double(value.double_value))}}}'
    if kind == "bytes_value":
        return f'{{"key":{key},"type":"binary","value":"{base64.b64encode(value.bytes_value).decode()}"}}'
    text = "" if kind is None else json.dumps(plain(value, _leaf), ensure_ascii=False, separators=(",", ":"))
    return f'{{"key":{key},"type":"string","value":{encode_basestring(text)}}}'


def _leaf(value: AnyValue) -> float | str:
    """A number or bytes within a list or a map."""
    if value.HasField("bytes_value"):
        return base64.b64encode(value.bytes_value).decode()
    return _double(value.double_value)


def _double(value: float) -> float | str:
    """JSON has no word for what is not finite."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _text_tag(key: str, value: str) -> str:
    return f'{{"key":{encode_basestring(key)},"type":"string","value":{encode_basestring(value)}}}'


def _number_tag(key: str, value: int) -> str:
    return f'{{"key":"{key}","type":"int64","value":{value}}}'


def _process(resource: bytes, tags: _Tags) -> str:
    """A resource as Jaeger's process: its service and the other attributes."""
    try:
        attributes = Resource.FromString(resource).attributes
    except DecodeError:
        attributes = Resource().attributes
    service = next((value_text(pair.value) for pair in attributes if pair.key == "service.name"), "") or NO_SERVICE
    others = tags.of(pair.SerializeToString() for pair in attributes if pair.key != "service.name")
    return f'{{"serviceName":{encode_basestring(service)},"tags":[{",".join(others)}]}}'


def _scope_tags(scope: bytes, tags: _Tags) -> list[str]:
    try:
        named = InstrumentationScope.FromString(scope)
    except DecodeError:
        return []
    made = [_text_tag("otel.scope.name", named.name)] if named.name else []
    if named.version:
        made.append(_text_tag("otel.scope.version", named.version))
    for pair in named.attributes:
        renamed = KeyValue(key=f"otel.scope.{pair.key}", value=pair.value)
        made += tags.of([renamed.SerializeToString()])
    return made


def _span_tags(span: Any, scope: list[str], tags: _Tags) -> list[str]:
    """What Jaeger has no field of its own for stands in tags, under the names of OpenTelemetry's mapping to other formats."""
    made = tags.of(span.attributes)
    if span.kind and 0 < span.kind < len(KIND_WORDS):
        made.append(_text_tag("span.kind", KIND_WORDS[span.kind]))
    if span.status:
        status = Status.FromString(span.status)
        if status.code == _ERROR:
            made.append(_text_tag("otel.status_code", "ERROR"))
            made.append('{"key":"error","type":"bool","value":true}')
        elif status.code == _OK:
            made.append(_text_tag("otel.status_code", "OK"))
        if status.message:
            made.append(_text_tag("otel.status_description", status.message))
    made += scope
    if span.trace_state:
        made.append(_text_tag("w3c.tracestate", span.trace_state))
    for what in ("attributes", "events", "links"):
        if dropped := getattr(span, f"dropped_{what}_count"):
            made.append(_number_tag(f"otel.dropped_{what}_count", dropped))
    return made


def _references(trace_id: str, trace: Trace, row: int, span: Any) -> Iterator[str]:
    """The parent first, then the links: each follows from what it names, unless it says that it is a child of it.

    A link to the parent that says what it is, is the reference that the parent was read from.
    """
    parent = span.parent_span_id if len(span.parent_span_id) == 8 else b""
    references = []
    for raw in span.links:
        link = Span.Link.FromString(raw)
        said = next((pair.value.string_value for pair in link.attributes if pair.key == _REFERENCE_TYPE), "")
        kind, linked = "CHILD_OF" if said == "child_of" else "FOLLOWS_FROM", jaeger_id(link.trace_id.hex())
        references.append(f'{{"refType":"{kind}","traceID":"{linked}","spanID":"{link.span_id.hex()}"}}')
        if said and link.span_id == parent and linked == trace_id:
            parent = b""
    if parent.strip(b"\0"):
        yield f'{{"refType":"CHILD_OF","traceID":"{trace_id}","spanID":"{parent.hex()}"}}'
    yield from references


def _logs(span: Any, tags: _Tags) -> Iterator[str]:
    """Events, their name as the field `event`; and links that have attributes, for which a reference has no place."""
    for raw in span.events:
        event = _Event.FromString(raw)
        fields = tags.of(event.attributes)
        if event.name and not any(field.startswith('{"key":"event",') for field in fields):
            fields.insert(0, _text_tag("event", event.name))
        if event.dropped_attributes_count:
            fields.append(_number_tag("otel.dropped_attributes_count", event.dropped_attributes_count))
        yield _log(event.time_unix_nano, fields)
    for raw in span.links:
        link = Span.Link.FromString(raw)
        fields = [tag(pair) for pair in link.attributes if pair.key != _REFERENCE_TYPE]
        if link.trace_state:
            fields.append(_text_tag("w3c.tracestate", link.trace_state))
        if fields:
            named = [_text_tag("event", "link"), _text_tag("trace_id", jaeger_id(link.trace_id.hex()))]
            yield _log(span.start_time_unix_nano, [*named, _text_tag("span_id", link.span_id.hex()), *fields])


def _log(time_unix_nano: int, fields: list[str]) -> str:
    return f'{{"timestamp":{time_unix_nano // 1_000},"fields":[{",".join(fields)}]}}'


def _of_trace(trace: Trace) -> list[str]:
    warnings = [] if trace.unreadable is None else [f"spans may be missing: {trace.unreadable}"]
    if trace.broken:
        warnings.append(f"the bytes of {trace.broken} spans are damaged and left out")
    return warnings


def _of_span(trace: Trace, row: int, span: Any) -> list[str]:
    warnings = []
    flags = trace.flags[row]
    if flags & SAME_ID:
        warnings.append("another span of this trace has the same span ID")
    if trace.parent[row] == MISSING:
        warnings.append(f"the parent span {span.parent_span_id.hex()} is not in this trace")
    if flags & ADJUSTED:
        warnings.append("the start that was sent is none between the years 2000 and 2100: shown at its arrival")
    if span.end_time_unix_nano < span.start_time_unix_nano:
        warnings.append("the end that was sent is before the start: shown without a duration")
    return warnings


def _warnings(sentences: list[str]) -> str:
    return json.dumps(sentences, ensure_ascii=False) if sentences else "null"
