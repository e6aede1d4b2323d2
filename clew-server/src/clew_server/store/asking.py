"""The statements of one question to chDB: they share a deadline and guard rails, and leave out what is damaged.

A part of a table whose files cannot be read would fail every statement that touches it. It is left out, the statement is
put again, and the question remembers what is missing, so that the answer can say it. The engine names the part by its folder,
but not always: then parts whose files are short of bytes are looked for. What it merely plans by (statistics of columns) is done without.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from clew_server.store import queries
from clew_server.store.cancelling import CURRENT, new_mark
from clew_server.store.connections import LIMIT_CODES, EngineError, Pool
from clew_server.store.contract import StoreFailed
from clew_server.store.parts import all_parts

logger = logging.getLogger(__name__)

MAX_EXECUTION_S: Final = 10.0
_OUT_OF_MEMORY: Final = 241
_MAX_DAMAGED: Final = 64
_UNREADABLE: Final = frozenset({32, 33, 40, 117, 246, 271, 287})
"""After the end, not all data, checksum, incorrect data, corrupted data, cannot decompress, unknown format: codes of what a damaged file gives."""
_WITHOUT_STATISTICS: Final = (
    ", use_statistics=0, use_statistics_for_part_pruning=0, use_statistics_for_min_max_aggregation=0"
)
_PART: Final = re.compile(r"/store/[0-9a-f]{3}/([0-9a-f-]{36})/(\w+)/")


def rails(seconds: float) -> str:
    """What is appended to every question. readonly=1 also blocks file() and url().

    The time is rounded down to eighths of a second, which a binary fraction holds exactly; one at least. The engine applies the settings
    twice, and the second time, read-only, it refuses a value that it has rounded itself: 4.039 and a few more in a hundred.
    """
    exact_s = max(1, int(seconds * 8)) / 8
    return f" SETTINGS max_threads=2, max_execution_time={exact_s}, max_memory_usage=1500000000, readonly=1"


GUARD_RAILS: Final = rails(MAX_EXECUTION_S)


class Stopped(Exception):
    """A guard rail ended the question; the message says which."""


class Tables:
    """Names of the tables by the id that stands in the paths of their files. Asked for once, when something is damaged."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._names: dict[str, str] = {}
        self._damaged: set[tuple[str, str]] = set()
        self._mendings = 0
        self._mended: dict[tuple[str, str], int] = {}
        """Which of the mendings was the last of each."""
        self._lock = threading.Lock()

    def note_damage(self, table: str, part: str) -> bool:
        """Remember a part that a question could not read, for those who show how the store is. True for the first time."""
        with self._lock:
            is_new = (table, part) not in self._damaged
            self._damaged.add((table, part))
            return is_new

    def forget_damage(self, table: str, part: str) -> None:
        """The part was replaced by what it was made of; another one may get its name."""
        with self._lock:
            self._damaged.discard((table, part))
            self._mendings += 1
            self._mended[table, part] = self._mendings

    def mendings(self) -> int:
        """How many parts were mended until now."""
        return self._mendings

    def was_mended(self, table: str, part: str, since: int) -> bool:
        """Whether the part was mended after so many mendings: what a statement that began before met there is no damage any more."""
        with self._lock:
            return self._mended.get((table, part), 0) > since

    def damaged(self) -> list[tuple[str, str]]:
        """(table, part) of every part that some question could not read; some may have been dropped since."""
        with self._lock:
            return sorted(self._damaged)

    def short_parts(self) -> list[tuple[str, str]]:
        """(table, part) of the live parts whose files are not as large as they should be. Raises StoreFailed, Unavailable."""
        return [(part.table, part.name) for part in all_parts(self._pool) if part.is_live and not part.is_whole()]

    def name(self, table_id: str) -> str | None:
        """The table's name; None for a table that is not ours."""
        with self._lock:
            if not self._names:
                output = self._pool.run(queries.statement("table_ids"), None, "TSV").decode("utf-8", "replace")
                self._names = dict(line.split("\t", 1) for line in output.splitlines())
            return self._names.get(table_id)


