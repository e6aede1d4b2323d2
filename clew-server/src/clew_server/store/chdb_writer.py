"""Inserts segments into chDB by two statements, and checks that what they wrote is in every table."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from clew_server.errors import Unavailable
from clew_server.store import queries
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.chdb_merges import Merges
from clew_server.store.chdb_repair import Repair
from clew_server.store.chdb_views import TABLES_OF
from clew_server.store.connections import EngineError, Pool
from clew_server.store.contract import SegmentFile, SegmentRefused, Statement, StoreFailed
from clew_server.store.disk_writes import drop_short_parts, failed_writes
from clew_server.store.priorities import Priorities

_DATA_CODES: Final = frozenset(
    {6, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 407, 441, 444, 467, 637}
)
"""ClickHouse's codes for bytes it cannot read or values it cannot hold: parsing, sizes of arrays and strings, conversions."""

_ENVIRONMENT_CODES: Final = frozenset(
    {23, 24, 74, 75, 76, 87, 88, 107, 159, 198, 202, 209, 210, 236, 242, 243, 252, 290, 394, 439, 469, 731, 1000}
)
"""Codes for disk, files, time, threads and a store that is stopping: whatever is inserted would fail."""

_PROOF_WITHIN_S: Final = 60.0

NOT_IN_A_PATH: Final = frozenset("*?{}:")
"""`file()` takes these for patterns, and one that matches nothing stores nothing without a word; the colon ends the
path of a schema, the question mark that of a folder."""


def quoted(text: str) -> str:
    """A text of ours (a path) as a string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def proof_of(token: str) -> int:
    """The number that stands in one row of every table for the segment or run with this token; never 0, which means none."""
    return int.from_bytes(blake2b(token.encode(), digest_size=8).digest(), "big") or 1


class ChdbWriter:
    """The store's TraceWriter. Safe for several threads; as many statements at once as there are connections."""

    def __init__(
        self, pool: Pool, schemas: tuple[Path, Path], tables: Tables, merges: Merges, priorities: Priorities
    ) -> None:
        self._pool = pool
        self._priorities = priorities
        self._tables = tables
        self._merges = merges
        self._repair = Repair(pool)
        self._checking = threading.Lock()
        self._dropped = 0
        """Number of parts found short so far. An insert during which it grew may have written one of them."""
        self._failed_writes = 0
        """The engine's count of failed writes when it was last asked for."""
        self._inserted = 0
        self._schema = {
            "chunks": f"{schemas[0].with_suffix('')}:Request",
            "search": f"{schemas[1].with_suffix('')}:Request",
        }

    def inserted(self) -> int:
        """How many statements have been run since the start: what questions find may change with each."""
        return self._inserted

    def write(self, segment: SegmentFile, statement: Statement) -> None:
        """See TraceWriter.write."""
        self._insert(segment, statement, TABLES_OF[statement].source)

    def ensure(self, segment: SegmentFile, statement: Statement) -> bool:
        """See TraceWriter.ensure."""
        all_tables = TABLES_OF[statement].tables
        missing = self._missing(segment, statement)
        if not missing:
            return False
        if len(missing) == len(all_tables):
            self._insert(segment, statement, TABLES_OF[statement].source)
        else:
            self._repair.run(statement, missing, lambda source: self._insert(segment, statement, source))
        if missing := self._missing(segment, statement):
            raise StoreFailed(f"{segment.token} was inserted, but cannot be found in {', '.join(missing)}")
        return True

    def _missing(self, segment: SegmentFile, statement: Statement) -> list[str]:
        """The statement's tables without the segment's proof. A part that cannot be read proves nothing: its rows are lost.

        But those that were merged into a part that the disk did not take come back: so that is mended first.
        """
        question = Question(self._pool, self._tables, seconds=_PROOF_WITHIN_S)
        try:
            settled = self._merges.settle()
            rows = question.rows(f"proofs_{statement}", {"proof": str(proof_of(segment.token))})
            if question.damaged and failed_writes(self._pool) != settled:
                raise StoreFailed(
                    f"the disk did not take all of a part while the tables were asked for {segment.token}"
                )
        except (Stopped, Unavailable) as error:
            raise StoreFailed(f"the tables could not be asked for {segment.token}: {error}") from error
        there = {table for (table,) in rows}
        return [table for table in TABLES_OF[statement].tables if table not in there]

    def _insert(self, segment: SegmentFile, statement: Statement, source: str) -> None:
        """Run the statement into `source`, and see that the files of the parts it made are whole.

        The engine says nothing when a write() to a part fails (disk full, I/O error): the part then has its name and is
        short. Raises as `write`.
        """
        if NOT_IN_A_PATH.intersection(str(segment.path.resolve())):
            raise StoreFailed(f"The segment's path {segment.path} would be read as a pattern.")
        dropped_before, failed_before = self._dropped, self._failed_writes
        prefix = source.removesuffix(TABLES_OF[statement].source)
        tables = [prefix + table for table in TABLES_OF[statement].tables]
        try:
            self._run(
                queries.statement(
                    f"insert_{statement}",
                    TABLE_NAME=source,
                    SEGMENT=quoted(str(segment.path.resolve())),
                    FORMAT_SCHEMA=quoted(self._schema[statement]),
                    PROOF=str(proof_of(segment.token)),
                    NICER=str(self._priorities.nicer),
                )
            )
        except StoreFailed:
            self._drop_short_parts(tables, failed_before)  # what it wrote before it failed
            raise
        finally:
            with self._checking:
                self._inserted += 1
        self._drop_short_parts(tables, failed_before)
        if self._dropped != dropped_before:
            raise StoreFailed("the disk did not take all of a part that was inserted; it is dropped and inserted again")

    def _drop_short_parts(self, tables: Sequence[str], failed_before: int) -> None:
        """Where writes have failed since then, drop parts of these tables whose files are short of bytes, and count them."""
        try:
            with self._checking:
                self._failed_writes = failed_writes(self._pool)
                if self._failed_writes != failed_before:
                    # Not by `_run`: when this fails, it says nothing about what the segment holds.
                    drop_short_parts(self._pool, tables, self._count_dropped)
        except Unavailable as error:
            raise StoreFailed(str(error)) from error

    def _count_dropped(self) -> None:
        self._dropped += 1

    def _run(self, sql: str) -> None:
        try:
            with self._priorities.inserting():
                self._pool.run(sql)
        except EngineError as error:
            if error.code in _DATA_CODES:
                raise SegmentRefused(str(error), certain=True) from error
            if error.code in _ENVIRONMENT_CODES or _names_a_disk_error(str(error)):
                raise
            raise SegmentRefused(str(error), certain=False) from error
        except Unavailable as error:
            raise StoreFailed(str(error)) from error


_DISK_ERRORS: Final = re.compile(
    "errno: [0-9]+|"
    + "|".join(re.escape(os.strerror(n)) for n in (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EDQUOT))
)


def _names_a_disk_error(message: str) -> bool:
    """Whether the engine failed over a system call; it reports those under several codes (1001 among them)."""
    return _DISK_ERRORS.search(message) is not None
