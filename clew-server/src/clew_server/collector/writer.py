"""Moves segments from the log to the store: seals them in time, stores both forms, repeats failures, deletes what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from clew_server.collector.deadletter import DeadLetters
from clew_server.collector.pace import Pace
from clew_server.collector.splitting import SUFFIX, Splits, records_of, spans_of
from clew_server.collector.wal import Segment, Wal
from clew_server.durable import write_durably
from clew_server.errors import Unavailable
from clew_server.store.contract import SegmentFile, SegmentRefused, Statement, TraceWriter

logger = logging.getLogger(__name__)

_STATEMENTS: tuple[Statement, ...] = get_args(
    Statement
)  # chunks, then search: what search finds, the trace page can show
_STOP_WITHIN_S = 8.0


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """`stored_spans` and `failures` count since the start, `dead_letter_spans` all there are; the rest is now.

    `failing_since_unix_nano`: since when segments wait that could not be stored; None while all is well.
    """

    stored_spans: int
    dead_letter_spans: int
    backlog_bytes: int
    backlog_spans: int
    oldest_unstored_ms: int
    failures: int
    last_error: str | None
    failing_since_unix_nano: int | None = None


@dataclass(slots=True, eq=False)
class _Progress:
    """What is known of a segment on its way: kept until it is deleted."""

    tried: set[Statement]
    """Statements of which an attempt, here or in an earlier process, may have left something in some tables."""
    stored: set[Statement] = field(default_factory=set)
    splits: Splits | None = None
    first_refused: dict[str, int] = field(default_factory=dict)
    """Unit that is refused for unknown reasons → how many inserts had worked by then."""
    dead_spans: int = 0
    next_try_s: float = 0.0
    wait_s: float = 0.0
    failing_since_unix_nano: int | None = None


class Writer:
    """Stores what the log holds, on threads of its own. `start`, then `stop`; idle it costs nothing.

    A segment that fails waits its turn again while others go on; a failure of disk or memory halts all of them for a while.
    """

    def __init__(
        self,
        wal: Wal,
        store_writer: TraceWriter,
        *,
        dead_letter_folder: Path,
        flush_after_s: float = 2.5,
        stored_within_s: float = 2.9,
        flush_spans: int = 100_000,
        threads: int = 2,
        at_once_bytes: int = 96 << 20,
        first_retry_s: float = 0.2,
        longest_retry_s: float = 30.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """A segment is sealed `flush_after_s` after its first record or with `flush_spans` spans, whichever is first; a little
        later where it will then still be stored `stored_within_s` after its first record.

        Segments are stored at the same time only while they have `at_once_bytes` together: a large one takes the engine ten
        times its size in memory.
        """
        self._wal = wal
        self._store = store_writer
        self._dead_letters = DeadLetters(dead_letter_folder)
        self._pace = Pace(flush_after_s, stored_within_s)
        self._threads_wanted = threads
        self._at_once_bytes = at_once_bytes
        self._first_retry_s = first_retry_s
        self._longest_retry_s = longest_retry_s
        self._clock_ns = clock_ns
        self._busy: dict[str, int] = {}  # bytes of the segments that are being stored, by name
        self._progress: dict[str, _Progress] = {}
        self._halted_until_s = 0.0
        self._halt_s = 0.0
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._worked: Counter[Statement] = Counter()
        self._stored_spans = self._failures = 0
        self._dead_letter_spans = self._dead_letters.spans()
        self._last_error: str | None = None
        wal.seal_after_spans = flush_spans

    def start(self) -> None:
        """Start with the segments that an earlier process left in the log, of which it is unknown what is stored."""
        self._stopping = False
        for segment in self._wal.sealed():
            self._progress.setdefault(segment.name, _Progress(tried=set(_STATEMENTS)))
        for path in self._wal.folder.glob(f"*{SUFFIX}"):
            if not path.with_suffix(".otlp").exists():
                with contextlib.suppress(OSError):  # does no harm; removed at the next start
                    path.unlink()
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
            # A segment is gone from the log a moment before the files beside it are: wait for its thread too.
            while names := names & ({segment.name for segment in self._wal.sealed()} | self._busy.keys()):
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise Unavailable(
                        f"{len(names)} segments were not stored within {timeout_s:g} s", retry_after_s=1.0
                    )
                self._wal.changed.wait(left_s)

    def statistics(self) -> WriterStatistics:
        log = self._wal.statistics()
        oldest_s = log.oldest_unstored_s
        with self._wal.changed:
            waiting = {segment.name for segment in self._wal.sealed()}
            failing = [
                progress.failing_since_unix_nano
                for name, progress in self._progress.items()
                if name in waiting and progress.failing_since_unix_nano is not None
            ]
            return WriterStatistics(
                stored_spans=self._stored_spans,
                dead_letter_spans=self._dead_letter_spans,
                backlog_bytes=log.backlog_bytes,
                backlog_spans=log.backlog_spans,
                oldest_unstored_ms=0 if oldest_s is None else int(oldest_s * 1000),
                failures=self._failures,
                last_error=self._last_error,
                failing_since_unix_nano=min(failing, default=None),
            )

    # -- the threads

    def _run(self) -> None:
        while (found := self._next()) is not None:
            segment, progress = found
            try:
                self._store_segment(segment, progress)
            except _Stopped:
                pass
            except Exception as error:  # any failure: acknowledged spans are never given up, so the thread must go on
                self._failed(segment, progress, error)
            finally:
                with self._wal.changed:
                    self._busy.pop(segment.name, None)
                    self._wal.changed.notify_all()

    def _next(self) -> tuple[Segment, _Progress] | None:
        """The oldest sealed segment that may be tried now; seals one when it is time; None at the end. Waits without polling."""
        while True:
            with self._wal.changed:
                if self._stopping:
                    return None
                now_s = time.monotonic()
                wait_s = math.inf
                for segment in self._wal.sealed():
                    if segment.name in self._busy:
                        continue
                    progress = self._progress.setdefault(segment.name, _Progress(tried=set()))
                    ready_s = max(self._halted_until_s, progress.next_try_s)
                    if ready_s <= now_s:
                        if self._busy and sum(self._busy.values()) + segment.size_bytes > self._at_once_bytes:
                            break  # it is the oldest, so younger ones must not be stored before it
                        self._busy[segment.name] = segment.size_bytes
                        return segment, progress
                    wait_s = min(wait_s, ready_s - now_s)
                growing = self._wal.unsealed()
                if growing is not None:
                    wait_s = min(
                        wait_s, growing.first_durable_s + self._pace.sealed_after_s() - self._wal.monotonic_s()
                    )
                if growing is None or wait_s > 0:
                    self._wal.changed.wait(None if wait_s == math.inf else wait_s)
                    continue
            self._wal.seal()

    def _failed(self, segment: Segment, progress: _Progress, error: Exception) -> None:
        """Try again later: this segment only where it may be its own doing, else all."""
        alone = isinstance(error, SegmentRefused)
        with self._wal.changed:
            waited_s = progress.wait_s if alone else self._halt_s
            wait_s = min(max(self._first_retry_s, waited_s * 2), self._longest_retry_s)
            until_s = time.monotonic() + wait_s * random.uniform(0.8, 1.2)
            if alone:
                progress.wait_s, progress.next_try_s = wait_s, until_s
            elif until_s > self._halted_until_s:
                self._halt_s, self._halted_until_s = wait_s, until_s
            if progress.failing_since_unix_nano is None:
                progress.failing_since_unix_nano = self._clock_ns()
            self._failures += 1
            self._last_error = f"{type(error).__name__}: {error}"
        logger.warning("segment %s: %s; again in %.1f s", segment.name, error, wait_s)

    def _store_segment(self, segment: Segment, progress: _Progress) -> None:
        """Both forms, then delete. Raises what hindered it; what is done stays done."""
        began_s = time.monotonic()
        for statement in _STATEMENTS:
            if statement not in progress.stored:
                self._store_form(segment, statement, progress)
                with self._wal.changed:
                    progress.stored.add(statement)
                    self._halt_s = 0.0
                    if len(progress.stored) == len(_STATEMENTS):
                        self._pace.stored(time.monotonic() - began_s)
                        self._stored_spans += max(0, segment.spans - progress.dead_spans)
        self._wal.delete(segment)
        if progress.splits is not None:
            progress.splits.remove()
        with self._wal.changed:
            self._progress.pop(segment.name, None)

    def _store_form(self, segment: Segment, statement: Statement, progress: _Progress) -> None:
        self._wal.settle(segment)
        if progress.splits is None and statement in progress.tried:
            progress.splits = Splits(segment.path)
        splits = progress.splits
        if splits is None or not (splits.set_aside or splits.is_divided(statement, _WHOLE)):
            is_first = statement not in progress.tried
            progress.tried.add(statement)
            whole = SegmentFile(segment.path, segment.name)
            try:
                if is_first:
                    self._store.write(whole, statement)
                    self._worked[statement] += 1
                else:
                    self._worked[statement] += self._store.ensure(whole, statement)
                return
            except SegmentRefused:
                splits = progress.splits = progress.splits or Splits(segment.path)
                splits.divide(statement, _WHOLE)
        assert splits is not None
        division = _Division(self, segment, statement, progress, splits)
        division.store_range("", records_of(segment.path.read_bytes()))
        division.judge()

    # -- for _Division

    def try_run(self, segment: Segment, statement: Statement, run: str, data: bytes) -> None:
        """Store a run of a segment's records where it is not stored. Raises as `TraceWriter.ensure`, OSError."""
        if self._stopping:
            raise _Stopped
        part = segment.path.with_name(f"{segment.name}.{run}.part")
        write_durably(part, data)
        try:
            self._worked[statement] += self._store.ensure(SegmentFile(part, f"{segment.name}/{run}"), statement)
        finally:
            part.unlink(missing_ok=True)

    def worked(self, statement: Statement) -> int:
        """How many inserts by this statement have worked since the start, of any segment."""
        return self._worked[statement]

    def set_aside(self, segment: str, unit: str, data: bytes, statement: Statement, reason: str) -> int:
        """Move a unit to the dead letters; the spans in it. Raises OSError."""
        spans = self._dead_letters.add(segment, unit, data, form=statement, reason=reason)
        logger.error("segment %s, record %s: set aside in dead-letter, %d spans: %s", segment, unit, spans, reason)
        with self._wal.changed:
            self._dead_letter_spans = self._dead_letters.spans()
        return spans


