"""Answers for a list: nothing is computed for somebody who has gone away."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from starlette.applications import Starlette

from clew_server.api.native import NativeApi
from clew_server.query.service import QueryService, Skipped


class Asked:
    """A query service that skips every trace and remembers which it was asked for."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def brief(self, trace_id: str, view: object) -> Skipped:
        self.ids.append(trace_id)
        return Skipped("it is a test")


def asked_by(*, leaves_after: int | None) -> list[str]:
    """Ids asked for by a client of five traces that goes away when so many have been looked at."""
    query = Asked()

    async def never(*_: object) -> Any:
        raise AssertionError

    api = NativeApi(cast("QueryService", query), status=never, flush=never, clock_ns=lambda: 0)
    body = json.dumps({"trace_ids": [f"{n:032x}" for n in range(1, 6)]}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        if leaves_after is not None and len(query.ids) >= leaves_after:
            return {"type": "http.disconnect"}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/traces/answers",
        "raw_path": b"",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": None,
    }
    asyncio.run(Starlette(routes=list(api.routes()))(scope, receive, send))
    return query.ids


def test_all_are_looked_at_for_a_client_that_waits() -> None:
    assert len(asked_by(leaves_after=None)) == 5


def test_the_rest_is_left_when_the_client_has_gone_away() -> None:
    assert len(asked_by(leaves_after=2)) == 2
