"""Expiry by arrival: days past retention, the oldest days over the cap, of today the oldest hours; nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search
from clew_server.store.chdb_maintenance import deleted_before
from clew_server.store.connections import check_processor
from clew_server.store.contract import StoreCannotRun, StoreFailed
from clew_server.store.migrate import TABLES

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOON = int(datetime(2026, 5, 10, 12, 30, tzinfo=UTC).timestamp()) * SECOND
PLENTY = 1 << 50


@pytest.fixture(autouse=True)
def empty(opened: Any) -> None:
    for table in TABLES:
        opened.store._connections.write.run(f"TRUNCATE TABLE {table}")


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


def expire(opened: Any, retention_s: int = 7 * 86_400, max_disk_bytes: int = PLENTY, **more: int) -> list[str]:
    done, failures, over_cap = opened.store.maintenance.expire(
        retention_s=retention_s, max_disk_bytes=max_disk_bytes, **{"now_unix_nano": NOON, "beside_bytes": 0, **more}
    )
    assert (failures, over_cap) == ([], None)
    return list(done)


def live_bytes(opened: Any) -> int:
    """What retention compares with the cap when nothing lies beside the store."""
    maintenance = opened.store.maintenance
    return int(maintenance.statistics().disk_bytes + maintenance._bytes_beside_parts())


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
    done = expire(opened, max_disk_bytes=live_bytes(opened) - 1)
    assert len(done) == 1
    assert "arrival day 2026-05-04" in done[0]
    assert kept(opened) == ["08 12", "10 07", "10 09", "10 11", "10 12"]

    # Today alone is over the cap: whole hours from the oldest on, until 90 % of it.
    done = expire(opened, max_disk_bytes=int(live_bytes(opened) * 0.55))
    assert ["arrival day 2026-05-08" in done[0], "before 10:" in done[1] or "before 09:" in done[1]] == [True, True]
    assert "600 spans" in done[1]
    assert kept(opened) == ["10 11", "10 12"]
    assert opened.store.maintenance.statistics().stored_spans == 600
    assert len(opened.store.reader.find(Search(limit=1000)).traces) == 600

    # Merged-away and dropped parts do not cost another hour though their bytes may still lie there.
    assert merged_away_bytes(opened) > 0
    assert expire(opened, max_disk_bytes=live_bytes(opened)) == []


@pytest.mark.parametrize("retention_s", [999_999 * 86_400, 1 << 62])
def test_a_retention_longer_than_all_time_keeps_everything_and_the_cap_still_holds(
    opened: Any, retention_s: int
) -> None:
    for days in (9_000, 2, 1):
        opened.put([request(300, NOON)], arrival_unix_nano=NOON - days * DAY)
    assert expire(opened, retention_s=retention_s) == []
    assert len(kept(opened)) == 3
    done = expire(opened, retention_s=retention_s, max_disk_bytes=live_bytes(opened) - 1)
    assert len(done) == 1
    assert len(kept(opened)) == 2


@pytest.mark.parametrize("now_unix_nano", [-(10**18), 0, 1, (1 << 63) - 1])
def test_any_time_can_be_asked_for(opened: Any, now_unix_nano: int) -> None:
    opened.put([request(30, NOON)], arrival_unix_nano=NOON)
    done = expire(opened, now_unix_nano=now_unix_nano)
    assert len(done) == (1 if now_unix_nano > NOON else 0)


def test_a_cap_below_what_else_is_in_the_folder_leaves_the_newest_tenth_and_is_told(opened: Any) -> None:
    for minutes in range(120, 0, -10):
        opened.put([request(300, NOON)], arrival_unix_nano=NOON - minutes * 60 * SECOND)
    cap = live_bytes(opened) * 2
    spans = 3_600
    for _ in range(4):
        _, failures, over_cap = opened.store.maintenance.expire(
            now_unix_nano=NOON, retention_s=7 * 86_400, max_disk_bytes=cap, beside_bytes=3 * cap
        )
        assert failures == []
        assert over_cap is not None
        assert str(cap) in over_cap
        left = opened.store.maintenance.statistics().stored_spans
        assert spans // 10 < left <= spans
        assert opened.ask("SELECT toUInt32(max(received)) FROM spans") == [[str(NOON // SECOND - 600)]]
        spans_before, spans_now = spans, left
    assert spans_now < spans_before


def test_what_was_dropped_but_lies_there_still_is_not_asked_for_twice(opened: Any) -> None:
    for days in range(6, 0, -1):
        opened.put([request(300, NOON)], arrival_unix_nano=NOON - days * DAY)
    cap = live_bytes(opened) - 1
    assert len(expire(opened, max_disk_bytes=cap)) == 1
    ((table,),) = opened.ask("SELECT data_paths[1] FROM system.tables WHERE name='chunks'")
    for name in ("delete_tmp_20260504_1_1_0", "20260504_1_1_0", "tmp_merge_20260504_1_2_1"):
        (Path(table) / name).mkdir()
        (Path(table) / name / "data.bin").write_bytes(bytes(3 * cap))
    for _ in range(3):
        assert expire(opened, max_disk_bytes=cap) == []
    assert len(kept(opened)) == 5
    for name in ("detached/broken_20260504_1_1_0", "anything"):
        (Path(table) / name).mkdir(parents=True)
        (Path(table) / name / "data.bin").write_bytes(bytes(cap))
        assert live_bytes(opened) > cap, "what stays there for good counts"
        shutil.rmtree(Path(table) / name)


def test_one_step_that_fails_does_not_keep_the_others_from_being_done(opened: Any) -> None:
    for days in (9, 8, 1):
        opened.put([request(30, NOON)], arrival_unix_nano=NOON - days * DAY)
    maintenance = opened.store.maintenance
    run = maintenance._write.run

    def failing(sql: str, parameters: Any = None, output: str = "Null") -> bytes:
        if parameters == {"day": "2026-05-01"}:
            raise StoreFailed("the disk said no")
        return bytes(run(sql, parameters, output))

    maintenance._write.run = failing
    done, failures, over_cap = maintenance.expire(
        now_unix_nano=NOON, retention_s=7 * 86_400, max_disk_bytes=PLENTY, beside_bytes=0
    )
    maintenance._write.run = run
    assert [day in sentence for day, sentence in zip(["2026-05-02"], done, strict=True)] == [True]
    assert ["2026-05-01" in sentence and "the disk said no" in sentence for sentence in failures] == [True]
    assert over_cap is None
    assert len(expire(opened)) == 1


def test_arrivals_are_deleted_up_to_a_whole_hour_where_that_costs_little_and_never_all_for_a_part() -> None:
    hour = 3_600
    even = [(hour * at, 100) for at in range(10)]
    assert deleted_before(even, 0.0) is None
    assert deleted_before([], 0.5) is None
    assert deleted_before(even, 0.3) == 3 * hour
    assert deleted_before(even, 1.0) == 9 * hour + 1
    one_hour = [(10 + second, 10) for second in range(100)]
    assert deleted_before(one_hour, 0.3) == 40
    most_in_the_first = [*one_hour, (hour + 1, 1)]
    assert deleted_before(most_in_the_first, 0.3) == 41
    assert deleted_before([(5, 950), (600, 20), (hour + 7, 30)], 0.9) == hour


def test_a_processor_without_avx2_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu sse sse2\n")
    with pytest.raises(StoreCannotRun, match="AVX2"):
        check_processor(cpuinfo)
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx avx2\n")
    check_processor(cpuinfo)


def test_too_little_address_space_is_told_in_a_sentence(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))\n"
        "from clew.cli import main\n"
        "sys.exit(main(['serve', '--data-dir', sys.argv[1], '--http-port', '0']))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 6, answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "4 GiB of address space" in answer.stderr
    assert "1024 MiB" in answer.stderr
    assert not (tmp_path / "data").exists()
