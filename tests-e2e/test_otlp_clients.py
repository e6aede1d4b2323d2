"""The real OpenTelemetry exporters, each in a process of its own: every field they send comes back."""

from __future__ import annotations

import base64
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from harness.server import Server
from harness.wire import fresh_name

SENDER = textwrap.dedent(
    """
    import os, sys
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

    how, address, service = sys.argv[1:]
    if how.startswith("grpc"):
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        exporter = OTLPSpanExporter(
            endpoint=address, insecure=True, compression=Compression.Gzip if how == "grpc-gzip" else Compression.NoCompression
        )
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        exporter = OTLPSpanExporter(
            endpoint=address + "/v1/traces", compression=Compression.Gzip if how == "http-gzip" else Compression.NoCompression
        )

    ended = []

    class Kept(SpanExporter):
        def export(self, spans):
            ended.extend(spans)
            return SpanExportResult.SUCCESS

    resource = Resource.create(
        {"service.name": service, "zone": 7, "ratio": 0.5, "canary": False, "hosts": ["a", "b"]}, schema_url="https://example.org/resource/1"
    )
    provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_attributes=12, max_events=2, max_links=2))
    provider.add_span_processor(SimpleSpanProcessor(Kept()))
    tracer = provider.get_tracer("stories", "1.2.3", "https://example.org/scope/1", {"scope.number": 3})
    plain = provider.get_tracer("plain")
    remote = SpanContext(int.from_bytes(os.urandom(16), "big"), 0x1234, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "a:b"), ("x", "1")]))
    kinds = [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL]
    parent = trace.set_span_in_context(NonRecordingSpan(remote))
    for number, kind in enumerate(kinds):
        with tracer.start_as_current_span(f"operation {number} ä", context=parent, kind=kind, links=[Link(remote, {"why": "retry", "n": 0})] * 3) as span:
            span.set_attributes({
                "text": "grün", "empty": "", "zero": 0, "negative": -5, "large": 2**63 - 1, "half": 0.5, "yes": True, "no": False,
                "words": ["x", ""], "numbers": [0, -1, 2**40], "raw": bytes([0, 255, 128]),
            })
            span.set_attributes({f"more.{n}": n for n in range(5)})
            for n in range(3):
                span.add_event(f"event {n}", {"n": n, "flag": n == 1})
            with plain.start_as_current_span("inner"):
                pass
            if number == 0:
                span.set_status(Status(StatusCode.ERROR, "no money"))
            elif number == 1:
                span.set_status(Status(StatusCode.OK))
    sys.stdout.write(encode_spans(ended).SerializeToString().hex())
    assert exporter.export(ended) is SpanExportResult.SUCCESS
    exporter.shutdown()
    """
)
Flat = dict[bytes, tuple[Any, str, Any, str, Any]]


def flat(data: TracesData) -> Flat:
    """Each span with what it belongs to: span id → resource, its schema, scope, its schema, span."""
    return {
        span.span_id: (group.resource, group.schema_url, scope.scope, scope.schema_url, span)
        for group in data.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    }


def hex_ids(item: Any) -> Any:
    """Protobuf's own JSON of OTLP, with the ids in hex as OTLP wants them."""
    if isinstance(item, list):
        return [hex_ids(one) for one in item]
    if isinstance(item, dict):
        return {
            key: base64.b64decode(one).hex() if key in ("traceId", "spanId", "parentSpanId") else hex_ids(one)
            for key, one in item.items()
        }
    return item


def without_empty_messages(item: Any) -> Any:
    """`status: {}` and an absent status say the same; an attribute's empty value is kept, it is a value."""
    if isinstance(item, list):
        return [without_empty_messages(one) for one in item]
    if isinstance(item, dict):
        return {key: without_empty_messages(one) for key, one in item.items() if one != {} or key == "value"}
    return item


@pytest.mark.parametrize("how", ["grpc", "grpc-gzip", "http", "http-gzip"])
def test_every_field_that_an_opentelemetry_exporter_sends_comes_back(server: Server, how: str) -> None:
    address = server.otlp_grpc if how.startswith("grpc") else server.otlp_http
    sender = subprocess.run(
        [sys.executable, "-c", SENDER, how, address, fresh_name("client")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert sender.returncode == 0, sender.stderr
    sent = TracesData.FromString(bytes.fromhex(sender.stdout))
    expected = flat(sent)
    assert len(expected) == 10
    trace_id = next(iter(expected.values()))[4].trace_id

    for moment in ("from the log or the store", "from the store"):
        answer = TracesData.FromString(server.trace_bytes(trace_id))
        assert sum(len(scope.spans) for group in answer.resource_spans for scope in group.scope_spans) == len(
            expected
        ), moment
        assert {key: value for key, value in flat(answer).items() if key in expected} == expected, moment
        server.flush()

    as_json = server.get_json(f"/api/v1/traces/{trace_id.hex()}")
    in_json: dict[str, Any] = {}
    for group in as_json["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                in_json[span["spanId"]] = [
                    group["resource"],
                    group.get("schemaUrl", ""),
                    scope["scope"],
                    scope.get("schemaUrl", ""),
                    span,
                ]
    wanted = {
        key.hex(): [
            part if isinstance(part, str) else hex_ids(MessageToDict(part, use_integers_for_enums=True))
            for part in parts
        ]
        for key, parts in expected.items()
    }
    assert without_empty_messages(in_json) == without_empty_messages(wanted)
