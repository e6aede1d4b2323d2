"""The frames of CAT over TCP: a length, three letters that name the codec, the message. No I/O."""

from __future__ import annotations

from struct import Struct
from typing import Final

from clew_server.errors import BadInput
from clew_server.receivers.contract import Frame

NATIVE: Final = b"NT1"
PLAIN: Final = b"PT1"
_METRICS: Final = (b"NM1", b"NB1")
_MAGIC_BYTES: Final = 3
_HEAD: Final = Struct(">i")


class CatFrames:
    """Cuts a connection as CAT's server does. Nothing is ever answered."""

    @property
    def head_bytes(self) -> int:
        return _HEAD.size

    def greeting(self, now_unix_nano: int) -> bytes:
        return b""

    def length(self, head: bytes) -> int:
        """Raises BadInput for a length below zero: then these are no frames."""
        (length,) = _HEAD.unpack(head)
        if length < 0:
            raise BadInput(f"a frame of {length} bytes: this is not CAT", code="malformed")
        return int(length)

    def frame(self, head: bytes, body: bytes, number: int) -> Frame:
        """A message tree; metrics and unknown codecs are counted and not kept."""
        magic = body[:_MAGIC_BYTES]
        if magic in (NATIVE, PLAIN):
            return Frame(spans=body)
        if len(magic) < _MAGIC_BYTES:
            raise BadInput(f"a frame of {len(body)} bytes names no codec", code="malformed")
        return Frame(dropped="metrics" if magic in _METRICS else "unknown_frames")


def frame(body: bytes) -> bytes:
    """A frame with its head."""
    return _HEAD.pack(len(body)) + body
