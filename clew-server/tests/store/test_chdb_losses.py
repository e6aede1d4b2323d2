"""Parts of the store that are gone or broken are counted and told; the rest is answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clew_server.model.search import Search

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOON = int(datetime(2026, 5, 10, 12, 30, tzinfo=UTC).timestamp()) * SECOND
DAYS = (NOON - DAY, NOON)


@pytest.fixture
def stored(opened: Any) -> Any:
    """Two arrival days of 40 spans each; the store is open and is so again after every test, empty."""
    opened.store.close()
    shutil.rmtree(opened.folder / "chdb")
    opened.store.open()
    for arrival in DAYS:
        opened.put_spans(40, arrival_unix_nano=arrival, start_unix_nano=NOON)
    return opened


def parts_of(opened: Any, table: str, day: str = "2026") -> list[Path]:
    rows = opened.ask(f"SELECT path FROM system.parts WHERE table='{table}' AND partition_id LIKE '{day}%'")
    return [Path(path) for (path,) in rows]


def broken(opened: Any, table: str, how: Callable[[Path], None], day: str = "2026") -> None:
    """Do something to the parts of a table while the store is closed."""
    paths = parts_of(opened, table, day)
    assert paths
    opened.store.close()
    for path in paths:
        if path.exists():
            how(path)
    opened.store.open()


def losses(opened: Any, unsettled_days: tuple[int, ...] = ()) -> list[str]:
    return list(opened.store.maintenance.losses(unsettled_days))


def test_nothing_is_told_of_a_store_that_is_whole(stored: Any) -> None:
    assert losses(stored) == []
    assert stored.store.maintenance.statistics().damaged_parts == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("chunks", "found but cannot be shown"),
        ("spans", "shown by id but not found"),
        ("traces", "summaries"),
        ("red", "rates"),
    ],
)
def test_parts_that_are_gone_are_told_with_their_spans_and_their_day(stored: Any, table: str, words: str) -> None:
    broken(stored, table, shutil.rmtree, "20260510")
    told = losses(stored)
    assert len(told) == 1
    assert all(word in told[0] for word in (words, "40 spans", "2026-05-10")), told
    assert losses(stored, (NOON // DAY,)) == [], "a day of which something is on its way is not judged"


def test_parts_that_cannot_be_loaded_are_counted_and_what_is_left_is_answered(stored: Any) -> None:
    broken(stored, "chunks", lambda path: (path / "columns.txt").write_text("?") and None, "20260509")
    figures = stored.store.maintenance.statistics()
    assert figures.damaged_parts >= 1
    assert figures.damaged_bytes > 0
    told = " ".join(losses(stored))
    assert "detached" in told
    assert "40 spans of 2026-05-09" in told
    assert figures.stored_spans == 80
    assert len(stored.store.reader.find(Search(limit=100)).traces) == 80


def test_a_store_with_hundreds_of_broken_parts_is_opened(stored: Any) -> None:
    def multiply(path: Path) -> None:
        for number in range(1_000, 1_150):
            copy = path.with_name(f"20260510_{number}_{number}_0")
            shutil.copytree(path, copy)
            (copy / "columns.txt").write_text("?")

    broken(stored, "chunks", multiply, "20260510")
    assert stored.store.maintenance.statistics().damaged_parts == 150
    assert len(stored.store.reader.find(Search(limit=100)).traces) == 80


def test_a_flipped_bit_in_a_part_is_told_once_a_question_met_it(stored: Any) -> None:
    def flip(path: Path) -> None:
        file = path / "data.bin"
        data = bytearray(file.read_bytes())
        for at in range(40, len(data), 97):
            data[at] ^= 1
        file.write_bytes(data)

    broken(stored, "chunks", flip, "20260510")
    told = " ".join(losses(stored))
    assert "of table chunks cannot be read" in told
    assert "40 spans of 2026-05-10" in told
    assert stored.store.maintenance.statistics().damaged_parts == 1
    stored.store._connections.write.run("ALTER TABLE chunks DROP PARTITION '2026-05-10'")
    assert stored.store.maintenance.statistics().damaged_parts == 0, "a part that is gone is not damaged any more"


def test_a_damaged_part_neither_hangs_retention_nor_the_deletions_after_it(stored: Any) -> None:
    for minutes in range(1, 6):
        stored.put_spans(40, arrival_unix_nano=NOON + minutes * 60 * SECOND, start_unix_nano=NOON)

    def flip(path: Path) -> None:
        data = bytearray((path / "data.bin").read_bytes())
        for at in range(40, len(data), 97):
            data[at] ^= 1
        (path / "data.bin").write_bytes(data)

    broken(stored, "chunks", flip, "20260510")
    maintenance = stored.store.maintenance
    size = maintenance.statistics().disk_bytes + maintenance._bytes_beside_parts()
    for _ in range(2):
        _, failures, _ = maintenance.expire(
            now_unix_nano=NOON, retention_s=7 * 86_400, max_disk_bytes=int(size * 0.5), beside_bytes=size // 3
        )
        assert len(failures) == 1
        assert "chunks was given up" in failures[0]
    assert stored.ask("SELECT count() FROM system.mutations WHERE NOT is_done") == [["0"]]
    now = NOON + 30 * DAY
    assert (
        maintenance.expire(now_unix_nano=now, retention_s=86_400, max_disk_bytes=1 << 50, beside_bytes=0).failures == []
    ), "a damaged day is dropped whole like any other"
    assert maintenance.statistics().stored_spans == 0


def test_arrivals_that_retention_deleted_inside_a_day_are_no_loss(stored: Any) -> None:
    for minutes in range(1, 8):
        stored.put_spans(40, arrival_unix_nano=NOON + minutes * 60 * SECOND, start_unix_nano=NOON)
    maintenance = stored.store.maintenance
    stored_before = maintenance.statistics().stored_spans
    size = maintenance.statistics().disk_bytes + maintenance._bytes_beside_parts()
    done = maintenance.expire(
        now_unix_nano=NOON, retention_s=7 * 86_400, max_disk_bytes=int(size * 0.7), beside_bytes=0
    ).done
    assert any("deleted the arrivals" in sentence for sentence in done)
    assert 0 < maintenance.statistics().stored_spans < stored_before
    assert losses(stored) == []
