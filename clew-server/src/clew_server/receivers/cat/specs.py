"""CAT's two listeners: message trees over TCP, and the router that tells clients where to send them. No I/O."""

from __future__ import annotations

import re
from typing import Final

from clew_server.errors import Unsupported
from clew_server.receivers.cat.decoder import decode
from clew_server.receivers.cat.frames import CatFrames
from clew_server.receivers.contract import Head, Limits, OtlpBatch, ReceiverSpec

# The client in C asks so: `Get http://HOST:PORT/path HTTP/1.0`, `Host HOST` without a colon, `Connection: close`.
_of_c: Final = re.compile(
    rb"Get http://([^/\s]{1,300})(/\S{0,4000}) HTTP/1\.0\r\n(?:Host[ :][^\r\n]{0,300}\r\n)?"
).match


def _no_spans(body: bytes, head: Head) -> OtlpBatch:
    raise Unsupported("spans are not sent here", code="unsupported")


def as_http(data: bytes) -> bytes:
    """The request that the client in C means; other bytes as they are."""
    found = _of_c(data)
    if found is None:
        return data
    return b"GET %b HTTP/1.0\r\nHost: %b\r\n%b" % (found[2], found[1], data[found.end() :])


CAT: Final = ReceiverSpec(
    name="cat",
    transport="tcp",
    default_port=2280,
    decode=decode,
    framing=CatFrames(),
    # A transaction takes four bytes at least.
    is_quick=lambda body, head: len(body) <= 4 << 10,
    limits=Limits(message_bytes=16 << 20, idle_s=3600.0),
)
ROUTER: Final = ReceiverSpec(
    name="cat-router",
    transport="http",
    default_port=8080,
    decode=_no_spans,
    limits=Limits(message_bytes=0),
    repair=as_http,
)
