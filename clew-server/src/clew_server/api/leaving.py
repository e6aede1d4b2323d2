"""What is asked for while its asker may go away: then it is cancelled, and all that was asked for with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

T = TypeVar("T")
U = TypeVar("U")


async def while_asked(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, which is cancelled when the asker goes away: then HTTPException 499, which is not sent to anyone.

    For requests whose body is not read.
    """
    asking = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not asking.done() and not leaving.cancelled() and leaving.exception() is None:
            raise HTTPException(499, "the asker has gone away")
        return await asking
    finally:
        asking.cancel()
        leaving.cancel()


async def both_of(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both answers, asked for at the same time. Raises what either raised first; the other is cancelled then, and both where this is."""
    asking = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        first, second = await asyncio.gather(*asking)
        return first, second
    finally:
        for each in asking:
            each.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
