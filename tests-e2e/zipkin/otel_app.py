"""Two services by an OpenTelemetry Zipkin exporter, one calling the other, which fails: python otel_app.py URL json|proto FRONT BACK START_US."""

import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

url, form, front, back, start_us = sys.argv[1:]
if form == "json":
    from opentelemetry.exporter.zipkin.json import ZipkinExporter
else:
    from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter

US = 1000
start_ns = int(start_us) * US


def provider_of(service):
    provider = TracerProvider(resource=Resource.create({"service.name": service, "host.name": "vm"}))
    provider.add_span_processor(BatchSpanProcessor(ZipkinExporter(endpoint=url)))
    return provider


providers = [provider_of(front), provider_of(back)]
fronts, backs = (provider.get_tracer("shop", "1.2") for provider in providers)
other = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
root = fronts.start_span(
    "get /buy", kind=SpanKind.SERVER, start_time=start_ns, attributes={"http.method": "GET", "http.path": "/buy"}
)
call = fronts.start_span("post", trace.set_span_in_context(root), SpanKind.CLIENT, start_time=start_ns + 62_500 * US)
call.add_event("queued", {"n": 1}, timestamp=start_ns + 65_000 * US)
served = backs.start_span(
    "post /stock",
    trace.set_span_in_context(trace.NonRecordingSpan(call.get_span_context())),
    SpanKind.SERVER,
    start_time=start_ns + 70_000 * US,
    links=[Link(other)],
)
look = backs.start_span(
    "look", trace.set_span_in_context(served), start_time=start_ns + 78_125 * US, attributes={"count": 7}
)
look.end(start_ns + 93_750 * US)
served.set_attribute("http.status_code", 500)
served.set_status(Status(StatusCode.ERROR, "no stock"))
served.end(start_ns + 100_000 * US)
call.end(start_ns + 125_000 * US)
root.end(start_ns + 250_000 * US)
for provider in providers:
    provider.shutdown()
print(f"{root.get_span_context().trace_id:032x}")
