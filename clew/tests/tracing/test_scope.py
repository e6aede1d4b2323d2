"""The bracket around a call: what is current within it, how it ends, and that calls written out do the same."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from clew.testing import SpanRecorder, assert_span
from clew.tracing import Tracer
from clew.transport import (
    Call,
    Outcome,
    Transport,
    client_transport,
    current_client_transport,
    current_server_transport,
    server_transport,
)


class Command(Call):
    """A call whose replies are `ok` or the text of an error."""

    __slots__ = ()

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        if error is not None:
            return Outcome({"db.response.status_code": "E1"})
        return None if reply == "ok" else Outcome(error_type=str(reply), reply=reply)


def command(**values: Any) -> Command:
    return Command("db", "Shop", "get order", values=values)


def test_the_span_and_the_call_are_current_within_and_no_longer_afterwards(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    call = command()
    with Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider).scope(call) as scope:
        assert get_current_span() is scope.span
        assert current_client_transport() is call
        assert current_server_transport() is None
        scope.reply = "ok"
    assert not get_current_span().get_span_context().is_valid
    assert client_transport.get() is None
    assert_span(recorder.one(), name="get order", kind=SpanKind.CLIENT, status=StatusCode.UNSET)


def test_a_server_has_its_own_current_call(tracer_provider: Any) -> None:
    call = command()
    with Tracer(SpanKind.CONSUMER, tracer_provider=tracer_provider).scope(call):
        assert current_server_transport() is call
        assert client_transport.get() is None
    assert server_transport.get() is None


def test_the_call_reads_its_reply_or_its_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    with tracer.scope(command()) as scope:
        scope.reply = "sold out"
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "sold out"})
    recorder.clear()
    with pytest.raises(KeyError), tracer.scope(command()):
        raise KeyError("order")
    assert_span(
        recorder.one(),
        status=StatusCode.ERROR,
        attributes={"error.type": "KeyError", "db.response.status_code": "E1"},
    )


def test_an_error_that_the_protocol_answers_with_is_no_failure(tracer_provider: Any) -> None:
    class Redirecting(Call):
        def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
            return Outcome({"http.response.status_code": 302}, handled=isinstance(error, KeyError))

    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider)
    with pytest.raises(KeyError), tracer.scope(Redirecting("http", "HTTP", "GET /old")):
        raise KeyError("elsewhere")
    span = recorder.one()
    assert_span(span, status=StatusCode.UNSET, attributes={"http.response.status_code": 302})
    assert not span.events


def test_a_call_ends_once_with_what_it_was_finished_with_first(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    with tracer.scope(command()) as scope:
        scope.finish(Outcome(error_type="first"))
        scope.reply = "second"
    assert_span(recorder.one(), attributes={"error.type": "first"})


def test_sync_and_async_code_share_the_bracket(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)

    async def ask(number: int) -> None:
        with tracer.scope(command(number=number)) as scope:
            await asyncio.sleep(0)
            assert get_current_span() is scope.span
            scope.reply = "ok"

    async def both() -> None:
        await asyncio.gather(ask(1), ask(2))

    asyncio.run(both())
    assert sorted(span.attributes["number"] for span in recorder.spans) == [1, 2]


def test_what_was_started_within_a_call_and_outlives_it_is_not_within_it_any_more(tracer_provider: Any) -> None:
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    seen: list[Any] = []

    async def outliving(is_over: asyncio.Event) -> None:
        seen.append(current_client_transport())
        await is_over.wait()
        seen.append(current_client_transport())

    async def main() -> None:
        is_over = asyncio.Event()
        call = command()
        with tracer.scope(call):
            task = asyncio.create_task(outliving(is_over))
            await asyncio.sleep(0)
        is_over.set()
        await task
        assert seen == [call, None]

    asyncio.run(main())


def test_leaving_in_another_context_than_entering_does_not_raise(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)

    def reading() -> Iterator[int]:
        with tracer.scope(command()):
            yield 1

    def leave_in_another_thread() -> None:
        reader = reading()
        next(reader)
        thread = threading.Thread(target=reader.close)
        thread.start()
        thread.join()

    # In a context of its own, in which the span stays current.
    contextvars.copy_context().run(leave_in_another_thread)
    assert recorder.one().name == "get order"


def test_a_call_of_plain_values_says_what_it_was_given() -> None:
    call = Call("db", "Shop", "get order", peer=("shop", 7), values={"a": 1})
    assert (call.kind, call.component, call.operation, call.peer) == ("db", "Shop", "get order", ("shop", 7))
    assert call.carrier is None
    assert call.reply_carrier is None
    assert call.attributes() == {"a": 1}
    assert call.outcome("reply", None) is None
    assert Transport is Call
