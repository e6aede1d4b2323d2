"""Figures and expiry: drops whole arrival days, and the oldest arrivals of the newest day when the disk cap requires it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from clew_server.store import queries
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.chdb_merges import Merges
from clew_server.store.chdb_views import TABLES_OF
from clew_server.store.connections import Pool
from clew_server.store.contract import Expired, StoreFailed, StoreStatistics
from clew_server.store.deletions import Deletions, Drop, Thinning, drop_rest
from clew_server.store.migrate import TABLES

_KEEP_OF_CAP: Final = 0.9
_LEAST_OF_CAP: Final = 0.1
"""This much of the newest spans stays, even when other files fill the folder."""
_ROUND_UP_TO_HOUR: Final = 0.1
"""A whole hour is deleted when that is at most this share of the day more than was asked for."""
_PART: Final = re.compile(r"(\d{8}|all)_\d|tmp|delete_tmp|moving")
"""Folders of a table that hold parts, live or on their way in or out."""
_FILLED: Final = (*TABLES_OF["chunks"].tables, *TABLES_OF["search"].tables)
_FIRST_TO_GO: Final = (*reversed(_FILLED), *(table for table in TABLES if table not in _FILLED))
"""Tables in the order in which a day of them is dropped, the opposite of that in which they are filled: else a trace would be listed for a
moment whose spans or bytes are gone."""
_DELETION_WITHIN_S: Final = 600.0
_LAST_S: Final = (1 << 32) - 1
_SPANS_OF: Final = {
    "chunks": ("chunks", "sum(length(raw))"),
    "spans": ("spans", "count()"),
    "whole": ("spans", "countIf(start!=FRAGMENT)"),
    "traces": ("traces", "sum(spans)"),
    "red": ("red", "sum(n)"),
}
"""How each table that counts all spans counts them. `whole`: without fragments, as the tables after it."""


class _Partition(NamedTuple):
    table: str
    day: str
    live: bool
    rows: int
    size_bytes: int


class _Work:
    """One run of `expire`: each step may fail and must not keep the others from being done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[str] = []
        self.over_cap: str | None = None

    def step(self, what: str, call: Callable[[], str | None]) -> bool:
        """Do it; false when it failed."""
        try:
            sentence = call()
        except StoreFailed as error:
            self.failures.append(f"{what}: {_first_line(error)}")
            return False
        if sentence is not None:
            self.done.append(sentence)
        return True


