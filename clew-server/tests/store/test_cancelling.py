"""A question that nobody waits for any more is ended in the engine, and its connection answers the next one."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any, cast

import pytest

from clew_server.model.search import Search
from clew_server.query.service import QueryService
from clew_server.store.asking import Stopped
from clew_server.store.cancelling import CURRENT, Cancellation
from clew_server.store.contract import Page

# Minutes of work, that the engine can stop at any time.
ENDLESS = "trace_id NOT IN (SELECT toFixedString(hex(number),16) FROM numbers(1000000000000) WHERE sipHash64(number)=1)"


def ask_endlessly(opened: Any, began: threading.Event) -> None:
    question = opened.store.reader.question(seconds=100.0)
    words = {"TRACE_SETS": ENDLESS, "TRACE_CONDITIONS": "1", "ORDER_OF_TRACES": "s"}
    began.set()
    question.rows("traces_listed", {"limit": "1"}, **words)


def running(opened: Any) -> int:
    return int(
        opened.ask(
            "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%system.processes%'"
        )[0][0]
    )


def until_idle(service: QueryService) -> None:
    while service.statistics().running:
        time.sleep(0.01)


def test_what_runs_is_ended_and_nothing_more_begins(opened: Any) -> None:
    cancellation = Cancellation()
    began = threading.Event()
    ended: list[BaseException] = []

    def ask() -> None:
        CURRENT.set(cancellation)
        try:
            ask_endlessly(opened, began)
        except Stopped as stopped:
            ended.append(stopped)
        with pytest.raises(Stopped, match="gone away"):
            opened.store.reader.question().rows("services", {})

    thread = threading.Thread(target=ask)
    thread.start()
    began.wait()
    while not running(opened):
        assert thread.is_alive()
    cancellation.cancel()
    thread.join()
    assert len(ended) == 1
    assert running(opened) == 0
    for _ in range(4):  # all connections answer
        assert opened.store.reader.services().found == []


def test_a_task_that_is_cancelled_ends_its_question_in_the_engine(opened: Any) -> None:
    began = threading.Event()

    class Searching:
        def find(self, search: object) -> Page:
            ask_endlessly(opened, began)
            raise AssertionError

    async def body() -> None:
        reader = opened.store.reader
        service = QueryService(reader, cast("Any", Searching()), reader)
        try:
            task = asyncio.ensure_future(service.search(Search()))
            while not (began.is_set() and await asyncio.to_thread(functools.partial(running, opened))):
                assert not task.done()
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until_idle, service)
        finally:
            service.close()

    asyncio.run(body())
    assert running(opened) == 0
