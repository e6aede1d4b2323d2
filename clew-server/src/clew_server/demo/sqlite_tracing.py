"""Traces SQLite. Anything else is traced likewise: say what a call looks like, start a span for it, end the span."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from opentelemetry.trace import SpanKind

import clew


class SqliteCall(clew.Transport):
    """One statement, as the tracer sees any call. SQLite carries no headers, so there is nothing to inject into."""

    kind = "db"
    component = "SQLite"

    def __init__(self, statement: str, database: Path) -> None:
        table = re.search(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)", statement)
        self.operation = " ".join([statement.split()[0], table[1] if table else ""]).strip()
        self._attributes = {"db.system.name": "sqlite", "db.namespace": database.name, "db.query.text": statement}

    def attributes(self) -> dict[str, str]:
        return self._attributes


class TracedConnection:
    """An SQLite connection with a CLIENT span for each query; closed at the end of its `with` block."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection = sqlite3.connect(database)
        self._tracer = clew.Tracer(SpanKind.CLIENT)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of the answer. Raises sqlite3.Error."""
        call = SqliteCall(statement, self._database)
        span = self._tracer.start(call.operation, {}, transport=call)
        try:
            rows = self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            self._tracer.end(span, error=error)
            raise
        self._tracer.end(span, reply=rows)
        return rows

    def __enter__(self) -> TracedConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
