"""CAT's binary codec NT1: ten strings, then records until the message ends. No I/O.

Numbers are LEB128 without sign, strings are a number of bytes and UTF-8. Nothing is read beyond the message whatever it declares.
"""

from __future__ import annotations

from typing import Final

from clew_server.errors import BadInput
from clew_server.receivers.cat.tree import Event, Header, Tree
from clew_server.receivers.foreign.texts import text

_MOST_SHIFT: Final = 63
_EVENTS: Final = {ord("E"): "E", ord("M"): "M", ord("H"): "H", ord("L"): "L"}
_OPEN, _CLOSE = ord("t"), ord("T")


def read(body: bytes, at: int) -> Tree:
    """The tree of a message behind its magic. Raises BadInput where not even its header can be read, TooLarge.

    Where the records break off, those before stay: `is_cut`.
    """
    reader = _Reader(body, at)
    tree = Tree(Header.of([reader.string() for _ in Header._fields]))
    try:
        _records(reader, tree)
    except _Broken:
        tree.is_cut = True
    tree.finish()
    return tree


def _records(reader: _Reader, tree: Tree) -> None:
    string, number = reader.string, reader.number
    while not reader.is_over():
        letter = reader.byte()
        if letter == _OPEN:
            tree.open(number(), string(), string())
        elif letter == _CLOSE:
            try:
                tree.close(string(), string(), number())
            except _Broken:
                raise
            except BadInput as error:
                raise _Broken(str(error)) from None
        elif letter in _EVENTS:
            time_ms = number()
            tree.add(Event(_EVENTS[letter], string(), string(), string(), string(), time_ms))
        else:
            raise _Broken(f"a record of kind {letter}")


class _Broken(BadInput):
    def __init__(self, what: str) -> None:
        super().__init__(f"the bytes are not a message of CAT: {what}", code="malformed")


class _Reader:
    __slots__ = ("_at", "_body", "_end")

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at, self._end = body, at, len(body)

    def is_over(self) -> bool:
        return self._at >= self._end

    def byte(self) -> int:
        if self._at >= self._end:
            raise _Broken("it ends too early")
        self._at += 1
        return self._body[self._at - 1]

    def number(self) -> int:
        body, at, end = self._body, self._at, self._end
        found = shift = 0
        while at < end:
            byte = body[at]
            at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                self._at = at
                return found & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
            if shift > _MOST_SHIFT:
                raise _Broken("a number of more than 64 bits")
        raise _Broken("it ends in the middle of a number")

    def string(self) -> str:
        length = self.number()
        at = self._at
        if length > self._end - at:
            raise _Broken(f"a text of {length} bytes where {self._end - at} are left")
        self._at = at + length
        return text(self._body[at : self._at])
