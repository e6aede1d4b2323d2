"""The real OpenTelemetry exporters, in a process of their own, against both listeners: everything they send is in the log."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

PROGRAM = """
    import sys
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode

    transport, compression, endpoint = sys.argv[1:]
    if transport == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        chosen = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=chosen)
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        exporter = OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=Compression(compression))
    provider = TracerProvider(resource=Resource.create({"service.name": "real"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=100))
    tracer = provider.get_tracer("lib", "1")
    for number in range(250):
        with tracer.start_as_current_span(f"op {number}", kind=SpanKind.SERVER) as span:
            span.set_attribute("i", number)
            span.set_attribute("l", ["a", "b"])
            span.add_event("e", {"k": True})
            span.set_status(Status(StatusCode.ERROR, "bad"))
    provider.shutdown()
"""


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_every_span_of_a_real_exporter_is_in_the_log(
    transport: str, compression: str, listen: Callable[..., Any]
) -> None:
    server = listen()
    endpoint = server.grpc_address if transport == "grpc" else server.http_url
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), transport, compression, endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"NO_PROXY": "*", "no_proxy": "*"},
    )
    assert "rror" not in ran.stderr
    spans = server.logged()
    assert sorted(span.attributes[0].value.int_value for span in spans) == list(range(250))
    assert len({span.span_id for span in spans}) == 250
    assert {(span.kind, span.status.code, span.status.message, span.events[0].name) for span in spans} == {
        (2, 2, "bad", "e")
    }
    state = server.grpc if transport == "grpc" else server.http
    assert (state.spans, state.refused_requests, state.last_error) == (250, 0, None)