class Question:
    """Some statements for one answer. Not for several threads.

    `damaged` is what had to be left out: (table, part) → the engine's words.
    """

    def __init__(
        self,
        pool: Pool,
        tables: Tables,
        *,
        seconds: float = MAX_EXECUTION_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._tables = tables
        self._clock_s = clock_s
        self._seconds = seconds
        self._deadline_s = clock_s() + seconds
        self._cancellation = CURRENT.get()
        self._mark = new_mark()
        self._plans_by_statistics = True
        self._looked_for_short = False
        self.damaged: dict[tuple[str, str], str] = {}

    def ask(self, name: str, parameters: Mapping[str, str], output: str, **words: str) -> bytes:
        """The statement's answer in a format. Raises Stopped, StoreFailed, Unavailable."""
        sql = queries.statement(name, **words)
        while True:
            left_s = self._deadline_s - self._clock_s()
            if left_s <= 0:
                raise Stopped(f"stopped after {self._seconds:.0f} s")
            mendings = self._tables.mendings()
            settings = rails(left_s) + ("" if self._plans_by_statistics else _WITHOUT_STATISTICS) + self._left_out()
            try:
                return self._run(sql + settings, parameters, output)
            except EngineError as error:
                if error.code in LIMIT_CODES:
                    raise Stopped(
                        "out of the memory a question may use"
                        if error.code == _OUT_OF_MEMORY
                        else f"stopped after {self._seconds:.0f} s"
                    ) from error
                self._leave_out(error, mendings)

    def _run(self, sql: str, parameters: Mapping[str, str], output: str) -> bytes:
        cancellation = self._cancellation
        if cancellation is None:
            return self._pool.run(sql, parameters, output)
        with cancellation.running(self._mark, self._pool.kill):
            if cancellation.is_cancelled:
                raise Stopped("the client has gone away")
            return self._pool.run(f"{sql}, log_comment='{self._mark}'", parameters, output)

    def rows(self, name: str, parameters: Mapping[str, str], **words: str) -> list[list[Any]]:
        """The statement's rows. Bytes that are no UTF-8 are read with replacement characters. Raises as `ask`."""
        output = self.ask(name, parameters, "JSONCompactEachRow", **words)
        # As one text: to begin with each row anew takes longer than the rows.
        lines = output.decode("utf-8", "replace").rstrip("\n").replace("\n", ",")
        rows: list[list[Any]] = json.loads(f"[{lines}]")
        return rows

    def missing(self) -> str | None:
        """A sentence about what could not be read, None when all could."""
        if not self.damaged:
            return None
        parts = ", ".join(f"part {part} of table {table}" for table, part in sorted(self.damaged)[:3])
        more = f" and {len(self.damaged) - 3} more" if len(self.damaged) > 3 else ""
        return f"the store's files are damaged: {parts}{more} cannot be read, and what is in there is missing here"

    def _leave_out(self, error: EngineError, mendings: int) -> None:
        """Note what the engine could not read, so that the statement can be put again without it. Raises the error where it is about something else.

        `mendings` were done when the statement began.
        """
        for table_id, part in _PART.findall(str(error)):
            table = self._tables.name(table_id)
            if table is not None and (table, part) not in self.damaged:
                self._note(table, part, error, mendings)
                return
        # It does not say where, as where statistics are damaged.
        if error.code in _UNREADABLE and self._plans_by_statistics:
            self._plans_by_statistics = False
        elif error.code in _UNREADABLE and not self._looked_for_short:
            self._looked_for_short = True
            # One may have been put right by now: then there is none, and nothing is missing.
            for table, part in self._tables.short_parts():
                self._note(table, part, error, mendings)
        else:
            raise error

    def _note(self, table: str, part: str, error: EngineError, mendings: int) -> None:
        if self._tables.was_mended(table, part, mendings):
            return
        if len(self.damaged) >= _MAX_DAMAGED:
            raise StoreFailed(f"more than {_MAX_DAMAGED} parts of the store cannot be read: {error}") from error
        self.damaged[table, part] = str(error)
        if self._tables.note_damage(table, part):  # said once: every question meets it again
            logger.error("part %s of table %s cannot be read: %s", part, table, str(error)[:500])

    def _left_out(self) -> str:
        if not self.damaged:
            return ""
        by_table: dict[str, list[str]] = {}
        for table, part in self.damaged:
            by_table.setdefault(table, []).append(f"\\'{part}\\'")  # \w only
        filters = ",".join(f"'{table}':'_part NOT IN ({','.join(parts)})'" for table, parts in by_table.items())
        return f", additional_table_filters={{{filters}}}"
