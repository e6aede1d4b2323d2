"""The Zipkin receiver: the collector's paths on Zipkin's port. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.receivers.contract import Head, ReceiverSpec
from clew_server.receivers.zipkin.decoder import V1_PATH, V2_PATH, decode

_QUICK_BYTES = 32 << 10


def _is_quick(body: bytes, head: Head) -> bool:
    return len(body) <= _QUICK_BYTES


ZIPKIN: Final = ReceiverSpec(
    name="zipkin",
    transport="http",
    default_port=9411,
    decode=decode,
    paths=(V2_PATH, V1_PATH),
    shares_paths=True,  # GET /api/v2/spans asks for names
    is_quick=_is_quick,
)
