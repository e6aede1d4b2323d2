"""Expiry by arrival: days past retention, the oldest days over the cap, of today the oldest hours; nothing else."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search
from clew_server.store.connections import check_processor
from clew_server.store.contract import StoreCannotRun

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOON = int(datetime(2026, 5, 10, 12, 30, tzinfo=UTC).timestamp()) * SECOND
PLENTY = 1 << 50


def request(spans: int, start_unix_nano: int) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "cart"
    scope = group.scope_spans.add()
    for at in range(spans):
        start = start_unix_nano + at
        span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="n", start_time_unix_nano=start)
        span.end_time_unix_nano = start + 1
        span.attributes.add(key="noise").value.bytes_value = os.urandom(200)
    return made


def kept(opened: Any) -> list[str]:
    """Hours of arrival that are there, in both forms."""
    hours = "SELECT DISTINCT formatDateTime(received,'%d %H') AS h FROM"
    found = [[row[0] for row in opened.ask(f"{hours} {table} ORDER BY h")] for table in ("chunks", "spans", "traces")]
    assert found[0] == found[1] == found[2]
    return found[0]


def expire(
    opened: Any, retention_s: int = 7 * 86_400, max_disk_bytes: int = PLENTY, folder_bytes: int = 0
) -> list[str]:
    done: list[str] = opened.store.maintenance.expire(
        now_unix_nano=NOON, retention_s=retention_s, max_disk_bytes=max_disk_bytes, folder_bytes=folder_bytes
    )
    return done


def merged_away_bytes(opened: Any) -> int:
    return int(opened.ask("SELECT sum(bytes_on_disk) FROM system.parts WHERE NOT active")[0][0])


def test_old_data_gives_way_to_new(opened: Any) -> None:
    # The senders' clocks are all wrong by years: only the arrival counts.
    for days in (9, 8, 6, 2):
        opened.put([request(300, 1_600_000_000 * SECOND)], arrival_unix_nano=NOON - days * DAY)
    for hours in (5, 3, 1, 0):
        opened.put([request(300, NOON - hours * HOUR)], arrival_unix_nano=NOON - hours * HOUR)
    figures = opened.store.maintenance.statistics()
    assert figures.stored_spans == 2_400
    assert figures.oldest_received_unix_nano == NOON - 9 * DAY

    done = expire(opened)
    assert len(done) == 2
    assert all("past the retention" in sentence and "300 spans" in sentence for sentence in done)
    assert kept(opened) == ["04 12", "08 12", "10 07", "10 09", "10 11", "10 12"]
    assert expire(opened) == []

    # A little over the cap: the oldest day goes, no more than that.
    size = opened.store.maintenance.statistics().disk_bytes
    done = expire(opened, max_disk_bytes=size - 1, folder_bytes=size + merged_away_bytes(opened))
    assert len(done) == 1
    assert "arrival day 2026-05-04" in done[0]
    assert kept(opened) == ["08 12", "10 07", "10 09", "10 11", "10 12"]

    # Today alone is over the cap: whole hours from the oldest on, until 90 % of it.
    size = opened.store.maintenance.statistics().disk_bytes
    done = expire(opened, max_disk_bytes=int(size * 0.55), folder_bytes=size + merged_away_bytes(opened))
    assert ["arrival day 2026-05-08" in done[0], "before 10:" in done[1] or "before 09:" in done[1]] == [True, True]
    assert "600 spans" in done[1]
    assert kept(opened) == ["10 11", "10 12"]
    assert opened.store.maintenance.statistics().stored_spans == 600
    assert len(opened.store.reader.find(Search(limit=1000)).traces) == 600

    # Merged-away and dropped parts do not cost another hour though their bytes may still lie there.
    size = opened.store.maintenance.statistics().disk_bytes
    assert merged_away_bytes(opened) > 0
    assert expire(opened, max_disk_bytes=size, folder_bytes=size + merged_away_bytes(opened)) == []


def test_a_processor_without_avx2_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu sse sse2\n")
    with pytest.raises(StoreCannotRun, match="AVX2"):
        check_processor(cpuinfo)
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx avx2\n")
    check_processor(cpuinfo)
