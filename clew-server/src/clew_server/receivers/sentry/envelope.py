"""The items of an envelope: a line with a head in JSON, then for each item a line with its head, and its bytes. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from clew_server.errors import BadInput, TooLarge

MAX_HEAD_BYTES: Final = 64 << 10
MAX_ITEMS: Final = 10_000


class Item(NamedTuple):
    """One item."""

    type: str
    payload: bytes


def head_of(body: bytes) -> dict[str, Any]:
    """The head of the envelope. Raises BadInput."""
    return _Reader(body).head("the envelope")


def items(body: bytes) -> Iterator[Item]:
    """The items of an envelope, in their order. Raises BadInput, TooLarge."""
    reader = _Reader(body)
    reader.head("the envelope")
    count = 0
    while reader.is_more():
        head = reader.head("an item")
        count += 1
        if count > MAX_ITEMS:
            raise TooLarge(f"more than {MAX_ITEMS} items in one envelope")
        type_ = head.get("type")
        yield Item(type_ if isinstance(type_, str) else "", reader.payload(head.get("length")))


class _Reader:
    """A place in the bytes of an envelope."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def is_more(self) -> bool:
        """Whether there is anything but line ends."""
        while self._body[self._at : self._at + 1] in (b"\n", b"\r"):
            self._at += 1
        return self._at < len(self._body)

    def head(self, whose: str) -> dict[str, Any]:
        end = self._body.find(b"\n", self._at)
        line = self._body[self._at : end if end >= 0 else len(self._body)]
        if len(line) > MAX_HEAD_BYTES:
            raise TooLarge(f"the head of {whose} has more than {MAX_HEAD_BYTES} bytes")
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _malformed(f"the head of {whose} is no JSON") from error
        if not isinstance(found, dict):
            raise _malformed(f"the head of {whose} is no object")
        self._at += len(line) + 1
        return found

    def payload(self, length: Any) -> bytes:
        """So many bytes, and the line end behind them; without a length all up to the next line end."""
        if length is None:
            end = self._body.find(b"\n", self._at)
            end = end if end >= 0 else len(self._body)
        elif isinstance(length, bool) or not isinstance(length, int) or length < 0:
            raise _malformed("the length of an item is no number of bytes")
        else:
            end = self._at + length
            if end > len(self._body):
                raise _malformed("an item is longer than the envelope")
        found = self._body[self._at : end]
        self._at = end + 1
        if self._body[end : self._at] not in (b"\n", b""):
            raise _malformed("an item is longer than it says")
        return found


def _malformed(why: str) -> BadInput:
    return BadInput(f"the bytes are no envelope of Sentry's: {why}", code="malformed")
