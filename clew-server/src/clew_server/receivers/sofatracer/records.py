"""The bytes of a digest log cut into records, of which one may go over several lines. No I/O.

SOFATracer ends a record with CR LF and escapes no line end in it, so a statement of several lines is a record of several lines.
Files that were converted have LF alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MAX_RECORD_BYTES: Final = 256 << 10
"""A longer record is left out."""

_BEGINS: Final = re.compile(
    rb'\s{0,16}(?:\{\s{0,8}"time(?:stamp)?"\s{0,8}:\s{0,8}"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3},)'
)
_LOOKED_AT_BYTES: Final = 128


def begins(line: bytes) -> bool:
    """Whether a record begins with this line; else it belongs to the one before."""
    return _BEGINS.match(line[:_LOOKED_AT_BYTES]) is not None


def has_crlf(head: bytes) -> bool:
    """Whether records of a file that begins so end with CR LF."""
    return b"\r\n" in head


def whole_bytes(data: bytes, *, crlf: bool) -> int:
    """How many bytes of `data`, which begin with a record, are whole records: up to the last line end that ends one.

    A record in JSON may end with LF alone in any file.
    """
    end = len(data)
    while True:
        end = data.rfind(b"\n", 0, end) + 1
        if not end or not crlf or data.endswith((b"\r\n", b"}\n"), 0, end):
            return end
        end -= 1


def records(data: bytes) -> Iterator[bytes]:
    """The records, without the line end behind them. Empty lines are none."""
    start = -1
    at = 0
    while at < len(data):
        found = data.find(b"\n", at)
        end = len(data) if found < 0 else found + 1
        if start < 0 or begins(data[at : at + _LOOKED_AT_BYTES]):
            if start >= 0 and (one := data[start:at].strip()):
                yield one
            start = at
        at = end
    if start >= 0 and (one := data[start:].strip()):
        yield one


def text_of(record: bytes) -> str:
    """A record as text. SOFATracer writes in the encoding it is told: UTF-8, or one of those for Chinese."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return record.decode(encoding)
        except UnicodeDecodeError:
            continue
    return record.decode("utf-8", "replace")
