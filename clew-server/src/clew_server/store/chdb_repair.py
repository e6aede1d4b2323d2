"""Inserts a segment's rows into those of its tables in which an earlier attempt left nothing.

The statement is run again over a copy of its tables and views. The copies of the missing tables keep their rows, the other
copies keep nothing; then the parts of the former are attached to the real tables. Inserting into the real tables would
fill every table behind them a second time, through their views.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Final

from clew_server.store.chdb_views import TABLES_OF, View, views
from clew_server.store.connections import Pool
from clew_server.store.contract import Statement, StoreFailed

PREFIX: Final = "repair_"


class Repair:
    """Makes the copies, moves their parts, drops them; one repair at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()

    def run(self, statement: Statement, missing: Sequence[str], insert: Callable[[str], None]) -> None:
        """Fill the `missing` tables of the statement and no other. `insert(table)` runs the statement into that table.

        A crash or failure leaves each table with all of its rows or none. Raises StoreFailed and what `insert` raises.
        """
        with self._lock:
            self._drop()
            try:
                for sql in plan(statement, missing):
                    self._pool.run(sql)
                insert(PREFIX + TABLES_OF[statement].source)
                for table in missing:
                    for partition in self._partitions(PREFIX + table):
                        self._pool.run(f"ALTER TABLE {table} ATTACH PARTITION ID '{partition}' FROM {PREFIX}{table}")
                os.sync()  # attached parts are new names of synced files; the engine does not sync the names
            finally:
                with contextlib.suppress(StoreFailed):  # dropped before the next repair, else at the next start
                    self._drop()

    def _partitions(self, table: str) -> list[str]:
        output = self._pool.run(
            "SELECT DISTINCT partition_id FROM system.parts"
            f" WHERE active AND database=currentDatabase() AND table='{table}'",
            None,
            "TSV",
        )
        return output.decode().split()

    def _drop(self) -> None:
        for sql in drop_statements(self._pool):
            self._pool.run(sql)


def drop_statements(pool: Pool) -> list[str]:
    """What removes all copies, views first: a view without its target table would fail the inserts."""
    output = pool.run(
        f"SELECT name FROM system.tables WHERE database=currentDatabase() AND startsWith(name,'{PREFIX}')"
        " ORDER BY engine!='MaterializedView'",
        None,
        "TSV",
    )
    return [f"DROP TABLE IF EXISTS {name} SYNC" for name in output.decode().split()]


def plan(statement: Statement, missing: Sequence[str]) -> list[str]:
    """The copies, each table before the views that fill it or read from it, the last of a chain first."""
    source, tables = TABLES_OF[statement]
    chain = {table: views()[table] for table in tables}
    needed = [table for table in reversed(tables) if table in _with_sources(missing, chain)]
    made = [f"CREATE TABLE {PREFIX}{source} AS {source}"]
    for table in needed:
        if table in missing:
            made.append(f"CREATE TABLE {PREFIX}{table} AS {table}")
        else:
            made.append(f"CREATE TABLE {PREFIX}{table} ENGINE=Null AS SELECT * FROM {table} LIMIT 0")
    for table in needed:
        select = chain[table].select_from(PREFIX + chain[table].source)
        made.append(f"CREATE MATERIALIZED VIEW {PREFIX}mv_{table} TO {PREFIX}{table} AS {select}")
    return made


def _with_sources(missing: Sequence[str], chain: dict[str, View]) -> set[str]:
    needed = set(missing)
    for table in missing:
        while (above := chain[table].source) in chain:
            needed.add(above)
            table = above
    return needed
