"""OTLP's bytes as OTLP's JSON: the specification's mapping, with ids in hex and 64-bit integers as strings.

Source: opentelemetry-proto, "JSON Protobuf Encoding" of the OTLP specification.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from math import isfinite
from struct import Struct
from typing import Any, Final

from clew.otlp import decode
from clew.otlp import fields as f

_double: Final = Struct("<d").unpack
# How a field is written: its name, and what makes of its value JSON. A repeated one is a list.
_Field = tuple[str, Callable[[Any], Any], bool]


def request(data: bytes) -> dict[str, Any]:
    """An ExportTraceServiceRequest. Raises ValueError for bytes that are none."""
    return _message(data, _REQUEST)


def _message(data: bytes, known: Mapping[int, _Field]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for number, value in decode.fields(data):
        field = known.get(number)
        if field is None:
            continue
        name, convert, is_repeated = field
        if is_repeated:
            made.setdefault(name, []).append(convert(value))
        else:
            made[name] = convert(value)
    return made


def _of(known: Mapping[int, _Field]) -> Callable[[Any], Any]:
    return lambda data: _message(data, known)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _hex(value: bytes) -> str:
    return value.hex()


def _number(value: int) -> int:
    return value


def _large(value: int) -> str:
    return str(value)


def _any_value(data: bytes) -> dict[str, Any]:
    """An AnyValue: the one of its fields that is set, `{}` for none."""
    made: dict[str, Any] = {}
    for number, value in decode.fields(data):
        if isinstance(value, int):
            if number == f.ANY_BOOL:
                made = {"boolValue": value != 0}
            elif number == f.ANY_INT:
                made = {"intValue": str(value - (1 << 64) if value >> 63 else value)}
            elif number == f.ANY_DOUBLE:
                made = {"doubleValue": _json_double(_double(value.to_bytes(8, "little"))[0])}
        elif number == f.ANY_STRING:
            made = {"stringValue": _text(value)}
        elif number == f.ANY_ARRAY:
            made = {"arrayValue": {"values": [_any_value(one) for one in decode.messages(value, f.LIST_VALUES)]}}
        elif number == f.ANY_KVLIST:
            made = {"kvlistValue": {"values": [_key_value(one) for one in decode.messages(value, f.LIST_VALUES)]}}
        elif number == f.ANY_BYTES:
            made = {"bytesValue": b64encode(value).decode("ascii")}
    return made


def _json_double(value: float) -> float | str:
    # Not representable in JSON; protobuf's mapping writes them as strings.
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _key_value(data: bytes) -> dict[str, Any]:
    pair = dict(decode.fields(data))
    key, value = pair.get(f.KEY_VALUE_KEY, b""), pair.get(f.KEY_VALUE_VALUE, b"")
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    return {"key": _text(key), "value": _any_value(value)}


_STATUS: Final[dict[int, _Field]] = {
    f.STATUS_MESSAGE: ("message", _text, False),
    f.STATUS_CODE: ("code", _number, False),
}
_EVENT: Final[dict[int, _Field]] = {
    f.EVENT_TIME: ("timeUnixNano", _large, False),
    f.EVENT_NAME: ("name", _text, False),
    f.EVENT_ATTRIBUTES: ("attributes", _key_value, True),
    f.EVENT_DROPPED_ATTRIBUTES: ("droppedAttributesCount", _number, False),
}
_LINK: Final[dict[int, _Field]] = {
    f.LINK_TRACE_ID: ("traceId", _hex, False),
    f.LINK_SPAN_ID: ("spanId", _hex, False),
    f.LINK_TRACE_STATE: ("traceState", _text, False),
    f.LINK_ATTRIBUTES: ("attributes", _key_value, True),
    f.LINK_DROPPED_ATTRIBUTES: ("droppedAttributesCount", _number, False),
    f.LINK_FLAGS: ("flags", _number, False),
}
_SPAN: Final[dict[int, _Field]] = {
    f.SPAN_TRACE_ID: ("traceId", _hex, False),
    f.SPAN_SPAN_ID: ("spanId", _hex, False),
    f.SPAN_TRACE_STATE: ("traceState", _text, False),
    f.SPAN_PARENT_SPAN_ID: ("parentSpanId", _hex, False),
    f.SPAN_FLAGS: ("flags", _number, False),
    f.SPAN_NAME: ("name", _text, False),
    f.SPAN_KIND: ("kind", _number, False),
    f.SPAN_START: ("startTimeUnixNano", _large, False),
    f.SPAN_END: ("endTimeUnixNano", _large, False),
    f.SPAN_ATTRIBUTES: ("attributes", _key_value, True),
    f.SPAN_DROPPED_ATTRIBUTES: ("droppedAttributesCount", _number, False),
    f.SPAN_EVENTS: ("events", _of(_EVENT), True),
    f.SPAN_DROPPED_EVENTS: ("droppedEventsCount", _number, False),
    f.SPAN_LINKS: ("links", _of(_LINK), True),
    f.SPAN_DROPPED_LINKS: ("droppedLinksCount", _number, False),
    f.SPAN_STATUS: ("status", _of(_STATUS), False),
}
_SCOPE: Final[dict[int, _Field]] = {
    f.SCOPE_NAME: ("name", _text, False),
    f.SCOPE_VERSION: ("version", _text, False),
    f.SCOPE_ATTRIBUTES: ("attributes", _key_value, True),
    f.SCOPE_DROPPED_ATTRIBUTES: ("droppedAttributesCount", _number, False),
}
_SCOPE_SPANS: Final[dict[int, _Field]] = {
    f.SCOPE_SPANS_SCOPE: ("scope", _of(_SCOPE), False),
    f.SCOPE_SPANS_SPANS: ("spans", _of(_SPAN), True),
    f.SCOPE_SPANS_SCHEMA_URL: ("schemaUrl", _text, False),
}
_RESOURCE: Final[dict[int, _Field]] = {f.RESOURCE_ATTRIBUTES: ("attributes", _key_value, True)}
_RESOURCE_SPANS: Final[dict[int, _Field]] = {
    f.RESOURCE_SPANS_RESOURCE: ("resource", _of(_RESOURCE), False),
    f.RESOURCE_SPANS_SCOPE_SPANS: ("scopeSpans", _of(_SCOPE_SPANS), True),
    f.RESOURCE_SPANS_SCHEMA_URL: ("schemaUrl", _text, False),
}
_REQUEST: Final[dict[int, _Field]] = {f.REQUEST_RESOURCE_SPANS: ("resourceSpans", _of(_RESOURCE_SPANS), True)}
