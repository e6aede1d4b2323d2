"""Route templates of the frameworks themselves: FastAPI, Litestar, Starlette, and Django over ASGI."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from litestar import Litestar, Router, get, post, websocket
from litestar import Request as LitestarRequest
from litestar import WebSocket as LitestarSocket
from litestar.exceptions import WebSocketException
from litestar.logging import LoggingConfig
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from clew.instrumentation.asgi import TracingMiddleware
from clew.testing import SpanRecorder, assert_span


def name_of(tracer_provider: Any, app: Any, path: str) -> tuple[str, Any]:
    """Name and route of the span that a GET gives."""
    recorder = SpanRecorder(tracer_provider)

    async def main() -> None:
        transport = httpx.ASGITransport(TracingMiddleware(app, tracer_provider=tracer_provider))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.get(path)

    asyncio.run(main())
    span = recorder.one(kind=SpanKind.SERVER)
    return span.name, span.attributes.get("http.route")


def fastapi() -> FastAPI:
    app, inner, users, deep = FastAPI(), FastAPI(), APIRouter(prefix="/v1"), APIRouter()

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    @users.get("/users/{name}")
    def user(name: str) -> str:
        return name

    @app.websocket("/rooms/{room}")
    async def room(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.send_text(room)
        await websocket.close()

    deep.include_router(users, prefix="/deep")
    app.include_router(users, prefix="/api")
    app.include_router(deep, prefix="/{tenant}")
    inner.include_router(users)
    app.mount("/inner", inner)
    return app


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/items/1", "/items/{item}"),
        ("/items/no-number", "/items/{item}"),
        ("/api/v1/users/ada", "/api/v1/users/{name}"),
        ("/shop/deep/v1/users/ada", "/{tenant}/deep/v1/users/{name}"),
        ("/inner/v1/users/ada", "/inner/v1/users/{name}"),
        ("/gone", None),
    ],
)
def test_fastapi(tracer_provider: Any, path: str, route: str | None) -> None:
    assert name_of(tracer_provider, fastapi(), path) == (f"GET {route}" if route else "GET", route)


def test_a_websocket_of_fastapi(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    sent: list[Any] = []

    async def main() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = {"type": "websocket", "path": "/rooms/tea", "headers": [], "scheme": "ws", "query_string": b""}
        await TracingMiddleware(fastapi(), tracer_provider=tracer_provider)(scope, receive, send)

    asyncio.run(main())
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    assert_span(
        recorder.one(kind=SpanKind.SERVER), name="GET /rooms/{room}", attributes={"http.response.status_code": 101}
    )


@pytest.mark.parametrize(
    ("path", "route"),
    [("/shops/1/items/2", "/shops/{shop}/items/{item}"), ("/apps/x", "/apps/{name}"), ("/shops/1/gone", None)],
)
def test_starlette(tracer_provider: Any, path: str, route: str | None) -> None:
    async def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("")

    app = Starlette(
        routes=[
            Mount("/shops/{shop}", routes=[Route("/items/{item}", answer)]),
            Mount("/apps", app=Starlette(routes=[Route("/{name}", answer)])),
        ]
    )
    assert name_of(tracer_provider, app, path) == (f"GET {route}" if route else "GET", route)


@pytest.mark.parametrize(
    ("path", "route"), [("/tea/green", "/tea/{kind}"), ("/v1/numbers/3", "/v1/numbers/{n}"), ("/gone", None)]
)
def test_litestar(tracer_provider: Any, path: str, route: str | None) -> None:
    @get("/tea/{kind:str}")
    async def tea() -> str:
        return ""

    @get("/numbers/{n:int}")
    async def number() -> str:
        return ""

    quiet = LoggingConfig(configure_root_logger=False)
    app = Litestar([tea, Router("/v1", route_handlers=[number])], logging_config=quiet, openapi_config=None)
    assert name_of(tracer_provider, app, path) == (f"GET {route}" if route else "GET", route)


DJANGO = """
import asyncio, httpx, django
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x",
                   MIDDLEWARE=["clew.instrumentation.django.RouteMiddleware"])
django.setup()
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import include, path

async def later(request, number):
    return HttpResponse("")

def at_once(request, name):
    return HttpResponse("")

urlpatterns = [path("shops/<int:number>/", later), path("inner/", include([path("<slug:name>", at_once)]))]

import clew
from clew.testing import recording

