"""Zipkin v1 in Thrift's binary encoding: a list of spans without a message around it. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from clew_server.errors import BadInput
from clew_server.receivers import thrift
from clew_server.receivers.contract import OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.foreign.writing import address_text
from clew_server.receivers.zipkin.spans import NOWHERE, Endpoint, Spans
from clew_server.receivers.zipkin.v1 import BinaryAnnotation, V1Annotation, V1Span, add_v1

_ENDPOINT: Final = {
    1: thrift.Field("ipv4", thrift.I32),
    2: thrift.Field("port", thrift.I16),
    3: thrift.Field("service_name", thrift.STRING),
    4: thrift.Field("ipv6", thrift.STRING),
}
_ANNOTATION: Final = {
    1: thrift.Field("timestamp", thrift.I64),
    2: thrift.Field("value", thrift.STRING),
    3: thrift.Field("host", thrift.STRUCT, _ENDPOINT),
}
_BINARY: Final = {
    1: thrift.Field("key", thrift.STRING),
    2: thrift.Field("value", thrift.STRING),
    3: thrift.Field("annotation_type", thrift.I32),
    4: thrift.Field("host", thrift.STRUCT, _ENDPOINT),
}
SPAN: Final = {
    1: thrift.Field("trace_id", thrift.I64),
    3: thrift.Field("name", thrift.STRING),
    4: thrift.Field("id", thrift.I64),
    5: thrift.Field("parent_id", thrift.I64),
    6: thrift.Field("annotations", thrift.LIST, thrift.Field("", thrift.STRUCT, _ANNOTATION)),
    8: thrift.Field("binary_annotations", thrift.LIST, thrift.Field("", thrift.STRUCT, _BINARY)),
    9: thrift.Field("debug", thrift.BOOL),
    10: thrift.Field("timestamp", thrift.I64),
    11: thrift.Field("duration", thrift.I64),
    12: thrift.Field("trace_id_high", thrift.I64),
}

_NUMBERS: Final = {2: ">h", 3: ">i", 4: ">q", 5: ">d"}
_BOOL, _BYTES, _STRING = 0, 1, 6


def decode_v1_thrift(body: bytes) -> OtlpBatch:
    """Decode a list of spans. Raises BadInput, TooLarge."""
    spans = Spans(of_one_service=True)
    if not body:
        return spans.batch(body)
    reader = thrift.BinaryReader(body)
    for found in reader.structs(SPAN):
        spans.expect()
        try:
            add_v1(spans, _span(found))
        except BadInput as error:
            spans.reject(error)
    reader.end()
    return spans.batch(body)


def _span(found: Mapping[str, Any]) -> V1Span:
    low, span_id = found.get("trace_id", 0), found.get("id", 0)
    high, parent_id = found.get("trace_id_high", 0), found.get("parent_id", 0)
    return V1Span(
        trace_id=_eight_bytes(high) + _eight_bytes(low),
        span_id=_eight_bytes(span_id),
        parent_id=_eight_bytes(parent_id) if parent_id else b"",
        name=text(found.get("name", b"")),
        timestamp_us=found.get("timestamp", 0),
        duration_us=found.get("duration", 0),
        debug=found.get("debug", False),
        annotations=[_annotation(one) for one in found.get("annotations", ())],
        binaries=[_binary(one) for one in found.get("binary_annotations", ())],
    )


def _eight_bytes(number: int) -> bytes:
    return struct.pack(">q", number)


def _annotation(found: Mapping[str, Any]) -> V1Annotation:
    return V1Annotation(found.get("timestamp", 0), text(found.get("value", b"")), _endpoint(found.get("host")))


def _binary(found: Mapping[str, Any]) -> BinaryAnnotation:
    value = _value(found.get("value", b""), found.get("annotation_type", _STRING))
    return BinaryAnnotation(text(found.get("key", b"")), value, _endpoint(found.get("host")))


def _value(raw: bytes, type_: int) -> Value:
    """The value by its type; bytes as they are where they are not of the type's length, or of no known type."""
    if type_ == _STRING:
        return text(raw)
    if type_ == _BOOL and len(raw) == 1:
        return raw != b"\0"
    form = _NUMBERS.get(type_)
    if form is not None and len(raw) == struct.calcsize(form):
        number: int | float = struct.unpack(form, raw)[0]
        return number
    return raw


def _endpoint(found: Mapping[str, Any] | None) -> Endpoint:
    if found is None:
        return NOWHERE
    made = Endpoint(
        text(found.get("service_name", b"")),
        address_text((found.get("ipv4", 0) & 0xFFFFFFFF).to_bytes(4, "big")),
        address_text(found.get("ipv6", b"")),
        found.get("port", 0) & 0xFFFF,
    )
    return made if any(made) else NOWHERE
