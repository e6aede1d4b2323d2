"""The listener that Sentry's SDKs take for Sentry, and what it answers. No I/O."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import unquote_plus

from clew_server.errors import BadInput
from clew_server.receivers.contract import JSON, Answer, Head, Limits, OtlpBatch, ReceiverSpec
from clew_server.receivers.sentry.decoder import MAX_ENVELOPE_BYTES, PATHS, decode
from clew_server.receivers.sentry.envelope import head_of

_KEY: Final = re.compile(r"(?:^Sentry\s+|[\s,])sentry_key\s*=\s*([^\s,]+)", re.IGNORECASE)
_ASKED: Final = re.compile(r"(?:^|&)sentry_key=([^&]+)")
_EVENT_ID: Final = re.compile(r"[0-9a-fA-F-]{32,36}")


class _Answers:
    """200 and the id of the event; a refusal is its status with the reason, which SDKs print in debug mode."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        event_id = _event_id(batch.received)
        return Answer(200, json.dumps({"id": event_id} if event_id else {}).encode(), JSON)

    def refused(self, status: int, message: str, head: Head) -> Answer:
        if status == 401:
            message += ", or as the key of the DSN"
        # SDKs wait for as long as `Retry-After` says after 429, and after no other status.
        return Answer(429 if status == 503 else status, json.dumps({"detail": message}).encode(), JSON)


def _event_id(received: bytes) -> str:
    """The id in the head of an envelope, or in an event alone; empty where there is none."""
    try:
        found = head_of(received).get("event_id")
    except BadInput:
        return ""
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else ""


def token_of(head: Head) -> str:
    """The key of the DSN, which SDKs send in a header of their own, or from browsers in the address."""
    match = _KEY.search(head.headers.get("x-sentry-auth", ""))
    if match is None and head.headers.get("authorization", "")[:7].lower() == "sentry ":
        match = _KEY.search(head.headers["authorization"])
    if match is not None:
        return match[1]
    match = _ASKED.search(head.query)
    return unquote_plus(match[1]) if match is not None else ""


SENTRY: Final = ReceiverSpec(
    name="sentry",
    transport="http",
    default_port=8969,
    decode=decode,
    paths=PATHS,
    answers=_Answers(),
    limits=Limits(message_bytes=MAX_ENVELOPE_BYTES),
    encodings=("gzip", "deflate", "br"),
    token_of=token_of,
)
