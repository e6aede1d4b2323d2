"""The Zipkin receiver: the collector's paths, and beside them its method over gRPC, on Zipkin's port. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.receivers.contract import Head, ReceiverSpec
from clew_server.receivers.density import is_sparse
from clew_server.receivers.zipkin.decoder import REPORT, V1_PATH, V2_PATH, decode

_QUICK_BYTES, _QUICK_V1_BYTES = 16 << 10, 8 << 10
_BYTES_A_MARK = 10
_ALWAYS = 64


def _is_quick(body: bytes, head: Head) -> bool:
    """A short body that holds no more objects than its length lets one expect: hundreds of real spans, not thousands of empty ones."""
    if head.path == V1_PATH:
        return len(body) <= _QUICK_V1_BYTES
    if len(body) > _QUICK_BYTES:
        return False
    if body.lstrip()[:1] == b"[":
        return body.count(b"{") + body.count(b",") <= _ALWAYS + len(body) // _BYTES_A_MARK
    return is_sparse(body)


_GRPC: Final = ReceiverSpec(
    name="zipkin",
    transport="grpc",
    default_port=9411,
    decode=decode,
    paths=(REPORT,),
    is_quick=_is_quick,
)

ZIPKIN: Final = ReceiverSpec(
    name="zipkin",
    transport="http",
    default_port=9411,
    decode=decode,
    paths=(V2_PATH, V1_PATH),
    shares_paths=True,  # GET /api/v2/spans asks for names
    is_quick=_is_quick,
    grpc=_GRPC,
)
