"""Segments into chDB: the two statements, each with its own token."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from clew_server.errors import Unavailable
from clew_server.store import queries
from clew_server.store.connections import EngineError, Pool
from clew_server.store.contract import RecordRefused, SegmentFile, Statement, StoreFailed

_REFUSED_CODES: Final = frozenset({32, 33, 444})
"""The file ends inside a record; a record cannot be read; Protobuf's own error."""

NOT_IN_A_PATH: Final = frozenset("*?{}:")
"""`file()` takes these for patterns, and one that matches nothing stores nothing without a word; the colon ends the
path of a schema, the question mark that of a folder."""


def quoted(text: str) -> str:
    """A text of ours (a path, a token) as a string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class ChdbWriter:
    """The store's TraceWriter. Safe for several threads; as many statements at once as there are connections."""

    def __init__(self, pool: Pool, schemas: tuple[Path, Path]) -> None:
        self._pool = pool
        self._schema = {
            "chunks": f"{schemas[0].with_suffix('')}:Request",
            "search": f"{schemas[1].with_suffix('')}:Request",
        }

    def write(self, segment: SegmentFile, statement: Statement) -> None:
        """See TraceWriter.write."""
        if NOT_IN_A_PATH.intersection(str(segment.path.resolve())):
            raise StoreFailed(f"The segment's path {segment.path} would be read as a pattern.")
        sql = queries.statement(
            f"insert_{statement}",
            SEGMENT=quoted(str(segment.path.resolve())),
            FORMAT_SCHEMA=quoted(self._schema[statement]),
            TOKEN=quoted(f"{segment.token}.{statement}"),
        )
        try:
            self._pool.run(sql)
        except EngineError as error:
            if error.code in _REFUSED_CODES:
                raise RecordRefused(str(error)) from error
            raise
        except Unavailable as error:
            raise StoreFailed(str(error)) from error
