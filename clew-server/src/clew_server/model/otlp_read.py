"""Converts stored OTLP bytes to a trace as OTLP and as OTLP JSON, in pieces, so that a large one never exists whole. No I/O.

A span whose bytes do not parse (only a damaged disk or another writer makes one) is left out.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from json.encoder import encode_basestring
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp.encode import varint
from clew_server.model.lean import lean_class
from clew_server.model.stored import Origin, StoredSpan, StoredSpans
from clew_server.model.unknown import around, whole

_ERROR: Final = 2
_PIECE_BYTES: Final = 256 << 10
_KNOWN_PARTS: Final = 20_000
_KNOWN_PART_BYTES: Final = 200
_LEAN_SPAN: Final = lean_class(Span.DESCRIPTOR)


def failed(span: bytes) -> bool:
    """Whether the span's status is error; no for bytes that do not parse."""
    try:
        return Span.FromString(span).status.code == _ERROR
    except DecodeError:
        return False


def trace_as_otlp(spans: Iterable[StoredSpan]) -> bytes:
    """As `otlp_pieces`, in one, of spans that may come twice and may not parse."""
    return b"".join(otlp_pieces(_sound(spans)))


def trace_as_otlp_json(spans: Iterable[StoredSpan]) -> bytes:
    """As `otlp_json_pieces`, in one, of spans that may come twice and may not parse."""
    return b"".join(otlp_json_pieces(_sound(spans)))


def otlp_pieces(spans: StoredSpans) -> Iterator[bytes]:
    """One serialized `ExportTraceServiceRequest` of the spans, every field as it came, unknown ones too.

    The bytes of spans, scopes and resources are put together as they came (`model.unknown`); spans of one resource and
    scope share them. Every span must parse.
    """
    for (resource, resource_url), scopes in _grouped(spans).items():
        heads, tails, sizes = [], [], []
        for (scope, scope_url), members in scopes.items():
            scope_came = whole(scope)
            heads.append(b"\x0a" + _sized(scope_came) if scope_came else b"")
            tails.append((b"\x1a" + _sized(scope_url.encode()) if scope_url else b"") + around(scope))
            sizes.append(len(heads[-1]) + len(tails[-1]) + sum(_framed(len(whole(raw))) for raw in members))
        resource_came = whole(resource)
        head = b"\x0a" + _sized(resource_came) if resource_came else b""
        tail = (b"\x1a" + _sized(resource_url.encode()) if resource_url else b"") + around(resource)
        size = len(head) + len(tail) + sum(map(_framed, sizes))
        piece = bytearray(b"\x0a" + varint(size) + head)
        for members, scope_head, scope_tail, scope_size in zip(scopes.values(), heads, tails, sizes, strict=True):
            piece += b"\x12" + varint(scope_size) + scope_head
            for raw in members:
                piece += b"\x12" + _sized(whole(raw))
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
            piece += scope_tail
        yield bytes(piece + tail)


def otlp_json_pieces(spans: StoredSpans) -> Iterator[bytes]:
    """The spans as OTLP JSON: ids in hex, 64-bit integers as strings, enumerations as numbers. Every span must parse.

    Unknown fields have no JSON form and are left out; absent and default fields are too.
    """
    return _json_pieces(spans, '{"resourceSpans":[', "]}")


def resource_spans_json_pieces(spans: StoredSpans) -> Iterator[bytes]:
    """As `otlp_json_pieces`, only what stands in the list of resources, so that one list can hold several traces."""
    return _json_pieces(spans, "", "")


def _json_pieces(spans: StoredSpans, head: str, tail: str) -> Iterator[bytes]:
    texts = _Texts()
    piece = head
    for number, ((resource, resource_url), scopes) in enumerate(_grouped(spans).items()):
        piece += f'{"," if number else ""}{{"resource":{_parsed(Resource, resource)},"scopeSpans":['
        for at, ((scope, scope_url), members) in enumerate(scopes.items()):
            piece += f'{"," if at else ""}{{"scope":{_parsed(InstrumentationScope, scope)},"spans":['
            waiting: list[str] = []
            size = 0
            comma = ""
            for raw in members:
                waiting.append(text := texts.of_span(raw))
                size += len(text)
                if size >= _PIECE_BYTES:
                    yield (piece + comma + ",".join(waiting)).encode()
                    piece, comma, size = "", ",", 0
                    waiting.clear()
            piece += (comma if waiting else "") + ",".join(waiting) + "]"
            piece += f',"schemaUrl":{encode_basestring(scope_url)}}}' if scope_url else "}"
        piece += "]" + (f',"schemaUrl":{encode_basestring(resource_url)}}}' if resource_url else "}")
    yield (piece + tail).encode()


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


