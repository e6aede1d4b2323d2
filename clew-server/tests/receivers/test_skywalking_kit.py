"""SkyWalking's listeners pass the kit of receivers.

The kit gives span ids, which SkyWalking has none of: each span is the first of a segment whose id says what it is to be, as clew's
propagator makes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from clew.ids import span_id_to_skywalking
from clew_server.receivers.skywalking import specs
from clew_server.testing import ReceiverKit, SentSpan, skywalking


def segments(spans: Sequence[SentSpan]) -> list[skywalking.Segment]:
    return [
        skywalking.Segment(
            span.trace_id.hex(),
            span_id_to_skywalking(span.span_id),
            [
                skywalking.Span(
                    name=span.name,
                    start_ms=span.start_unix_nano // 1_000_000,
                    end_ms=span.start_unix_nano // 1_000_000 + 1,
                    tags=[("http.method", "GET"), ("text", span.name)],
                    logs=[(span.start_unix_nano // 1_000_000, [("event", "error"), ("message", "m")])],
                    references=[skywalking.Reference(span.trace_id.hex(), "other.1.2", 3)],
                )
            ],
            span.service,
        )
        for span in spans
    ]


class TestStream(ReceiverKit):
    spec = specs.GRPC
    path = specs.COLLECT
    spans_a_request = 1
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return skywalking.segment(segments(spans[:1])[0])


class TestInBulk(ReceiverKit):
    spec = specs.GRPC
    path = specs.COLLECT_IN_SYNC

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return skywalking.collection(segments(spans))


class TestOneOverHttp(ReceiverKit):
    spec = specs.HTTP
    path = "/v3/segment"
    content_type = "application/json"
    accepted_status = 200
    spans_a_request = 1
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return skywalking.segment_json(segments(spans[:1])[0])


class TestManyOverHttp(ReceiverKit):
    spec = specs.HTTP
    path = "/v3/segments"
    content_type = "application/json"
    accepted_status = 200

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return skywalking.segments_json(segments(spans))
