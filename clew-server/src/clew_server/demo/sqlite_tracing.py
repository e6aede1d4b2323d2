"""Traces SQLite. Anything else is traced likewise: say what a call looks like, put a scope around it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from opentelemetry.trace import SpanKind

import clew
from clew.transport import Call


class TracedConnection:
    """An SQLite connection that gives each query a CLIENT span; closed at the end of its `with` block."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database)
        self._database = database
        self._tracer = clew.Tracer(SpanKind.CLIENT)

    def query(self, operation: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of the answer; `operation` names the span. Raises sqlite3.Error."""
        attributes = {"db.system.name": "sqlite", "db.namespace": self._database.name, "db.query.text": statement}
        call = Call(kind="db", component="SQLite", operation=operation, values=attributes)
        with self._tracer.scope(call) as scope:
            rows = scope.reply = self._connection.execute(statement, parameters).fetchall()
        return rows

    def __enter__(self) -> TracedConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
