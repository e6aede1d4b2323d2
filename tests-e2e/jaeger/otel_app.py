"""Two services that trace with an OpenTelemetry exporter for Jaeger: udp|http|grpc ADDRESS FRONT BACK START_US; prints the trace id."""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

how, address, front, back, start_us = sys.argv[1:]
start_ns = int(start_us) * 1000


def exporter() -> object:
    if how == "grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter

        return JaegerExporter(collector_endpoint=address, insecure=True)
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter

    if how == "http":
        return JaegerExporter(collector_endpoint=address + "/api/traces")
    host, _, port = address.rpartition(":")
    return JaegerExporter(agent_host_name=host, agent_port=int(port))


def provider_of(service: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter()))
    return provider


def ns(offset_us: int) -> int:
    return start_ns + offset_us * 1000


first, second = provider_of(front), provider_of(back)
here, there = first.get_tracer("shop", "1.2"), second.get_tracer("shop", "1.2")
buy = here.start_span("get /buy", kind=SpanKind.SERVER, attributes={"http.method": "GET"}, start_time=start_ns)
post = here.start_span(
    "post", trace.set_span_in_context(buy), SpanKind.CLIENT, {"peer.service": back}, start_time=ns(62_500)
)
post.add_event("queued", {"size": 3}, ns(70_312))
context = post.get_span_context()
caller = NonRecordingSpan(SpanContext(context.trace_id, context.span_id, True, TraceFlags(1)))
stock = there.start_span("post /stock", trace.set_span_in_context(caller), SpanKind.SERVER, start_time=ns(70_000))
stock.set_attribute("http.status_code", 500)
stock.set_status(Status(StatusCode.ERROR, "no stock"))
stock.record_exception(LookupError("no stock"), timestamp=ns(93_750))
look = there.start_span(
    "look", trace.set_span_in_context(stock), attributes={"ratio": 0.5, "ok": True}, start_time=ns(78_125)
)
look.end(ns(93_750))
stock.end(ns(100_000))
post.end(ns(125_000))
buy.end(ns(250_000))
print(f"{context.trace_id:032x}")
first.shutdown()
second.shutdown()
