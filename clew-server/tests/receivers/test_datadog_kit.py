"""The Datadog listener passes the kit of receivers, in both versions of its payload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from clew_server.receivers.datadog import specs
from clew_server.testing import ReceiverKit, SentSpan, datadog


def sent(spans: Sequence[SentSpan]) -> list[dict[str, Any]]:
    return [
        datadog.span(
            int.from_bytes(one.trace_id, "big"),
            int.from_bytes(one.span_id, "big"),
            one.name,
            service=one.service,
            start=one.start_unix_nano,
            duration=1_000_000,
            meta={"text": one.name, "events": '[{"name": "e", "time_unix_nano": 5}]'},
            metrics={"number": float(at), "half": at / 2},
        )
        for at, one in enumerate(spans)
    ]


class TestV04(ReceiverKit):
    spec = specs.DATADOG
    path = "/v0.4/traces"
    content_type = "application/msgpack"
    accepted_status = 200

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        packed: bytes = msgpack.packb([[one] for one in sent(spans)])
        return packed


class TestV05(TestV04):
    path = "/v0.5/traces"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return datadog.v05([[one] for one in sent(spans)])
