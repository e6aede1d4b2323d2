"""A merged part whose files are short of bytes is set aside while what it was made of is still there."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from clew_server.model.search import Search, SpanCondition
from clew_server.store.asking import Question, Tables
from clew_server.store.chdb_merges import Merges, newest_replaced
from clew_server.store.connections import EngineError, Pool
from clew_server.store.contract import StoreFailed
from clew_server.store.parts import Part

PUTS, SPANS = 3, 20
TABLES = ("chunks", "spans", "traces")


def run(opened: Any, sql: str) -> None:
    opened.store._connections.write.run(sql)


@pytest.fixture
def merged(opened: Any) -> Iterator[Any]:
    """Three segments whose parts were merged into one in each table; nothing else is merged meanwhile."""
    for table in TABLES:
        run(opened, f"TRUNCATE TABLE {table}")
    for _ in range(PUTS):
        opened.put_spans(SPANS)
    for table in TABLES:
        run(opened, f"OPTIMIZE TABLE {table} FINAL")
        run(opened, f"SYSTEM STOP MERGES {table}")
    yield opened
    for table in TABLES:
        run(opened, f"SYSTEM START MERGES {table}")


def merges(opened: Any, failed: Callable[[], int]) -> Merges:
    """As the store has it, but for the engine's count of failed writes: files are cut short here after they were written."""
    pools = opened.store._connections
    return Merges(
        pools.control, using=(pools.write, pools.read, pools.probe), count_failed_writes=lambda pool: failed()
    )


def after_a_failed_write(opened: Any) -> Merges:
    return merges(opened, lambda: 1)


def folder_of(opened: Any, table: str, *, is_merged: bool = True) -> Path:
    which = "(min_block_number!=max_block_number)"
    [[path]] = opened.ask(f"SELECT path FROM system.parts WHERE active AND table='{table}' AND {which}={is_merged}")
    return Path(path)


def counts(opened: Any) -> list[list[str]]:
    return list(
        opened.ask(
            "SELECT (SELECT sum(length(raw)) FROM chunks), (SELECT count() FROM spans), (SELECT sum(spans) FROM traces)"
        )
    )


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def emptied_with_a_projection(path: Path) -> None:
    """The engine compares no sizes where a projection cannot be read: it loads a part without marks as one without rows."""
    (of_projection,) = path.parent.glob("*.proj/data.cmrk*")
    for file in (path, of_projection):
        os.truncate(file, 0)


ALL = [[str(PUTS * SPANS)] * 3]


@pytest.mark.parametrize(
    ("short", "damage"),
    [
        ({"chunks": "data.bin"}, cut),
        ({"spans": "columns.txt"}, emptied),
        ({"chunks": "data.bin", "traces": "checksums.txt", "spans": "count.txt"}, emptied),
        ({"spans": "data.cmrk4", "traces": "data.bin"}, emptied_with_a_projection),
        ({"spans": "key_sets.proj/data.bin", "traces": "by_start.proj/data.bin"}, cut),
    ],
)
def test_what_was_merged_into_a_short_part_is_back(
    merged: Any, caplog: pytest.LogCaptureFixture, short: dict[str, str], damage: Callable[[Path], None]
) -> None:
    for table, file in short.items():
        damage(folder_of(merged, table) / file)
    mended = after_a_failed_write(merged)
    assert mended.mend() == []
    for table in short:
        assert f"of table {table} is short of bytes" in caplog.text
    assert caplog.text.count(f"the {PUTS} parts it was made of are back") == len(short)
    assert counts(merged) == ALL
    assert merged.store.maintenance.statistics().damaged_parts == 0, "nothing is lost"
    merged.put_spans(SPANS)
    assert counts(merged) == [[str((PUTS + 1) * SPANS)] * 3]
    caplog.clear()
    assert mended.mend() == []
    assert not caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff" * 200], ids=["empty", "nonsense"])
def test_statistics_that_cannot_be_read_are_done_without(merged: Any, content: bytes) -> None:
    """The engine makes them when it merges, and plans by them alone."""
    for table in ("spans", "traces"):
        (folder_of(merged, table) / "statistics.packed").write_bytes(content)
    asked = Search((SpanCondition("name", "=", "n"),), limit=1000)
    page = merged.store.reader.find(asked)
    assert (len(page.traces), page.reason) == (PUTS * SPANS, None)
    found = merged.store.summaries.summary(asked, None)
    assert (found.totals.matched, found.reason) == (PUTS * SPANS, None)


