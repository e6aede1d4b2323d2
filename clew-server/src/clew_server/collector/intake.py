"""Accepts decoded requests: each is written to the log durably and only then acknowledged. All receivers come through here."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol

from clew_server.collector.wal import Wal
from clew_server.errors import Unavailable

IN_FLIGHT_BYTES = 128 << 20
_ROOM_CHECK_S = 0.2
_NO_ROOM_RETRY_S = 2.0
_GIVES_WAY_AFTER_S = 2.0
GAVE_WAY = "too many bytes in flight, and these came slowest: send the request again"


class Batch(Protocol):
    """What a receiver hands in: one request, checked and canonical (`receivers.contract.OtlpBatch`)."""

    @property
    def received(self) -> bytes:
        """The body as it came, after decompression: what a repetition is recognized by."""
        ...

    @property
    def request(self) -> bytes:
        """Canonical ExportTraceServiceRequest with the accepted spans."""
        ...

    @property
    def spans(self) -> int: ...
    @property
    def heads(self) -> bytes | None:
        """The first 28 bytes of each span, in order."""
        ...

    @property
    def rejected(self) -> Mapping[str, int]:
        """Spans left out, by reason."""
        ...

    @property
    def fragments(self) -> int:
        """How many of `spans` belong to spans of other requests and count as none."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """What is well formed and not kept, by kind."""
        ...

    @property
    def signal(self) -> str:
        """`traces` or `logs`: the same bytes may mean something else as another signal."""
        ...


class Accepted(NamedTuple):
    """The request is durable; `duplicate` when it was before and nothing was written."""

    spans: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class IntakeStatistics:
    """Counts since the start; `in_flight_bytes` now."""

    accepted_spans: int = 0
    accepted_requests: int = 0
    duplicate_requests: int = 0
    refused_requests: int = 0
    rejected_spans: Mapping[str, int] = field(default_factory=dict)
    dropped_signals: Mapping[str, int] = field(default_factory=dict)
    in_flight_bytes: int = 0


class DiskRoom(NamedTuple):
    """Free and total bytes of the file system the log lies on."""

    free_bytes: int
    total_bytes: int


def default_reserve_bytes(total_bytes: int) -> int:
    """What stays free on a disk of this size: 1 GB, 5 % of a small one."""
    return min(1_000_000_000, total_bytes // 20)


class Reservation:
    """Bytes of one request, taken from the budget all listeners share; a context manager that gives them back.

    Until `whole` is called the body is still arriving, and the slowest of those that arrive gives way when others need
    the room.
    """

    def __init__(self, intake: Intake, on_gone: Callable[[], None] | None) -> None:
        self._intake = intake
        self._on_gone = on_gone
        self._taken = 0
        self._since_s = time.monotonic()
        self._is_gone = False

    @property
    def gave_way(self) -> bool:
        """Whether the room was taken back: the holder of the bytes must drop them."""
        return self._is_gone

    def grow_to(self, size_bytes: int) -> None:
        """Hold at least `size_bytes`, which have arrived. Raises Unavailable when there is no room. Safe from any thread."""
        if size_bytes > self._taken:
            self._intake._take(self, size_bytes - self._taken)

    def whole(self) -> None:
        """Nothing more is waited for: this request no longer gives way."""
        self._intake._hold(self)

    def give_back(self) -> None:
        """Give the bytes back, for code that cannot use `with`; further calls do nothing."""
        self._intake._give_back(self)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.give_back()


class Intake:
    """Accepts batches for every receiver. `accept` belongs to one event loop; the rest is safe from any thread."""

    def __init__(
        self,
        wal: Wal,
        *,
        max_backlog_bytes: int = 2_000_000_000,
        reserve_bytes: Callable[[int], int] = default_reserve_bytes,
        disk_room: Callable[[], DiskRoom] | None = None,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
        on_accepted: Callable[[Batch], None] | None = None,
    ) -> None:
        """`reserve_bytes`: the share of a disk of this size that must stay free. `disk_room` replaces the real disk in tests.

        `on_accepted` is called in the event loop with each request that has become durable, once; it must be quick and not raise.
        """
        self._wal = wal
        self._max_backlog_bytes = max_backlog_bytes
        self._reserve_bytes = reserve_bytes
        self._disk_room = disk_room or self._real_room
        self._budget_bytes = in_flight_bytes
        self._on_accepted = on_accepted
        self._in_flight_bytes = 0
        self._arriving: set[Reservation] = set()
        self._lock = threading.Lock()
        self._pending: dict[bytes, asyncio.Future[None]] = {}
        self._rejected: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._accepted_spans = self._accepted_requests = self._duplicates = self._refused = 0
        self._room_checked_s = -1.0
        self._room_problem: str | None = None

    def reserve(self, size_bytes: int = 0, *, on_gone: Callable[[], None] | None = None) -> Reservation:
        """Room for a body. Raises Unavailable when there is none, here or on the disk.

        With `on_gone` the body is still to come and grows as it arrives (what a client announces takes no room);
        `on_gone` is called, from any thread, when it has to give way. Without, the bytes are here.
        """
        self.check_room()
        reservation = Reservation(self, on_gone)
        if on_gone is not None:
            with self._lock:
                self._arriving.add(reservation)
        try:
            reservation.grow_to(size_bytes)
        except Unavailable:
            self._give_back(reservation)
            raise
        return reservation

    def check_room(self) -> None:
        """Raises Unavailable, with the reason, while disk or backlog leave no room for new data. Cheap: looks now and then."""
        now_s = time.monotonic()
        if now_s - self._room_checked_s >= _ROOM_CHECK_S or self._room_checked_s < 0:
            self._room_checked_s = now_s
            self._room_problem = self._find_problem()
        if self._room_problem is not None:
            raise Unavailable(self._room_problem, retry_after_s=_NO_ROOM_RETRY_S)

    async def accept(self, batch: Batch) -> Accepted:
        """Return when the batch is durable, or was already. Raises Unavailable when it is not and will not be.

        A body that was accepted in the last 15 minutes is acknowledged and not written; one that is being written by
        another request shares that request's outcome.
        """
        if not batch.spans:
            self._count(batch)
            return Accepted(0, duplicate=False)
        self.check_room()
        request_hash = self._wal.body_hash(batch.received, batch.signal)
        first = self._pending.get(request_hash)
        if first is None and not self._wal.remembers(request_hash):
            done = asyncio.wrap_future(self._wal.append(batch.request, batch.spans, request_hash, batch.heads))
            self._pending[request_hash] = done
            done.add_done_callback(lambda _: self._settled(request_hash, done, batch))
            # The log writes it whether or not the sender still waits: a cancelled request must not cancel that.
            await asyncio.shield(done)
            return Accepted(batch.spans, duplicate=False)
        if first is not None:
            await asyncio.shield(first)
        self._duplicates += 1
        return Accepted(batch.spans, duplicate=True)

    def note_refused(self) -> None:
        """Count a request that got an error for an answer, whatever the reason."""
        with self._lock:
            self._refused += 1

    def statistics(self) -> IntakeStatistics:
        with self._lock:
            return IntakeStatistics(
                accepted_spans=self._accepted_spans,
                accepted_requests=self._accepted_requests,
                duplicate_requests=self._duplicates,
                refused_requests=self._refused,
                rejected_spans=dict(self._rejected),
                dropped_signals=dict(self._dropped),
                in_flight_bytes=self._in_flight_bytes,
            )

    def _settled(self, request_hash: bytes, done: asyncio.Future[None], batch: Batch) -> None:
        del self._pending[request_hash]
        if not done.cancelled() and done.exception() is None:
            self._count(batch)
            if self._on_accepted is not None:
                self._on_accepted(batch)

    def _count(self, batch: Batch) -> None:
        with self._lock:
            self._accepted_spans += batch.spans - batch.fragments
            self._accepted_requests += 1
            self._rejected.update(batch.rejected)
            self._dropped.update(batch.dropped)

    def _take(self, reservation: Reservation, more_bytes: int) -> None:
        gone: list[Reservation] = []
        with self._lock:
            if reservation._is_gone:
                raise Unavailable(GAVE_WAY, retry_after_s=1.0)
            # One request larger than the whole budget cannot be: receivers refuse above 64 MiB.
            while self._in_flight_bytes + more_bytes > self._budget_bytes:
                slowest = self._slowest(reservation)
                if slowest is None:
                    break
                slowest._is_gone = True
                self._release(slowest)
                gone.append(slowest)
            fits = self._in_flight_bytes + more_bytes <= self._budget_bytes
            if fits:
                self._in_flight_bytes += more_bytes
                reservation._taken += more_bytes
        for other in gone:
            if other._on_gone is not None:
                other._on_gone()
        if not fits:
            raise Unavailable("too many bytes in flight", retry_after_s=1.0)

    def _slowest(self, asking: Reservation) -> Reservation | None:
        """The body that has arrived for longest for what there is of it; one that has just begun is left alone."""
        now_s = time.monotonic()
        slow = [
            one
            for one in self._arriving
            if one is not asking and one._taken and now_s - one._since_s > _GIVES_WAY_AFTER_S
        ]
        return min(slow, key=lambda one: one._taken / (now_s - one._since_s), default=None)

    def _hold(self, reservation: Reservation) -> None:
        with self._lock:
            if reservation._is_gone:
                raise Unavailable(GAVE_WAY, retry_after_s=1.0)
            self._arriving.discard(reservation)

    def _give_back(self, reservation: Reservation) -> None:
        with self._lock:
            self._release(reservation)

    def _release(self, reservation: Reservation) -> None:
        self._arriving.discard(reservation)
        self._in_flight_bytes -= reservation._taken
        reservation._taken = 0

    def _find_problem(self) -> str | None:
        try:
            room = self._disk_room()
        except OSError as error:
            return f"the disk of the log does not answer: {error.strerror}"
        reserve = self._reserve_bytes(room.total_bytes)
        if room.free_bytes < reserve:
            return f"the disk is below its reserve: {room.free_bytes} bytes free, {reserve} must stay"
        backlog = self._wal.statistics().backlog_bytes
        if backlog >= self._max_backlog_bytes:
            return f"the backlog is full: {backlog} bytes wait to be stored, {self._max_backlog_bytes} may"
        return None

    def _real_room(self) -> DiskRoom:
        disk = os.statvfs(self._wal.folder)
        return DiskRoom(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
