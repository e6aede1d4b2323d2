"""OTLP log records that belong to a span, as fragments of it: `model.fragments` says what becomes of them. No I/O."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from clew_server.model.fragments import belongs_to_a_span, write_fragment


def spans_from_logs(logs: ExportLogsServiceRequest) -> tuple[ExportTraceServiceRequest, int]:
    """A trace request with a fragment for each record that belongs to a span, and how many others there were."""
    request = ExportTraceServiceRequest()
    others = 0
    for resource_logs in logs.resource_logs:
        found: list[ScopeSpans] = []
        for scope_logs in resource_logs.scope_logs:
            scope_spans = _of_scope(scope_logs)
            others += len(scope_logs.log_records) - len(scope_spans.spans)
            if scope_spans.spans:
                found.append(scope_spans)
        if found:
            resource_spans = request.resource_spans.add(schema_url=resource_logs.schema_url)
            if resource_logs.HasField("resource"):
                resource_spans.resource.CopyFrom(resource_logs.resource)
            resource_spans.scope_spans.extend(found)
    return request, others


def _of_scope(scope_logs: ScopeLogs) -> ScopeSpans:
    scope_spans = ScopeSpans(schema_url=scope_logs.schema_url)
    for record in scope_logs.log_records:
        if belongs_to_a_span(record):
            write_fragment(scope_spans.spans.add(), record, scope_logs.scope.name)
    if scope_spans.spans and scope_logs.HasField("scope"):
        scope_spans.scope.CopyFrom(scope_logs.scope)
    return scope_spans
