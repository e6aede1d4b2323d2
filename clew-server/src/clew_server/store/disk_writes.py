"""Whether the disk took all of what the engine wrote to it; the engine itself goes on when a write() to a part fails.

It counts such calls, though. So one cheap question tells whether any file can be short, and only then are files looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from clew_server.store import queries
from clew_server.store.connections import Pool

_WITHOUT_CHECKSUM: Final = frozenset(
    {"checksums.txt", "columns.txt", "columns_substreams.txt", "default_compression_codec.txt", "metadata_version.txt"}
)
"""Files of a part that its own list of sizes leaves out: one small write each, so they are whole or empty."""


def failed_writes(pool: Pool) -> int:
    """How many write() calls of the engine failed since the process began; it only grows. Raises StoreFailed, Unavailable."""
    return int(pool.run(queries.statement("failed_writes"), None, "TSV") or 0)


def is_whole(part: Path, size_bytes: int) -> bool:
    """Whether the files of a part are as large as the engine meant them to be. A part that is gone was merged or dropped."""
    size = 0
    try:
        for name in os.listdir(part):
            file_bytes = (part / name).stat().st_size
            if name not in _WITHOUT_CHECKSUM:
                size += file_bytes
            elif not file_bytes:
                return False
    except FileNotFoundError:
        return True
    return size >= size_bytes
