"""A new folder gets the tables that all steps make one after the other, without those that are dropped on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clew_server.store.connections import Connections
from clew_server.store.migrate import _STEPS_TABLE, altered_once, at_once, migrate, steps, without_what_is_dropped

TABLES = "SELECT name, engine, create_table_query FROM system.tables WHERE database=currentDatabase() ORDER BY name"
RECORDED = "SELECT number, name FROM schema_steps ORDER BY number"


@contextmanager
def engine(folder: Path) -> Iterator[Callable[..., bytes]]:
    connections = Connections.open(folder, writers=1, readers=1)
    try:
        yield connections.write.run
    finally:
        connections.close()


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Tables and recorded steps of a new folder."""
    with engine(tmp_path_factory.mktemp("new") / "chdb") as run:
        migrate(run)
        return run(TABLES, None, "TSV"), run(RECORDED, None, "TSV")


def one_after_the_other(run: Callable[..., bytes], upto: int) -> None:
    """As versions before did, each of which knew some steps more."""
    run(_STEPS_TABLE)
    for step in steps()[:upto]:
        for text in step.statements:
            run(text)
        run(f"INSERT INTO schema_steps SELECT {step.number}, '{step.name}'")


def test_a_new_folder_has_the_tables_of_one_that_took_every_step(tmp_path: Path, new: tuple[bytes, bytes]) -> None:
    with engine(tmp_path / "chdb") as run:
        one_after_the_other(run, len(steps()) - 2)
        migrate(run)
        assert (run(TABLES, None, "TSV"), run(RECORDED, None, "TSV")) == new
    assert len(new[0].splitlines()) > 15
    assert len(new[1].splitlines()) == len(steps())


AT_ONCE = at_once([text for step in steps() for text in step.statements])


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(steps()[0].statements, id="by a version that took each step by itself"),
        pytest.param(AT_ONCE[: len(AT_ONCE) // 2], id="by this one"),
    ],
)
def test_a_first_start_that_was_cut_short_is_made_up_for(
    tmp_path: Path, new: tuple[bytes, bytes], texts: list[str]
) -> None:
    with engine(tmp_path / "chdb") as run:
        for text in (_STEPS_TABLE, *texts):
            run(text)
        migrate(run)
        assert (run(TABLES, None, "TSV"), run(RECORDED, None, "TSV")) == new


def test_what_is_dropped_later_is_not_made_and_what_is_made_again_is_made_once() -> None:
    texts = [
        "CREATE TABLE IF NOT EXISTS a (x UInt8)",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO a AS SELECT 1",
        "CREATE TABLE IF NOT EXISTS b (x UInt8)",
        "ALTER TABLE b ADD COLUMN IF NOT EXISTS y UInt8",
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS y UInt8",
        "DROP VIEW IF EXISTS v",
        "DROP TABLE IF EXISTS b SYNC",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO a AS SELECT 2",
    ]
    assert without_what_is_dropped(texts) == [texts[at] for at in (0, 4, 5, 6, 7)]


def test_what_alters_a_table_is_one_statement_where_the_first_of_it_was() -> None:
    texts = [
        "CREATE TABLE IF NOT EXISTS a (x UInt8)",
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS y UInt8",
        "ALTER TABLE ab ADD COLUMN IF NOT EXISTS y UInt8",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO a AS SELECT 1",
        "ALTER TABLE a MODIFY SETTING s=1, t=2",
    ]
    joined = "ALTER TABLE a (ADD COLUMN IF NOT EXISTS y UInt8), (MODIFY SETTING s=1, t=2)"
    other = "ALTER TABLE ab (ADD COLUMN IF NOT EXISTS y UInt8)"
    assert altered_once(texts) == [texts[0], joined, other, texts[3]]


def test_traces_from_before_they_had_an_order_by_start_are_listed_with_those_after_it(tmp_path: Path) -> None:
    def put(run: Callable[..., bytes], first: int) -> None:
        run(
            "INSERT INTO traces (received, trace_id, start, end, spans, first) SELECT now(), toFixedString(hex(sipHash64(number)),16) AS id,"
            " fromUnixTimestamp64Nano(1764400000000000000+number*1000,'UTC') AS s, s, 1, (0,s,'a','b',0)"
            f" FROM numbers({first},1000)"
        )

    newest = "SELECT toUnixTimestamp64Nano(start)-1764400000000000000 FROM traces ORDER BY start DESC LIMIT 1500"
    within = (
        "SELECT count() FROM traces WHERE start>=fromUnixTimestamp64Nano(1764400000000900000,'UTC')"
        " AND start<fromUnixTimestamp64Nano(1764400000001100000,'UTC')"
    )
    with engine(tmp_path / "chdb") as run:
        one_after_the_other(run, 17)
        put(run, 0)
        migrate(run)
        put(run, 1000)
        for merged in (False, True):
            if merged:
                run("OPTIMIZE TABLE traces FINAL")
            assert [int(one) for one in run(newest, None, "TSV").split()] == [n * 1000 for n in range(1999, 499, -1)]
            assert run(within, None, "TSV") == b"200\n"
        projections = (
            "SELECT arrayStringConcat(projections), rows FROM system.parts WHERE table='traces' AND active ORDER BY 1"
        )
        assert run(projections, None, "TSV") == b"\t1000\nby_start\t1000\n", "neither is merged with the other"


def test_a_projection_is_added_by_a_statement_of_its_own() -> None:
    """The engine refuses it together with the setting that allows it."""
    texts = [
        "ALTER TABLE a MODIFY SETTING s=1",
        "ALTER TABLE a ADD PROJECTION IF NOT EXISTS p (SELECT x ORDER BY x)",
        "ALTER TABLE a MODIFY SETTING t=2",
    ]
    assert altered_once(texts) == ["ALTER TABLE a (MODIFY SETTING s=1), (MODIFY SETTING t=2)", texts[1]]
