"""Figures and expiry: arrival days are dropped whole, and of today the oldest arrival hours when the disk cap asks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from clew_server.store import queries
from clew_server.store.asking import GUARD_RAILS
from clew_server.store.connections import Pool
from clew_server.store.contract import StoreStatistics
from clew_server.store.migrate import TABLES

_KEEP_OF_CAP = 0.9


class _Partition(NamedTuple):
    table: str
    day: str
    live: bool
    rows: int
    size_bytes: int


class ChdbMaintenance:
    """The store's StoreMaintenance. One caller at a time for `expire`."""

    def __init__(self, read: Pool, write: Pool) -> None:
        self._read = read
        self._write = write

    def statistics(self) -> StoreStatistics:
        """See StoreMaintenance. Spans are those of the search form; bytes those of live parts."""
        partitions = [p for p in self._partitions() if p.live]
        count, oldest_s = self._rows("oldest_arrival")[0]
        return StoreStatistics(
            stored_spans=sum(p.rows for p in partitions if p.table == "spans"),
            disk_bytes=sum(p.size_bytes for p in partitions),
            oldest_received_unix_nano=oldest_s * 1_000_000_000 if count else None,
        )

    def expire(self, *, now_unix_nano: int, retention_s: int, max_disk_bytes: int, folder_bytes: int) -> list[str]:
        """See StoreMaintenance. A repetition, also after a crash, drops what is left to drop."""
        partitions = self._partitions()
        live = [p for p in partitions if p.live and p.table in TABLES]
        # Parts merged away stay on disk for some minutes and go by themselves: they must not cost another day.
        used_bytes = folder_bytes - sum(p.size_bytes for p in partitions if not p.live)
        now = datetime.fromtimestamp(now_unix_nano / 1e9, UTC)
        last_kept = (now - timedelta(seconds=retention_s)).strftime("%Y-%m-%d")
        today = now.strftime("%Y-%m-%d")
        done = []
        for day in sorted({p.day for p in live}):
            size_bytes = sum(p.size_bytes for p in live if p.day == day)
            spans = sum(p.rows for p in live if p.day == day and p.table == "spans")
            if day < last_kept:
                why = f"past the retention of {retention_s} s"
            elif used_bytes > max_disk_bytes and day < today:
                why = f"the folder is over {max_disk_bytes} bytes"
            else:
                continue
            for table in sorted({p.table for p in live if p.day == day}):
                self._write.run(queries.statement("drop_day", TABLE_NAME=table), {"day": day})
            used_bytes -= size_bytes
            done.append(f"dropped arrival day {day}: {spans} spans, {size_bytes} bytes; {why}")
        if used_bytes > max_disk_bytes:
            done += self._expire_hours(
                today, now, used_bytes - int(max_disk_bytes * _KEEP_OF_CAP), max_disk_bytes, live
            )
        return done

    def _expire_hours(
        self, day: str, now: datetime, excess_bytes: int, max_disk_bytes: int, live: list[_Partition]
    ) -> list[str]:
        """Delete the oldest arrivals of the day that hold `excess_bytes`, in whole hours; in minutes in the current one."""
        minutes = self._rows("arrivals_by_minute", {"day": day})
        day_bytes = sum(p.size_bytes for p in live if p.day == day)
        spans = sum(count for _, count in minutes)
        if not spans or not day_bytes:
            return []
        wanted = spans * min(1.0, excess_bytes / day_bytes)
        current_hour_s = int(now.timestamp()) // 3600 * 3600
        gone = before_s = 0
        for minute_s, count in minutes:
            new_hour = minute_s // 3600 != (before_s - 60) // 3600
            if gone >= wanted and (new_hour or minute_s >= current_hour_s):
                break
            gone += count
            before_s = minute_s + 60
        for table in sorted({p.table for p in live if p.day == day}):
            parameters = {"day": day, "before_s": str(before_s)}
            self._write.run(queries.statement("delete_before", TABLE_NAME=table), parameters)
        until = datetime.fromtimestamp(before_s, UTC).strftime("%H:%M")
        return [
            f"deleted the arrivals of {day} before {until} UTC: {gone} spans; today alone is over {max_disk_bytes} bytes"
        ]

    def _partitions(self) -> list[_Partition]:
        return [_Partition(table, day, bool(live), rows, size) for table, day, live, rows, size in self._rows("parts")]

    def _rows(self, name: str, parameters: dict[str, str] | None = None) -> list[list[Any]]:
        output = self._read.run(queries.statement(name) + GUARD_RAILS, parameters, "JSONCompactEachRow")
        return [json.loads(line) for line in output.splitlines()]
