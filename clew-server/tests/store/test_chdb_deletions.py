"""What a full disk or a crash leaves of a deletion: it is no damage, and the rest of the deletion follows."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clew_server.store.chdb_merges import Merges
from clew_server.store.deletions import Deletions, Drop, Thinning
from clew_server.store.disk_writes import drop_short_parts
from clew_server.store.migrate import TABLES

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOON = int(datetime(2026, 5, 10, 12, 30, tzinfo=UTC).timestamp()) * SECOND
OLD = NOON - 9 * DAY
OLD_PARTITION, PARTITION = "20260501", "20260510"
SPANS = 20


@pytest.fixture
def stored(opened: Any) -> Any:
    """A segment of nine days ago, two of today; nothing is noted."""
    notes(opened).forget_drops(notes(opened).drops())
    notes(opened).forget_thinned(lambda partition: False)
    for table in TABLES:
        opened.store._connections.write.run(f"TRUNCATE TABLE {table}")
    for arrival in (OLD, NOON, NOON + SECOND):
        opened.put_spans(SPANS, arrival_unix_nano=arrival, start_unix_nano=NOON)
    return opened


def notes(opened: Any) -> Deletions:
    found: Deletions = opened.store.maintenance._deletions
    return found


def expire(opened: Any, retention_s: int = 7 * 86_400) -> None:
    done = opened.store.maintenance.expire(
        now_unix_nano=NOON, retention_s=retention_s, max_disk_bytes=1 << 50, beside_bytes=0
    )
    assert (done.failures, done.over_cap) == ([], None)


def run(opened: Any, sql: str) -> None:
    opened.store._connections.write.run(sql)


def parts_without_rows(opened: Any) -> list[Path]:
    """What the engine put in the place of those that it dropped, in all tables."""
    return [
        Path(path)
        for (path,) in opened.ask(f"SELECT path FROM system.parts WHERE partition_id='{OLD_PARTITION}' AND rows=0")
    ]


def emptied(part: Path) -> None:
    """As a full disk leaves them."""
    for file in part.iterdir():
        os.truncate(file, 0)


def spans_of(opened: Any, partition: str) -> list[int]:
    counts = {"chunks": "sum(length(raw))", "spans": "count()", "traces": "sum(spans)", "red": "sum(n)"}
    return [
        int(opened.ask(f"SELECT {count} FROM {table} WHERE _partition_id='{partition}'")[0][0])
        for table, count in counts.items()
    ]


def whole(opened: Any) -> bool:
    figures = opened.store.maintenance.statistics()
    return (figures.damaged_parts, opened.store.maintenance.losses(())) == (0, [])


def reopen(opened: Any, *parts: Path) -> None:
    opened.store.close()
    for part in parts:
        emptied(part)
    opened.store.open()


def test_what_a_full_disk_leaves_of_a_dropped_day_is_no_damage_after_a_start(stored: Any) -> None:
    expire(stored)
    left = parts_without_rows(stored)
    assert {part.parent for part in left} == {
        Path(path)
        for (path,) in stored.ask(
            "SELECT arrayJoin(data_paths) FROM system.tables WHERE name IN ('chunks','origins','spans','resources','traces','red')"
        )
    }
    reopen(stored, *left)
    assert whole(stored)
    assert spans_of(stored, OLD_PARTITION) == [0] * 4
    assert notes(stored).drops() == [], "nothing is left of it"

    # What comes late for that day, in parts that the engine numbers from the start again, is not part of what was dropped.
    stored.put_spans(SPANS, arrival_unix_nano=OLD, start_unix_nano=NOON)
    expire(stored, 30 * 86_400)
    reopen(stored)
    assert spans_of(stored, OLD_PARTITION) == [SPANS] * 4
    assert whole(stored)


def test_what_a_full_disk_leaves_of_a_dropped_day_is_neither_mended_nor_an_insert_that_failed(
    stored: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for table in ("chunks", "spans"):
        run(stored, f"SYSTEM STOP MERGES {table}")
    expire(stored)
    for part in parts_without_rows(stored):
        emptied(part)
    pools = stored.store._connections
    using = (pools.write, pools.read, pools.probe)
    assert Merges(pools.control, using, count_failed_writes=lambda pool: 1).mend() == []
    drop_short_parts(
        pools.write, ("chunks", "spans"), lambda: pytest.fail("a part without rows was taken for an insert")
    )
    assert not caplog.text
    assert spans_of(stored, OLD_PARTITION) == [0] * 4
    for table in ("chunks", "spans"):
        run(stored, f"SYSTEM START MERGES {table}")
    reopen(stored)


def test_traces_go_before_their_spans_and_those_before_what_is_told_of_them(
    stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, gone = stored.store.maintenance._write, []

    def noting(sql: str, *more: Any) -> bytes:
        gone.append(sql.split()[2])
        return bytes(run_really(sql, *more))

    run_really = pool.run
    monkeypatch.setattr(pool, "run", noting)
    expire(stored)
    assert sorted(gone) == sorted(set(TABLES) - {"resources_raw", "scopes_raw"})
    for first, then in (
        ("traces", "spans"),
        ("red", "spans"),
        ("spans", "resources"),
        ("spans", "chunks"),
        ("chunks", "origins"),
    ):
        assert gone.index(first) < gone.index(then), gone


def test_a_day_that_was_half_dropped_when_the_process_ended_is_no_damage_and_the_rest_of_it_goes(stored: Any) -> None:
    blocks = stored.ask(
        f"SELECT table, max(max_block_number) FROM system.parts WHERE active AND partition_id='{OLD_PARTITION}' GROUP BY table"
    )
    notes(stored).note_drops([Drop(table, OLD_PARTITION, int(last)) for table, last in blocks])
    run(stored, "ALTER TABLE chunks DROP PARTITION '2026-05-01'")
    reopen(stored)
    assert whole(stored)
    # Meanwhile a segment of that day is stored, and the day is not old any more: someone asked for a longer retention.
    stored.put_spans(SPANS, arrival_unix_nano=OLD, start_unix_nano=NOON)
    expire(stored, 30 * 86_400)
    assert spans_of(stored, OLD_PARTITION) == [SPANS] * 4
    assert spans_of(stored, PARTITION) == [2 * SPANS] * 4


def test_arrivals_that_were_deleted_from_one_table_when_the_process_ended_are_deleted_from_all(stored: Any) -> None:
    second = (NOON + SECOND) // SECOND
    notes(stored).note_thinning(Thinning(PARTITION, second))
    run(
        stored,
        f"ALTER TABLE chunks DELETE IN PARTITION '2026-05-10' WHERE received<toDateTime({second},'UTC') SETTINGS mutations_sync=1",
    )
    assert spans_of(stored, PARTITION) == [SPANS, *[2 * SPANS] * 3]
    reopen(stored)
    assert whole(stored)
    expire(stored, 30 * 86_400)
    assert spans_of(stored, PARTITION) == [SPANS] * 4
    assert notes(stored).thinnings() == []
    assert notes(stored).thinned() == {PARTITION}


def test_a_deletion_that_the_engine_has_forgotten_makes_no_loss(stored: Any) -> None:
    thinning = Thinning(PARTITION, NOON // SECOND + 1)
    notes(stored).note_thinning(thinning)
    notes(stored).note_thinned(thinning)
    run(
        stored,
        f"ALTER TABLE spans DELETE IN PARTITION '2026-05-10' WHERE received<toDateTime({thinning.before_s},'UTC') SETTINGS mutations_sync=1",
    )
    folder = stored.ask("SELECT data_paths[1] FROM system.tables WHERE name='spans'")[0][0]
    stored.store.close()
    for file in Path(folder).glob("mutation_*.txt"):
        os.truncate(file, 0)  # what a full disk leaves; the start takes it away
    stored.store.open()
    assert spans_of(stored, PARTITION)[:2] == [2 * SPANS, SPANS]
    assert stored.ask("SELECT count() FROM system.mutations WHERE table='spans'") == [["0"]]
    assert not [loss for loss in stored.store.maintenance.losses(()) if "not found" in loss]


def test_notes_go_when_their_days_are_gone(stored: Any) -> None:
    for thinning in (Thinning(OLD_PARTITION, 1), Thinning(PARTITION, 1)):
        notes(stored).note_thinning(thinning)
        notes(stored).note_thinned(thinning)
    expire(stored)
    assert notes(stored).thinned() == {PARTITION}
    assert {one.partition for one in notes(stored).drops()} == {OLD_PARTITION}, "as long as something lies there"


def test_what_is_being_dropped_reaches_no_part_that_comes_after_the_tables_were_loaded_again(tmp_path: Path) -> None:
    deletions = Deletions(tmp_path / "deletions")
    deletions.note_drops([Drop("chunks", OLD_PARTITION, 8), Drop("spans", OLD_PARTITION, 8), Drop("red", PARTITION, 3)])
    deletions.begin_anew([("chunks", OLD_PARTITION, 5), ("chunks", OLD_PARTITION, 9), ("red", OLD_PARTITION, 2)])
    assert deletions.drops() == [Drop("chunks", OLD_PARTITION, 5)]
    assert deletions.is_dropped("chunks", OLD_PARTITION, 5)
    assert not deletions.is_dropped("chunks", OLD_PARTITION, 6)
    assert not deletions.is_dropped("chunks", PARTITION, 5)
    assert Deletions(tmp_path / "deletions").drops() == deletions.drops()


def test_retention_goes_on_where_nothing_can_be_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    deletions = Deletions(tmp_path / "file" / "deletions")
    deletions.note_drops([Drop("chunks", PARTITION, 1)])
    assert "could not be noted" in caplog.text
    assert deletions.drops() == []
