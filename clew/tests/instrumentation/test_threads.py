"""Threads, timers and executors keep the context they were handed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread, Timer
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import get_current_span

import clew
from clew.instrumentation import threads


def current() -> int:
    return get_current_span().get_span_context().span_id


@pytest.fixture
def patched() -> Iterator[None]:
    undo = threads.patch()
    yield
    undo()


@pytest.fixture
def tracer(tracer_provider: Any) -> Any:
    return tracer_provider.get_tracer("app")


def test_a_carried_function_runs_in_the_context_of_the_carrying(tracer: Any) -> None:
    with ThreadPoolExecutor(1) as executor, tracer.start_as_current_span("request") as span:
        token = attach(baggage.set_baggage("tenant", "acme"))
        carried = clew.threads.carried(lambda: (current(), baggage.get_baggage("tenant")))
        detach(token)
        assert executor.submit(current).result() == 0
        assert executor.submit(carried).result() == (span.get_span_context().span_id, "acme")
    assert current() == 0


def test_a_thread_keeps_the_context_of_its_start(tracer: Any, patched: None) -> None:
    class Own(Thread):
        def run(self) -> None:
            seen.append(current())

    seen: list[int] = []
    with tracer.start_as_current_span("request") as span:
        for thread in (Thread(target=lambda: seen.append(current())), Own(), Timer(0, lambda: seen.append(current()))):
            thread.start()
            thread.join()
    outside = Own()
    outside.start()
    outside.join()
    assert seen == [span.get_span_context().span_id] * 3 + [0]


def test_each_task_of_an_executor_has_its_own_context(tracer: Any, patched: None) -> None:
    with ThreadPoolExecutor(2) as executor:
        with tracer.start_as_current_span("first") as first:
            started = [executor.submit(current) for _ in range(4)]
        with tracer.start_as_current_span("second") as second:
            mapped = list(executor.map(lambda _: current(), range(4)))
        after = executor.submit(current).result()
    assert {future.result() for future in started} == {first.get_span_context().span_id}
    assert set(mapped) == {second.get_span_context().span_id}
    assert after == 0


def test_what_asyncio_hands_to_threads_keeps_its_context(tracer: Any, patched: None) -> None:
    async def work() -> tuple[int, int, int]:
        loop = asyncio.get_running_loop()
        with tracer.start_as_current_span("request") as span:
            return (
                span.get_span_context().span_id,
                await asyncio.to_thread(current),
                await loop.run_in_executor(None, current),
            )

    wanted, threaded, executed = asyncio.run(work())
    assert wanted == threaded == executed


def test_a_thread_that_has_run_is_not_held(tracer: Any, patched: None) -> None:
    with tracer.start_as_current_span("request"):
        thread = Thread(target=int)
        thread.start()
        thread.join()
    gone = weakref.ref(thread)
    del thread
    gc.collect()
    assert gone() is None


def test_exceptions_and_replies_pass(tracer: Any, patched: None) -> None:
    with ThreadPoolExecutor(1) as executor, tracer.start_as_current_span("request"):
        assert executor.submit(pow, 2, 5).result() == 32
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result()


def test_it_can_be_undone(tracer: Any) -> None:
    starts = Thread.start
    undo = threads.patch()
    undo()
    assert Thread.start is starts
    with ThreadPoolExecutor(1) as executor, tracer.start_as_current_span("request"):
        assert executor.submit(current).result() == 0
