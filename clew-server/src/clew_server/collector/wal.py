"""The log: what is acknowledged is durable here first. Segments of OTLP requests with marks; one thread writes, in groups.

Every byte is drawn in docs/formats/wal.md. One process owns the folder; its lock is not this module's business.
"""

from __future__ import annotations

import bisect
import hashlib
import logging
import os
import secrets
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from clew_server.collector import record
from clew_server.collector.hashes import RecentHashes
from clew_server.errors import Unavailable
from clew_server.model.otlp_raw import count_spans

logger = logging.getLogger(__name__)

DAY_NS = 86_400_000_000_000
SPAN_HEAD_BYTES = 28
"""A canonical span begins 0a 10 <trace id> 12 08 <span id>: so much of each span is kept in memory to find a trace."""

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
    first_arrival_unix_nano: int = 0
    last_arrival_unix_nano: int = 0
    first_durable_s: float = 0.0
    """When its first record was durable, on the log's monotonic clock."""
    record_ends: array[int] = field(default_factory=lambda: array("Q"))
    span_ends: array[int] = field(default_factory=lambda: array("Q"))
    """Spans up to and including each record."""
    marks: bytearray = field(default_factory=bytearray)
    heads: bytearray | None = field(default_factory=bytearray)
    """The first 28 bytes of each span, in order; None where they were not kept: then the file is searched."""

    @property
    def name(self) -> str:
        """The segment's name for ever, which is its token in the store."""
        return self.path.stem

    def add(self, record_bytes: int, spans: int, mark: bytes, heads: bytes | None, arrival_unix_nano: int) -> None:
        """Count one more durable record."""
        if not self.record_ends:
            self.first_arrival_unix_nano = arrival_unix_nano
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
    """What waits in the log. `oldest_unstored_unix_nano` is None when nothing does."""

    backlog_bytes: int
    backlog_spans: int
    segments: int
    oldest_unstored_unix_nano: int | None
    remembered_requests: int
    last_error: str | None


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
        self._thread: threading.Thread | None = None

    # -- start and stop

    def open(self) -> None:
        """Read what is there, cut torn tails, remember hashes, start the committer. Raises OSError for a bad folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in (*self.folder.glob("*.tmp"), *self.folder.glob("*.part")):
            leftover.unlink()
        self._key = self._read_key()
        self._read_marks()
        for path in sorted(self.folder.glob("*.otlp")):
            self._read_segment(path)
        if self._sealed:
            self._sync_folder()
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

    def body_hash(self, body: bytes) -> bytes:
        """16 bytes for a request body as it was sent, keyed so that nobody can make two bodies collide."""
        return hashlib.blake2b(body, digest_size=16, key=self._key).digest()

    def remembers(self, request_hash: bytes) -> bool:
        """Whether a body with this hash became durable in the last 15 minutes, also before a restart."""
        return self._hashes.has(request_hash, self._clock_ns())

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
        with self.changed:
            segments = self.segments()
            return WalStatistics(
                backlog_bytes=sum(s.size_bytes for s in segments),
                backlog_spans=sum(s.spans for s in segments),
                segments=len(segments),
                oldest_unstored_unix_nano=min((s.first_arrival_unix_nano for s in segments), default=None),
                remembered_requests=len(self._hashes),
                last_error=self._last_error,
            )

    def settle(self, segment: Segment) -> None:
        """Cut what was never acknowledged off a sealed file, where that failed before. Raises OSError if it fails again."""
        if segment.path.stat().st_size != segment.size_bytes:
            os.truncate(segment.path, segment.size_bytes)

    def delete(self, segment: Segment) -> None:
        """Forget a sealed segment that is stored; its hashes stay, in a small file, as long as they are remembered."""
        now = self._clock_ns()
        if segment.last_arrival_unix_nano > now - self._remember_s * 1_000_000_000:
            write_durably(segment.path.with_suffix(".marks"), bytes(segment.marks))
        segment.path.unlink(missing_ok=True)
        with self.changed:
            self._sealed.pop(segment.name, None)
            self.changed.notify_all()
        for path in sorted(self.folder.glob("*.marks")):
            if now - path.stat().st_mtime_ns < (self._remember_s + 60) * 1_000_000_000:
                break
            path.unlink(missing_ok=True)

    # -- reading after a start

    def _read_key(self) -> bytes:
        path = self.folder / "hash.key"
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != 32:
            key = secrets.token_bytes(32)
            write_durably(path, key)
        return key

    def _remember(self, request_hash: bytes, arrival_unix_nano: int) -> None:
        if arrival_unix_nano > self._clock_ns() - self._remember_s * 1_000_000_000:
            self._hashes.add(request_hash, arrival_unix_nano)

    def _read_marks(self) -> None:
        for path in sorted(self.folder.glob("*.marks")):
            data = path.read_bytes()
            for at in range(0, len(data), record.MARK_BYTES):
                mark = record.read_mark(data[at : at + record.MARK_BYTES])
                if mark is None:
                    logger.warning(
                        "%s is damaged at byte %d: repeated requests of that time are not recognized", path.name, at
                    )
                    break
                self._remember(mark[2], mark[1])

    def _read_segment(self, path: Path) -> None:
        data = path.read_bytes()
        found = record.scan(data)
        if not found.records:
            if data:
                logger.info("%s: a torn tail of %d bytes, nothing else; removed", path.name, len(data))
            path.unlink()
            return
        if found.damaged:
            data = self._cut_damage(path, data, found)
            found = record.scan(data)
        # A killed process may have written what it never synced. A repetition of it is acknowledged from its hash alone,
        # so it is made durable before the hash is remembered.
        with path.open("r+b") as file:
            if found.end < len(data):
                logger.info("%s: a torn tail of %d bytes was cut", path.name, len(data) - found.end)
                file.truncate(found.end)
            self._fsync(file.fileno())
        segment = Segment(path, found.records[0].arrival_unix_nano // DAY_NS, heads=None)
        segment.first_durable_s = self.monotonic_s()
        for one in found.records:
            spans = count_spans(data[one.body : one.mark])
            segment.add(one.end - one.start, spans, data[one.mark : one.end], None, one.arrival_unix_nano)
            self._remember(one.request_hash, one.arrival_unix_nano)
        self._sealed[segment.name] = segment

    def _cut_damage(self, path: Path, data: bytes, found: record.Scan) -> bytes:
        """Take damaged stretches out of a file and keep them beside it, for a person to look at."""
        lost = b"".join(data[start:end] for start, end in found.damaged)
        logger.error(
            "%s: %d bytes between good records are damaged; kept in %s.damaged", path.name, len(lost), path.stem
        )
        write_durably(path.with_suffix(".damaged"), lost)
        good = b"".join(data[one.start : one.end] for one in found.records)
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
            self._commit(group)
            if seals or closing:
                self._seal_current()
            for seal in seals:
                seal.set_result(None)
            if closing:
                return

    def _commit(self, group: list[_Waiting]) -> None:
        """Write a group: one fdatasync for all of it that fits into one segment."""
        run: list[_Waiting] = []
        run_bytes = run_spans = 0
        arrival = self._clock_ns()
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
                one.done.set_exception(
                    Unavailable(f"the log could not be written: {error.strerror}", retry_after_s=2.0)
                )
            return
        with self.changed:
            is_first = not segment.record_ends
            if is_first:
                segment.first_durable_s = self.monotonic_s()
            for one, (length, mark) in zip(run, written, strict=True):
                segment.add(length, one.spans, mark, one.heads, arrival_unix_nano)
                self._hashes.add(one.request_hash, arrival_unix_nano)
            if is_first:
                self.changed.notify_all()
        for one in run:
            one.done.set_result(None)

    def _sync_folder(self) -> None:
        """Make the name of a new file durable too: without it the bytes cannot be found after a power cut."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._fsync(folder)
        finally:
            os.close(folder)

    def _abandon(self, segment: Segment, error: Exception) -> None:
        """After a failed write or sync nobody knows what of the file is on disk: cut it to what is, write a new one."""
        logger.error("the log could not be written to %s: %s", segment.path.name, error)
        with self.changed:
            self._last_error = f"{error} ({segment.path.name})"
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
    """Write every byte, however little the system takes at once. Raises OSError."""
    for first in range(0, len(buffers), _MOST_BUFFERS_A_WRITE):
        part = buffers[first : first + _MOST_BUFFERS_A_WRITE]
        wrote = os.writev(fd, part)
        if wrote < sum(map(len, part)):
            rest = memoryview(b"".join(part))[wrote:]
            while rest:
                rest = rest[os.write(fd, rest) :]


def write_durably(path: Path, data: bytes) -> None:
    """Create or replace a file so that after a crash it is either the old one or the whole new one. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
