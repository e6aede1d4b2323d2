"""The log: what is acknowledged is durable here first. Segments of OTLP requests with marks; one thread writes, in groups.

Every byte is drawn in docs/formats/wal.md. One process owns the folder; the lock is taken elsewhere (`datafolder.py`).
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import logging
import os
import secrets
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from clew_server.collector import files, record
from clew_server.collector.hashes import RecentHashes
from clew_server.durable import write_durably
from clew_server.errors import Unavailable
from clew_server.model.otlp_raw import count_spans

logger = logging.getLogger(__name__)

DAY_NS = 86_400_000_000_000
SPAN_HEAD_BYTES = 28
"""A canonical span begins 0a 10 <trace id> 12 08 <span id>: so much of each span is kept in memory to find a trace."""

_LAST_ARRIVAL_NS = (1 << 32) // 86_400 * DAY_NS - 1
"""The end of the last day that a time of 32 bits, which the store keeps of an arrival, holds whole: 2106-02-06."""
_MOST_BUFFERS_A_WRITE = 512
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


@dataclass(slots=True, eq=False)
class Segment:
    """One file of the log. Its numbers count what is durable (acknowledged); the file may be longer for a moment."""

    path: Path
    day: int
    """Arrival day, days since the epoch in UTC."""
    size_bytes: int = 0
    spans: int = 0
    last_arrival_unix_nano: int = 0
    first_durable_s: float = 0.0
    """When its first record was durable, on the log's monotonic clock."""
    last_durable_s: float = 0.0
    record_ends: array[int] = field(default_factory=lambda: array("Q"))
    span_ends: array[int] = field(default_factory=lambda: array("Q"))
    """Spans up to and including each record."""
    marks: bytearray = field(default_factory=bytearray)
    heads: bytearray | None = field(default_factory=bytearray)
    """The first 28 bytes of each span, in order; None where they were not kept: then the file is searched."""

    @property
    def name(self) -> str:
        """The segment's name for ever, by which the store says whether it has it."""
        return self.path.stem

    def add(self, record_bytes: int, spans: int, mark: bytes, heads: bytes | None, arrival_unix_nano: int) -> None:
        """Count one more durable record."""
        self.last_arrival_unix_nano = max(self.last_arrival_unix_nano, arrival_unix_nano)
        self.size_bytes += record_bytes
        self.spans += spans
        self.record_ends.append(self.size_bytes)
        self.span_ends.append(self.spans)
        self.marks += mark
        if heads is None or len(heads) != spans * SPAN_HEAD_BYTES:
            self.heads = None
        elif self.heads is not None:
            self.heads += heads

    def record_range(self, number: int) -> tuple[int, int]:
        """(start, end) of a record in the file, in bytes."""
        return (self.record_ends[number - 1] if number else 0), self.record_ends[number]

    def records_of(self, heads: bytearray, needle: bytes) -> Iterator[int]:
        """Numbers of the records with a span whose head begins with `needle`, by the heads kept in memory."""
        at, last = heads.find(needle), -1
        while at >= 0:
            span, rest = divmod(at, SPAN_HEAD_BYTES)
            if rest == 0:
                number = bisect.bisect_right(self.span_ends, span)
                if number != last:
                    last = number
                    yield number
                at = heads.find(needle, self.span_ends[number] * SPAN_HEAD_BYTES)
            else:
                at = heads.find(needle, at + 1)


class WalStatistics(NamedTuple):
    """What waits in the log. `oldest_unstored_s`, how long the oldest has waited, is None when nothing does."""

    backlog_bytes: int
    backlog_spans: int
    segments: int
    oldest_unstored_s: float | None
    remembered_requests: int
    last_error: str | None
    failing_since_unix_nano: int | None
    """Since when nothing could be written; None once a write succeeded again."""
    failures: int
    damaged_files: int
    damaged_bytes: int
    """Bytes of segments that could not be read, kept in `damaged_files` files beside them."""
    foreign_files: int
    """Entries of the folder that clew did not write."""


