"""Which tables a statement fills, and by which views: read from the schema, so that it is written down once."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

from clew_server.store.contract import Statement
from clew_server.store.migrate import steps


class Target(NamedTuple):
    """Where a statement's rows go: into `source`, a table that keeps nothing, and by views from there into `tables`, in this order.

    A table comes before those that are filled from it, and what is told of spans elsewhere before spans (schema step 15).
    """

    source: str
    tables: tuple[str, ...]


TABLES_OF: Final[dict[Statement, Target]] = {
    "chunks": Target("raw_in", ("origins", "chunks")),
    "search": Target(
        "otlp_in",
        ("resources", "spans", "traces", "red"),
    ),
}


class View(NamedTuple):
    """`CREATE MATERIALIZED VIEW mv_<table> TO <table> AS <select>`, whose rows come from `source`."""

    table: str
    source: str
    select: str

    def select_from(self, source: str) -> str:
        """The SELECT with another table in the place of `source`."""
        return re.sub(rf"\bFROM {self.source}\b", f"FROM {source}", self.select)


_VIEW: Final = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS mv_(\w+) TO (\w+) AS\s(.*)", re.DOTALL)
_CHANGED: Final = re.compile(r"ALTER TABLE mv_(\w+) MODIFY QUERY\s(.*)", re.DOTALL)
_SOURCE: Final = re.compile(r"\bFROM (raw_in|otlp_in|spans|red|red_svc)\b")


@cache
def views() -> dict[str, View]:
    """The view that fills each table, by the table's name, as the newest schema step has it."""
    found: dict[str, View] = {}
    table_of: dict[str, str] = {}
    for step in steps():
        for text in step.statements:
            if (made := _VIEW.match(text)) is not None:
                name, table, select = made.groups()
                table_of[name] = table
            elif (changed := _CHANGED.match(text)) is not None:
                name, select = changed.groups()
            else:
                continue
            sources = set(_SOURCE.findall(select))
            if len(sources) != 1:
                raise ValueError(f"view mv_{name} reads from {sorted(sources)}, not from one table")
            found[table_of[name]] = View(table_of[name], sources.pop(), select)
    return found
