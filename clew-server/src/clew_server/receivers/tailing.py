"""Receivers that follow files: a thread looks into folders now and then and reads what was added, each record once.

A file is known by its first line and not by its name or number, so it stays the same when it is renamed, and a copy of it is the
same too; one that is cut and written anew is another. Before bytes are handed in it is durable which ones (`collector.positions`),
so after a crash the same bytes are handed in again, and the log tells what it has. While the log has no room, nothing is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clew_server.collector.intake import Intake
from clew_server.collector.positions import IDENTITY_BYTES, Position, Positions
from clew_server.errors import BadInput, Unavailable
from clew_server.receivers.contract import Following, Head, OtlpBatch, ReceiverSpec, ReceiverState
from clew_server.receivers.decoding import UNFORESEEN
from clew_server.receivers.memory import memory_errors

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
READ_BYTES: Final = 512 << 10
"""So much is read, decoded and handed in together; a longer record is left out."""
_SHARE: Final = 200
"""A look at the folders may take one part in so many of a processor."""
_SELDOM_S: Final = 10.0
"""So often it is looked in any case."""
_HEAD_BYTES: Final = 4096
_LONGEST_HEAD_BYTES: Final = 64 << 10
_DEEPEST: Final = 4
_MOST_FILES: Final = 10_000
_LOG_EVERY_S: Final = 60.0


class _NotNow(Exception):
    """What was read could not be handed in; it is read again later."""


@dataclass(slots=True)
class _Seen:
    """A file as it was when everything in it had been read."""

    size: int
    mtime_ns: int


class FileReceiver:
    """Follows the files of some folders. `start` and `stop` belong to the event loop whose intake is asked."""

    def __init__(
        self, spec: ReceiverSpec, intake: Intake, state: ReceiverState, folders: Sequence[Path], positions: Positions
    ) -> None:
        assert spec.following is not None
        self._spec = spec
        self._following: Following = spec.following
        self._intake = intake
        self._folders = folders
        self._positions = positions
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._follow, name=f"clew-follow-{spec.name}", daemon=True)
        self._logged_s = -_LOG_EVERY_S
        self._look_cpu_s = 0.0
        self.state = state

    def start(self) -> None:
        """Follow from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self, within_s: float = 5.0) -> None:
        """Read nothing more. What was handed in is waited for, as far as `within_s` allows."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, within_s)

    # The thread

    def _follow(self) -> None:
        while not self._stopping.is_set():
            has_more = False
            try:
                has_more = self._look()
                self._positions.settle()
            except _NotNow:
                pass
            except OSError as error:
                self.state.last_error = f"{error.filename or 'the positions'}: {error.strerror or error}"
            except Exception:
                self._foresaw_not()
            if not has_more:
                self._stopping.wait(min(max(LOOK_EVERY_S, self._look_cpu_s * _SHARE), _SELDOM_S))

    def _look(self) -> bool:
        """Read what was added to each file; whether there is more of it already."""
        has_more = False
        here: dict[tuple[int, int], _Seen] = {}
        count = 0
        for path, found in self._files():
            count += 1
            key = found.st_dev, found.st_ino
            seen = self._seen.get(key)
            if seen is not None and (seen.size, seen.mtime_ns) == (found.st_size, found.st_mtime_ns):
                here[key] = seen
                continue
            try:
                is_read = self._read(path)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):  # it may have been moved meanwhile
                    self.state.last_error = f"{path}: {error.strerror or error}"
                continue
            if is_read:
                here[key] = _Seen(found.st_size, found.st_mtime_ns)
            has_more = has_more or not is_read
            if self._stopping.is_set():
                return False
        self._seen = here
        self.state.files = count
        return has_more

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The files to follow, the oldest first, so that spans come in about their order."""
        began_s = time.thread_time()
        found: list[tuple[Path, os.stat_result]] = []
        waiting = [(folder, 0) for folder in self._folders]
        while waiting:
            folder, depth = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            if depth < _DEEPEST:
                                waiting.append((Path(entry.path), depth + 1))
                        elif self._following.follows(entry.name):
                            try:
                                status = entry.stat()
                            except FileNotFoundError:
                                continue  # gone meanwhile, or a link to nothing
                            if stat.S_ISREG(status.st_mode):
                                found.append((Path(entry.path), status))
            except FileNotFoundError:
                continue  # it comes later, or is gone
            except OSError as error:
                self.state.last_error = f"{folder}: {error.strerror or error}"
        self._look_cpu_s = time.thread_time() - began_s
        found.sort(key=lambda one: (one[1].st_mtime_ns, one[0]))
        if len(found) > _MOST_FILES:
            self.state.last_error = f"{len(found)} files: the newest {_MOST_FILES} of them are followed"
        return iter(found[-_MOST_FILES:])

    def _read(self, path: Path) -> bool:
        """Hand in what a file has beyond its position, up to `READ_BYTES`; whether that was all."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            head = os.pread(fd, _HEAD_BYTES, 0)
            if b"\n" not in head or b"\r\n" not in head:
                head = os.pread(fd, _LONGEST_HEAD_BYTES, 0)
            identity = _identity(head)
            if identity is None:
                return True  # not even a first line
            position = self._positions.of(identity)
            if position.reading > position.read:
                return self._again(fd, path, identity, position)
            data = os.pread(fd, READ_BYTES, position.read)
            is_all = len(data) < READ_BYTES
            end = self._following.whole_bytes(data, head)
            if not end and not is_all:
                end = len(data)  # a record that is too long: left out, and counted by the decoder
            if not end:
                return True  # nothing, half a record, or a copy that is not whole yet
            data = data[:end]
            self._positions.intend(identity, Position(position.read, position.read + end))
            self._hand_in(path, identity, position.read, data)
            return is_all
        finally:
            os.close(fd)

    def _again(self, fd: int, path: Path, identity: bytes, position: Position) -> bool:
        """Hand in what was being handed in when the process ended, or when there was no room."""
        data = os.pread(fd, position.reading - position.read, position.read)
        if len(data) < position.reading - position.read:
            return True  # a copy that is not whole yet
        self._hand_in(path, identity, position.read, data)
        return False

    def _hand_in(self, path: Path, identity: bytes, at: int, data: bytes) -> None:
        """Return when the log has these bytes of a file, or nothing can be made of them. Raises _NotNow."""
        self.state.saw(path.name, time.time_ns())
        batch = self._decoded(path, data)
        if batch is not None:
            # Two files may hold the same bytes: the place they are at makes them two requests.
            self._accept(batch._replace(received=identity + at.to_bytes(8, "big") + data))
        self._positions.done(identity, at + len(data))

    def _decoded(self, path: Path, data: bytes) -> OtlpBatch | None:
        try:
            with memory_errors():
                return self._spec.decode(data, Head(path=path.name))
        except BadInput as error:
            self._refuse(f"{path.name}: {error}")
        except MemoryError as error:
            self.state.last_error = "this machine is out of memory"
            raise _NotNow from error
        except Exception:
            self._foresaw_not()
            self._refuse(UNFORESEEN)
        return None

    def _accept(self, batch: OtlpBatch) -> None:
        """Hand the batch to the intake; while that has no room, wait, and read nothing."""
        assert self._loop is not None
        while not self._stopping.is_set():
            try:
                asyncio.run_coroutine_threadsafe(self._intake.accept(batch), self._loop).result()
            except Unavailable as error:
                self.state.last_error = str(error)
                self._stopping.wait(min(error.retry_after_s, 1.0))
            except Exception as error:
                self.state.last_error = f"{type(error).__name__}: {error}"
                raise _NotNow from error
            else:
                self.state.took(batch)
                return
        raise _NotNow

    def _refuse(self, why: str) -> None:
        self.state.refused(why)
        self._intake.note_refused()

    def _foresaw_not(self) -> None:
        self.state.last_error = UNFORESEEN
        if time.monotonic() - self._logged_s > _LOG_EVERY_S:
            self._logged_s = time.monotonic()
            logger.exception("following files for %s failed unexpectedly", self._spec.name)


def _identity(head: bytes) -> bytes | None:
    """What a file is known by: a hash of its first line; None for one that has no whole line yet."""
    end = head.find(b"\n") + 1
    if not end and len(head) < _LONGEST_HEAD_BYTES:
        return None
    return hashlib.blake2b(head[:end] if end else head, digest_size=IDENTITY_BYTES).digest()
