"""Pinpoint's two listeners pass the kit of receivers."""

from __future__ import annotations

from collections.abc import Sequence

from clew import ids
from clew_server.receivers.pinpoint import specs
from clew_server.testing import ReceiverKit, SentSpan, pinpoint


def transaction(span: SentSpan) -> tuple[str, int, int]:
    """That of our own trace ids, which come back as they are."""
    agent, start, sequence = ids.trace_id_to_pinpoint(span.trace_id).split("^")
    return agent, int(start), int(sequence)


def span_message(one: SentSpan) -> bytes:
    return pinpoint.span_message(
        pinpoint.Span(
            int.from_bytes(one.span_id, "big", signed=True),
            transaction(one),
            rpc=one.name,
            start_ms=one.start_unix_nano // 1_000_000,
            elapsed_ms=1,
        )
    )


class TestSpansOverGrpc(ReceiverKit):
    spec = specs.COLLECTOR
    path = specs.SEND_SPAN
    headers = pinpoint.HEADERS | {"applicationname": "service-0"}
    services = 1
    spans_a_request = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        # Messages of protobuf behind each other are one: the last span of them counts.
        return b"".join(map(span_message, spans[-1:]))


class TestBatchesOverGrpc(ReceiverKit):
    spec = specs.COLLECTOR
    path = specs.SEND_SPAN_BATCH
    headers = pinpoint.HEADERS | {"applicationname": "service-0"}
    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return pinpoint.batch_message([span_message(one) for one in spans])


class TestJsonOverTcp(ReceiverKit):
    spec = specs.JSON
    services = 1
    spans_a_request = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        one = spans[-1]
        span = {
            ":S": one.start_unix_nano // 1_000_000,
            ":E": 1,
            "appname": one.service,
            "tid": ids.trace_id_to_pinpoint(one.trace_id),
            "sid": str(int.from_bytes(one.span_id, "big", signed=True)),
            "uri": one.name,
            "stp": "1700",
        }
        return pinpoint.collector_frame(span)[8:]

    def framed(self, body: bytes) -> bytes:
        return b"\0\0\0\1" + len(body).to_bytes(4, "big") + body
