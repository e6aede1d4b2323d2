"""aiohttp, server and client, over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import aiohttp as instrumentation
from clew.testing import Body, ClientKit, ServerKit, SpanRecorder, assert_span, exceptions_of

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer


@contextmanager
def serving(make: Callable[[], web.Application]) -> Iterator[int]:
    """An application on a port of its own, in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def run(work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(100)  # type: ignore[arg-type]

    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(make(), access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    runner, port = run(start())
    try:
        yield port
    finally:
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def get(port: int, path: str = "/", headers: Sequence[tuple[str, str]] = ()) -> int:
    """The status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


class TestServerKit(ServerKit):
    component = "HTTP"
    span_name = "GET /"
    # aiohttp answers the client itself.
    sees_exceptions = False
    # Cancelled is what a handler whose client has left gets, and it is asked for below.
    sees_cancellation = False
    takes_options = True
    answers = MappingProxyType({200: StatusCode.UNSET, 404: StatusCode.UNSET, 500: StatusCode.ERROR})

    def serve(
        self, tracer_provider: Any, handler: Any, headers: Sequence[tuple[str, str]] = (), **options: Any
    ) -> None:
        def make() -> web.Application:
            app = web.Application(middlewares=[clew.aiohttp.middleware(tracer_provider=tracer_provider, **options)])
            app.router.add_get("/", handler)
            return app

        with serving(make) as port:
            get(port, headers=headers)

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        async def handler(request: web.Request) -> web.Response:
            body()
            return web.Response(text="ok")

        self.serve(tracer_provider, handler, headers, propagator=propagator, **options)
        return None

    def answer(self, tracer_provider: Any, status: int) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=status)

        self.serve(tracer_provider, handler)

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in source:
                await response.write(b"piece")
            await response.write_eof()
            return response

        self.serve(tracer_provider, handler)


class TestClientKit(ClientKit):
    component = "HTTP"
    # aiohttp itself sends an idempotent request again when its connection is cut, which is a second span.
    span_name = "POST"
    same_exception = False
    takes_options = True
    answers = MappingProxyType(
        {200: StatusCode.UNSET, 302: StatusCode.UNSET, 404: StatusCode.ERROR, 500: StatusCode.ERROR}
    )

    async def get(self, url: str, tracer_provider: Any, **options: Any) -> None:
        config = clew.aiohttp.trace_config(tracer_provider=tracer_provider, **options)
        async with (
            aiohttp.ClientSession(trace_configs=[config]) as session,
            session.post(url, allow_redirects=False) as response,
        ):
            await response.read()

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        with Peer().running() as server:
            server.body = body
            try:
                asyncio.run(self.get(server.url, tracer_provider, propagator=propagator, **options))
            except BaseException as error:
                return server.headers, error
            return server.headers, None

    def answer(self, tracer_provider: Any, status: int) -> None:
        with Peer().running() as server:
            asyncio.run(self.get(f"{server.url}/status/{status}", tracer_provider))


arrived = Event()
"""At what waits."""


def shop(tracer_provider: Any, **options: Any) -> Callable[[], web.Application]:
    async def user(request: web.Request) -> web.Response:
        return web.Response(text=clew.trace_id(), headers={"x-answer": "yes"})

    async def gone(request: web.Request) -> web.Response:
        raise web.HTTPGone

    async def broken(request: web.Request) -> web.Response:
        raise ValueError("no tea")

    async def waits(request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(300)
        return web.Response()

    async def socket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(message.data)
        return response

    def make() -> web.Application:
        app = web.Application(middlewares=[clew.aiohttp.middleware(tracer_provider=tracer_provider, **options)])
        inner = web.Application()
        inner.router.add_get("/users/{number}", user)
        app.add_subapp("/api", inner)
        app.router.add_get("/gone", gone)
        app.router.add_get("/broken", broken)
        app.router.add_get("/waits", waits)
        app.router.add_get("/socket", socket)
        return app

    return make


def test_the_route_names_the_span_and_it_says_what_was_asked(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    with serving(shop(tracer_provider, response_headers=["x-answer"])) as port:
        assert get(port, "/api/users/7?token=secret", [("User-Agent", "kettle/1")]) == 200
    span = recorder.one()
    assert_span(
        span,
        name="GET /api/users/{number}",
        kind=SpanKind.SERVER,
        attributes={
            "http.route": "/api/users/{number}",
            "url.path": "/api/users/7",
            "url.query": "token=REDACTED",
            "url.scheme": "http",
            "server.address": "127.0.0.1",
            "server.port": port,
            "client.address": "127.0.0.1",
            "http.response.status_code": 200,
            "user_agent.original": "kettle/1",
            "network.protocol.version": "1.1",
        },
    )
    assert list(span.attributes["http.response.header.x-answer"]) == ["yes"]


def test_an_answer_that_is_raised_is_an_answer_and_other_exceptions_are_errors(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    with serving(shop(tracer_provider)) as port:
        assert [get(port, path) for path in ("/gone", "/nowhere", "/broken")] == [410, 404, 500]
    gone, nowhere, broken = recorder.spans
    assert_span(gone, name="GET /gone", status=StatusCode.UNSET, attributes={"http.response.status_code": 410})
    assert exceptions_of(gone) == []
    assert_span(nowhere, name="GET", status=StatusCode.UNSET, attributes={"http.response.status_code": 404})
    assert_span(broken, name="GET /broken", status=StatusCode.ERROR, attributes={"error.type": "ValueError"})
    assert len(exceptions_of(broken)) == 1


def test_a_client_that_leaves_is_marked(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    arrived.clear()
    with serving(shop(tracer_provider)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
        connection.request("GET", "/waits")
        assert arrived.wait(100)
        connection.close()
    assert_span(recorder.one(), name="GET /waits", status=StatusCode.UNSET, attributes={"clew.cancelled": True})


def test_a_websocket_has_one_span_for_its_whole_life(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def talk(port: int) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/socket") as socket:
            for word in ("tea", "milk"):
                await socket.send_str(word)
                assert await socket.receive_str() == word
                assert recorder.spans == []

    with serving(shop(tracer_provider)) as port:
        asyncio.run(talk(port))
    assert_span(recorder.one(), name="GET /socket", attributes={"http.response.status_code": 101})


def test_each_redirect_is_a_request_of_its_own_with_its_own_headers(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def follow(url: str) -> None:
        config = clew.aiohttp.trace_config(tracer_provider=tracer_provider)
        async with aiohttp.ClientSession(trace_configs=[config]) as session, session.post(url) as response:
            await response.read()

    with Peer().running() as peer:
        asyncio.run(follow(f"{peer.url}/redirect?to=/there"))
        first, second = recorder.spans
        assert_span(first, name="POST", attributes={"http.response.status_code": 302})
        assert_span(second, name="GET", attributes={"url.full": f"{peer.url}/there", "http.request.resend_count": 1})
        sent = [next(v for k, v in headers if k.lower() == "traceparent") for _, _, headers in peer.requests]
    assert [value[36:52] for value in sent] == [f"{span.context.span_id:016x}" for span in (first, second)]


def test_a_cancelled_request_is_marked(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def give_up(port: int) -> None:
        config = clew.aiohttp.trace_config(tracer_provider=tracer_provider)
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), session.get(f"http://127.0.0.1:{port}/waits"):
                    pass

    with serving(shop(tracer_provider)) as port:
        asyncio.run(give_up(port))
    assert_span(recorder.one(kind=SpanKind.CLIENT), status=StatusCode.UNSET, attributes={"clew.cancelled": True})


def test_patched_applications_and_sessions_are_traced_until_it_is_undone(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(get_current_span().get_span_context().span_id)
        return web.Response()

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/tea", handler)
        return app

    async def ask(port: int) -> None:
        explicit = clew.aiohttp.trace_config(tracer_provider=tracer_provider)
        async with aiohttp.ClientSession() as plain, aiohttp.ClientSession(trace_configs=[explicit]) as traced:
            for session in (plain, traced):
                async with session.get(f"http://127.0.0.1:{port}/tea"):
                    pass

    undo = instrumentation.patch(tracer_provider)
    try:
        with serving(make) as port:
            asyncio.run(ask(port))
            servers = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
            clients = [span for span in recorder.spans if span.kind is SpanKind.CLIENT]
            assert [span.name for span in servers] == ["GET /tea"] * 2
            assert [span.parent.span_id for span in servers] == [span.context.span_id for span in clients]
            assert seen == [span.context.span_id for span in servers]
            undo()
            recorder.clear()
            assert get(port, "/tea") == 200
            assert recorder.spans == []
    finally:
        undo()


def test_a_handler_that_raises_has_the_500_that_is_answered(tracer_provider: Any) -> None:
    async def fail(request: web.Request) -> web.Response:
        raise ValueError("no tea")

    def make() -> web.Application:
        app = web.Application(middlewares=[clew.aiohttp.middleware(tracer_provider=tracer_provider)])
        app.router.add_get("/", fail)
        return app

    recorder = SpanRecorder(tracer_provider)
    with serving(make) as port:
        assert get(port) == 500
    assert_span(
        recorder.one(),
        status=StatusCode.ERROR,
        attributes={"http.response.status_code": 500, "error.type": "ValueError"},
    )


def test_raise_for_status_keeps_the_status_that_came(tracer_provider: Any) -> None:
    async def missing(request: web.Request) -> web.Response:
        return web.Response(status=404)

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/", missing)
        return app

    async def ask(port: int) -> None:
        tracing = clew.aiohttp.trace_config(tracer_provider=tracer_provider)
        async with aiohttp.ClientSession(trace_configs=[tracing], raise_for_status=True) as session:
            with pytest.raises(aiohttp.ClientResponseError):
                await session.get(f"http://127.0.0.1:{port}/")

    recorder = SpanRecorder(tracer_provider)
    with serving(make) as port:
        asyncio.run(ask(port))
    assert_span(
        recorder.one(), status=StatusCode.ERROR, attributes={"http.response.status_code": 404, "error.type": "404"}
    )
