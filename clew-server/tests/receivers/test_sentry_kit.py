"""The Sentry listener passes the kit of receivers: transactions, streamed spans, and the older path."""

from __future__ import annotations

from collections.abc import Sequence

from clew_server.receivers.sentry import specs
from clew_server.testing import ReceiverKit, SentSpan, sentry


class TestTransactions(ReceiverKit):
    spec = specs.SENTRY
    path = "/api/1/envelope/"
    content_type = "application/x-sentry-envelope"
    accepted_status = 200

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return sentry.envelope(
            *(
                (
                    "transaction",
                    sentry.transaction(
                        one.trace_id.hex(),
                        one.span_id.hex(),
                        one.name,
                        release=f"{one.service}@1",
                        start_timestamp=one.start_unix_nano / 1e9,
                        tags={"text": one.name},
                        measurements={"m": {"value": at}},
                    ),
                )
                for at, one in enumerate(spans)
            )
        )


class TestStreamed(TestTransactions):
    path = "/shop/api/1/envelope"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        written = [
            sentry.streamed(one.trace_id.hex(), one.span_id.hex(), one.name, attributes={"service": one.service})
            for one in spans
        ]
        return sentry.envelope(("span", sentry.contained(written)))


class TestChildren(TestTransactions):
    """One transaction with the spans below it, of one service."""

    services = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        first, *others = spans
        made = sentry.transaction(
            first.trace_id.hex(),
            first.span_id.hex(),
            first.name,
            tags={"service": first.service},
            spans=[
                sentry.span(one.trace_id.hex(), one.span_id.hex(), description=one.name, op="task") for one in others
            ],
        )
        return sentry.envelope(("transaction", made), ("session", {}))
