"""OTLP/JSON into the protobuf message, by the specification's own rules, which are not protobuf's JSON rules. No I/O.

The deviations (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"): ids are hex in any case, enums are
integers only, keys are lowerCamelCase only, unknown keys are ignored. 64-bit integers are text or numbers.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput, TooLarge

_INTEGER = re.compile(r"-?[0-9]{1,20}\Z")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
_URL_SAFE = str.maketrans("-_", "+/")
_MAX_VALUE_DEPTH = 40  # two messages a level; protobuf parsers stop at 100 in all
_MAX_CONTAINERS = 4_000_000  # objects and arrays; a full 64 MiB of real spans has 2.7 million

_Json = dict[str, Any]


def request_from_json(body: bytes) -> ExportTraceServiceRequest:
    """Decode an OTLP/JSON request. An id that is not hex is left empty, so that it costs its span only.

    Raises BadInput where anything else is not what OTLP says, with the place; TooLarge for absurdly many containers.
    """
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS:
        raise TooLarge("too many objects in one JSON request")
    try:
        parsed = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        request = ExportTraceServiceRequest()
        for resource_spans in _objects(_object(parsed, "the request"), "resourceSpans"):
            _resource_spans(request, resource_spans)
    except RecursionError as error:
        raise BadInput("the JSON is nested too deeply", code="malformed") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}", code="malformed", position=error.pos) from error
    except UnicodeError as error:
        raise BadInput(f"the JSON is not valid UTF-8: {error}", code="malformed") from error
    except BadInput:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise BadInput(f"the JSON holds a value that cannot be read: {error}", code="malformed") from error
    return request


def _refuse_constant(name: str) -> float:
    raise BadInput(f"{name} is not JSON: OTLP writes it as a string", code="malformed")


def _resource_spans(request: ExportTraceServiceRequest, source: _Json) -> None:
    target = request.resource_spans.add()
    target.schema_url = _text(source, "schemaUrl")
    if (resource := _optional(source, "resource")) is not None:
        target.resource.SetInParent()
        _resource(target.resource, resource)
    for scope_spans in _objects(source, "scopeSpans"):
        inner = target.scope_spans.add()
        inner.schema_url = _text(scope_spans, "schemaUrl")
        if (scope := _optional(scope_spans, "scope")) is not None:
            inner.scope.SetInParent()
            _scope(inner.scope, scope)
        for span in _objects(scope_spans, "spans"):
            _span(inner.spans.add(), span)


def _resource(target: Resource, source: _Json) -> None:
    _attributes(target.attributes, source)
    target.dropped_attributes_count = _unsigned(source, "droppedAttributesCount", 32)
    for entity in _objects(source, "entityRefs"):
        reference = target.entity_refs.add(schema_url=_text(entity, "schemaUrl"), type=_text(entity, "type"))
        reference.id_keys.extend(_texts(entity, "idKeys"))
        reference.description_keys.extend(_texts(entity, "descriptionKeys"))


def _scope(target: InstrumentationScope, source: _Json) -> None:
    target.name = _text(source, "name")
    target.version = _text(source, "version")
    _attributes(target.attributes, source)
    target.dropped_attributes_count = _unsigned(source, "droppedAttributesCount", 32)


def _span(target: Span, source: _Json) -> None:
    target.trace_id = _hex(source, "traceId")
    target.span_id = _hex(source, "spanId")
    target.parent_span_id = _hex(source, "parentSpanId")
    target.trace_state = _text(source, "traceState")
    target.flags = _unsigned(source, "flags", 32)
    target.name = _text(source, "name")
    target.kind = _enum(source, "kind")  # type: ignore[assignment]  # open enum: any int32 is kept
    target.start_time_unix_nano = _unsigned(source, "startTimeUnixNano", 64)
    target.end_time_unix_nano = _unsigned(source, "endTimeUnixNano", 64)
    _attributes(target.attributes, source)
    target.dropped_attributes_count = _unsigned(source, "droppedAttributesCount", 32)
    target.dropped_events_count = _unsigned(source, "droppedEventsCount", 32)
    target.dropped_links_count = _unsigned(source, "droppedLinksCount", 32)
    for source_event in _objects(source, "events"):
        event = target.events.add()
        event.time_unix_nano = _unsigned(source_event, "timeUnixNano", 64)
        event.name = _text(source_event, "name")
        _attributes(event.attributes, source_event)
        event.dropped_attributes_count = _unsigned(source_event, "droppedAttributesCount", 32)
    for source_link in _objects(source, "links"):
        link = target.links.add()
        link.trace_id = _hex(source_link, "traceId")
        link.span_id = _hex(source_link, "spanId")
        link.trace_state = _text(source_link, "traceState")
        _attributes(link.attributes, source_link)
        link.dropped_attributes_count = _unsigned(source_link, "droppedAttributesCount", 32)
        link.flags = _unsigned(source_link, "flags", 32)
    if (status := _optional(source, "status")) is not None:
        target.status.SetInParent()
        target.status.message = _text(status, "message")
        target.status.code = _enum(status, "code")  # type: ignore[assignment]


def _attributes(target: Any, source: _Json, key: str = "attributes", depth: int = 0) -> None:
    for pair in _objects(source, key):
        added: KeyValue = target.add(key=_text(pair, "key"))
        if (value := _optional(pair, "value")) is not None:
            added.value.SetInParent()
            _any_value(added.value, value, depth)


def _any_value(target: AnyValue, source: _Json, depth: int) -> None:
    if depth > _MAX_VALUE_DEPTH:
        raise BadInput(f"an attribute value is nested deeper than {_MAX_VALUE_DEPTH}", code="malformed")
    for key, value in source.items():
        if value is None:
            continue
        if key == "stringValue":
            target.string_value = _text(source, key)
        elif key == "boolValue":
            if not isinstance(value, bool):
                raise _wrong(key, "true or false", value)
            target.bool_value = value
        elif key == "intValue":
            target.int_value = _integer(source, key, -(1 << 63), 1 << 63)
        elif key == "doubleValue":
            target.double_value = _double(value)
        elif key == "bytesValue":
            target.bytes_value = _base64(_text(source, key))
        elif key == "arrayValue":
            target.array_value.SetInParent()
            for item in _objects(_object(value, key), "values"):
                _any_value(target.array_value.values.add(), item, depth + 1)
        elif key == "kvlistValue":
            target.kvlist_value.SetInParent()
            _attributes(target.kvlist_value.values, _object(value, key), "values", depth + 1)


def _wrong(key: str, wanted: str, value: object) -> BadInput:
    return BadInput(f"{key} must be {wanted}, not {json.dumps(value)[:80]}", code="malformed")


def _object(value: object, key: str) -> _Json:
    if not isinstance(value, dict):
        raise _wrong(key, "an object", value)
    return value


def _optional(source: _Json, key: str) -> _Json | None:
    value = source.get(key)
    return None if value is None else _object(value, key)


def _objects(source: _Json, key: str) -> list[_Json]:
    values = source.get(key)
    if values is None:
        return []
    if not isinstance(values, list):
        raise _wrong(key, "an array", values)
    for value in values:
        _object(value, key)
    return values


def _texts(source: _Json, key: str) -> list[str]:
    values = source.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _wrong(key, "an array of strings", values)
    return values


def _text(source: _Json, key: str) -> str:
    value = source.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, "a string", value)
    return value


def _hex(source: _Json, key: str) -> bytes:
    value = _text(source, key)
    return bytes.fromhex(value) if _HEX.match(value) else b""


def _enum(source: _Json, key: str) -> int:
    value = source.get(key, 0)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise _wrong(key, "the number of an enum value, never its name", value)
    return value


def _unsigned(source: _Json, key: str, bits: int) -> int:
    return _integer(source, key, 0, 1 << bits)


def _integer(source: _Json, key: str, least: int, beyond: int) -> int:
    value = source.get(key)
    if value is None:
        return 0
    if (isinstance(value, str) and _INTEGER.match(value)) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise _wrong(key, "an integer", value)
    if not least <= number < beyond:
        raise _wrong(key, f"from {least} to {beyond - 1}", str(value))
    return number


def _double(value: object) -> float:
    if isinstance(value, str) and len(value) < 400:
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise _wrong("doubleValue", "a number", value)


def _base64(text: str) -> bytes:
    bare = text.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong("bytesValue", "base64", text) from error
