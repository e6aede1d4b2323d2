"""SkyWalking's messages, written field by field: for tests and benchmarks of its receivers. Knows nothing of the decoders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clew.otlp.encode import delimited, tag, varint

SPAN_TYPES = ("Entry", "Exit", "Local")
LAYERS = ("Unknown", "Database", "RPCFramework", "Http", "MQ", "Cache", "FAAS")
REF_TYPES = ("CrossProcess", "CrossThread")

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reference:
    """`SegmentReference`."""

    trace_id: str
    segment_id: str
    span_number: int
    type: int = 0
    service: str = "caller"
    instance: str = "caller-1"
    endpoint: str = "/front"
    address: str = "10.0.0.9:80"


@dataclass(frozen=True, slots=True)
class Span:
    """`SpanObject`; times in ms."""

    number: int = 0
    parent: int = -1
    name: str = "/work"
    type: int = 0
    layer: int = 3
    component: int = 7001
    peer: str = ""
    start_ms: int = 1_795_000_000_000
    end_ms: int = 1_795_000_000_010
    is_error: bool = False
    tags: Pairs = ()
    logs: Sequence[tuple[int, Pairs]] = ()
    references: Sequence[Reference] = ()
    skips_analysis: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """`SegmentObject`."""

    trace_id: str
    segment_id: str
    spans: Sequence[Span]
    service: str = "svc"
    instance: str = "svc-1"
    is_size_limited: bool = False


def segment(one: Segment) -> bytes:
    """A message of `collect`."""
    return b"".join(
        (
            _text(1, one.trace_id),
            _text(2, one.segment_id),
            *(delimited(3, _span(span)) for span in one.spans),
            _text(4, one.service),
            _text(5, one.instance),
            _number(6, one.is_size_limited),
        )
    )


def collection(segments: Sequence[Segment]) -> bytes:
    """The message of `collectInSync`."""
    return b"".join(delimited(1, segment(one)) for one in segments)


def properties(service: str, instance: str, pairs: Pairs, layer: str = "") -> bytes:
    """The message of `reportInstanceProperties`."""
    return _text(1, service) + _text(2, instance) + _pairs(3, pairs) + _text(4, layer)


def segment_json(one: Segment) -> bytes:
    """The body of `POST /v3/segment`."""
    return json.dumps(_json(one)).encode()


def segments_json(segments: Sequence[Segment]) -> bytes:
    """The body of `POST /v3/segments`."""
    return json.dumps([_json(one) for one in segments]).encode()


def _span(one: Span) -> bytes:
    return b"".join(
        (
            _number(1, one.number),
            _number(2, one.parent),
            _number(3, one.start_ms),
            _number(4, one.end_ms),
            *(delimited(5, _reference(reference)) for reference in one.references),
            _text(6, one.name),
            _text(7, one.peer),
            _number(8, one.type),
            _number(9, one.layer),
            _number(10, one.component),
            _number(11, one.is_error),
            _pairs(12, one.tags),
            *(delimited(13, _number(1, time_ms) + _pairs(2, pairs)) for time_ms, pairs in one.logs),
            _number(14, one.skips_analysis),
        )
    )


def _reference(one: Reference) -> bytes:
    return b"".join(
        (
            _number(1, one.type),
            _text(2, one.trace_id),
            _text(3, one.segment_id),
            _number(4, one.span_number),
            _text(5, one.service),
            _text(6, one.instance),
            _text(7, one.endpoint),
            _text(8, one.address),
        )
    )


def _text(number: int, text: str) -> bytes:
    return delimited(number, text.encode()) if text else b""


def _number(number: int, value: int) -> bytes:
    return tag(number, 0) + varint(value % (1 << 64)) if value else b""


def _pairs(number: int, pairs: Pairs) -> bytes:
    return b"".join(delimited(number, _text(1, key) + _text(2, value)) for key, value in pairs)


def _json(one: Segment) -> dict[str, Any]:
    return {
        "traceId": one.trace_id,
        "traceSegmentId": one.segment_id,
        "service": one.service,
        "serviceInstance": one.instance,
        "isSizeLimited": one.is_size_limited,
        "spans": [
            {
                "spanId": span.number,
                "parentSpanId": span.parent,
                "startTime": span.start_ms,
                "endTime": span.end_ms,
                "operationName": span.name,
                "peer": span.peer or None,
                "spanType": SPAN_TYPES[span.type],
                "spanLayer": LAYERS[span.layer],
                "componentId": span.component,
                "isError": span.is_error,
                "skipAnalysis": span.skips_analysis,
                "tags": _json_pairs(span.tags),
                "logs": [{"time": time_ms, "data": _json_pairs(pairs)} for time_ms, pairs in span.logs],
                "refs": [
                    {
                        "refType": reference.type,
                        "traceId": reference.trace_id,
                        "parentTraceSegmentId": reference.segment_id,
                        "parentSpanId": reference.span_number,
                        "parentService": reference.service,
                        "parentServiceInstance": reference.instance,
                        "parentEndpoint": reference.endpoint,
                        "networkAddressUsedAtPeer": reference.address,
                    }
                    for reference in span.references
                ],
            }
            for span in one.spans
        ],
    }


def _json_pairs(pairs: Pairs) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]