class ChdbMaintenance:
    """The store's StoreMaintenance. One caller at a time for `expire`."""

    def __init__(
        self, read: Pool, write: Pool, folder: Path, tables: Tables, merges: Merges, deletions: Deletions
    ) -> None:
        self._deletions = deletions
        self._given_up: set[Thinning] = set()
        """Deletions that failed here: tried again by the next start only, since each rewrites the parts of a day."""
        self._read = read
        self._tables = tables
        self._write = write
        self._folder = folder
        self._merges = merges

    def mend_merges(self) -> list[str]:
        """See StoreMaintenance."""
        return self._merges.mend()

    def statistics(self) -> StoreStatistics:
        """See StoreMaintenance. Spans are those of the search form; bytes those of live parts."""
        partitions = [p for p in self._partitions() if p.live]
        count, oldest_s = self._rows("oldest_arrival")[0]
        fragments = self._rows("fragments")[0][0]
        damaged_parts, damaged_bytes = self._rows("detached_parts")[0]
        unreadable = self._unreadable()
        return StoreStatistics(
            stored_spans=max(0, sum(p.rows for p in partitions if p.table == "spans") - fragments),
            disk_bytes=sum(p.size_bytes for p in partitions),
            oldest_received_unix_nano=oldest_s * 1_000_000_000 if count else None,
            damaged_parts=damaged_parts + len(unreadable),
            damaged_bytes=damaged_bytes + sum(unreadable.values()),
        )

    def _unreadable(self) -> dict[tuple[str, str], int]:
        """Bytes of the live parts that some question could not read."""
        known = self._tables.damaged()
        if not known:
            return {}
        return {(table, part): size for table, part, size in self._rows("live_parts") if (table, part) in known}

    def newest_arrival_unix_nano(self, until_unix_nano: int) -> int | None:
        """See StoreMaintenance."""
        until_s = min(max(0, until_unix_nano // 1_000_000_000), _LAST_S)
        count, newest_s = self._rows("newest_arrival", {"until_s": str(until_s)})[0]
        return newest_s * 1_000_000_000 if count else None

    def losses(self, unsettled_days: Iterable[int]) -> list[str]:
        """See StoreMaintenance."""
        found, counts = [], {}
        for name, (table, how_many) in _SPANS_OF.items():
            try:
                rows = self._rows("spans_by_day", TABLE_NAME=table, HOW_MANY=how_many)
            except StoreFailed as error:
                found.append(f"the table {table} cannot be read: {_first_line(error)}")
                continue
            counts[name] = {_day_of(partition): int(spans) for partition, spans in rows}
        skipped = {datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d") for day in unsettled_days}
        skipped |= {_day_of(one.partition) for one in self._deletions.drops()}
        skipped |= {_day_of(one.partition) for one in self._deletions.thinnings()}
        thinned = " ".join(command for (command,) in self._rows("thinned_days"))
        thinned += " ".join(map(_day_of, self._deletions.thinned()))
        for day in sorted({day for of_table in counts.values() for day in of_table} - skipped):
            there = {table: of_table.get(day, 0) for table, of_table in counts.items()}
            found += _losses_of_a_day(day, there, is_thinned=day in thinned)
        parts, size_bytes = self._rows("detached_parts")[0]
        if parts:
            found.append(
                f"{parts} parts ({size_bytes} bytes) could not be loaded and lie in folders 'detached' below {self._folder}"
            )
        found += [f"part {part} of table {table} cannot be read" for table, part in sorted(self._unreadable())]
        return found

    def expire(self, *, now_unix_nano: int, retention_s: int, max_disk_bytes: int, beside_bytes: int) -> Expired:
        """See StoreMaintenance. A repetition, also after a crash, drops what is left to drop."""
        work = _Work()
        now_s = now_unix_nano // 1_000_000_000
        self._go_on(work)
        everything = self._partitions()
        partitions = [p for p in everything if p.live]
        live = [p for p in partitions if p.table in TABLES]
        live = self._expire_by_age(work, live, _day_text(now_s - retention_s), retention_s)
        # Only what is live counts: parts merged away or dropped lie there a while longer and go by themselves. Neither what
        # they hold nor how long the engine takes to remove them must cost more spans.
        fixed_bytes = beside_bytes + self._bytes_beside_parts()
        fixed_bytes += sum(p.size_bytes for p in partitions if p.table not in TABLES)
        self._expire_by_size(work, live, _day_text(now_s), fixed_bytes, max_disk_bytes)
        if fixed_bytes + sum(p.size_bytes for p in everything if p.table in TABLES) > max_disk_bytes:
            self._clear_replaced(work, sorted({p.table for p in everything if not p.live and p.table in TABLES}))
        self._forget({p.day for p in everything})
        return Expired(work.done, work.failures, work.over_cap)

    def _go_on(self, work: _Work) -> None:
        """What a run before this one began to delete is gone from every table first."""
        if drops := self._deletions.drops():
            work.step("dropping what is left of an arrival day", partial(drop_rest, drops, self._write))
        for thinning in self._deletions.thinnings():
            if thinning not in self._given_up:
                what = f"deleting the oldest arrivals of {_day_of(thinning.partition)}"
                work.step(what, partial(self._delete_before, thinning))

    def _forget(self, days: set[str]) -> None:
        """Forget what is gone without anything left, also of what a drop puts in the place of parts."""
        if drops := self._deletions.drops():
            parts = [(table, partition, int(first)) for table, partition, first in self._rows("first_blocks")]
            gone = [
                one for one in drops if not any(part[:2] == one[:2] and part[2] <= one.last_block for part in parts)
            ]
            self._deletions.forget_drops(gone)
        self._deletions.forget_thinned(lambda partition: _day_of(partition) in days)

    def _expire_by_age(
        self, work: _Work, live: list[_Partition], oldest_kept: str, retention_s: int
    ) -> list[_Partition]:
        for day in sorted({p.day for p in live if p.day < oldest_kept}):
            if self._drop_day(work, day, live, f"past the retention of {retention_s} s"):
                live = [p for p in live if p.day != day]
        return live

    def _expire_by_size(
        self, work: _Work, live: list[_Partition], today: str, fixed_bytes: int, max_disk_bytes: int
    ) -> None:
        least_bytes = int(max_disk_bytes * _LEAST_OF_CAP)
        live_bytes = sum(p.size_bytes for p in live)
        if fixed_bytes + live_bytes <= max_disk_bytes:
            return
        if fixed_bytes + least_bytes > max_disk_bytes:
            work.over_cap = (
                f"{fixed_bytes} bytes of the folder are not stored spans (the log, dead letters, damage that was kept); with"
                f" --max-disk {max_disk_bytes} only the newest {least_bytes} bytes of spans are kept"
            )
        days = sorted({p.day for p in live})
        for day in days:
            day_bytes = sum(p.size_bytes for p in live if p.day == day)
            if fixed_bytes + live_bytes <= max_disk_bytes or live_bytes <= least_bytes:
                return
            if day < today and day != days[-1] and live_bytes - day_bytes >= least_bytes:
                if self._drop_day(work, day, live, f"the folder is over {max_disk_bytes} bytes"):
                    live_bytes -= day_bytes
                continue
            excess_bytes = min(fixed_bytes + live_bytes - int(max_disk_bytes * _KEEP_OF_CAP), live_bytes - least_bytes)
            tables = sorted({p.table for p in live if p.day == day})
            share = min(1.0, excess_bytes / day_bytes) if day_bytes else 0.0
            if work.step(
                f"deleting the oldest arrivals of {day}",
                lambda day=day, tables=tables, share=share: self._thin_day(day, tables, share, max_disk_bytes),  # type: ignore[misc]
            ):
                live_bytes -= int(day_bytes * share)

    def _clear_replaced(self, work: _Work, tables: list[str]) -> None:
        """Remove what was merged or deleted long enough ago; by itself the engine gets to it within minutes."""
        for table in tables:
            work.step(f"removing replaced parts of {table}", partial(self._clear_replaced_of, table))

    def _clear_replaced_of(self, table: str) -> None:
        self._write.run(queries.statement("clear_replaced", TABLE_NAME=table))

    def _drop_day(self, work: _Work, day: str, live: list[_Partition], why: str) -> bool:
        of_day = [p for p in live if p.day == day]

        def drop() -> str:
            partition = day.replace("-", "")
            blocks = self._rows("last_blocks", {"partition": partition})
            noted = [Drop(table, partition, int(last)) for table, last in blocks]
            self._deletions.note_drops(noted)
            for at, table in enumerate(_to_go({p.table for p in of_day})):
                try:
                    self._write.run(queries.statement("drop_day", TABLE_NAME=table), {"day": day})
                except StoreFailed:
                    if not at:  # nothing is dropped yet
                        self._deletions.forget_drops(noted)
                    raise
            self._deletions.forget_thinned(lambda one: one != partition)
            spans = sum(p.rows for p in of_day if p.table == "spans")
            return f"dropped arrival day {day}: {spans} spans, {sum(p.size_bytes for p in of_day)} bytes; {why}"

        return work.step(f"dropping arrival day {day}", drop)

    def _thin_day(self, day: str, tables: list[str], share: float, max_disk_bytes: int) -> str | None:
        """Delete the oldest arrivals of the day that make up `share` of it; up to a whole hour where that is little more."""
        arrivals = [(int(second), int(count)) for second, count in self._rows("arrivals_by_second", {"day": day})]
        before_s = deleted_before(arrivals, share)
        if before_s is None:
            return None
        self._delete_before(Thinning(day.replace("-", ""), before_s), tables)
        until = datetime.fromtimestamp(before_s, UTC).strftime("%H:%M:%S")
        gone = sum(count for second, count in arrivals if second < before_s)
        return (
            f"deleted the arrivals of {day} before {until} UTC: {gone} spans; the folder is over {max_disk_bytes} bytes"
        )

    def _delete_before(self, thinning: Thinning, tables: Iterable[str] = TABLES) -> None:
        """Noted first, and then from one table after the other. Raises StoreFailed when a table does not let it be done."""
        self._deletions.note_thinning(thinning)
        parameters = {"day": _day_of(thinning.partition), "before_s": str(thinning.before_s)}
        try:
            for table in tables:
                self._write.run(queries.statement("delete_before", TABLE_NAME=table), parameters)
                self._wait_for_deletion(table)
        except StoreFailed:
            self._given_up.add(thinning)
            raise
        self._deletions.note_thinned(thinning)

    def _wait_for_deletion(self, table: str) -> None:
        """Return when the deletion is done. Raises StoreFailed when it fails or takes too long; then it is given up.

        The engine tries a deletion that fails for ever, and after it every later one of the table waits.
        """
        end_s = time.monotonic() + _DELETION_WITHIN_S
        while waiting := self._rows("open_deletions", {"table": table}):
            failures = [reason for (reason,) in waiting if reason]
            if failures or time.monotonic() > end_s:
                self._write.run(queries.statement("kill_deletions"), {"table": table})
                why = failures[0][:500] if failures else f"it was not done within {_DELETION_WITHIN_S:.0f} s"
                raise StoreFailed(f"deleting from {table} was given up: {why}")
            time.sleep(0.05)

    def _bytes_beside_parts(self) -> int:
        """Bytes of the engine's folder that are not parts of tables: settings, logs, parts that could not be loaded."""
        table_folders = {os.path.realpath(path) for (path,) in self._rows("table_folders")}
        total = 0
        for root, folders, names in os.walk(os.path.realpath(self._folder)):
            if root in table_folders:
                folders[:] = [name for name in folders if not _PART.match(name)]
            for name in names:
                try:
                    total += os.stat(os.path.join(root, name), follow_symlinks=False).st_size
                except OSError:
                    pass
        return total

    def _partitions(self) -> list[_Partition]:
        return [_Partition(table, day, bool(live), rows, size) for table, day, live, rows, size in self._rows("parts")]

    def _rows(self, name: str, parameters: dict[str, str] | None = None, **words: str) -> list[list[Any]]:
        try:
            return Question(self._read, self._tables).rows(name, parameters or {}, **words)
        except Stopped as stopped:
            raise StoreFailed(f"{name}: {stopped}") from stopped


def deleted_before(arrivals: list[tuple[int, int]], share: float) -> int | None:
    """The second before which arrivals are deleted, so that at least `share` of them go; None where none shall.

    `arrivals`: (second, spans) in order. The next full hour, where that costs little more and is not the newest one.
    """
    spans = sum(count for _, count in arrivals)
    wanted = spans * share
    if not wanted:
        return None
    gone, before_s = 0, arrivals[0][0]
    for second, count in arrivals:
        if gone >= wanted:
            break
        gone += count
        before_s = second + 1
    hour_s = -(-before_s // 3600) * 3600
    more = sum(count for second, count in arrivals if before_s <= second < hour_s)
    if hour_s <= arrivals[-1][0] and gone + more - wanted <= spans * _ROUND_UP_TO_HOUR:
        return hour_s
    return before_s


def _losses_of_a_day(day: str, there: dict[str, int], *, is_thinned: bool) -> list[str]:
    """What is missing where. After arrivals inside a day were deleted, the other tables may hold more than `spans`."""
    searchable = there.get("spans")
    if searchable is None:
        return []
    found = []
    chunks = there.get("chunks", searchable)
    if chunks < searchable:
        found.append(
            f"{searchable - chunks} spans of {day} are found but cannot be shown: parts of chunks are gone or damaged"
        )
    if chunks > searchable and not is_thinned:
        found.append(
            f"{chunks - searchable} spans of {day} can be shown by id but not found: parts of spans are gone or damaged"
        )
    whole = there.get("whole", searchable)
    for table, what in (("traces", "summaries"), ("red", "rates")):
        if there.get(table, whole) < whole:
            found.append(
                f"{whole - there[table]} spans of {day} are not in the {what}: parts of {table} are gone or damaged"
            )
    return found


def _to_go(tables: set[str]) -> list[str]:
    return [table for table in _FIRST_TO_GO if table in tables]


def _day_of(partition: str) -> str:
    """The day of a partition, as one is named in statements."""
    return f"{partition[:4]}-{partition[4:6]}-{partition[6:]}"


def _day_text(second: int) -> str:
    """The UTC day of a time in seconds, as partitions are named; one before all days for a time before 1970."""
    return datetime.fromtimestamp(min(second, _LAST_S), UTC).strftime("%Y-%m-%d") if second >= 0 else ""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
