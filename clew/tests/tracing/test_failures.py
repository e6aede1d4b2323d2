"""What a failure says on its span: whatever the exception does, and without secrets."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import Any

import httpx
import pytest
import requests
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.testing import SpanRecorder, assert_span, exceptions_of
from clew.tracing import Tracer
from clew.tracing.attributes import redacted_text
from clew.transport import Call


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_without_words_fails_the_span_like_any_other(tracer_provider: Any) -> None:
    recorder, ended = SpanRecorder(tracer_provider), []
    tracer = Tracer(
        SpanKind.CLIENT, tracer_provider=tracer_provider, on_end=lambda span, call, reply, error: ended.append(error)
    )
    error, call = Unprintable(), Call("http", "HTTP", "GET")
    tracer.end(tracer.start("GET", None, transport=call), error=error, transport=call)
    span = recorder.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"].endswith("Unprintable")
    assert ended == [error]
    assert [event.name for event in span.events] == ["exception"]


def test_a_traced_function_that_raises_without_words_fails_too(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    @clew.trace(tracer_provider=tracer_provider)
    def work() -> None:
        raise Unprintable

    with pytest.raises(Unprintable):
        work()
    assert recorder.one().status.status_code is StatusCode.ERROR
    assert recorder.one().attributes["error.type"].endswith("Unprintable")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no secrets here?", "no secrets here?"),
        ("GET http://dead/x?token=S&n=1 failed", "GET http://dead/x?token=REDACTED&n=1 failed"),
        ("exceeded with url: /x?token=S (Caused by x)", "exceeded with url: /x?token=REDACTED (Caused by x)"),
        ("at postgresql://u:pw@db/shop", "at postgresql://db/shop"),
        ("'https://u:pw@shop/a'", "'https://shop/a'"),
        ("host=db password=S dbname=shop", "host=db password=REDACTED dbname=shop"),
        ("mail ada@example.org now?", "mail ada@example.org now?"),
    ],
)
def test_secrets_in_a_text_are_left_out(text: str, shown: str) -> None:
    assert redacted_text(text) == shown


def test_what_is_redacted_in_the_url_is_redacted_in_message_status_and_stack_trace(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    session = clew.requests.traced(requests.Session(), tracer_provider=tracer_provider)
    with session, pytest.raises(requests.ConnectionError) as raised:
        session.get("http://ada:pw4711@127.0.0.1:9/x?token=S4711")
    assert "S4711" in str(raised.value)  # the application's own is as it was
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR)
    [event] = exceptions_of(span)
    shown = [span.attributes["url.full"], span.status.description, *map(str, event.values())]
    assert all("token=REDACTED" in str(text) for text in shown[:2])
    assert not [text for text in shown if "4711" in str(text)]


def buy(connection: Any) -> None:
    connection.execute("INSERT INTO orders VALUES (1)")


def test_a_failing_call_shows_who_made_it_and_no_frame_of_ours(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    connection = clew.sqlite3.connector(tracer_provider=tracer_provider)(":memory:")
    with pytest.raises(sqlite3.OperationalError):
        buy(connection)
    stack = exceptions_of(recorder.one())[0]["exception.stacktrace"]
    lines = [line for line in stack.splitlines() if line.startswith("  File")]
    assert lines[-1].endswith("in buy")
    assert lines[-2].endswith("in test_a_failing_call_shows_who_made_it_and_no_frame_of_ours")
    assert "connection.execute(" in stack
    assert not [line for line in lines if "src/clew/" in line.replace(os.sep, "/")]
    assert stack.startswith("Traceback (most recent call last):")
    assert stack.endswith("sqlite3.OperationalError: no such table: orders\n")


def test_a_failing_call_that_is_awaited_shows_who_made_it(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def ask() -> None:
        async with httpx.AsyncClient(
            transport=clew.httpx.AsyncTracingTransport(tracer_provider=tracer_provider)
        ) as client:
            await client.get("http://127.0.0.1:1/")

    async def shop() -> None:
        await ask()

    with pytest.raises(httpx.ConnectError):
        asyncio.run(shop())
    stack = exceptions_of(recorder.one())[0]["exception.stacktrace"]
    assert "The above exception was the direct cause" in stack
    last = stack.rpartition("The above exception was the direct cause")[2]
    names = [line.rpartition("in ")[2] for line in last.splitlines() if line.startswith("  File")]
    assert names.index("shop") < names.index("ask") < names.index("handle_async_request")


def test_an_exception_that_is_not_being_raised_shows_its_own_stack_only(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    call = Call("db", "Shop", "get order")
    tracer.end(tracer.start(call.operation, None, transport=call), error=KeyError("order"), transport=call)
    assert exceptions_of(recorder.one())[0]["exception.stacktrace"] == "KeyError: 'order'\n"
