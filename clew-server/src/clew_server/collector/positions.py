"""How far files are read that are followed: in memory and in one small file, durable before anything depends on it.

What is about to be read is written down first. After a crash the very same bytes are read again, and the log, which remembers what
it accepted, knows whether it has them. The drawing of the file is docs/formats/agents.md.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from clew_server.durable import sync_folder, write_durably

MOST_FILES: Final = 20_000
"""Beyond, those give way that were read from longest ago."""
IDENTITY_BYTES: Final = 16

_RECORD: Final = struct.Struct("<4s16sQQI")
_MAGIC: Final = b"\xc1po1"
_REWRITE_AT_BYTES: Final = 1 << 20


class Position(NamedTuple):
    """Bytes of a file: all before `read` are in the log; those up to `reading` may be, and are read again as they were."""

    read: int = 0
    reading: int = 0


class Positions:
    """The positions in all files that are followed. Belongs to one thread at a time; everything blocks."""

    def __init__(self, folder: Path, *, most_files: int = MOST_FILES) -> None:
        self._path = folder / "positions"
        self._most_files = most_files
        self._known: dict[bytes, Position] = {}
        self._fd = -1
        self._size_bytes = 0
        self._is_durable = True

    def open(self) -> None:
        """Read what is there; an end that was cut by a crash is cut off. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not self._path.exists()
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        data = self._path.read_bytes()
        end = 0
        for at in range(0, len(data) - _RECORD.size + 1, _RECORD.size):
            magic, identity, read, reading, checksum = _RECORD.unpack_from(data, at)
            if magic != _MAGIC or checksum != _checksum(identity, read, reading):
                break
            self._learn(identity, Position(read, reading))
            end = at + _RECORD.size
        if end < len(data):
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
        if is_new:
            sync_folder(self._path.parent)
        self._size_bytes = end

    def close(self) -> None:
        """Make everything durable, as far as the disk allows."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self.settle()
            os.close(self._fd)
            self._fd = -1

    def of(self, identity: bytes) -> Position:
        """The position in a file; the beginning of one that is not known."""
        return self._known.get(identity, Position())

    def intend(self, identity: bytes, position: Position) -> None:
        """Return when it is durable that a file is read up to `position.reading`. Raises OSError."""
        self._write(identity, position)
        self.settle()

    def done(self, identity: bytes, read: int) -> None:
        """Note that a file is in the log up to here; durable with the next `intend` or `settle`. Raises OSError."""
        self._write(identity, Position(read, read))

    def settle(self) -> None:
        """Return when everything noted is durable. Raises OSError."""
        if not self._is_durable:
            os.fdatasync(self._fd)
            self._is_durable = True

    def _write(self, identity: bytes, position: Position) -> None:
        written = _packed(identity, position)
        self._learn(identity, position)
        if self._size_bytes > _REWRITE_AT_BYTES and self._size_bytes > 2 * len(self._known) * _RECORD.size:
            self._rewrite()
            return
        self._is_durable = False
        done = os.write(self._fd, written)
        if done < len(written):
            # A partial record would make all records after it unreadable.
            os.ftruncate(self._fd, self._size_bytes)
            raise OSError(28, "no space left for positions", str(self._path))
        self._size_bytes += len(written)

    def _rewrite(self) -> None:
        data = b"".join(_packed(identity, position) for identity, position in self._known.items())
        write_durably(self._path, data)
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.close(self._fd)
        self._fd, self._size_bytes, self._is_durable = fd, len(data), True

    def _learn(self, identity: bytes, position: Position) -> None:
        self._known.pop(identity, None)
        self._known[identity] = position
        if len(self._known) > self._most_files:
            del self._known[next(iter(self._known))]


def _packed(identity: bytes, position: Position) -> bytes:
    return _RECORD.pack(_MAGIC, identity, *position, _checksum(identity, *position))


def _checksum(identity: bytes, read: int, reading: int) -> int:
    return int(google_crc32c.value(struct.pack("<16sQQ", identity, read, reading)))
