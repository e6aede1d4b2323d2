"""An asker that goes away: what is computed for it is cancelled, and one that waits has its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from clew_server.api.leaving import both_of, while_asked


def request_of(messages: list[str], leaves: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        if messages:
            return {"type": messages.pop(0), "body": b"", "more_body": False}
        await leaves.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "GET", "path": "/", "headers": []}, receive)


async def never(began: asyncio.Event, cancelled: asyncio.Event) -> None:
    """An answer that is computed until it is cancelled; says when it began and when it was."""
    began.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise


def test_an_answer_is_given_to_an_asker_that_waits() -> None:
    async def body() -> None:
        async def answer() -> int:
            await asyncio.sleep(0)
            return 5

        assert await while_asked(request_of(["http.request"], asyncio.Event()), answer()) == 5

    asyncio.run(body())


def test_an_error_is_the_askers_error() -> None:
    async def body() -> None:
        async def answer() -> int:
            raise KeyError("no")

        with pytest.raises(KeyError):
            await while_asked(request_of(["http.request"], asyncio.Event()), answer())

    asyncio.run(body())


def test_what_is_computed_for_an_asker_that_has_gone_is_cancelled() -> None:
    async def body() -> None:
        leaves, began, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

        asked = asyncio.ensure_future(while_asked(request_of(["http.request"], leaves), never(began, cancelled)))
        await began.wait()
        leaves.set()
        with pytest.raises(HTTPException):
            await asked
        await cancelled.wait()

    asyncio.run(body())


def test_two_answers_are_computed_at_the_same_time() -> None:
    async def body() -> None:
        began = asyncio.Event()

        async def one() -> int:
            await began.wait()
            return 1

        async def other() -> str:
            began.set()
            return "b"

        assert await both_of(one(), other()) == (1, "b")

    asyncio.run(body())


@pytest.mark.parametrize("leaves", [False, True])
def test_of_two_answers_none_is_computed_on_when_one_fails_or_the_asker_has_gone(leaves: bool) -> None:
    async def body() -> None:
        began, cancelled, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def fails() -> None:
            await began.wait()
            if leaves:
                gone.set()
                await asyncio.Event().wait()
            raise KeyError("no")

        with pytest.raises(HTTPException if leaves else KeyError):
            await while_asked(request_of(["http.request"], gone), both_of(never(began, cancelled), fails()))
        await cancelled.wait()

    asyncio.run(body())
