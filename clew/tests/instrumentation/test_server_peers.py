"""Servers on real sockets: the other end of the socket is on the span, and templates of routes leave calls out."""

from __future__ import annotations

import asyncio
import http.client
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import aiohttp
import flask
import pytest
from aiohttp import web
from opentelemetry.trace import SpanKind
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server
from werkzeug.test import EnvironBuilder

import clew
from clew.testing import SpanRecorder, assert_span

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_server import uvicorn_serving


def get(port: int, path: str, **headers: str) -> int:
    """GET on a connection of its own; the port it came from."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    connection.request("GET", path, headers=headers)
    own: int = connection.sock.getsockname()[1]
    connection.getresponse().read()
    connection.close()
    return own


@pytest.mark.parametrize("is_behind_a_proxy", [False, True])
def test_wsgi_says_who_is_at_the_other_end_of_the_socket(tracer_provider: Any, is_behind_a_proxy: bool) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = flask.Flask("shop")
    app.get("/")(lambda: "")
    traced: Any = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider)
    server = make_server("127.0.0.1", 0, ProxyFix(traced) if is_behind_a_proxy else traced)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        port = get(server.server_port, "/", **{"X-Forwarded-For": "9.9.9.9"})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert_span(
        recorder.one(kind=SpanKind.SERVER),
        attributes={
            "client.address": "9.9.9.9" if is_behind_a_proxy else "127.0.0.1",
            "network.peer.address": "127.0.0.1",
            "network.peer.port": port,
        },
    )


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize(
    ("forwarded", "client"), [(None, "127.0.0.1"), ("9.9.9.9", "9.9.9.9"), ("9.9.9.9:77", "9.9.9.9")]
)
def test_asgi_says_who_is_at_the_other_end_of_the_socket_where_no_proxy_stands_between(
    tracer_provider: Any, forwarded: str | None, client: str
) -> None:
    recorder = SpanRecorder(tracer_provider)
    over = Event()
    traced = clew.asgi.TracingMiddleware(hello, tracer_provider=tracer_provider)

    async def door(scope: Any, receive: Any, send: Any) -> None:
        await traced(scope, receive, send)
        over.set()

    with uvicorn_serving(door) as server:
        port = get(server, "/", **({} if forwarded is None else {"X-Forwarded-For": forwarded}))
        assert over.wait(100)
    span = recorder.one(kind=SpanKind.SERVER)
    # Behind a proxy uvicorn puts its client there, and nothing says whom the socket leads to.
    socket = {"network.peer.address": "127.0.0.1", "network.peer.port": port} if forwarded is None else {}
    assert_span(span, attributes={"client.address": client, **socket})
    assert ("network.peer.address" in span.attributes, "network.peer.port" in span.attributes) == (bool(socket),) * 2


@pytest.mark.parametrize("client", [None, ("/run/shop.sock", None), ["9.9.9.9", 0]])
def test_an_asgi_connection_without_a_port_has_no_peer(tracer_provider: Any, client: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": client}
    asyncio.run(clew.asgi.TracingMiddleware(hello, tracer_provider=tracer_provider)(scope, send, send))  # type: ignore[arg-type]
    assert not [key for key in recorder.one().attributes if key.startswith("network.peer.")]


@pytest.mark.parametrize("protocol", ["asgi", "wsgi", "aiohttp"])
def test_user_and_password_in_the_host_header_are_not_recorded(tracer_provider: Any, protocol: str) -> None:
    recorder = SpanRecorder(tracer_provider)
    sent = {"Host": "ada:secret@shop.example:8080"}
    if protocol == "asgi":
        with uvicorn_serving(clew.asgi.TracingMiddleware(hello, tracer_provider=tracer_provider)) as port:
            get(port, "/", **sent)
    elif protocol == "wsgi":
        app: Any = clew.wsgi.TracingMiddleware(flask.Flask("shop"), tracer_provider=tracer_provider)
        app(EnvironBuilder("/", headers=sent).get_environ(), lambda *_: None).close()
    else:

        async def main() -> None:
            served = web.Application(middlewares=[clew.aiohttp.middleware(tracer_provider=tracer_provider)])
            runner = web.AppRunner(served)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await asyncio.to_thread(get, runner.addresses[0][1], "/", **sent)
            await runner.cleanup()

        asyncio.run(main())
    span = recorder.one(kind=SpanKind.SERVER)
    assert_span(span, attributes={"server.address": "shop.example", "server.port": 8080})
    assert "secret" not in str(dict(span.attributes))


def test_aiohttp_says_who_is_at_the_other_end_and_leaves_out_the_routes_of_a_template(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    ports: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response()

    async def main() -> None:
        traced = clew.aiohttp.middleware(tracer_provider=tracer_provider, exclude=["/users/{id}"])
        app = web.Application(middlewares=[traced])
        app.router.add_get("/users/me", answer)
        app.router.add_get("/users/{id}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            for path in ("/users/1", "/users/me"):
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    assert response.status == 200
        await runner.cleanup()

    asyncio.run(main())
    # aiohttp knows its route: `/users/me` is none of the template's.
    assert_span(
        recorder.one(kind=SpanKind.SERVER),
        name="GET /users/me",
        attributes={"network.peer.address": "127.0.0.1", "network.peer.port": ports[1]},
    )


@pytest.mark.parametrize("rule", ["/users/<int:id>", "/users/{id}", "/files/<path:rest>", "/files/{rest:path}"])
def test_a_template_leaves_out_the_paths_it_stands_for_where_routes_are_known_late(
    tracer_provider: Any, rule: str
) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = flask.Flask("shop")
    for route in ("/users/<int:id>", "/users/<int:id>/orders", "/files/<path:rest>"):
        app.add_url_rule(route, route, lambda **_: "")
    app.wsgi_app = clew.wsgi.TracingMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, tracer_provider=tracer_provider, exclude=[rule]
    )
    client = app.test_client()
    for path in ("/users/1", "/users/1/orders", "/files/a/b", "/users/"):
        client.get(path).close()
    left_out = {"/users/1"} if "users" in rule else {"/files/a/b"}
    assert {span.attributes["url.path"] for span in recorder.spans} == {
        "/users/1",
        "/users/1/orders",
        "/files/a/b",
        "/users/",
    } - left_out