class Unnamed:
    """The engine, but its errors do not say in which part they are, as some do not."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def run(self, *statement: Any) -> bytes:
        try:
            return self._pool.run(*statement)
        except EngineError as error:
            raise EngineError(re.sub(r"/\S+", "", str(error)), error.code) from error


def test_a_short_part_that_the_engine_does_not_name_is_left_out_too(merged: Any) -> None:
    merged.put_spans(SPANS)
    short = folder_of(merged, "spans")
    pool = cast(Pool, Unnamed(merged.store._connections.read))
    question = Question(pool, Tables(pool))
    emptied(short / "data.bin")
    [[_, traces]] = question.rows("spans_by_day", {}, TABLE_NAME="spans", HOW_MANY="uniqExact(trace_id)")
    assert traces == SPANS
    assert f"part {short.name} of table spans" in str(question.missing())


class Mending:
    """The engine; what a statement could not read is mended before who asked hears of it."""

    def __init__(self, pool: Pool, mend: Callable[[], object]) -> None:
        self._pool = pool
        self._mend = mend

    def run(self, *statement: Any) -> bytes:
        try:
            return self._pool.run(*statement)
        except EngineError:
            self._mend()
            raise


def test_what_is_mended_before_a_question_notes_it_is_no_damage_and_nothing_is_missing(merged: Any) -> None:
    emptied(folder_of(merged, "spans") / "data.bin")
    pools = merged.store._connections
    tables = Tables(pools.read)
    using = (pools.write, pools.read, pools.probe)
    mended = Merges(pools.control, using, count_failed_writes=lambda pool: 1, mended=tables.forget_damage)
    question = Question(cast(Pool, Mending(pools.read, mended.mend)), tables)
    [[_, traces]] = question.rows("spans_by_day", {}, TABLE_NAME="spans", HOW_MANY="uniqExact(trace_id)")
    assert traces == PUTS * SPANS
    assert (question.missing(), tables.damaged()) == (None, [])


def test_two_short_parts_of_one_table_are_put_back_together(merged: Any) -> None:
    yesterday = merged.opened_unix_nano - 86_400 * 10**9
    for _ in range(PUTS):
        merged.put_spans(SPANS, arrival_unix_nano=yesterday)
    run(merged, "SYSTEM START MERGES chunks")
    run(merged, "OPTIMIZE TABLE chunks FINAL")
    paths = merged.ask("SELECT path FROM system.parts WHERE active AND table='chunks'")
    assert len(paths) == 2
    for (path,) in paths:
        cut(Path(path) / "data.bin")
    run(merged, "SYSTEM STOP MERGES chunks")
    assert after_a_failed_write(merged).mend() == []
    assert counts(merged) == [[str(2 * PUTS * SPANS)] * 3]


def test_a_part_that_was_mended_is_not_shown_as_damaged_when_another_gets_its_name(merged: Any) -> None:
    tables = merged.store.maintenance._tables
    short = folder_of(merged, "chunks")
    cut(short / "data.bin")
    tables.note_damage("chunks", short.name)
    pools = merged.store._connections
    using = (pools.write, pools.read, pools.probe)
    Merges(pools.control, using, count_failed_writes=lambda pool: 1, mended=tables.forget_damage).mend()
    assert ("chunks", short.name) not in tables.damaged()


def test_no_file_is_looked_at_while_no_write_failed(merged: Any) -> None:
    short = folder_of(merged, "chunks")
    cut(short / "data.bin")
    assert merges(merged, lambda: 0).mend() == []
    assert folder_of(merged, "chunks") == short


def test_a_merge_that_ends_after_the_look_is_looked_at_too(merged: Any) -> None:
    """The count has grown, but the part has not got its name yet: the next look finds it, the one after that need not."""
    mended = after_a_failed_write(merged)
    assert mended.mend() == []
    late = folder_of(merged, "spans")
    mended._whole.discard(("spans", late.name))
    cut(late / "data.bin")
    assert mended.mend() == []
    assert counts(merged) == ALL


def test_parts_are_looked_at_until_twice_nothing_was_merged(merged: Any) -> None:
    mended = after_a_failed_write(merged)
    for _ in range(3):
        assert mended.mend() == []
    short = folder_of(merged, "chunks")
    mended._whole.clear()
    cut(short / "data.bin")
    assert mended.mend() == []
    assert folder_of(merged, "chunks") == short, "it was not looked at: no write has failed since"


def test_where_what_was_merged_is_gone_too_it_is_said_once_and_the_part_stays(merged: Any) -> None:
    short = folder_of(merged, "chunks")
    cut(short / "data.bin")
    for part in short.parent.glob("20*_*_0"):
        emptied(part / "data.bin")
    mended = merges(merged, itertools.count(1).__next__)
    (sentence,) = mended.mend()
    assert "what it was made of is gone" in sentence
    assert folder_of(merged, "chunks") == short
    assert mended.mend() == []


def test_a_short_part_of_an_insert_is_left_to_the_writer_and_holds_the_table(merged: Any) -> None:
    merged.put_spans(SPANS)
    cut(folder_of(merged, "spans", is_merged=False) / "data.bin")
    cut(folder_of(merged, "spans") / "data.bin")
    names = "SELECT name FROM system.parts WHERE active AND table='spans' ORDER BY name"
    before = merged.ask(names)
    mended = after_a_failed_write(merged)
    with pytest.raises(StoreFailed, match="put back first"):
        mended.settle()
    assert merged.ask(names) == before


def test_a_deletion_that_the_disk_did_not_take_is_put_back_and_made_again(merged: Any) -> None:
    run(merged, "SYSTEM START MERGES spans")
    [[one]] = merged.ask("SELECT hex(span_id) FROM spans LIMIT 1")
    run(merged, f"ALTER TABLE spans DELETE WHERE span_id=unhex('{one}') SETTINGS mutations_sync=1")
    short = folder_of(merged, "spans")
    cut(short / "data.bin")
    assert after_a_failed_write(merged).mend() == []
    deadline_s = time.monotonic() + 100
    while merged.ask("SELECT count() FROM system.mutations WHERE table='spans' AND NOT is_done") != [["0"]]:
        assert time.monotonic() < deadline_s
    assert merged.ask("SELECT count() FROM spans") == [[str(PUTS * SPANS - 1)]]
    assert merged.store.maintenance.statistics().damaged_parts == 0


@pytest.mark.parametrize(
    ("file", "damage", "source_gone", "aside"),
    [
        ("data.bin", emptied, False, 0),
        ("count.txt", emptied, False, 0),
        ("count.txt", emptied, True, 1),
        ("data.bin", emptied_with_a_projection, False, 0),
    ],
)
def test_after_a_kill_the_engine_puts_back_what_was_merged_and_it_is_no_damage(
    merged: Any, file: str, damage: Callable[[Path], None], source_gone: bool, aside: int
) -> None:
    """As the next start does it. Where a part does not say how much it held, its first and last block tell whether all is back."""
    short = folder_of(merged, "traces")
    damage(short / file)
    run(merged, "DETACH TABLE traces SYNC")
    if source_gone:
        day, first, *_ = short.name.split("_")
        (source,) = short.parent.glob(f"{day}_{first}_{first}_*")
        shutil.rmtree(source)
    run(merged, "ATTACH TABLE traces")
    back = [[row[0], row[1], str(PUTS * SPANS - source_gone * SPANS)] for row in ALL]
    if damage is emptied:
        assert counts(merged) == back
        assert merged.store.maintenance.statistics().damaged_parts == 1
    merges(merged, lambda: 0).drop_replaced()
    assert merged.store.maintenance.statistics().damaged_parts == aside
    assert counts(merged) == back
    for path in merged.ask("SELECT path FROM system.detached_parts"):
        shutil.rmtree(path[0])


def part(name: str, *, live: bool = False) -> Part:
    partition, first, last, level, *version = name.split("_")
    return Part(
        "t", name, live, 1, "/p", partition, int(first), int(last), int(level), int(version[0] if version else first), 1
    )


@pytest.mark.parametrize(
    ("short", "there", "expected"),
    [
        ("d_1_3_1", ["d_1_1_0", "d_2_2_0", "d_3_3_0", "e_1_1_0", "d_4_4_0"], ["d_1_1_0", "d_2_2_0", "d_3_3_0"]),
        ("d_1_3_2", ["d_1_1_0", "d_2_2_0", "d_1_2_1", "d_3_3_0"], ["d_1_2_1", "d_3_3_0"]),
        ("d_1_3_1", ["d_1_1_0", "d_2_2_0"], []),
        ("d_1_3_1_5", ["d_1_1_0", "d_1_1_0_5", "d_3_3_0", "d_3_3_0_5"], ["d_1_1_0_5", "d_3_3_0_5"]),
        ("d_1_1_0_5", ["d_1_1_0"], ["d_1_1_0"]),
        ("d_1_1_0", [], []),
    ],
)
def test_what_a_part_was_made_of_is_the_newest_it_replaced(short: str, there: list[str], expected: list[str]) -> None:
    parts = [part(short, live=True), *map(part, there)]
    assert [one.name for one in newest_replaced(parts[0], parts)] == expected
