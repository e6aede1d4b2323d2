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
