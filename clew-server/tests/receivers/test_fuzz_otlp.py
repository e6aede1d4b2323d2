"""Whatever bytes come, a decoder says yes, or no in its own words; what it says yes to is canonical. `make fuzz` takes longer."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from clew_server.errors import BadInput
from clew_server.receivers.contract import JSON, PROTOBUF
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.signals import LOGS, TRACES, Signal

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "150"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))

span_fields = st.builds(
    Span,
    trace_id=st.binary(max_size=20) | st.binary(min_size=16, max_size=16),
    span_id=st.binary(max_size=10) | st.binary(min_size=8, max_size=8),
    name=st.text(max_size=20),
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
)
log_fields = st.builds(
    LogRecord,
    trace_id=st.binary(max_size=20) | st.binary(min_size=16, max_size=16),
    span_id=st.binary(max_size=10) | st.binary(min_size=8, max_size=8),
    event_name=st.text(max_size=5),
    severity_number=st.integers(-(2**31), 2**31 - 1),
    severity_text=st.text(max_size=5),
    time_unix_nano=st.integers(0, 2**64 - 1),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    flags=st.integers(0, 2**32 - 1),
)
requests = st.lists(span_fields, max_size=5).map(
    lambda spans: ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]
    ).SerializeToString()
)
log_requests = st.lists(log_fields, max_size=5).map(
    lambda records: ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])]
    ).SerializeToString()
)


def check(body: bytes, content_type: str) -> None:
    for signal in (TRACES, LOGS):
        check_signal(body, content_type, signal)


def check_signal(body: bytes, content_type: str, signal: Signal) -> None:
    try:
        batch = decode_otlp(body, content_type, signal)
    except BadInput:
        return
    parsed = ExportTraceServiceRequest.FromString(batch.request)
    spans = [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len(spans) == batch.spans
    assert all(
        len(span.trace_id) == 16 and any(span.trace_id) and len(span.span_id) == 8 and any(span.span_id)
        for span in spans
    )
    assert ExportTraceServiceRequest.FromString(batch.request).SerializeToString() == batch.request
    if batch.heads is not None:
        assert len(batch.heads) == 28 * batch.spans


@long
@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    check(body, PROTOBUF)


@long
@given(requests | log_requests, st.data())
def test_a_request_with_flipped_cut_or_doubled_bytes_is_taken_or_refused(body: bytes, data: st.DataObject) -> None:
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(0, 4))):
        if not broken:
            break
        at = data.draw(st.integers(0, len(broken) - 1))
        how = data.draw(st.sampled_from(("flip", "cut", "double")))
        if how == "flip":
            broken[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del broken[at : at + data.draw(st.integers(1, 8))]
        else:
            broken[at:at] = broken[at : at + 8]
    check(bytes(broken), PROTOBUF)


_keys = st.sampled_from(
    (
        "resourceSpans",
        "scopeSpans",
        "spans",
        "resource",
        "scope",
        "attributes",
        "traceId",
        "spanId",
        "name",
        "kind",
        "status",
        "code",
        "events",
        "links",
        "key",
        "value",
        "stringValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "values",
        "kvlistValue",
        "bytesValue",
        "startTimeUnixNano",
    )
)
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(("ab" * 16, "cd" * 8, "7"))
)
_json: st.SearchStrategy[Any] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5), max_leaves=30
)


@long
@given(_json)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    check(json.dumps(value).encode(), JSON)


@long
@given(
    st.fixed_dictionaries(
        {"traceId": st.just("ab" * 16), "spanId": st.just("cd" * 8)},
        optional={
            "attributes": _json,
            "events": _json,
            "status": _json,
            "kind": _json,
            "links": _json,
            "startTimeUnixNano": _json,
        },
    )
)
def test_any_span_in_json_is_taken_or_refused(span: Any) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    check(json.dumps(body).encode(), JSON)