async def ask(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for address in ("/shops/1/", "/inner/tea", "/gone"):
            await client.get(address)

with recording() as spans:
    asyncio.run(ask(clew.asgi.TracingMiddleware(get_asgi_application())))
    print(spans.names)
"""


def test_django(tmp_path: Path) -> None:
    # Django is configured once a process.
    (tmp_path / "shop_site.py").write_text(DJANGO)
    ran = subprocess.run([sys.executable, "shop_site.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ran.stdout == "['GET /shops/<int:number>/', 'GET /inner/<slug:name>', 'GET']\n", ran.stderr


def _ask(app: Any, scope: dict[str, Any], incoming: list[dict[str, Any]]) -> BaseException | None:
    """Run an application on one connection; what it raised."""

    async def receive() -> Any:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: Any) -> None:
        pass

    async def main() -> BaseException | None:
        try:
            await app({"query_string": b"", "headers": [], **scope}, receive, send)
        except Exception as error:
            return error
        return None

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "status"), [(1000, StatusCode.UNSET), (1001, StatusCode.UNSET), (1006, StatusCode.ERROR)]
)
def test_a_websocket_that_its_client_closes_normally_is_no_error(
    tracer_provider: Any, code: int, status: StatusCode
) -> None:
    async def room(websocket: Any) -> None:
        await websocket.accept()
        while True:
            await websocket.receive_text()

    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(Starlette(routes=[WebSocketRoute("/rooms", room)]), tracer_provider=tracer_provider)
    raised = _ask(
        app,
        {"type": "websocket", "path": "/rooms", "scheme": "ws"},
        [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": code}],
    )
    assert type(raised).__name__ == "WebSocketDisconnect"
    assert_span(recorder.one(), name="GET /rooms", status=status)
    assert len(recorder.one().events) == (status is StatusCode.ERROR)


def test_an_upload_that_its_client_cuts_is_no_error(tracer_provider: Any) -> None:
    async def upload(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    recorder = SpanRecorder(tracer_provider)
    routes = [Route("/files", upload, methods=["POST"])]
    app = TracingMiddleware(Starlette(routes=routes), tracer_provider=tracer_provider)
    raised = _ask(
        app,
        {"type": "http", "method": "POST", "path": "/files", "scheme": "http"},
        [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}],
    )
    assert type(raised).__name__ == "ClientDisconnect"
    assert_span(recorder.one(), name="POST /files", status=StatusCode.UNSET)
    assert recorder.one().events == ()


def test_a_background_task_that_fails_is_a_span_of_the_request(tracer_provider: Any) -> None:
    def fail() -> None:
        raise ValueError("no tea")

    async def order(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ordered", background=BackgroundTask(fail))

    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(Starlette(routes=[Route("/orders", order)]), tracer_provider=tracer_provider)
    scope = {"type": "http", "method": "GET", "path": "/orders", "scheme": "http"}
    assert isinstance(_ask(app, scope, [{"type": "http.request"}]), ValueError)
    request = recorder.one(kind=SpanKind.SERVER)
    assert_span(request, name="GET /orders", status=StatusCode.UNSET)
    assert_span(
        recorder.one(kind=SpanKind.INTERNAL),
        name="after the response",
        status=StatusCode.ERROR,
        parent_id=f"{request.context.span_id:016x}",
        attributes={"error.type": "ValueError"},
    )


def test_what_a_bare_application_raises_is_the_500_that_servers_answer(tracer_provider: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("no tea")

    recorder = SpanRecorder(tracer_provider)
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"ada:pw@shop:81")]}
    _ask(TracingMiddleware(app, tracer_provider=tracer_provider), scope, [])
    assert_span(
        recorder.one(),
        status=StatusCode.ERROR,
        attributes={
            "http.response.status_code": 500,
            "error.type": "ValueError",
            "server.address": "shop",
            "server.port": 81,
        },
    )


def litestar_app(*handlers: Any) -> Litestar:
    return Litestar(list(handlers), logging_config=LoggingConfig(configure_root_logger=False), openapi_config=None)


@websocket("/rooms")
async def failing_room(socket: LitestarSocket[Any, Any, Any]) -> None:
    await socket.accept()
    raise ValueError("no tea")


@websocket("/rooms")
async def closing_room(socket: LitestarSocket[Any, Any, Any]) -> None:
    await socket.accept()
    raise WebSocketException(detail="not you", code=4403)


@pytest.mark.parametrize(("room", "status"), [(failing_room, StatusCode.ERROR), (closing_room, StatusCode.UNSET)])
def test_a_websocket_whose_handler_failed_is_an_error_where_the_framework_closes_it(
    tracer_provider: Any, room: Any, status: StatusCode
) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(litestar_app(room), tracer_provider=tracer_provider)
    assert _ask(app, {"type": "websocket", "path": "/rooms", "scheme": "ws"}, [{"type": "websocket.connect"}]) is None
    assert_span(recorder.one(), name="GET /rooms", status=status, attributes={"http.response.status_code": 101})
    assert len(recorder.one().events) == (status is StatusCode.ERROR)


def test_an_upload_to_litestar_that_its_client_cuts_is_no_error(tracer_provider: Any) -> None:
    @post("/files")
    async def upload(request: LitestarRequest[Any, Any, Any]) -> int:
        return len(await request.body())

    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(litestar_app(upload), tracer_provider=tracer_provider)
    scope = {"type": "http", "method": "POST", "path": "/files", "scheme": "http"}
    _ask(app, scope, [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    assert_span(recorder.one(), name="POST /files", status=StatusCode.UNSET)
    assert recorder.one().events == ()


@pytest.mark.parametrize(
    ("failure", "error_type"), [(KeyError("tea"), "KeyError"), (HTTPException(503), "503"), (None, "503")]
)
def test_an_exception_that_is_answered_by_a_5xx_is_on_the_span_unless_it_is_the_answer(
    tracer_provider: Any, failure: Exception | None, error_type: str
) -> None:
    async def sold_out(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("later", status_code=503)

    async def tea(request: Any) -> PlainTextResponse:
        if failure is not None:
            raise failure
        return PlainTextResponse("later", status_code=503)

    recorder = SpanRecorder(tracer_provider)
    app = Starlette(routes=[Route("/tea", tea)], exception_handlers={KeyError: sold_out})
    scope = {"type": "http", "method": "GET", "path": "/tea", "scheme": "http"}
    try:
        raise ImportError("no uvloop")
    except ImportError:  # as of a program that starts its server here
        _ask(TracingMiddleware(app, tracer_provider=tracer_provider), scope, [{"type": "http.request"}])
    span = recorder.one()
    attributes = {"error.type": error_type, "http.response.status_code": 503}
    assert_span(span, name="GET /tea", status=StatusCode.ERROR, attributes=attributes)
    assert len(span.events) == isinstance(failure, KeyError)
