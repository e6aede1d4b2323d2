"""ASGI: the server kit over Starlette, and what only ASGI has."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

import httpx
import pytest
import uvicorn
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from clew.instrumentation.asgi import TracingMiddleware
from clew.testing import Body, ServerKit, SpanRecorder, assert_span, exceptions_of, outside_pytest
from clew.transport import current_server_transport


def run(app: Any, path: str = "/", headers: Sequence[tuple[str, str]] = (), method: str = "GET") -> httpx.Response:
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, headers=list(headers))

    return asyncio.run(main())


class TestStarlette(ServerKit):
    component = "HTTP"
    span_name = "GET /users/{id}"
    takes_options = True
    overlaps = True
    answers: ClassVar = {200: StatusCode.UNSET, 302: StatusCode.UNSET, 404: StatusCode.UNSET, 500: StatusCode.ERROR}

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        async def user(request: Any) -> Response:
            body()
            return PlainTextResponse("user")

        app = Starlette(routes=[Route("/users/{id}", user)])
        try:
            traced = TracingMiddleware(app, tracer_provider=tracer_provider, propagator=propagator, **options)
            run(traced, "/users/1", headers)
        except BaseException as error:
            return error
        return None

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        async def messages() -> AsyncIterator[str]:
            for _ in source:
                yield "message"

        async def answer(request: Any) -> Response:
            return StreamingResponse(messages())

        run(TracingMiddleware(Starlette(routes=[Route("/", answer)]), tracer_provider=tracer_provider))

    def answer(self, tracer_provider: Any, status: int) -> None:
        async def say(request: Any) -> Response:
            return Response(status_code=status)

        run(TracingMiddleware(Starlette(routes=[Route("/", say)]), tracer_provider=tracer_provider))


def test_the_span_says_what_was_asked_and_answered(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def teapot(request: Any) -> Response:
        assert current_server_transport() is not None
        return PlainTextResponse("", status_code=418)

    app = Starlette(routes=[Route("/pot/{kind}", teapot, methods=["POST"])])
    headers = [("host", "tea.example:8443"), ("user-agent", "kettle/1")]
    run(TracingMiddleware(app, tracer_provider=tracer_provider), "/pot/green?sig=secret&cups=2", headers, "POST")
    assert_span(
        recorder.one(),
        name="POST /pot/{kind}",
        status=StatusCode.UNSET,
        attributes={
            "http.request.method": "POST",
            "http.response.status_code": 418,
            "http.route": "/pot/{kind}",
            "url.path": "/pot/green",
            "url.query": "sig=REDACTED&cups=2",
            "url.scheme": "http",
            "server.address": "tea.example",
            "server.port": 8443,
            "client.address": "127.0.0.1",
            "user_agent.original": "kettle/1",
            "network.protocol.version": "1.1",
        },
    )


def test_the_route_of_a_mounted_application_has_its_prefix(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def item(request: Any) -> Response:
        return PlainTextResponse("item")

    app = Starlette(routes=[Mount("/shops/{shop}", routes=[Route("/items/{item}", item)])])
    traced = TracingMiddleware(app, tracer_provider=tracer_provider)
    run(traced, "/shops/1/items/2")
    run(traced, "/shops/1/nothing")
    assert [span.name for span in recorder.spans] == ["GET /shops/{shop}/items/{item}", "GET"]


def test_a_path_without_a_route_does_not_become_a_name(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    run(TracingMiddleware(Starlette(), tracer_provider=tracer_provider), "/who/knows", method="BREW")
    span = recorder.one()
    assert_span(
        span,
        name="HTTP",
        status=StatusCode.UNSET,
        attributes={
            "http.request.method": "_OTHER",
            "http.request.method_original": "BREW",
            "http.response.status_code": 404,
        },
    )
    assert "http.route" not in span.attributes


def test_a_5xx_without_an_exception_is_an_error_named_by_its_status(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def down(request: Any) -> Response:
        return PlainTextResponse("down", status_code=503)

    run(TracingMiddleware(Starlette(routes=[Route("/", down)]), tracer_provider=tracer_provider))
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "503", "http.response.status_code": 503})
    assert exceptions_of(span) == []


def test_a_background_task_runs_after_the_span_and_in_its_trace(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: list[tuple[int, int]] = []

    async def later() -> None:
        seen.append((len(recorder.spans), get_current_span().get_span_context().span_id))

    async def answer(request: Any) -> Response:
        return PlainTextResponse("now", background=BackgroundTask(later))

    run(TracingMiddleware(Starlette(routes=[Route("/", answer)]), tracer_provider=tracer_provider))
    assert seen == [(1, recorder.one().context.span_id)]


def test_lifespan_and_unknown_scopes_pass_through_untouched(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    traced = TracingMiddleware(app, tracer_provider=tracer_provider)
    for kind in ("lifespan", "something.new"):
        given = ({"type": kind}, object(), object())
        asyncio.run(traced(*given))  # type: ignore[arg-type]
        assert all(ours is theirs for ours, theirs in zip(seen.pop(), given, strict=True))
    assert recorder.spans == []


def test_a_scope_that_breaks_the_protocol_costs_the_call_nothing(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    ran: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(True)

    with outside_pytest():
        asyncio.run(TracingMiddleware(app, tracer_provider=tracer_provider)({"type": "http"}, None, None))  # type: ignore[arg-type]
    assert ran == [True]
    assert recorder.spans == []


def test_two_middlewares_make_one_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    inner = TracingMiddleware(Starlette(), tracer_provider=tracer_provider)
    run(TracingMiddleware(inner, tracer_provider=tracer_provider))
    assert len(recorder.spans) == 1


def test_a_websocket_has_one_span_until_it_closes(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def echo(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        assert recorder.spans == []
        await websocket.close()

    sent: list[Any] = []

    async def main() -> None:
        incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}])

        async def receive() -> Any:
            return next(incoming)

        async def send(message: Any) -> None:
            sent.append(message)

        app = Starlette(routes=[WebSocketRoute("/rooms/{room}", echo)])
        scope = {"type": "websocket", "path": "/rooms/1", "headers": [], "scheme": "ws", "query_string": b""}
        await TracingMiddleware(app, tracer_provider=tracer_provider)(scope, receive, send)

    asyncio.run(main())
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert_span(
        recorder.one(),
        name="GET /rooms/{room}",
        kind=SpanKind.SERVER,
        status=StatusCode.UNSET,
        attributes={"http.response.status_code": 101, "url.scheme": "ws"},
    )


def test_kratos_conventions_stand_beside_opentelemetrys(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def user(request: Any) -> Response:
        return PlainTextResponse("user")

    app = Starlette(routes=[Route("/users/{id}", user)])
    traced = TracingMiddleware(app, tracer_provider=tracer_provider, conventions=("otel", "kratos"))
    run(traced, "/users/1", [("x-md-service-name", "caller")])
    assert_span(
        recorder.one(),
        status=StatusCode.OK,
        attributes={
            "component": "HTTP",
            "rpc.system": "http",
            "http.method": "GET",
            "http.target": "/users/1",
            "http.route": "/users/{id}",
            "net.peer.ip": "127.0.0.1",
            "net.peer.port": "123",
            "peer.service": "caller",
            "http.response.status_code": 200,
        },
    )


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def test_under_uvicorn_streams_arrive_whole_and_a_client_that_leaves_is_no_error(
    tracer_provider: Any, listening: socket.socket
) -> None:
    recorder = SpanRecorder(tracer_provider)
    first_sent = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            first_sent.set()
            await asyncio.sleep(0.001)

    async def finite() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"y" * 1000

    async def answer(request: Any) -> Response:
        return StreamingResponse(endless() if request.url.path == "/endless" else finite())

    app = TracingMiddleware(
        Starlette(routes=[Route("/endless", answer), Route("/finite", answer)]), tracer_provider=tracer_provider
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=20)) as client:
            assert client.get("/finite").content == b"y" * 100_000
            with client.stream("GET", "/endless") as response:
                next(response.iter_raw())
                assert first_sent.wait(100)
        assert_span(recorder.one(name="GET /finite"), attributes={"http.response.status_code": 200})
        assert_span(recorder.one(name="GET /endless"), status=StatusCode.UNSET)
    finally:
        server.should_exit = True
        thread.join(100)
