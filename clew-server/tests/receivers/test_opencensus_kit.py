"""The OpenCensus listener passes the kit of receivers, by its stream and by its unary method."""

from __future__ import annotations

from collections.abc import Sequence

from clew_server.receivers.opencensus import specs
from clew_server.testing import ReceiverKit, SentSpan, opencensus


class TestStream(ReceiverKit):
    spec = specs.OPENCENSUS
    path = specs.EXPORT
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        (service,) = {span.service for span in spans}
        return opencensus.request(
            [
                opencensus.Span(
                    span.trace_id,
                    span.span_id,
                    span.name,
                    start_ns=span.start_unix_nano,
                    end_ns=span.start_unix_nano + 1_000_000,
                    attributes={"number": at, "half": at / 2, "text": span.name, "even": at % 2 == 0},
                    annotations=[(span.start_unix_nano + 5, "e", {"n": at})],
                    messages=[(span.start_unix_nano + 6, 1, at, 10, 5)],
                )
                for at, span in enumerate(spans)
            ],
            opencensus.node(service),
        )


class TestUnary(TestStream):
    path = specs.EXPORT_ONE
