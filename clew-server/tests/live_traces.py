"""Traces as a live tail looks at them, from the requests in which their spans arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.otlp_raw import parse_raw
from clew_server.model.stored import StoredSpan
from clew_server.query.live.seen import SeenTrace, seen_trace

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path
from evaluator import NOW


def seen(requests: Iterable[ExportTraceServiceRequest]) -> dict[str, SeenTrace]:
    """The traces of these requests, as they are looked at when they arrive."""
    spans: dict[bytes, list[StoredSpan]] = {}
    for request in requests:
        for resource in parse_raw(request.SerializeToString()).resource_spans:
            for scope in resource.scope_spans:
                for raw in scope.spans:
                    spans.setdefault(raw[2:18], []).append(StoredSpan(resource.resource, "", scope.scope, "", raw, NOW))
    traces = ((trace_id, seen_trace(trace_id, of_trace)) for trace_id, of_trace in spans.items())
    return {trace_id.hex(): trace for trace_id, trace in traces if trace is not None}
