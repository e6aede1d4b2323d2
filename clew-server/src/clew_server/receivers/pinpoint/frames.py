"""The frames that Pinpoint's agents for Python and PHP send over TCP: a type, a length, JSON. No I/O."""

from __future__ import annotations

import json
from struct import Struct
from typing import Final

from clew_server.errors import BadInput
from clew_server.receivers.contract import Frame

HELLO, SPAN, UNIQUE_ID = 0, 1, 2
_HEAD: Final = Struct(">II")
# The agent compares versions as texts: 0.10.0 is older to it than 0.5.0, and 0.5.0 itself is refused. This one it takes.
_VERSION: Final = "v1.0.0"


class CollectorFrames:
    """Cuts a connection as the collector agent of Pinpoint does."""

    @property
    def head_bytes(self) -> int:
        return _HEAD.size

    def greeting(self, now_unix_nano: int) -> bytes:
        """The agent sends nothing before it; `time` becomes a part of its transaction ids."""
        hello = {"appid": "no", "appname": "no", "time": str(now_unix_nano // 1_000_000), "version": _VERSION}
        return frame(HELLO, json.dumps(hello, separators=(",", ":")).encode())

    def length(self, head: bytes) -> int:
        """Raises BadInput for a type that no frame has: then these are no frames."""
        kind, length = _HEAD.unpack(head)
        if kind > _LARGEST_TYPE:
            raise BadInput(f"a frame of type {kind}: Pinpoint's agents send types 0, 1 and 2", code="malformed")
        return int(length)

    def frame(self, head: bytes, body: bytes, number: int) -> Frame:
        """A span, or a request for a number."""
        kind = _HEAD.unpack(head)[0]
        if kind == SPAN:
            return Frame(spans=body)
        if kind == UNIQUE_ID:
            return Frame(answer=frame(UNIQUE_ID, b'{"uid":%d}' % number))
        return Frame(dropped="" if kind == HELLO else f"frame_{kind}")


def frame(kind: int, body: bytes) -> bytes:
    """A frame with its head."""
    return _HEAD.pack(kind, len(body)) + body


_LARGEST_TYPE: Final = 15