def _sound(spans: Iterable[StoredSpan]) -> StoredSpans:
    """Each span once, those that parse."""
    distinct = (spans if isinstance(spans, StoredSpans) else StoredSpans(spans)).distinct()
    good = []
    for place, raw in enumerate(distinct.raw):
        try:
            Span.FromString(raw)
        except DecodeError:
            continue
        good.append(place)
    return distinct if len(good) == len(distinct) else distinct.take(good)


def _grouped(spans: StoredSpans) -> dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]]:
    """Span bytes by resource, then by scope."""
    by_origin: dict[int, list[bytes]] = {}
    for number, raw in zip(spans.origin, spans.raw, strict=True):
        by_origin.setdefault(number, []).append(raw)
    groups: dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]] = {}
    for number, members in by_origin.items():
        origin: Origin = spans.origins[number]
        scopes = groups.setdefault((origin.resource, origin.resource_schema_url), {})
        scopes[origin.scope, origin.scope_schema_url] = members
    return groups


class _Texts:
    """Makes the JSON text of spans. Parts that come again and again (most attributes do) are made once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[bytes, str]] = {}

    def of_span(self, raw: bytes) -> str:
        """The JSON text of one span."""
        forms = _lean_forms()
        parts = []
        for field, value in _LEAN_SPAN.FromString(raw).ListFields():
            name, form, message, repeated = forms[field.number]
            if message is None:
                text = form(value)
            else:
                known = self._known.setdefault(name, {})
                if repeated:
                    text = "[" + ",".join([known.get(one) or self._made(message, known, one) for one in value]) + "]"
                else:
                    text = known.get(value) or self._made(message, known, value)
            parts.append(f'"{name}":{text}')
        return "{" + ",".join(parts) + "}"

    @staticmethod
    def _made(kind: Any, known: dict[bytes, str], raw: bytes) -> str:
        message = kind.FromString(raw)
        text = (_attribute_text(message) if kind is KeyValue else None) or _dumped(_as_json(message))
        if len(raw) <= _KNOWN_PART_BYTES:
            if len(known) >= _KNOWN_PARTS:
                known.clear()
            known[raw] = text
        return text


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _attribute_text(pair: KeyValue) -> str | None:
    """The text of an attribute whose value is a text, which is most of what comes once; None for any other."""
    value = pair.value
    if value.WhichOneof("value") != "string_value" or not pair.key or pair.key_strindex:
        return None
    return f'{{"key":{encode_basestring(pair.key)},"value":{{"stringValue":{encode_basestring(value.string_value)}}}}}'


def _framed(size: int) -> int:
    """Bytes that a field of so many takes with its tag (of one byte) and its length."""
    return size + (2 if size < 0x80 else 3 if size < 0x4000 else 1 + len(varint(size)))


def _sized(body: bytes | bytearray) -> bytes:
    return varint(len(body)) + body


def _parsed(kind: type[Resource | InstrumentationScope], data: bytes) -> str:
    try:
        return _dumped(_as_json(kind.FromString(data)))
    except DecodeError:
        return "{}"


def _as_json(message: Message) -> dict[str, Any]:
    forms = _forms(message.DESCRIPTOR)
    return {name: form(value) for field, value in message.ListFields() for name, form in (forms[field.number],)}


@cache
def _forms(descriptor: Descriptor) -> dict[int, tuple[str, Callable[[Any], Any]]]:
    """JSON name and conversion of each field, from the descriptor: a field OTLP adds is there without a line here."""
    return {field.number: (field.json_name, _form(field)) for field in descriptor.fields}


@cache
def _lean_forms() -> dict[int, tuple[str, Callable[[Any], str], Any, bool]]:
    """Of each field of a span: JSON name, the text of a plain value, the class of a message in it, and whether it is repeated."""
    found = {}
    for field in Span.DESCRIPTOR.fields:
        message = field.message_type
        form = _form(field)
        if form is bytes.hex:
            text: Callable[[Any], str] = _quoted_hex
        elif form is str:
            text = _quoted
        elif field.type == FieldDescriptor.TYPE_STRING:
            text = encode_basestring
        elif form is _itself and field.type != FieldDescriptor.TYPE_BOOL:
            text = str  # a number
        else:
            text = _dumped_by(form)
        kind = None if message is None else KeyValue if message is KeyValue.DESCRIPTOR else GetMessageClass(message)
        found[field.number] = field.json_name, text, kind, bool(field.is_repeated)
    return found


def _quoted_hex(value: bytes) -> str:
    return f'"{value.hex()}"'


def _quoted(value: int) -> str:
    return f'"{value}"'


def _dumped_by(form: Callable[[Any], Any]) -> Callable[[Any], str]:
    return lambda value: _dumped(form(value))


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