_WHOLE = "whole"


class _Stopped(Exception):
    """The writer is asked to stop."""


class _Division:
    """One pass over a segment that is refused whole: stores its good records by halves and finds those that are refused."""

    def __init__(
        self, writer: Writer, segment: Segment, statement: Statement, progress: _Progress, splits: Splits
    ) -> None:
        self._writer = writer
        self._segment = segment
        self._statement: Statement = statement
        self._progress = progress
        self._splits = splits
        self._refused: list[tuple[str, str, bytes, SegmentRefused]] = []
        self._failures_in_a_row = 0

    def store_range(self, prefix: str, units: list[bytes]) -> None:
        """Store records (or, with a prefix `<record>.`, spans of a record as records) that can be stored, in their order.

        Raises SegmentRefused when so much fails in a row that it is not the units' doing, StoreFailed, OSError.
        """
        most_in_a_row = 4 + 2 * len(units).bit_length()
        middle = (len(units) - 1) // 2  # all of them as one were refused before
        waiting = [(middle + 1, len(units) - 1), (0, middle)] if len(units) > 1 else [(0, 0)] if units else []
        while waiting:
            first, last = waiting.pop()
            unit = f"{prefix}{first}"
            run = f"{prefix}{first}-{last}"
            is_one = first == last
            if is_one and unit in self._splits.set_aside:
                continue
            if not self._holds_set_aside(prefix, first, last) and not self._splits.is_divided(self._statement, run):
                try:
                    self._writer.try_run(self._segment, self._statement, run, b"".join(units[first : last + 1]))
                except SegmentRefused as error:
                    self._failures_in_a_row += 1
                    if not error.certain and self._failures_in_a_row > most_in_a_row:
                        raise
                    if is_one and len(spans_of(units[first])) < 2:
                        self._progress.first_refused.setdefault(unit, self._writer.worked(self._statement))
                        self._refused.append((unit, run, units[first], error))
                        continue
                    self._splits.divide(self._statement, run)
                else:
                    self._failures_in_a_row = 0
                    continue
            if is_one:
                self.store_range(f"{unit}.", spans_of(units[first]))
            else:
                middle = (first + last) // 2
                waiting += [(middle + 1, last), (first, middle)]

    def judge(self) -> None:
        """Set aside what is refused for what it holds. Raises the refusal of a unit of which that is not known yet.

        Known is it when the engine's error says so, or when the same statement has worked for something else since the
        unit was first refused, and still refuses the unit.
        """
        undecided: SegmentRefused | None = None
        for unit, run, data, error in self._refused:
            if error.certain or self._is_refused_again(unit, run, data):
                spans = self._writer.set_aside(self._segment.name, unit, data, self._statement, str(error))
                self._splits.add_set_aside(unit)
                self._progress.dead_spans += spans
            else:
                undecided = error  # looked at again in the next pass, also when it went in meanwhile
        if undecided is not None:
            raise undecided

    def _is_refused_again(self, unit: str, run: str, data: bytes) -> bool:
        """Whether it is the unit's own doing. One that goes in after all is stored by this. Raises StoreFailed, OSError."""
        if self._writer.worked(self._statement) <= self._progress.first_refused[unit]:
            return False
        try:
            self._writer.try_run(self._segment, self._statement, run, data)
        except SegmentRefused:
            return True
        return False

    def _holds_set_aside(self, prefix: str, first: int, last: int) -> bool:
        for unit in self._splits.set_aside:
            if unit.startswith(prefix):
                number, _, _ = unit[len(prefix) :].partition(".")
                if number.isdigit() and first <= int(number) <= last:
                    return True
        return False
