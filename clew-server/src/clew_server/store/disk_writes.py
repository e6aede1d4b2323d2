"""Whether the disk took all of what the engine wrote to it; the engine itself goes on when a write() to a part fails.

It counts such calls, though. So one cheap question tells whether any file can be short, and only then are files looked at.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from clew_server.store import queries
from clew_server.store.connections import Pool
from clew_server.store.contract import StoreFailed

logger = logging.getLogger(__name__)

_WITHOUT_CHECKSUM: Final = frozenset(
    {"checksums.txt", "columns.txt", "columns_substreams.txt", "default_compression_codec.txt", "metadata_version.txt"}
)
"""Files of a part that its own list of sizes leaves out: one small write each, so they are whole or empty."""


def failed_writes(pool: Pool) -> int:
    """How many write() calls of the engine failed since the process began; it only grows. Raises StoreFailed, Unavailable."""
    return int(pool.run(queries.statement("failed_writes"), None, "TSV") or 0)


def is_whole(part: Path, size_bytes: int) -> bool:
    """Whether the files of a part, those of its projections among them, are as large as the engine meant them to be.

    A part that is gone was merged or dropped.
    """
    size = 0
    folders = [part]
    try:
        while folders:
            folder = folders.pop()
            for name in os.listdir(folder):
                found = (folder / name).stat()
                if stat.S_ISDIR(found.st_mode):
                    folders.append(folder / name)
                elif name not in _WITHOUT_CHECKSUM:
                    size += found.st_size
                elif not found.st_size:
                    return False
    except FileNotFoundError:
        return True
    return size >= size_bytes


def drop_short_parts(pool: Pool, tables: Sequence[str], dropping: Callable[[], None] = lambda: None) -> None:
    """Drop the inserted parts of these tables whose files are short of bytes; `dropping` is called before each.

    Raises StoreFailed, Unavailable.
    """
    listed = "[" + ",".join(f"'{table}'" for table in tables) + "]"
    for line in pool.run(queries.statement("new_parts"), {"tables": listed}, "TSV").decode().splitlines():
        table, name, size_bytes, path = line.split("\t")
        if not is_whole(Path(path), int(size_bytes)):
            logger.error("part %s of table %s is short of bytes: the disk did not take all of it", name, table)
            dropping()
            pool.run(f"ALTER TABLE {table} DROP PART '{name}'")


@contextlib.contextmanager
def taken_whole(pool: Pool, table: str) -> Iterator[None]:
    """What is inserted into the table inside is there whole, or not at all and StoreFailed is raised."""
    before = failed_writes(pool)
    yield
    if failed_writes(pool) != before:
        drop_short_parts(pool, [table])
        raise StoreFailed(f"the disk did not take all that was inserted into {table}")