class _Waiting(NamedTuple):
    body: bytes
    spans: int
    request_hash: bytes
    heads: bytes | None
    done: Future[None]


class Wal:
    """The log of one folder. `open` first; then `append` from any thread; `close` last.

    The writer takes `sealed()` segments, and calls `delete` once both forms of one are stored; `changed` is notified when
    the first record of a segment becomes durable, a segment is sealed or deleted. It guards all that this class holds:
    take it only around a few reads and never call a method of this class inside it, except `sealed` and `unsealed`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seal_after_spans: int = 100_000,
        max_segment_bytes: int = 64 << 20,
        max_segment_spans: int = 200_000,
        remember_s: int = 900,
        indexed_spans: int = 1_000_000,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        fdatasync: Callable[[int], None] = _fdatasync,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.folder = folder
        self.seal_after_spans = seal_after_spans
        self._max_bytes = max_segment_bytes
        self._max_spans = max_segment_spans
        self._remember_s = remember_s
        self._indexed_spans = indexed_spans
        self._clock_ns = clock_ns
        self.monotonic_s = monotonic_s
        self._fdatasync = fdatasync
        self._fsync = fsync
        self._key = b""
        self._hashes = RecentHashes(remember_s)
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self._work = threading.Condition(lock)
        self._waiting: list[_Waiting] = []
        self._seals: list[Future[None]] = []
        self._closing = False
        self._sealed: dict[str, Segment] = {}
        self._current: Segment | None = None
        self._fd = -1
        self._is_new = False
        self._last_name_ns = 0
        self._last_error: str | None = None
        self._failing_since_ns: int | None = None
        self._failures = 0
        self._foreign = 0
        self._marks_written_s: dict[Path, float] = {}
        self._thread: threading.Thread | None = None

    # -- start and stop

    def open(self) -> None:
        """Read what is there, cut torn tails, set damage aside, remember hashes, start the committer. Raises LogUnusable."""
        found = files.look(self.folder)
        self._foreign = len(found.foreign)
        for path in found.foreign:
            logger.warning("%s is not a file of clew: it is neither read nor removed", path)
        try:
            for leftover in found.leftovers:
                leftover.unlink()
            self._key = self._read_key()
            self._read_marks(found.marks)
            for path in found.segments:
                self._read_segment(path, is_newest=path == found.segments[-1])
            if self._sealed:
                self._sync_folder()
        except OSError as error:
            raise files.unusable(self.folder, error) from error
        # Names rise also when the clock was set back between two starts: the highest is the one that was being written.
        self._last_name_ns = found.last_name_ns
        self._thread = threading.Thread(target=self._run, name="clew-wal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Make durable what was appended before, seal, stop the committer. Later appends are refused."""
        with self._work:
            self._closing = True
            self._work.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # -- writing

    def body_hash(self, body: bytes, signal: str = "traces") -> bytes:
        """16 bytes for a request body as it was sent, keyed so that a sender cannot construct two bodies with the same hash.

        The same bytes sent as another `signal` are another request.
        """
        person = b"" if signal == "traces" else signal.encode()
        return hashlib.blake2b(body, digest_size=16, key=self._key, person=person).digest()

    def remembers(self, request_hash: bytes) -> bool:
        """Whether a body with this hash became durable in the last 15 minutes, also before a restart."""
        return self._hashes.has(request_hash, self.monotonic_s())

    def append(self, body: bytes, spans: int, body_hash: bytes, heads: bytes | None = None) -> Future[None]:
        """Log a canonical request of `spans` spans. Done when it is durable; fails with Unavailable when it will not be.

        `heads`: the first 28 bytes of each of its spans, to find them by trace id without reading the file.
        """
        done: Future[None] = Future()
        with self._work:
            if self._closing or self._thread is None:
                done.set_exception(Unavailable("the log is closed", retry_after_s=1.0))
                return done
            self._waiting.append(_Waiting(body, spans, body_hash, heads, done))
            self._work.notify()
        return done

    def seal(self) -> None:
        """End the segment being written, so that it can be stored: all that was durable before is in `sealed` after."""
        done: Future[None] = Future()
        with self._work:
            if self._thread is None or self._closing or (self._current is None and not self._waiting):
                return
            self._seals.append(done)
            self._work.notify()
        done.result()

    # -- what is there

    def sealed(self) -> list[Segment]:
        """Segments that wait to be stored, oldest first."""
        with self.changed:
            return list(self._sealed.values())

    def unsealed(self) -> Segment | None:
        """The segment being written, if it holds a durable record."""
        with self.changed:
            current = self._current
            return current if current is not None and current.record_ends else None

    def segments(self) -> list[Segment]:
        """All that is durable here and not yet deleted, oldest first."""
        with self.changed:
            current = self.unsealed()
            return [*self._sealed.values(), *([current] if current else [])]

    def statistics(self) -> WalStatistics:
        damaged_files, damaged_bytes = files.damage(self.folder)
        with self.changed:
            now_s = self.monotonic_s()
            segments = self.segments()
            return WalStatistics(
                backlog_bytes=sum(s.size_bytes for s in segments),
                backlog_spans=sum(s.spans for s in segments),
                segments=len(segments),
                # By the monotonic clock: the wall clock may have jumped since.
                oldest_unstored_s=max((now_s - s.first_durable_s for s in segments), default=None),
                remembered_requests=len(self._hashes),
                last_error=self._last_error,
                failing_since_unix_nano=self._failing_since_ns,
                failures=self._failures,
                damaged_files=damaged_files,
                damaged_bytes=damaged_bytes,
                foreign_files=self._foreign,
            )

    def settle(self, segment: Segment) -> None:
        """Cut what was never acknowledged off a sealed file, where that failed before. Raises OSError if it fails again."""
        if segment.path.stat().st_size != segment.size_bytes:
            os.truncate(segment.path, segment.size_bytes)

    def delete(self, segment: Segment) -> None:
        """Forget a sealed segment that is stored; its hashes stay, in a small file, as long as they are remembered."""
        now_s = self.monotonic_s()
        if now_s - segment.last_durable_s < self._remember_s:
            marks = segment.path.with_suffix(".marks")
            write_durably(marks, bytes(segment.marks))
            with self.changed:
                self._marks_written_s[marks] = now_s
        segment.path.unlink(missing_ok=True)
        with self.changed:
            self._sealed.pop(segment.name, None)
            self.changed.notify_all()
            old = [path for path, at_s in self._marks_written_s.items() if now_s - at_s >= self._remember_s + 60]
            for path in old:
                del self._marks_written_s[path]
        for path in old:
            path.unlink(missing_ok=True)

    # -- reading after a start

    def _read_key(self) -> bytes:
        path = self.folder / files.KEY
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != 32:
            if key:
                logger.warning("%s is damaged: requests of before are not recognized when they are repeated", path)
            key = secrets.token_bytes(32)
            write_durably(path, key)
        return key

    def _read_marks(self, paths: list[Path]) -> None:
        """Remember the hashes of deleted segments as if they came now: their age is unknown, since the clock may have jumped."""
        now_s = self.monotonic_s()
        for path in paths:
            self._marks_written_s[path] = now_s
            data = path.read_bytes()
            for at in range(0, len(data), record.MARK_BYTES):
                mark = record.read_mark(data[at : at + record.MARK_BYTES])
                if mark is None:
                    logger.warning(
                        "%s is damaged at byte %d: repeated requests of that time are not recognized", path.name, at
                    )
                    break
                self._hashes.add(mark[2], now_s)

    def _read_segment(self, path: Path, *, is_newest: bool) -> None:
        data = path.read_bytes()
        found = record.scan(data)
        damaged = list(found.damaged)
        torn_bytes = 0
        if found.end < len(data):
            # Only the newest segment was being written when the process ended; every byte of the others was acknowledged.
            if is_newest and record.is_torn(data, found.end):
                torn_bytes = len(data) - found.end
                logger.info("%s: a torn tail of %d bytes was cut", path.name, torn_bytes)
            else:
                damaged.append((found.end, len(data)))
        if damaged:
            data = self._set_aside(path, data, found, damaged)
            found = record.scan(data)
        if not found.records:
            path.unlink()
            return
        # A killed process may have written what it never synced. A repetition of it is acknowledged from its hash alone,
        # so it is made durable before the hash is remembered.
        with path.open("r+b") as file:
            if torn_bytes and not damaged:
                file.truncate(found.end)
            self._fsync(file.fileno())
        segment = Segment(path, found.records[0].arrival_unix_nano // DAY_NS, heads=None)
        segment.last_durable_s = self.monotonic_s()
        waited_ns = max(0, self._clock_ns() - found.records[0].arrival_unix_nano)
        segment.first_durable_s = segment.last_durable_s - waited_ns / 1e9
        for one in found.records:
            spans = count_spans(data[one.body : one.mark])
            segment.add(one.end - one.start, spans, data[one.mark : one.end], None, one.arrival_unix_nano)
            self._hashes.add(one.request_hash, segment.last_durable_s)
        self._sealed[segment.name] = segment

    def _set_aside(self, path: Path, data: bytes, found: record.Scan, damaged: list[tuple[int, int]]) -> bytes:
        """Take damaged stretches out of a file and keep them beside it, for a person to look at; what stays."""
        lost = b"".join(data[start:end] for start, end in damaged)
        files.keep_damage(path, lost)
        logger.error(
            "%s is damaged: %d bytes that cannot be read are kept in %s, the spans in them are lost",
            path.name,
            len(lost),
            files.damage_kept_for(path).name,
        )
        good = b"".join(data[one.start : one.end] for one in found.records)
        if good:
            write_durably(path, good)
        return good

    # -- the committer

    def _run(self) -> None:
        while True:
            with self._work:
                while not (self._waiting or self._seals or self._closing):
                    self._work.wait()
                group, self._waiting = self._waiting, []
                seals, self._seals = self._seals, []
                closing = self._closing
            try:
                self._commit(group)
                if seals or closing:
                    self._seal_current()
            except Exception as error:  # any failure: refuse this group and go on with the next
                self._survive(group, error)
            for seal in seals:
                _answer(seal, None)
            if closing:
                return

    def _survive(self, group: list[_Waiting], error: Exception) -> None:
        """After an unexpected failure: cut the file back to what was acknowledged, and refuse the rest of the group."""
        logger.exception("the log failed")
        try:
            if self._current is not None:
                self._abandon(self._current, error)
            else:
                self._note_failure(f"{type(error).__name__}: {error}")
        except Exception:
            logger.exception("a segment could not be ended")
            with self.changed:
                self._current, self._fd = None, -1
        for one in group:
            _answer(one.done, Unavailable(f"the log failed: {type(error).__name__}: {error}", retry_after_s=2.0))

    def _commit(self, group: list[_Waiting]) -> None:
        """Write a group: one fdatasync for all of it that fits into one segment."""
        run: list[_Waiting] = []
        run_bytes = run_spans = 0
        arrival = min(max(self._clock_ns(), 0), _LAST_ARRIVAL_NS)
        for one in group:
            length = len(record.length_prefix(len(one.body))) + len(one.body) + record.MARK_BYTES
            current = self._current
            if current is not None and (
                current.day != arrival // DAY_NS
                or current.size_bytes + run_bytes + length > self._max_bytes
                or current.spans + run_spans + one.spans > self._max_spans
            ):
                self._commit_run(run, arrival)
                self._seal_current()
                run, run_bytes, run_spans = [], 0, 0
            if self._current is None:
                self._current = self._new_segment(arrival)
            run.append(one)
            run_bytes += length
            run_spans += one.spans
        self._commit_run(run, arrival)
        if self._current is not None and self._current.spans >= self.seal_after_spans:
            self._seal_current()

    def _new_segment(self, arrival_unix_nano: int) -> Segment:
        self._last_name_ns = max(arrival_unix_nano, self._last_name_ns + 1)
        name = f"{self._last_name_ns:020d}-{secrets.token_hex(4)}.otlp"
        self._is_new = True
        return Segment(self.folder / name, arrival_unix_nano // DAY_NS)

    def _commit_run(self, run: list[_Waiting], arrival_unix_nano: int) -> None:
        """Append a run to the current segment, make it durable, answer it; or refuse the run and give the file up."""
        segment = self._current
        if not run or segment is None:
            return
        written: list[tuple[int, bytes]] = []
        try:
            buffers: list[bytes] = []
            for number, one in enumerate(run, start=len(segment.record_ends)):
                prefix = record.length_prefix(len(one.body))
                mark = record.make_mark(prefix, one.body, number, arrival_unix_nano, one.request_hash)
                buffers += (prefix, one.body, mark)
                written.append((len(prefix) + len(one.body) + len(mark), mark))
            if self._fd < 0:
                self._fd = os.open(
                    segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
                )
            _write_all(self._fd, buffers)
            self._fdatasync(self._fd)
            if self._is_new:
                self._sync_folder()
                self._is_new = False
        except OSError as error:
            self._abandon(segment, error)
            for one in run:
                _answer(one.done, Unavailable(f"the log could not be written: {error.strerror}", retry_after_s=2.0))
            return
        with self.changed:
            is_first = not segment.record_ends
            now_s = segment.last_durable_s = self.monotonic_s()
            if is_first:
                segment.first_durable_s = now_s
            self._failing_since_ns = None
            for one, (length, mark) in zip(run, written, strict=True):
                segment.add(length, one.spans, mark, one.heads, arrival_unix_nano)
                self._hashes.add(one.request_hash, now_s)
            if is_first:
                self.changed.notify_all()
        for one in run:
            _answer(one.done, None)

    def _sync_folder(self) -> None:
        """Make the name of a new file durable too: without it the bytes cannot be found after a power cut."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._fsync(folder)
        finally:
            os.close(folder)

    def _note_failure(self, message: str) -> None:
        with self.changed:
            self._last_error = message
            self._failures += 1
            if self._failing_since_ns is None:
                self._failing_since_ns = self._clock_ns()

    def _abandon(self, segment: Segment, error: Exception) -> None:
        """After a failed write or sync it is unknown what of the file is on disk: cut it to what is certain, write a new one."""
        logger.error("the log could not be written to %s: %s", segment.path.name, error)
        self._note_failure(f"{error} ({segment.path.name})")
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, segment.size_bytes)
                os.fsync(self._fd)
            except OSError as again:
                logger.warning("%s could not be cut back to %d bytes: %s", segment.path.name, segment.size_bytes, again)
        self._seal_current()

    def _seal_current(self) -> None:
        segment, fd = self._current, self._fd
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                # The descriptor is gone all the same, and what was acknowledged was synced before.
                logger.warning("closing a segment: %s", error)
        with self.changed:
            self._current, self._fd = None, -1
            if segment is None:
                return
            if segment.record_ends:
                self._sealed[segment.name] = segment
                self._bound_index()
                self.changed.notify_all()
        if not segment.record_ends:
            try:
                segment.path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s is empty and could not be removed: %s", segment.path.name, error)

    def _bound_index(self) -> None:
        """Keep span heads for the newest segments only; older ones are searched in their files."""
        budget = self._indexed_spans
        for segment in reversed(self._sealed.values()):
            budget -= segment.spans
            if budget < 0:
                segment.heads = None


def _write_all(fd: int, buffers: list[bytes]) -> None:
    """Write every byte, also if the system writes only a part at once. Raises OSError."""
    for first in range(0, len(buffers), _MOST_BUFFERS_A_WRITE):
        part = buffers[first : first + _MOST_BUFFERS_A_WRITE]
        wrote = os.writev(fd, part)
        if wrote < sum(map(len, part)):
            rest = memoryview(b"".join(part))[wrote:]
            while rest:
                rest = rest[os.write(fd, rest) :]


def _answer(done: Future[None], error: Exception | None) -> None:
    """Settle a caller's future. If it is settled already, ignore that: the committer must go on."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
