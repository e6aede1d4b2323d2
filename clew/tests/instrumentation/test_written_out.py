"""What writes the bracket out, since its cost shows (ASGI, decorated functions), does what `Scope` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.trace import SpanKind, get_current_span

import clew
from clew.instrumentation.asgi import AsgiTransport, TracingMiddleware
from clew.testing import SpanRecorder
from clew.tracing import Tracer
from clew.transport import Call, current_server_transport

HEADERS = [
    (b"host", b"shop:8080"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"baggage", b"tea=green"),
]


def a_scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/orders/7",
        "query_string": b"page=2",
        "scheme": "http",
        "http_version": "1.1",
        "client": ("10.0.0.1", 4711),
        "headers": list(HEADERS),
        "path_template": "/orders/{id}",
    }


class Seen:
    """What a handler finds current."""

    def __init__(self) -> None:
        span, call = get_current_span(), current_server_transport()
        self.is_recording = span.is_recording()
        self.call = type(call)
        self.baggage = baggage.get_baggage("tea")


Ending = Callable[[], int]


def answering(status: int) -> Ending:
    return lambda: status


def raising(error: BaseException) -> Ending:
    def end() -> int:
        raise error

    return end


async def by_middleware(provider: Any, ending: Ending) -> Seen:
    seen: list[Seen] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Seen())
        await send({"type": "http.response.start", "status": ending(), "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        return

    async def receive() -> Any:
        return {"type": "http.request"}

    with suppress(RuntimeError, asyncio.CancelledError):
        await TracingMiddleware(app, tracer_provider=provider)(a_scope(), receive, send)
    return seen[0]


async def by_bracket(provider: Any, ending: Ending) -> Seen:
    tracer = Tracer(SpanKind.SERVER, tracer_provider=provider)
    call = AsgiTransport(a_scope())
    with suppress(RuntimeError, asyncio.CancelledError), tracer.scope(call) as scope:
        seen = Seen()
        call.routed("/orders/{id}")
        tracer.update_name(scope.span, call)
        try:
            call.status = ending()
        except BaseException as error:
            call.failed_with(error)
            raise
    return seen


def described(span: Any) -> Any:
    return (
        span.name,
        span.kind,
        span.parent.span_id,
        dict(span.attributes),
        span.status.status_code,
        span.status.description,
        [(event.name, event.attributes.get("exception.type")) for event in span.events],
    )


@pytest.mark.parametrize(
    "ending",
    [
        answering(200),
        answering(404),
        answering(503),
        raising(RuntimeError("sold out")),
        raising(asyncio.CancelledError()),
    ],
    ids=["answer", "refusal", "fault", "exception", "cancellation"],
)
def test_a_request_is_traced_alike_by_the_middleware_and_by_the_bracket(tracer_provider: Any, ending: Ending) -> None:
    recorder = SpanRecorder(tracer_provider)
    written_out = asyncio.run(by_middleware(tracer_provider, ending))
    by_hand = asyncio.run(by_bracket(tracer_provider, ending))
    first, second = recorder.spans
    assert described(first) == described(second)
    assert vars(written_out) == vars(by_hand)
    assert current_server_transport() is None
    assert not get_current_span().is_recording()


class Silent(Exception):
    """Has no words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no tea"),
        ValueError("http://u:pw@shop/?token=S"),
        Silent(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=["error", "secret", "silent", "cancellation", "interrupt"],
)
def test_a_decorated_function_fails_as_a_call_in_the_bracket_does(tracer_provider: Any, error: BaseException) -> None:
    recorder = SpanRecorder(tracer_provider)

    @clew.trace(tracer_provider=tracer_provider)
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        work()
    with (
        pytest.raises(type(error)),
        Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider).scope(Call("x", "X", "x")),
    ):
        raise error
    decorated, bracketed = (
        (
            {key: value for key, value in span.attributes.items() if key in ("error.type", "clew.cancelled")},
            span.status.status_code,
            span.status.description,
            [(event.name, event.attributes["exception.message"]) for event in span.events],
        )
        for span in recorder.spans
    )
    assert decorated == bracketed
