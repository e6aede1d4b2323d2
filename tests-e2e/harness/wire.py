"""OTLP requests for the stories, and OTLP answers read back, with the official messages."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

NS_PER_S = 1_000_000_000
_numbers = itertools.count(1)


def new_trace_id() -> bytes:
    return os.urandom(15) + b"\x01"


def new_span_id() -> bytes:
    return os.urandom(7) + b"\x01"


def fresh_name(stem: str) -> str:
    """A service name no other test uses: one server serves many tests."""
    return f"{stem}-{next(_numbers)}-{os.urandom(3).hex()}"


def attributes(values: Mapping[str, str | int | float | bool | bytes]) -> Iterable[KeyValue]:
    for key, value in values.items():
        if isinstance(value, bool):
            typed = AnyValue(bool_value=value)
        elif isinstance(value, int):
            typed = AnyValue(int_value=value)
        elif isinstance(value, float):
            typed = AnyValue(double_value=value)
        elif isinstance(value, bytes):
            typed = AnyValue(bytes_value=value)
        else:
            typed = AnyValue(string_value=value)
        yield KeyValue(key=key, value=typed)


def span(
    trace_id: bytes | None = None,
    *,
    span_id: bytes | None = None,
    parent_id: bytes = b"",
    name: str = "GET /",
    kind: int = Span.SPAN_KIND_SERVER,
    start_unix_nano: int | None = None,
    duration_ns: int = 1_000_000,
    failed: bool = False,
    values: Mapping[str, str | int | float | bool | bytes] | None = None,
) -> Span:
    start = time.time_ns() if start_unix_nano is None else start_unix_nano
    made = Span(
        trace_id=new_trace_id() if trace_id is None else trace_id,
        span_id=new_span_id() if span_id is None else span_id,
        parent_span_id=parent_id,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=start,
        end_time_unix_nano=start + duration_ns,
        attributes=attributes(values or {}),
    )
    if failed:
        made.status.code = 2  # type: ignore[assignment]
        made.status.message = "it failed"
    return made


def request(
    service: str, spans: Iterable[Span], *, resource: Mapping[str, str | int | float | bool | bytes] | None = None
) -> bytes:
    """One `ExportTraceServiceRequest` of one service."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.extend(attributes({"service.name": service, **(resource or {})}))
    scope = group.scope_spans.add()
    scope.scope.name = "stories"
    scope.spans.extend(spans)
    return made.SerializeToString()


def spans_of(data: bytes) -> list[Span]:
    """All spans of an `ExportTraceServiceRequest` or `TracesData`, which are the same on the wire."""
    return [
        item
        for group in TracesData.FromString(data).resource_spans
        for scope in group.scope_spans
        for item in scope.spans
    ]


def rejected_spans(body: bytes) -> int:
    """`partial_success.rejected_spans` of an export's answer."""
    return ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
