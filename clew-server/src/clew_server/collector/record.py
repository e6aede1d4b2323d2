"""The bytes of one record of the log, and how a file of them is read after a crash. The drawing is docs/formats/wal.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import google_crc32c

from clew.otlp.encode import varint

MARK_BYTES = 44
"""Length of a mark: always the same, so that the end of a record can be written before anything of it is read."""

# Tag of field 1000, length-delimited; the mark's 41 bytes; the tag of its first field. Minimal varints throughout.
_MARK_HEAD = b"\xc2\x3e\x29\x09"
_MARK = struct.Struct("<4sQcQcQcQcI")
_CRC_BYTES = 5
_SHORTEST_LENGTH = MARK_BYTES
_LONGEST_LENGTH = 1 << 31
_CUT_SHORT = -1


class Record(NamedTuple):
    """Where one record lies in its file (offsets in bytes) and what its mark says."""

    start: int
    body: int
    """Offset of the request, after the length."""
    end: int
    sequence: int
    arrival_unix_nano: int
    request_hash: bytes

    @property
    def mark(self) -> int:
        """Offset of the mark, which is the end of the request."""
        return self.end - MARK_BYTES


@dataclass(slots=True)
class Scan:
    """What a file holds: good records in order, damaged stretches between them, and where the last good one ends."""

    records: list[Record] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0


def length_prefix(body_bytes: int) -> bytes:
    """The varint before a record: length of request and mark."""
    return varint(body_bytes + MARK_BYTES)


def make_mark(prefix: bytes, body: bytes, sequence: int, arrival_unix_nano: int, request_hash: bytes) -> bytes:
    """The 44 bytes after a request. `request_hash` has 16 bytes; the checksum covers prefix, body and the mark before it."""
    high, low = struct.unpack(">QQ", request_hash)
    head = _MARK.pack(_MARK_HEAD, sequence, b"\x11", arrival_unix_nano, b"\x19", high, b"\x21", low, b"\x2d", 0)[
        :-_CRC_BYTES
    ]
    crc = google_crc32c.extend(google_crc32c.extend(google_crc32c.value(prefix), body), head)
    return head + b"\x2d" + int(crc).to_bytes(4, "little")


def read_mark(mark: bytes) -> tuple[int, int, bytes] | None:
    """(sequence, arrival, request hash) of a mark's 44 bytes, its checksum unchecked; None where it is not one."""
    if len(mark) != MARK_BYTES:
        return None
    head, sequence, tag2, arrival, tag3, high, tag4, low, tag5, _ = _MARK.unpack(mark)
    if (head, tag2, tag3, tag4, tag5) != (_MARK_HEAD, b"\x11", b"\x19", b"\x21", b"\x2d"):
        return None
    return sequence, arrival, struct.pack(">QQ", high, low)


def _length_at(data: bytes, start: int) -> tuple[int, int]:
    """The length that stands before a record, and where the request begins.

    _CUT_SHORT where the file ends inside the length, 0, which no record has, where more than five bytes would belong to it.
    """
    length = 0
    for number in range(5):
        at = start + number
        if at >= len(data):
            return _CUT_SHORT, at
        length |= (data[at] & 0x7F) << 7 * number
        if data[at] < 0x80:
            return length, at + 1
    return 0, start + 5


def read_record(data: bytes, start: int) -> Record | None:
    """The record that begins at `start`; None where there is no whole one with the right checksum."""
    length, body = _length_at(data, start)
    end = body + length
    if not _SHORTEST_LENGTH <= length < _LONGEST_LENGTH or end > len(data):
        return None
    mark = read_mark(data[end - MARK_BYTES : end])
    if mark is None or google_crc32c.value(data[start : end - _CRC_BYTES]) != int.from_bytes(
        data[end - 4 : end], "little"
    ):
        return None
    return Record(start, body, end, *mark)


def scan(data: bytes) -> Scan:
    """Read a whole file. A bad stretch with a good record behind it is damage; for one at the end ask `is_torn`."""
    found = Scan()
    while found.end < len(data):
        record = read_record(data, found.end)
        if record is None:
            record = _next_record(data, found.end)
            if record is None:
                break
            found.damaged.append((found.end, record.start))
        found.records.append(record)
        found.end = record.end
    return found


def is_torn(data: bytes, start: int) -> bool:
    """Whether what begins at `start` is a write that never ended: the file is over before the record is.

    Such bytes were never acknowledged. Everything else there is damage: a whole record that does not pass its checksum, and
    a length that is too long though a mark follows, which ends a whole record.
    """
    length, body = _length_at(data, start)
    if length == _CUT_SHORT:
        return True
    if not _SHORTEST_LENGTH <= length < _LONGEST_LENGTH or body + length <= len(data):
        return False
    at = data.find(_MARK_HEAD, body)
    while at >= 0:
        if read_mark(data[at : at + MARK_BYTES]) is not None:
            return False
        at = data.find(_MARK_HEAD, at + 1)
    return True


def _next_record(data: bytes, after: int) -> Record | None:
    """The first good record behind damage: every record follows a mark, and marks can be searched for."""
    at = data.find(_MARK_HEAD, after)
    while at >= 0:
        record = read_record(data, at + MARK_BYTES)
        if record is not None:
            return record
        at = data.find(_MARK_HEAD, at + 1)
    return None
