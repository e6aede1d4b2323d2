"""What several rooms' tests share: an OTLP/HTTP sink that keeps the spans it is sent."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# Everything is on this machine: a proxy of whoever runs the tests leads to none of it.
for _name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")]:
    del os.environ[_name]
os.environ.pop("COLUMNS", None)  # tables have the width that a test says
os.unsetenv("COLUMNS")  # readline, which pytest loads, sets it for all children, past `os.environ`

# An answer has 5 s by itself; on a busy machine it may need more, and a test that wants less says so.
for _step in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _step, 100.0)


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire; kind and status in OTLP's words, without their prefixes."""

    service: str
    kind: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    exceptions: list[dict[str, Any]]


@dataclass
class OtlpSink:
    """Accepts OTLP over HTTP at `endpoint` and remembers everything."""

    endpoint: str
    spans: list[ReceivedSpan] = field(default_factory=list)


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


def _spans(body: bytes) -> Iterator[ReceivedSpan]:
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _plain(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield ReceivedSpan(
                    service=resource["service.name"],
                    kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    status=span.status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    message=span.status.message,
                    attributes=_plain(span.attributes),
                    resource=resource,
                    exceptions=[_plain(event.attributes) for event in span.events if event.name == "exception"],
                )


@pytest.fixture(scope="module")
def otlp_sink() -> Iterator[OtlpSink]:
    """A sink on a free port of loopback, for the tests of one module."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.spans.extend(_spans(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = OtlpSink(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield sink
    server.shutdown()
    thread.join()
    server.server_close()
