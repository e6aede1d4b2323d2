"""From the log to the store: seals segments in time, stores both forms of each, repeats what fails, deletes what is stored."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from clew_server.collector.deadletter import DeadLetters, split
from clew_server.collector.wal import Segment, Wal, write_durably
from clew_server.errors import Unavailable
from clew_server.store.contract import RecordRefused, SegmentFile, Statement, TraceWriter

logger = logging.getLogger(__name__)

_STATEMENTS: tuple[Statement, ...] = get_args(
    Statement
)  # chunks, then search: what search finds, the trace page can show
_STOP_WITHIN_S = 8.0


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """`stored_spans` and `failures` count since the start, `dead_letter_spans` all there are; the rest is now."""

    stored_spans: int
    dead_letter_spans: int
    backlog_bytes: int
    backlog_spans: int
    oldest_unstored_ms: int
    failures: int
    last_error: str | None


class Writer:
    """Stores what the log holds, on threads of its own. `start`, then `stop`; idle it costs nothing."""

    def __init__(
        self,
        wal: Wal,
        store_writer: TraceWriter,
        *,
        dead_letter_folder: Path,
        flush_after_s: float = 2.5,
        flush_spans: int = 100_000,
        threads: int = 2,
        first_retry_s: float = 0.2,
        longest_retry_s: float = 30.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """A segment is sealed `flush_after_s` after its first record or with `flush_spans` spans, whichever is first."""
        self._wal = wal
        self._store = store_writer
        self._dead_letters = DeadLetters(dead_letter_folder)
        self._flush_after_s = flush_after_s
        self._threads_wanted = threads
        self._first_retry_s = first_retry_s
        self._longest_retry_s = longest_retry_s
        self._clock_ns = clock_ns
        self._busy: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._stored_spans = self._failures = 0
        self._dead_letter_spans = self._dead_letters.spans()
        self._last_error: str | None = None
        wal.seal_after_spans = flush_spans

    def start(self) -> None:
        """Begin with what an earlier process left in the log."""
        self._stopping = False
        for number in range(self._threads_wanted):
            thread = threading.Thread(target=self._run, name=f"clew-writer-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_s: float = _STOP_WITHIN_S) -> None:
        """Finish the statement being run, for at most `timeout_s`; the log keeps everything else for the next start."""
        with self._wal.changed:
            self._stopping = True
            self._wal.changed.notify_all()
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        self._threads = []

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Return when all that was acknowledged before is stored in both forms. Raises Unavailable when time is over."""
        await asyncio.to_thread(self.flush_blocking, timeout_s)

    def flush_blocking(self, timeout_s: float = 10.0) -> None:
        """`flush` for threads."""
        end_s = time.monotonic() + timeout_s
        self._wal.seal()
        names = {segment.name for segment in self._wal.sealed()}
        with self._wal.changed:
            while names := names & {segment.name for segment in self._wal.sealed()}:
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise Unavailable(
                        f"{len(names)} segments were not stored within {timeout_s:g} s", retry_after_s=1.0
                    )
                self._wal.changed.wait(left_s)

    def statistics(self) -> WriterStatistics:
        log = self._wal.statistics()
        oldest = log.oldest_unstored_unix_nano
        with self._wal.changed:
            return WriterStatistics(
                stored_spans=self._stored_spans,
                dead_letter_spans=self._dead_letter_spans,
                backlog_bytes=log.backlog_bytes,
                backlog_spans=log.backlog_spans,
                oldest_unstored_ms=0 if oldest is None else max(0, (self._clock_ns() - oldest) // 1_000_000),
                failures=self._failures,
                last_error=self._last_error,
            )

    # -- the threads

    def _run(self) -> None:
        while (segment := self._next()) is not None:
            try:
                self._store_segment(segment)
            finally:
                with self._wal.changed:
                    self._busy.discard(segment.name)

    def _next(self) -> Segment | None:
        """The oldest sealed segment nobody works on; seals one when it is time; None at the end. Waits without polling."""
        while True:
            with self._wal.changed:
                if self._stopping:
                    return None
                for segment in self._wal.sealed():
                    if segment.name not in self._busy:
                        self._busy.add(segment.name)
                        return segment
                growing = self._wal.unsealed()
                if growing is None:
                    self._wal.changed.wait()
                    continue
                left_s = growing.first_durable_s + self._flush_after_s - self._wal.monotonic_s()
                if left_s > 0:
                    self._wal.changed.wait(left_s)
                    continue
            self._wal.seal()

    def _store_segment(self, segment: Segment) -> None:
        """Both forms, whatever it takes, then delete. Returns early only when stopping."""
        dead = 0
        for statement in _STATEMENTS:
            spans = self._until_done(segment, lambda statement=statement: self._store_form(segment, statement))  # type: ignore[misc]
            if spans is None:
                return
            dead = max(dead, spans)
        with self._wal.changed:
            self._stored_spans += max(0, segment.spans - dead)
        self._until_done(segment, lambda: self._delete(segment))

    def _until_done(self, segment: Segment, step: Callable[[], int]) -> int | None:
        """Repeat a step with back-off until it works; None when stopping."""
        wait_s = self._first_retry_s
        while True:
            try:
                return step()
            except Exception as error:  # whatever it is: acknowledged spans are never given up, and the thread lives
                logger.warning("segment %s: %s; again in %.1f s", segment.name, error, wait_s)
                with self._wal.changed:
                    self._failures += 1
                    self._last_error = f"{type(error).__name__}: {error}"
                    # Notified for other reasons too: a little early does no harm, but a stop must not wait.
                    end_s = time.monotonic() + wait_s * random.uniform(0.8, 1.2)
                    while not self._stopping and (left_s := end_s - time.monotonic()) > 0:
                        self._wal.changed.wait(left_s)
                    if self._stopping:
                        return None
                wait_s = min(wait_s * 2, self._longest_retry_s)

    def _store_form(self, segment: Segment, statement: Statement) -> int:
        """One form of a segment; the spans that had to be left out of it."""
        self._wal.settle(segment)
        try:
            self._store.write(SegmentFile(segment.path, segment.name), statement)
        except RecordRefused:
            runs, refused = split(segment.path.read_bytes())
            if not refused:
                raise  # our parser reads it all: not the record's fault, so it is repeated like any failure
            for run in runs:
                part = segment.path.with_name(f"{segment.name}.{run.first}-{run.last}.part")
                write_durably(part, run.data)
                try:
                    self._store.write(SegmentFile(part, f"{segment.name}/{run.first}-{run.last}"), statement)
                finally:
                    part.unlink(missing_ok=True)
            dead = sum(self._dead_letters.add(segment.name, one) for one in refused)
            with self._wal.changed:
                self._dead_letter_spans = self._dead_letters.spans()
            return dead
        return 0

    def _delete(self, segment: Segment) -> int:
        self._wal.delete(segment)
        return 0
