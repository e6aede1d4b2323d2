"""CPU per span, start to sent, against opentelemetry-sdk with BatchSpanProcessor and OTLP/HTTP in the same run.

    python bench/recorder/run.py [--spans N] [--rounds N]

A span: start, 4 attributes, current, end, encoded, sent to a collector that runs in another process and answers 200.
Both sides take turns; each prints its best round, since other load can only add. CPU is that of this process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from opentelemetry.trace import Tracer

_COLLECTOR = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def make_spans(tracer: Tracer, count: int) -> None:
    for number in range(count):
        with tracer.start_as_current_span("GET /users/{id}") as span:
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("http.route", "/users/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("user.id", f"user-{number}")


def cpu_us_per_span(tracer: Tracer, flush: Callable[[], object], count: int) -> float:
    started = time.process_time()
    make_spans(tracer, count)
    flush()
    return (time.process_time() - started) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=5_000, help="spans a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    collector = subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True)
    try:
        assert collector.stdout is not None
        measure(f"http://127.0.0.1:{int(collector.stdout.readline())}/v1/traces", options.spans, options.rounds)
    finally:
        collector.terminate()
        collector.wait()


def measure(url: str, spans: int, rounds: int) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import NoOpTracerProvider

    from clew.recorder.exporter import OtlpHttpExporter
    from clew.recorder.pipeline import BatchOptions
    from clew.recorder.provider import TracerProvider

    ours = TracerProvider(
        {"service.name": "bench"}, exporter=OtlpHttpExporter(url), batch=BatchOptions(max_queue_spans=spans * 2)
    )
    theirs = SdkTracerProvider()
    theirs.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url), max_queue_size=spans * 2))
    sides = {
        "no-op tracer": (NoOpTracerProvider().get_tracer("bench"), lambda: None),
        "clew": (ours.get_tracer("bench"), ours.force_flush),
        "opentelemetry-sdk": (theirs.get_tracer("bench"), theirs.force_flush),
    }
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, (tracer, flush) in sides.items():
            best[name] = min(best[name], cpu_us_per_span(tracer, flush, spans))
    stats = ours.stats()
    assert stats["sent"] == stats["recorded"] == spans * rounds, stats
    ours.shutdown()
    theirs.shutdown()
    for name, value in best.items():
        print(f"{name:<18} {value:6.1f} µs CPU a span")
    print(
        f"clew / sdk         {best['clew'] / best['opentelemetry-sdk']:6.3f} (1/{best['opentelemetry-sdk'] / best['clew']:.1f})"
    )


if __name__ == "__main__":
    main()
