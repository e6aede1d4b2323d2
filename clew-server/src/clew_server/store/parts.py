"""Parts of the engine's tables, live and replaced, and whether their files are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from clew_server.store import queries
from clew_server.store.connections import Pool
from clew_server.store.contract import StoreFailed
from clew_server.store.disk_writes import is_whole

COUNT: Final = "count.txt"
"""The file of a part that says how many rows it has."""


class Part(NamedTuple):
    """A line of `system.parts`."""

    table: str
    name: str
    is_live: bool
    size_bytes: int
    path: str
    partition: str
    first_block: int
    last_block: int
    level: int
    version: int
    rows: int

    def replaces(self, other: Part) -> bool:
        """Whether the other part's rows are in this one, by the engine's rules for the names of parts."""
        return self.spans(other) and (self.level, self.version) > (other.level, other.version)

    def spans(self, other: Part) -> bool:
        """Whether the other part's blocks are among the blocks of this one."""
        return (
            (self.table, self.partition) == (other.table, other.partition)
            and self.first_block <= other.first_block
            and other.last_block <= self.last_block
        )

    @property
    def place(self) -> tuple[str, str, int]:
        """Table, partition and last block."""
        return self.table, self.partition, self.last_block

    def is_inserted(self) -> bool:
        """Whether an insert made it: of one block (a merge has several), and of no version, as a deletion gives it."""
        return self.first_block == self.last_block == self.version

    def is_whole(self) -> bool:
        """Whether nothing is missing. To a part without rows, what a drop puts in the place of one, nothing can be, if it says itself that it has none."""
        if not self.rows:
            return self.is_inserted() or self._said_rows() in ("0", None)
        return is_whole(Path(self.path), self.size_bytes)

    def _said_rows(self) -> str | None:
        """How many rows there are by the part's own file, empty where the disk did not take that; None where the part is gone."""
        try:
            return (Path(self.path) / COUNT).read_text().strip()
        except OSError:
            return None

    def set_aside(self) -> None:
        """Does what the engine does with a part that it cannot load, while its table is detached. Raises StoreFailed."""
        path = Path(self.path)
        try:
            path.rename(path.parent / "detached" / f"broken-on-start_{self.name}")
        except OSError as error:
            raise StoreFailed(f"{self.shortage()}, and could not be set aside: {error.strerror or error}") from error

    def shortage(self) -> str:
        """The beginning of a sentence about a part that is not whole."""
        return f"part {self.name} of table {self.table} is short of bytes: the disk did not take all of a merge"


def all_parts(pool: Pool) -> list[Part]:
    """The live parts, and those that they replaced as long as they lie there. Raises StoreFailed, Unavailable."""
    return [
        _part(*line.split("\t")) for line in pool.run(queries.statement("all_parts"), None, "TSV").decode().splitlines()
    ]


def _part(table: str, name: str, live: str, size: str, path: str, partition: str, *numbers: str) -> Part:
    return Part(table, name, live == "1", int(size), path, partition, *map(int, numbers))
