"""Answers for a list: nothing is computed for somebody who has gone away; and the time that the pages of a search are about."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from clew_server.api.native import NativeApi
from clew_server.model.search import Search
from clew_server.query.service import QueryService, Skipped
from clew_server.store.contract import Page


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


class Searched:
    """A query service that finds nothing on each page, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.searches: list[Search] = []

    async def search(self, search: Search) -> Page:
        self.searches.append(search)
        return Page([], "of-the-store")


@pytest.mark.parametrize("given", [{"from": "now-1h", "to": "now"}, {"q": "trace.start>now-1h"}])
def test_a_time_before_now_is_the_same_one_on_all_pages(given: dict[str, str]) -> None:
    async def never(*_: object) -> Any:
        raise AssertionError

    query, times = Searched(), iter(range(10**18, 2 * 10**18, 10**16))
    api = NativeApi(cast("QueryService", query), status=never, flush=never, clock_ns=lambda: next(times))
    client = TestClient(Starlette(routes=list(api.routes())))
    cursor = None
    for _ in range(3):
        cursor = client.get("/api/v1/traces", params=given | ({"cursor": cursor} if cursor else {})).json()["next"]
    client.get("/api/v1/traces", params=given)
    *pages, other = query.searches
    assert {(one.from_unix_nano, one.to_unix_nano, one.where) for one in pages} == {
        (pages[0].from_unix_nano, pages[0].to_unix_nano, pages[0].where)
    }
    assert [one.cursor for one in pages] == [None, "of-the-store", "of-the-store"]
    assert (other.from_unix_nano, other.where) != (pages[0].from_unix_nano, pages[0].where)
    forged = client.get("/api/v1/traces", params=given | {"cursor": f"of-the-store.{'9' * 19}"})
    assert forged.status_code == 200
    assert max(one.from_unix_nano or 0 for one in query.searches) < 2**63
