"""Notes of what retention deletes, made before it does: so a crash leaves no half of it, and what a full disk leaves is no damage.

A day is dropped and its oldest arrivals are deleted table by table. Where the process ends between two tables, or a disk error stops it,
the rest follows. On a full disk the engine drops a day by parts without rows whose files it could not write, and says nothing; its
next start sets those aside as broken. And tables of a day whose oldest arrivals were deleted need not hold the same number of spans.

A note is an empty file and its name says all, since a full disk takes one of those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from clew_server.durable import sync_folder
from clew_server.store import queries
from clew_server.store.connections import Pool

logger = logging.getLogger(__name__)

_DROP: Final = "drop"
_THIN: Final = "thin"
_THINNED: Final = "thinned"


class Drop(NamedTuple):
    """Of a table's partition everything up to a block is deleted. The engine gives each part a higher number, until it loads the table again."""

    table: str
    partition: str
    last_block: int


class Thinning(NamedTuple):
    """Of a day what arrived before a second is deleted, in all tables."""

    partition: str
    before_s: int


class Deletions:
    """The notes in one folder. Each is made and removed by one call of the file system, so threads need no lock.

    A note that cannot be made or removed is said in the log and stops nothing: retention is what makes room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note_drops(self, drops: Sequence[Drop]) -> None:
        """They are about to be dropped."""
        self._make([_name(one) for one in drops])

    def note_thinning(self, thinning: Thinning) -> None:
        """What arrived before that second is about to be deleted."""
        self._make([_name(thinning)])

    def note_thinned(self, thinning: Thinning) -> None:
        """It was deleted in every table."""
        self._make([f"{_THINNED}.{thinning.partition}"])
        self._remove([_name(thinning)])

    def begin_anew(self, parts: Sequence[tuple[str, str, int]]) -> None:
        """The engine has loaded tables again, with these parts (table, partition, last block), and numbers new blocks after those.

        So what is left to be dropped reaches up to the last of them that it reached before, and no further.
        """
        left: dict[tuple[str, str], int] = {}
        for one in self.drops():
            reached = [
                last for table, partition, last in parts if (table, partition) == one[:2] and last <= one.last_block
            ]
            if reached:
                left[one[:2]] = max(*reached, left.get(one[:2], 0))
        kept = [Drop(*place, last) for place, last in left.items()]
        self._make([_name(one) for one in kept])
        self.forget_drops([one for one in self.drops() if one not in kept])

    def drops(self) -> list[Drop]:
        """What is being dropped."""
        return [Drop(table, partition, int(last)) for table, partition, last in self._of(_DROP)]

    def thinnings(self) -> list[Thinning]:
        """What is being deleted of days."""
        return [Thinning(partition, int(before)) for partition, before in self._of(_THIN)]

    def thinned(self) -> set[str]:
        """The partitions of which a part was deleted, or is."""
        return {words[0] for what in (_THIN, _THINNED) for words in self._of(what)}

    def is_dropped(self, table: str, partition: str, last_block: int) -> bool:
        """Whether that part of the table is a remain of what is being dropped."""
        return any(one[:2] == (table, partition) and last_block <= one.last_block for one in self.drops())

    def forget_drops(self, drops: Iterable[Drop]) -> None:
        """Nothing is left of them."""
        self._remove([_name(one) for one in drops])

    def forget_thinned(self, is_there: Callable[[str], bool]) -> None:
        """Forget what was deleted of partitions that are not there any more."""
        gone = [(what, words) for what in (_THIN, _THINNED) for words in self._of(what) if not is_there(words[0])]
        self._remove([".".join((what, *words)) for what, words in gone])

    def _of(self, what: str) -> list[list[str]]:
        return [path.name.split(".")[1:] for path in sorted(self._folder.glob(f"{what}.*"))]

    def _make(self, names: Sequence[str]) -> None:
        def make() -> None:
            self._folder.mkdir(exist_ok=True)
            for name in names:
                (self._folder / name).touch()

        self._change(names, make)

    def _remove(self, names: Sequence[str]) -> None:
        def remove() -> None:
            for name in names:
                (self._folder / name).unlink(missing_ok=True)

        self._change(names, remove)

    def _change(self, names: Sequence[str], change: Callable[[], None]) -> None:
        if not names:
            return
        try:
            change()
            sync_folder(self._folder)
        except OSError as error:
            logger.warning("what retention deletes could not be noted in %s: %s", self._folder, error)


def _name(note: Drop | Thinning) -> str:
    return ".".join((_DROP if isinstance(note, Drop) else _THIN, *map(str, note)))


def drop_rest(drops: list[Drop], pool: Pool) -> str | None:
    """Drop the live parts that are still there of what is being dropped, and say so; None where there are none.

    Parts that came later stay. Raises StoreFailed, Unavailable.
    """
    gone = 0
    for line in pool.run(queries.statement("all_parts"), None, "TSV").decode().splitlines():
        table, name, live, _, _, partition, _, last, _, _, rows = line.split("\t")
        if (
            live == "1"
            and rows != "0"
            and any(one[:2] == (table, partition) and int(last) <= one.last_block for one in drops)
        ):
            pool.run(f"ALTER TABLE {table} DROP PART '{name}'")
            gone += 1
    days = ", ".join(sorted({one.partition for one in drops}))
    return (
        f"dropped {gone} parts that were left of arrival days that had begun to be dropped ({days})" if gone else None
    )
