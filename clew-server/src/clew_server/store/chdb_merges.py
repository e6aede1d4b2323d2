"""Sees that the files of merged parts are whole, and puts back what was merged where they are not.

The engine goes on when a write() to a merged part fails. But what it merged stays for a minute (`old_parts_lifetime`, schema
step 13), and when it loads a table it compares sizes itself: a part that is short is set aside, and the parts it was made of
are live again. So a table with a short part is loaded again while those are still there.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from clew_server.store import queries
from clew_server.store.connections import Pool
from clew_server.store.contract import StoreFailed
from clew_server.store.deletions import Deletions
from clew_server.store.disk_writes import failed_writes
from clew_server.store.parts import COUNT, Part, all_parts

logger = logging.getLogger(__name__)

_IDLE_WITHIN_S: Final = 20.0
_BROKEN: Final = re.compile(r"broken-on-start_(?P<partition>\w+?)_(\d+)_(\d+)_(\d+)(?:_(\d+))?(?:_try\d+)?")
_QUIET_LOOKS: Final = 2
"""Looks at all parts without a merge that was being written; only after these no short part can still come."""


class Merges:
    """Looks after the parts that the engine merges. Safe for several threads; one at a time looks."""

    def __init__(
        self,
        control: Pool,
        using: Sequence[Pool],
        *,
        count_failed_writes: Callable[[Pool], int] = failed_writes,
        mended: Callable[[str, str], None] | None = None,
        deletions: Deletions | None = None,
    ) -> None:
        """`control` runs the statements, also those that need the pools `using` the tables to be idle.

        `mended` is told the table and the name of each part that was replaced by what it was made of.
        """
        self._mended = mended
        self._deletions = deletions
        self._control = control
        self._using = using
        self._count_failed_writes = count_failed_writes
        self._lock = threading.Lock()
        self._settled = 0
        """The number of failed writes after which all parts were looked at."""
        self._quiet_looks = 0
        self._whole: set[tuple[str, str]] = set()
        """(table, part) of the live parts that were whole since the number changed."""
        self._hopeless: set[tuple[str, str]] = set()
        """(table, part) of those that are short, and what they were made of is gone."""
        self._waiting = False
        self._lost: list[str] = []
        self._detached: str | None = None
        """A table that could be detached and not be attached; the next start would attach it too."""

    def mend(self) -> list[str]:
        """See StoreMaintenance.mend_merges."""
        with self._lock:
            self._mend()
            lost, self._lost = self._lost, []
            return lost

    def settle(self) -> int:
        """Put back what can be put back, and return the number of failed writes that this took into account.

        Raises StoreFailed while it cannot be done, because the tables are in use.
        """
        with self._lock:
            failed = self._mend()
            if self._waiting:
                raise StoreFailed("the disk did not take all of a merge; what was merged is put back first")
            return failed

    def drop_replaced(self) -> None:
        """Drop the broken parts that the engine set aside when it loaded a table, where all that they held is live or being deleted.

        They would be shown as damage. Before that, what was merged into parts that it should have set aside is put back: where a
        projection of a part cannot be read, the engine does not compare the sizes of its other files either, and loads it, with no rows at all
        where its marks are empty.
        """
        self._drop_dropped()
        self._look()
        parts: list[Part] | None = None
        for broken, rows in self._set_aside():
            parts = all_parts(self._control) if parts is None else parts
            live = [part for part in parts if part.is_live]
            # The engine may have merged them already, with others.
            back = [part for part in parts if part.is_live or any(one.replaces(part) for one in live)]
            there = _newest([part for part in back if broken.spans(part)])
            if there and (_have_ends_of(broken, there) if rows is None else sum(part.rows for part in there) >= rows):
                self._drop_detached(broken.table, broken.name)
                logger.warning(
                    "%s was short of bytes: the disk had not taken all of a merge; the %d parts it was made of are back",
                    _named(broken),
                    len(there),
                )

    def _drop_dropped(self) -> None:
        """Remove what was set aside of what was being dropped. Before anything is inserted, since numbers of blocks begin anew."""
        if self._deletions is None or not self._deletions.drops():
            return
        for broken, _ in self._set_aside():
            if self._deletions.is_dropped(*broken.place):
                self._drop_detached(broken.table, broken.name)
                logger.info("%s is removed: it was being dropped", _named(broken))
        self._deletions.begin_anew([part.place for part in all_parts(self._control)])

    def _set_aside(self) -> Iterator[tuple[Part, int | None]]:
        """The broken parts that the engine set aside, each with the rows it says it has, None where it does not say."""
        for line in self._control.run(queries.statement("broken_parts"), None, "TSV").decode().splitlines():
            table, name, path = line.split("\t")
            named = _BROKEN.fullmatch(name)
            if named is None:
                continue
            rows: int | None = None
            with contextlib.suppress(OSError, ValueError):
                rows = int((Path(path) / COUNT).read_text())
            first, last, level, version = (int(number or 0) for number in named.groups()[1:])
            yield (
                Part(table, name, False, 0, path, named["partition"], first, last, level, version or first, rows or 0),
                rows,
            )

    def _mend(self) -> int:
        if self._detached is not None:
            self._attach(self._detached)
        failed = self._count_failed_writes(self._control)
        if failed != self._settled:
            is_quiet = self._control.run(queries.statement("merges"), None, "TSV").strip() == b"0"
            self._look()
            # A short part may still be on its way: it is looked for until merges that had begun are through.
            is_same = self._count_failed_writes(self._control) == failed
            self._quiet_looks = self._quiet_looks + 1 if is_quiet and is_same and not self._waiting else 0
            if self._quiet_looks >= _QUIET_LOOKS:
                self._settled, self._quiet_looks = failed, 0
                self._whole.clear()
        return failed

    def _look(self) -> None:
        """Compare the files of the live parts that were not looked at yet, and put back what was merged into short ones."""
        self._waiting = False
        parts = all_parts(self._control)
        self._whole &= {(part.table, part.name) for part in parts if part.is_live}
        suspects: list[Part] = []
        for part in parts:
            if not part.is_live or (part.table, part.name) in self._whole | self._hopeless:
                continue
            if part.is_whole():
                self._whole.add((part.table, part.name))
            elif not part.is_inserted():  # those the writer drops and inserts again
                suspects.append(part)
        if not suspects:
            return
        for table in sorted({part.table for part in suspects}):
            # After a start the engine lists what was replaced only when it has loaded that, in the background.
            self._control.run(f"SYSTEM WAIT LOADING PARTS {table}")
        parts = all_parts(self._control)
        still_live = {part[:2] for part in parts if part.is_live}
        short: dict[str, list[tuple[Part, list[Part]]]] = {}
        for part in (one for one in suspects if one[:2] in still_live):
            sources = newest_replaced(part, parts)
            if sources and all(source.is_whole() for source in sources):
                short.setdefault(part.table, []).append((part, sources))
            else:
                self._hopeless.add((part.table, part.name))
                self._lost.append(f"{part.shortage()}, and what it was made of is gone")
                logger.error("%s", self._lost[-1])
        for table, of_table in short.items():
            self._put_back(table, of_table)

    def _put_back(self, table: str, short: Sequence[tuple[Part, list[Part]]]) -> None:
        """Load the table again without these parts; where that cannot be done now, another time.

        A crash in between is made up for by the next start. Raises StoreFailed when the sources are not back afterwards.
        """
        with contextlib.ExitStack() as stack:
            for pool in self._using:
                if not stack.enter_context(pool.paused(_IDLE_WITHIN_S)):
                    self._waiting = True
                    return
            of_table = [part for part in all_parts(self._control) if part.is_live and part.table == table]
            if any(part.is_inserted() and not part.is_whole() for part in of_table):
                self._waiting = True  # the writer has not looked at it yet: set aside, it would not be missed
                return
            self._detached = table
            self._control.run(f"DETACH TABLE {table} SYNC")
            for part, _ in short:
                part.set_aside()
            self._attach(table)
            self._drop_dropped()
        live = [part for part in all_parts(self._control) if part.is_live]
        for part, sources in short:
            for source in sources:
                if not any(one[:2] == source[:2] or one.replaces(source) for one in live):
                    raise StoreFailed(f"part {source.name} of table {table} could not be put back")
            logger.error("%s; the %d parts it was made of are back", part.shortage(), len(sources))
            self._drop_set_aside(part)
            if self._mended is not None:
                self._mended(table, part.name)

    def _attach(self, table: str) -> None:
        self._control.run(f"ATTACH TABLE IF NOT EXISTS {table}")
        self._detached = None

    def _drop_set_aside(self, short: Part) -> None:
        """Nothing is lost with it, so it must not be counted as damage."""
        for line in self._control.run(queries.statement("broken_parts"), None, "TSV").decode().splitlines():
            table, name, _ = line.split("\t")
            if table == short.table and name.split("_try")[0] == f"broken-on-start_{short.name}":
                self._drop_detached(table, name)

    def _drop_detached(self, table: str, name: str) -> None:
        self._control.run(f"ALTER TABLE {table} DROP DETACHED PART '{name}' SETTINGS allow_drop_detached=1")


def _named(broken: Part) -> str:
    return f"part {broken.name.removeprefix('broken-on-start_')} of table {broken.table}"


def newest_replaced(short: Part, parts: Sequence[Part]) -> list[Part]:
    """What a part was made of, as far as it still lies there; nothing where its first or last block is missing."""
    replaced = [part for part in parts if not part.is_live and short.replaces(part)]
    newest = _newest(replaced)
    return newest if _have_ends_of(short, newest) else []


def _have_ends_of(part: Part, parts: Sequence[Part]) -> bool:
    """Whether its first and its last block are among theirs."""
    return any(one.first_block == part.first_block for one in parts) and any(
        one.last_block == part.last_block for one in parts
    )


def _newest(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if not any(other.replaces(part) for other in parts)]
