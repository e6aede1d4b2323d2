"""OTLP/JSON into protobuf, by the specification's own rules, which are not protobuf's JSON rules. No I/O.

The deviations (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"): ids are hex in any case, enums are
integers, keys are lowerCamelCase only, unknown keys are ignored. 64-bit integers are text or numbers. Taken as well is what
clients send by mistake and what can mean one thing only: enum values by their full names, NaN without quotes, and half a
character (what a string cut by length ends with), which becomes U+FFFD.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS
from clew_server.receivers.json_walk import JsonWalk
from clew_server.receivers.signals import TRACES, Signal

_INTEGER = re.compile(r"-?[0-9]{1,20}\Z")
_DOUBLE = re.compile(r"-?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|Infinity|inf|NaN|nan)\Z")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
_URL_SAFE = str.maketrans("-_", "+/")
_MAX_VALUE_DEPTH = 40  # two messages a level; protobuf parsers stop at 100 in all
_MAX_CONTAINERS = 4_000_000  # objects and arrays; a full 64 MiB of real spans has 2.7 million

_Json = dict[str, Any]
_JSON_NAMES: dict[type, str] = {dict: "object", list: "array"}


def request_from_json(body: bytes, rejected: Counter[str], signal: Signal = TRACES) -> bytes:
    """The request in protobuf. An id that is not hex is left empty, so that it costs its span only.

    A span or log record with any other wrong value is left out and counted as `signal.malformed`, and so are all of a resource
    or scope that has one. Raises BadInput where the text is no JSON, has no request's structure, or holds wrong spans only;
    TooLarge for absurdly many containers.
    """
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS:
        raise TooLarge("too many objects in one JSON request")
    reading = _Reading(JsonWalk(body.decode("utf-8-sig", "replace")), rejected, signal)
    request = reading.request()
    if reading.first_problem is not None and not reading.items:
        raise reading.first_problem
    return request


class _Reading:
    """One request being read. `items` counts the spans or log records that were taken."""

    def __init__(self, walk: JsonWalk, rejected: Counter[str], signal: Signal) -> None:
        self._walk = walk
        self._rejected = rejected
        self._signal = signal
        self._read = _span if signal is TRACES else _log_record
        self.items = self._scopes = 0
        self.first_problem: BadInput | None = None

    def request(self) -> bytes:
        walk = self._walk
        done: list[bytes] = []
        if walk.starts() != "{":
            raise _wrong("the request", "an object", walk.value())
        for key in walk.members():
            if key != self._signal.resources_json:
                walk.value()
                continue
            for _ in self._array(key):
                if len(done) >= MAX_REQUEST_SPANS:
                    raise TooLarge(f"more than {MAX_REQUEST_SPANS} resources in one request")
                one = self._signal.request()
                self._resource(self._signal.resources_of(one).add())
                done.append(one.SerializeToString())
        walk.end()
        return b"".join(done)

    def _array(self, key: str) -> Iterator[None]:
        """The elements of an array of objects; none for null."""
        walk = self._walk
        if walk.starts() == "n":
            walk.value()
            return
        if walk.starts() != "[":
            raise _wrong(key, "an array", walk.value())
        for _ in walk.elements():
            if walk.starts() != "{" and key != self._signal.items_json:
                raise _wrong(key, "an array of objects", walk.value())
            yield

    def _resource(self, target: Any) -> None:
        walk, problem = self._walk, None
        for key in walk.members():
            if key == self._signal.scopes_json:
                for _ in self._array(key):
                    self._scopes += 1
                    if self._scopes > MAX_REQUEST_SPANS:
                        raise TooLarge(f"more than {MAX_REQUEST_SPANS} scopes in one request")
                    self._scope(self._signal.scopes_of(target).add())
                continue
            problem = self._head(target, key, walk.value(), _resource) or problem
        if problem is not None:
            self._reject(problem, sum(len(self._signal.items_of(scope)) for scope in self._signal.scopes_of(target)))
            target.Clear()

    def _scope(self, target: Any) -> None:
        walk, problem = self._walk, None
        for key in walk.members():
            if key == self._signal.items_json:
                for _ in self._array(key):
                    self._item(self._signal.items_of(target))
                continue
            problem = self._head(target, key, walk.value(), _scope) or problem
        if problem is not None:
            self._reject(problem, len(self._signal.items_of(target)))
            target.Clear()

    def _item(self, items: Any) -> None:
        if self.items + self._rejected[self._signal.malformed] >= MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} {self._signal.one}s in one request")
        source = self._walk.value()
        self.items += 1
        try:
            self._read(items.add(), _object(source, f"a {self._signal.one}"))
        except BadInput as error:
            del items[-1]
            self._reject(error, 1)

    def _head(self, target: Any, key: str, value: Any, read: Callable[[Any, _Json], None]) -> BadInput | None:
        """Read the resource of a Resource…, the scope of a Scope…, or their schemaUrl; what is wrong with it."""
        name = read.__name__.removeprefix("_")
        try:
            if key == "schemaUrl":
                target.schema_url = _text({key: value}, key)
            elif key == name and value is not None:
                inner = getattr(target, name)
                inner.SetInParent()
                read(inner, _object(value, key))
        except BadInput as error:
            return error
        return None

    def _reject(self, why: BadInput, items: int) -> None:
        self.first_problem = self.first_problem or why
        self.items -= items
        self._rejected[self._signal.malformed] += items


def resource_from_json(source: object) -> bytes:
    """A `resource` of OTLP JSON as protobuf. Raises BadInput for a wrong value."""
    target = Resource()
    _resource(target, _object(source, "resource"))
    return target.SerializeToString()


def scope_from_json(source: object) -> bytes:
    """A `scope` of OTLP JSON as protobuf. Raises BadInput for a wrong value."""
    target = InstrumentationScope()
    _scope(target, _object(source, "scope"))
    return target.SerializeToString()


def span_from_json(source: object) -> bytes:
    """A span of OTLP JSON as protobuf; an id that is not hex is left empty. Raises BadInput for any other wrong value."""
    target = Span()
    _span(target, _object(source, "a span"))
    return target.SerializeToString()


def text_from_json(value: object, key: str) -> bytes:
    """A text of OTLP JSON as UTF-8; null is none. Raises BadInput for another value."""
    return _text({key: value}, key).encode()


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
    target.kind = _enum(source, "kind", Span.SpanKind)  # type: ignore[assignment]  # open enum: any int32 is kept
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
        target.status.code = _enum(status, "code", Status.StatusCode)  # type: ignore[assignment]


def _log_record(target: LogRecord, source: _Json) -> None:
    target.time_unix_nano = _unsigned(source, "timeUnixNano", 64)
    target.observed_time_unix_nano = _unsigned(source, "observedTimeUnixNano", 64)
    target.severity_number = _enum(source, "severityNumber", SeverityNumber)  # type: ignore[assignment]
    target.severity_text = _text(source, "severityText")
    if (body := _optional(source, "body")) is not None:
        target.body.SetInParent()
        _any_value(target.body, body, 0)
    _attributes(target.attributes, source)
    target.dropped_attributes_count = _unsigned(source, "droppedAttributesCount", 32)
    target.flags = _unsigned(source, "flags", 32)
    target.trace_id = _hex(source, "traceId")
    target.span_id = _hex(source, "spanId")
    target.event_name = _text(source, "eventName")


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
    shown = json.dumps(value) if not isinstance(value, (dict, list)) else f"an {_JSON_NAMES[type(value)]}"
    return BadInput(f"{key} must be {wanted}, not {shown[:80]}", code="malformed")


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
    return [_whole_characters(value) for value in values]


def _text(source: _Json, key: str) -> str:
    value = source.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, "a string", value)
    return value if value.isascii() else _whole_characters(value)


def _whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _hex(source: _Json, key: str) -> bytes:
    value = _text(source, key)
    return bytes.fromhex(value) if _HEX.match(value) else b""


def _enum(source: _Json, key: str, names: Any) -> int:
    value = source.get(key, 0)
    if value is None:
        return 0
    if isinstance(value, str) and value in names.DESCRIPTOR.values_by_name:
        return int(names.Value(value))
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise _wrong(key, "the number of an enum value", value)
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
    if isinstance(value, str) and len(value) < 400 and _DOUBLE.match(value):
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
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
