"""Two services that trace with OpenCensus and its agent's exporter: ADDRESS FRONT BACK; prints the trace id.

Ends with an error where OpenCensus or gRPC logged anything.
"""

from __future__ import annotations

import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from opencensus.common.transports.async_ import AsyncTransport
from opencensus.ext.ocagent.trace_exporter import TraceExporter
from opencensus.trace.attributes import Attributes
from opencensus.trace.link import Link, Type
from opencensus.trace.propagation.trace_context_http_header_format import TraceContextPropagator
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.span import SpanKind
from opencensus.trace.status import Status
from opencensus.trace.time_event import MessageEvent
from opencensus.trace.time_event import Type as MessageType
from opencensus.trace.tracer import Tracer

address, front, back = sys.argv[1:]
logged: list[logging.LogRecord] = []


class Noting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(record)


logging.getLogger().addHandler(Noting(logging.WARNING))
headers = TraceContextPropagator()


def tracer_of(service: str, context: Any, **more: Any) -> Tracer:
    exporter = TraceExporter(service_name=service, endpoint=address, **more)
    return Tracer(context, AlwaysOnSampler(), exporter, headers)


def job(context: Any, cause: Link) -> None:
    """What the second service does later, in another thread, sent by its background transport."""
    tracer = Tracer(context, AlwaysOnSampler(), background, headers)
    with tracer.span("job") as later:
        later.add_attribute("span.kind", "consumer")
        later.add_link(cause)


background = TraceExporter(service_name=back, endpoint=address, transport=AsyncTransport)
first = tracer_of(front, None)
with first.span("get /buy") as buy:
    buy.span_kind = SpanKind.SERVER
    buy.add_attribute("http.method", "GET")
    buy.add_attribute("http.status_code", 500)
    with first.span("post") as post:
        post.span_kind = SpanKind.CLIENT
        post.add_attribute("peer.service", back)
        post.status = Status(2, "answered with 500")
        post.add_annotation("queued", size=3)
        post.add_message_event(MessageEvent(datetime.now(UTC), 7, MessageType.SENT, 200, 100))
        sent = headers.to_headers(first.span_context)
        second = tracer_of(back, headers.from_headers(sent))
        with second.span("post /stock") as stock:
            stock.span_kind = SpanKind.SERVER
            stock.same_process_as_parent_span = False
            stock.add_attribute("http.status_code", 500)
            stock.status = Status(5, "no stock")
            with second.span("look") as look:
                look.add_attribute("ratio", 0.5)
                look.add_attribute("ok", True)
            cause = Link(
                first.span_context.trace_id, post.span_id, Type.PARENT_LINKED_SPAN, Attributes({"why": "later"})
            )
            thread = threading.Thread(
                target=job, args=(headers.from_headers(headers.to_headers(second.span_context)), cause)
            )
            thread.start()
            thread.join()
print(first.span_context.trace_id)
background.transport.flush()
if logged:
    sys.exit("\n".join(record.getMessage() for record in logged))
