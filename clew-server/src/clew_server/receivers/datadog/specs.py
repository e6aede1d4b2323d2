"""The listener that Datadog's tracers take for their agent, and what it answers. No I/O."""

from __future__ import annotations

import json
from typing import Final

from clew_server.receivers.contract import JSON, Answer, Head, Limits, OtlpBatch, PlainAnswers, ReceiverSpec
from clew_server.receivers.datadog.decoder import MAX_PAYLOAD_BYTES, OTHERS, TRACES, check, decode

RATES: Final = json.dumps({"rate_by_service": {"service:,env:": 1.0}}).encode()
"""Every trace is to be kept."""


class _Answers(PlainAnswers):
    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        if head.path in TRACES:
            return Answer(200, RATES, JSON)
        if head.path == "/v0.7/config":
            return Answer(200, b"{}", JSON)
        return Answer(202, b"{}", JSON)


DATADOG: Final = ReceiverSpec(
    name="datadog",
    transport="http",
    default_port=8126,
    decode=decode,
    paths=(*TRACES, *OTHERS),
    verbs=("PUT", "POST"),
    answers=_Answers(),
    limits=Limits(message_bytes=MAX_PAYLOAD_BYTES),
    check=check,
    is_quick=lambda body, head: len(body) <= 16 << 10 or head.path in OTHERS,
)
