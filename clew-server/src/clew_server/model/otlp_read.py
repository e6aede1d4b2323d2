"""Converts stored OTLP bytes to a trace as OTLP and as OTLP JSON. No I/O.

A span whose bytes do not parse (only a damaged disk or another writer makes one) is left out; `readable` counts them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp.encode import varint
from clew_server.model.stored import StoredSpan
from clew_server.model.unknown import around, whole

_ERROR: Final = 2


def deduplicated(spans: Iterable[StoredSpan]) -> list[StoredSpan]:
    """Each span once. Equal means: resource, scope, both schema URLs and every byte of the span."""
    unique: dict[tuple[bytes, bytes, bytes, str, str], StoredSpan] = {}
    for span in spans:
        key = (span.span, span.resource, span.scope, span.resource_schema_url, span.scope_schema_url)
        kept = unique.get(key)
        if kept is None or span.received_unix_nano < kept.received_unix_nano:
            unique[key] = span
    return list(unique.values())


def readable(spans: Iterable[StoredSpan]) -> tuple[list[StoredSpan], int]:
    """The spans whose bytes parse, and how many do not."""
    good: list[StoredSpan] = []
    broken = 0
    parse = Span.FromString
    for span in spans:
        try:
            parse(span.span)
        except DecodeError:
            broken += 1
        else:
            good.append(span)
    return good, broken


def failed(span: bytes) -> bool:
    """Whether the span's status is error; no for bytes that do not parse."""
    try:
        return Span.FromString(span).status.code == _ERROR
    except DecodeError:
        return False


def trace_as_otlp(spans: Iterable[StoredSpan]) -> bytes:
    """One serialized `ExportTraceServiceRequest` of the spans, each once, every field as it came, unknown ones too.

    The bytes of spans, scopes and resources are put together as they came (`model.unknown`); spans of one resource and
    scope share them.
    """
    out = bytearray()
    for (resource, resource_url), scopes in _grouped(spans).items():
        body = bytearray()
        if resource_came := whole(resource):
            body += b"\x0a" + _sized(resource_came)
        for (scope, scope_url), members in scopes.items():
            inner = bytearray()
            if scope_came := whole(scope):
                inner += b"\x0a" + _sized(scope_came)
            for span in members:
                inner += b"\x12" + _sized(whole(span))
            if scope_url:
                inner += b"\x1a" + _sized(scope_url.encode())
            inner += around(scope)
            body += b"\x12" + _sized(inner)
        if resource_url:
            body += b"\x1a" + _sized(resource_url.encode())
        body += around(resource)
        out += b"\x0a" + _sized(body)
    return bytes(out)


def trace_as_otlp_json(spans: Iterable[StoredSpan]) -> bytes:
    """The spans, each once, as OTLP JSON: ids in hex, 64-bit integers as strings, enumerations as numbers.

    Unknown fields have no JSON form and are left out; absent and default fields are too.
    """
    resource_spans = []
    for (resource, resource_url), scopes in _grouped(spans).items():
        scope_spans = []
        for (scope, scope_url), members in scopes.items():
            entry: dict[str, Any] = {"scope": _parsed(InstrumentationScope, scope)}
            entry["spans"] = [_as_json(Span.FromString(member)) for member in members]
            if scope_url:
                entry["schemaUrl"] = scope_url
            scope_spans.append(entry)
        outer: dict[str, Any] = {"resource": _parsed(Resource, resource), "scopeSpans": scope_spans}
        if resource_url:
            outer["schemaUrl"] = resource_url
        resource_spans.append(outer)
    text = json.dumps({"resourceSpans": resource_spans}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def spans_as_otlp_json(spans: Iterable[StoredSpan], span_ids: Iterable[bytes]) -> bytes:
    """As `trace_as_otlp_json`, only the spans with these ids (8 bytes each; two spans may share one)."""
    wanted = set(span_ids)
    return trace_as_otlp_json([span for span in spans if _span_id(span.span) in wanted])


def _span_id(span: bytes) -> bytes:
    if span[:2] == b"\x0a\x10" and span[18:20] == b"\x12\x08":  # canonical: the two ids come first
        return span[20:28]
    try:
        return Span.FromString(span).span_id
    except DecodeError:
        return b""


def _grouped(spans: Iterable[StoredSpan]) -> dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]]:
    """Span bytes by resource, then by scope, each span once and only those that parse."""
    groups: dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]] = {}
    for span in readable(deduplicated(spans))[0]:
        scopes = groups.setdefault((span.resource, span.resource_schema_url), {})
        scopes.setdefault((span.scope, span.scope_schema_url), []).append(span.span)
    return groups


def _sized(body: bytes | bytearray) -> bytes:
    return varint(len(body)) + body


def _parsed(kind: type[Resource | InstrumentationScope], data: bytes) -> dict[str, Any]:
    try:
        return _as_json(kind.FromString(data))
    except DecodeError:
        return {}


def _as_json(message: Message) -> dict[str, Any]:
    forms = _forms(message.DESCRIPTOR)
    return {name: form(value) for field, value in message.ListFields() for name, form in (forms[field.number],)}


@cache
def _forms(descriptor: Descriptor) -> dict[int, tuple[str, Callable[[Any], Any]]]:
    """JSON name and conversion of each field, from the descriptor: a field OTLP adds is there without a line here."""
    return {field.number: (field.json_name, _form(field)) for field in descriptor.fields}


_AS_TEXT: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_SINT64,
    }
)
_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})


def _form(field: FieldDescriptor) -> Callable[[Any], Any]:
    one: Callable[[Any], Any]
    if field.message_type is KeyValue.DESCRIPTOR:
        one = _attribute
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        one = _as_json
    elif field.type in _AS_TEXT:
        one = str
    elif field.type == FieldDescriptor.TYPE_BYTES:
        one = bytes.hex if field.name in _IDS else _base64
    elif field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        one = _double
    else:
        one = _itself
    if field.is_repeated:
        return lambda values: [one(value) for value in values]
    return one


def _attribute(pair: KeyValue) -> dict[str, Any]:
    """As `_as_json`, in a third of the time where the value is plain: most of a trace is attributes."""
    value = pair.value
    which = value.WhichOneof("value")
    if which not in ("string_value", "int_value", "bool_value") or not pair.key or pair.key_strindex:
        return _as_json(pair)
    if which == "string_value":
        return {"key": pair.key, "value": {"stringValue": value.string_value}}
    if which == "int_value":
        return {"key": pair.key, "value": {"intValue": str(value.int_value)}}
    return {"key": pair.key, "value": {"boolValue": value.bool_value}}


def _itself(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
