"""Of a segment resources and scopes are live before spans, and spans before what is counted of them."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from clew_server.store.chdb_views import TABLES_OF, views

DAY = 86_400 * 10**9


def live_since(opened: Any, table: str) -> list[int]:
    """When each part of a table that an insert made got its name, ns since the epoch."""
    paths = opened.ask(
        f"SELECT path FROM system.parts WHERE table='{table}' AND min_block_number=max_block_number AND rows>0"
    )
    return [os.stat(path).st_ctime_ns for (path,) in paths]


@pytest.mark.parametrize("spans", [1, 3_000])
@pytest.mark.parametrize("started", ["as it was made", "again"])
def test_a_search_never_sees_spans_before_what_else_is_told_of_them(opened: Any, spans: int, started: str) -> None:
    if started == "again":
        opened.store.close()
        opened.store.open()
    tables = [*TABLES_OF["chunks"].tables, *TABLES_OF["search"].tables]
    for table in tables:
        opened.store._connections.write.run(f"SYSTEM STOP MERGES {table}")
    for _ in range(3):
        began_ns = time.time_ns()
        time.sleep(0.01)  # the file system's clock ticks every 4 ms
        opened.put_spans(spans)
        since = {table: [at for at in live_since(opened, table) if at > began_ns] for table in tables}
        assert all(len(parts) == 1 for parts in since.values()), since
        assert since["origins"] <= since["chunks"] <= since["resources"] <= since["spans"]
        assert since["spans"] <= min(since["traces"], since["red"])


def test_the_tables_of_a_statement_are_named_in_the_order_in_which_they_are_filled() -> None:
    for target in TABLES_OF.values():
        filled = [target.source]
        for table in target.tables:
            assert views()[table].source in filled
            filled.append(table)
