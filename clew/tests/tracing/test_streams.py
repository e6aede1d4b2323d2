"""Streams of an application raise the same with and without tracing, also where their reader gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry.context import Context

from clew.testing.kits.sameness import aoutcome, outcome
from clew.tracing.streams import traced_async_stream, traced_stream


def pieces() -> Iterator[int]:
    try:
        yield 1
        raise KeyError("no more")
    finally:
        raise ValueError("while it ends")


async def apieces() -> AsyncIterator[int]:
    try:
        yield 1
        raise KeyError("no more")
    finally:
        raise ValueError("while it ends")


async def given_up(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


async def read(stream: Any) -> list[int]:
    return [one async for one in stream]


@pytest.mark.parametrize("call", [list, lambda stream: (next(stream), stream.close())], ids=["read", "given up"])
def test_what_a_stream_raises_has_no_other_context_than_without_tracing(call: Callable[[Any], Any]) -> None:
    ends: list[BaseException | None] = []
    assert outcome(call, traced_stream(pieces(), Context(), ends.append)) == outcome(call, pieces())
    assert len(ends) == 1


@pytest.mark.parametrize("call", [read, given_up], ids=["read", "given up"])
def test_what_an_async_stream_raises_has_no_other_context_than_without_tracing(
    call: Callable[[Any], Awaitable[Any]],
) -> None:
    ends: list[BaseException | None] = []
    traced = traced_async_stream(apieces(), Context(), ends.append)
    assert asyncio.run(aoutcome(call, traced)) == asyncio.run(aoutcome(call, apieces()))
    assert len(ends) == 1
