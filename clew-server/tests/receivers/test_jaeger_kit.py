"""Jaeger's four listeners for spans pass the kit of receivers."""

from __future__ import annotations

from collections.abc import Sequence

from clew_server.receivers.jaeger import specs
from clew_server.testing import ReceiverKit, SentSpan, jaeger


def batch(spans: Sequence[SentSpan]) -> jaeger.Batch:
    """What one process sends: a `Batch` has one."""
    (service,) = {span.service for span in spans}
    return jaeger.Batch(
        service,
        [
            jaeger.Span(
                int.from_bytes(span.trace_id, "big"),
                int.from_bytes(span.span_id, "big"),
                span.name,
                start_us=span.start_unix_nano // 1000,
                tags=[("number", at), ("half", at / 2), ("text", span.name), ("even", at % 2 == 0)],
                logs=[(span.start_unix_nano // 1000 + 5, [("event", "e"), ("n", at)])],
            )
            for at, span in enumerate(spans)
        ],
    )


class TestThriftOverHttp(ReceiverKit):
    spec = specs.HTTP
    path = "/api/traces"
    content_type = "application/x-thrift"
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return jaeger.http_body(batch(spans))


class TestGrpc(ReceiverKit):
    spec = specs.GRPC
    path = specs.POST_SPANS
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return jaeger.post_spans(batch(spans))


class TestCompactDatagrams(ReceiverKit):
    spec = specs.COMPACT
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return jaeger.compact_datagram(batch(spans))


class TestBinaryDatagrams(ReceiverKit):
    spec = specs.BINARY
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return jaeger.binary_datagram(batch(spans))
