"""Zipkin v1 in JSON: a list of spans. No I/O."""

from __future__ import annotations

from typing import Any

from clew_server.errors import BadInput
from clew_server.receivers.contract import OtlpBatch
from clew_server.receivers.foreign.json_values import array, text_of, wrong
from clew_server.receivers.zipkin.spans import NOWHERE, Spans
from clew_server.receivers.zipkin.v1 import BinaryAnnotation, V1Annotation, V1Span, add_v1
from clew_server.receivers.zipkin.v2_json import (
    elements,
    endpoint,
    integer,
    parent_id_of,
    span_id_of,
    tag,
    trace_id_of,
)


def decode_v1_json(body: bytes) -> OtlpBatch:
    """Decode a list of v1 spans. Raises BadInput, TooLarge."""
    spans = Spans(of_one_service=True)
    for number, one in enumerate(elements(body)):
        spans.expect()
        if number == 0 and isinstance(one, dict) and ("localEndpoint" in one or "tags" in one or "kind" in one):
            raise BadInput("these are v2 spans: send them to /api/v2/spans", code="malformed")
        try:
            add_v1(spans, _span(one))
        except BadInput as error:
            spans.reject(error)
    return spans.batch(body)


def _span(source: Any) -> V1Span:
    if not isinstance(source, dict):
        raise wrong("a span", "an object", source)
    parent = source.get("parentId")
    return V1Span(
        trace_id=trace_id_of(source.get("traceId")),
        span_id=span_id_of(source.get("id"), "id"),
        parent_id=b"" if parent is None else parent_id_of(parent),
        name=_text(source, "name"),
        timestamp_us=integer(source.get("timestamp"), "timestamp"),
        duration_us=integer(source.get("duration"), "duration"),
        debug=source.get("debug") is True,
        annotations=[_annotation(one) for one in array(source.get("annotations"), "annotations")],
        binaries=[_binary(one) for one in array(source.get("binaryAnnotations"), "binaryAnnotations")],
    )


def _annotation(source: Any) -> V1Annotation:
    if not isinstance(source, dict):
        raise wrong("an annotation", "an object", source)
    found = source.get("endpoint")
    return V1Annotation(
        integer(source.get("timestamp"), "timestamp of an annotation"),
        _text(source, "value"),
        NOWHERE if found is None else endpoint(found, "endpoint"),
    )


def _binary(source: Any) -> BinaryAnnotation:
    if not isinstance(source, dict):
        raise wrong("a binary annotation", "an object", source)
    found = source.get("endpoint")
    return BinaryAnnotation(
        _text(source, "key"), tag(source.get("value")), NOWHERE if found is None else endpoint(found, "endpoint")
    )


def _text(source: Any, key: str) -> str:
    value = source.get(key)
    return "" if value is None else text_of(value)
