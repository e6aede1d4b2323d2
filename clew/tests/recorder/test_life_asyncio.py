"""Tasks of asyncio: each has its own current span, takes its creator's along, and may end what another began."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry import trace

from clew.recorder.provider import TracerProvider
from clew.testing import SpanRecorder


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


def test_tasks_of_a_group_are_children_of_the_span_they_were_made_in(provider: TracerProvider) -> None:
    tracer, recorded = provider.get_tracer("t"), SpanRecorder(provider)

    async def work(name: str) -> None:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            with tracer.start_as_current_span(f"inside {name}"):
                await asyncio.sleep(0)

    async def main() -> None:
        with tracer.start_as_current_span("outer"):
            async with asyncio.TaskGroup() as group:
                for n in range(20):
                    group.create_task(work(str(n)))
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())
    spans = {span.name: span for span in recorded.spans}
    assert len(spans) == 41
    for n in range(20):
        assert spans[str(n)].parent.span_id == spans["outer"].context.span_id
        assert spans[f"inside {n}"].parent.span_id == spans[str(n)].context.span_id


def test_a_span_made_current_in_a_task_is_not_current_in_its_creator(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")

    async def main() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            with tracer.start_as_current_span("task"):
                inside.set()
                await leave.wait()

        task = asyncio.create_task(work())
        await inside.wait()
        assert trace.get_current_span() is trace.INVALID_SPAN
        leave.set()
        await task

    asyncio.run(main())


def test_cancelled_tasks_end_their_spans_without_an_error(provider: TracerProvider) -> None:
    tracer, recorded = provider.get_tracer("t"), SpanRecorder(provider)

    async def main() -> None:
        inside = asyncio.Event()

        async def work() -> None:
            with tracer.start_as_current_span("cancelled"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [span] = recorded.spans
    assert span.status.status_code is trace.StatusCode.UNSET
    assert not span.events


def test_a_failing_task_of_a_group_ends_the_spans_of_the_others(provider: TracerProvider) -> None:
    tracer, recorded = provider.get_tracer("t"), SpanRecorder(provider)

    async def main() -> None:
        inside = asyncio.Barrier(2)

        async def fail() -> None:
            with tracer.start_as_current_span("failing"):
                await inside.wait()
                raise ValueError("no such thing")

        async def wait() -> None:
            with tracer.start_as_current_span("waiting"):
                await inside.wait()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(wait())

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    spans = {span.name: span for span in recorded.spans}
    assert spans["failing"].status.status_code is trace.StatusCode.ERROR
    assert spans["waiting"].status.status_code is trace.StatusCode.UNSET


def test_a_span_may_be_ended_by_another_task_or_thread_and_once(provider: TracerProvider) -> None:
    tracer, recorded = provider.get_tracer("t"), SpanRecorder(provider)

    async def main() -> None:
        async def end(span: trace.Span) -> None:
            span.end()

        await asyncio.create_task(end(tracer.start_span("by a task")))
        await asyncio.to_thread(tracer.start_span("by to_thread").end)
        span = tracer.start_span("by many threads")
        start = threading.Barrier(8)

        def race() -> None:
            start.wait()
            span.end()

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    asyncio.run(main())
    assert [span.name for span in recorded.spans] == ["by a task", "by to_thread", "by many threads"]


def test_a_generator_that_is_closed_by_another_task_ends_its_span_in_silence(
    provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    tracer, recorded = provider.get_tracer("t"), SpanRecorder(provider)

    async def numbers() -> object:
        with tracer.start_as_current_span("generator"):
            yield 1
            yield 2

    async def main() -> None:
        made = numbers()
        await asyncio.create_task(anext(made))
        await asyncio.create_task(made.aclose())

    asyncio.run(main())
    assert [span.name for span in recorded.spans] == ["generator"]
