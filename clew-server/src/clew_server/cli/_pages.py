"""The traces that a search finds, page by page, each once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clew_server.cli._client import Client


class Traces(NamedTuple):
    """Some traces, and whether there are more than were asked for."""

    traces: list[dict[str, Any]]
    are_more: bool


def pages(
    client: Client, given: Sequence[tuple[str, str | None]], *, limit: int, of: int, name: str
) -> Iterator[Traces]:
    """Pages of `of` traces for these parameters until there are `limit`, of which 0 means all. What a page lacks is said for the command `name`.

    A trace whose spans come in meanwhile may be on two pages where the server was started anew between them.
    """
    seen: set[bytes] = set()
    left = limit if limit > 0 else sys.maxsize
    cursor: str | None = None
    while left > 0:
        asked = [*given, ("limit", str(min(left, of))), ("cursor", cursor)]
        page = client.get("/api/v1/traces", [(key, value) for key, value in asked if value], wants="traces")
        traces = []
        for trace in page["traces"]:
            trace_id = bytes.fromhex(trace["trace_id"])
            if trace_id not in seen:
                seen.add(trace_id)
                traces.append(trace)
        left -= len(traces)
        if not page["complete"]:
            print(f"clew {name}: not everything is here: {page['reason']}", file=sys.stderr)
        cursor = page["next"]
        yield Traces(traces, cursor is not None)
        if cursor is None:
            return
