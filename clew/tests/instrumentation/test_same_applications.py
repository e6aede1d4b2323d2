"""Applications of FastAPI, Litestar and Django give the same with and without tracing, over real servers too.

Flask, Starlette and aiohttp have theirs in `test_same_calls.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from litestar import Litestar, MediaType, Router, get, post, websocket
from litestar import Request as LitestarRequest
from litestar import WebSocket as LitestarSocket
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromPath
from litestar.response import Response, Stream
from litestar.testing import TestClient as LitestarClient

from clew.instrumentation import starlette as starlette_instrumentation
from clew.instrumentation import uvicorn as uvicorn_instrumentation
from clew.recorder.provider import TracerProvider

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_server import uvicorn_serving
from same_calls import answers, asgi_errors, assert_same_when_patched


@pytest.fixture
def tracer_provider() -> Iterator[Any]:
    """clew's alone: what an application gets does not depend on who makes the spans."""
    provider = TracerProvider()
    yield provider
    provider.shutdown()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class SoldOut(Exception):
    """Has a handler of its own."""


def make_fastapi() -> Any:
    seen: list[str] = []
    app, inner, users = FastAPI(), FastAPI(), APIRouter(prefix="/users")

    async def session() -> AsyncIterator[str]:
        try:
            yield "open"
        except Exception as error:
            seen.append(f"{type(error).__name__} {type(error.__context__).__name__}")
            raise
        finally:
            seen.append("closed")

    @app.middleware("http")
    async def shouting(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-shouting"] = f"{type(request).__name__} {request.headers['x-mine']}"
        return response

    @app.exception_handler(SoldOut)
    async def sold_out(request: Request, error: SoldOut) -> JSONResponse:
        return JSONResponse([type(request).__name__, str(error), repr(error.__context__)], 409)

    @app.get("/seen")
    async def what_was_seen() -> list[str]:
        return seen

    @app.get("/items/{item}")
    async def item(item: int, with_session: str = Depends(session)) -> dict[str, Any]:
        if item == 404:
            raise HTTPException(404, "no tea", {"x-tea": "none"})
        if item == 409:
            raise SoldOut("tea")
        if item == 500:
            raise ValueError("no tea")
        return {"item": item, "session": with_session}

    @app.get("/sync/{item}")
    def sync_item(item: int) -> int:
        if item == 500:
            raise ValueError("no tea")
        return item

    @users.post("/{name}", status_code=201)
    def user(name: str, tasks: BackgroundTasks) -> str:
        tasks.add_task(seen.append, name)
        return name

    @users.get("/{name}")
    async def later(name: str, tasks: BackgroundTasks) -> str:
        tasks.add_task(int, name)
        return name

    @app.get("/stream/{count}")
    async def stream(count: int) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for number in range(count):
                yield str(number)
            if count > 2:
                raise ValueError("no more tea")

        return StreamingResponse(pieces())

    @app.get("/whole")
    async def whole(request: Request) -> PlainTextResponse:
        client: Any = request.client
        return PlainTextResponse(f"{client.host} {request.url.path} {request['route'].path}")

    @app.websocket("/rooms/{room}")
    async def room(socket: WebSocket, room: str) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        if room == "broken":
            raise ValueError("no tea")
        await socket.close(4000)

    @inner.get("/there")
    async def there(request: Request) -> str:
        return str(request.scope["root_path"])

    app.include_router(users)
    app.mount("/inner", inner)
    return app


ASKS = (
    "GET /items/1",
    "GET /items/1?a=b",
    "HEAD /items/1",
    "POST /items/1",
    "GET /items/no-number",
    "GET /items/409",
    "GET /items/500",
    "GET /sync/1",
    "GET /sync/500",
    "POST /users/ada",
    "GET /users/ada",
    "GET /stream/2",
    "GET /stream/3",
    "GET /whole",
    "GET /gone",
)
"""What both applications answer."""
FASTAPI_ASKS = (*ASKS, "GET /items/404", "GET /inner/there", "GET /inner/gone", "GET /openapi.json", "GET /seen")


def heard(app: Any, path: str) -> Any:
    """What a client of a WebSocket gets from a real server."""

    async def main(port: int) -> Any:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"http://127.0.0.1:{port}{path}", timeout=_CLOSING) as socket:
                    await socket.send_str("hello")
                    got = [(message.type, message.data) async for message in socket]
                    return got, socket.close_code
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    with uvicorn_serving(app, ws="wsproto") as port:
        return asyncio.run(main(port))


_CLOSING = aiohttp.ClientWSTimeout(ws_close=20.0)

FASTAPI: list[Callable[[Any], Any]] = [
    lambda app: answers(uvicorn_serving, app, *FASTAPI_ASKS, door=asgi_errors),
    lambda app: [heard(app, path) for path in ("/rooms/tea", "/rooms/broken", "/gone")],
    lambda app: TestClient(app).get("/items/500", headers={"x-mine": "1"}),
    lambda app: TestClient(app).get("/sync/500", headers={"x-mine": "1"}),
    lambda app: TestClient(app).get("/users/ada", headers={"x-mine": "1"}),
    lambda app: TestClient(app).get("/stream/3", headers={"x-mine": "1"}),
    lambda app: TestClient(app).get("/whole").text,
    lambda app: [getattr(route, "path", None) for route in app.routes],
    lambda app: (app, app.router, app.user_middleware, app.middleware_stack, app.state, app.dependency_overrides),
    lambda app: (app.openapi()["paths"], app.url_path_for("item", item=3), app.build_middleware_stack()),
    lambda app: (
        str(inspect.signature(app.__call__)),
        inspect.iscoroutinefunction(app.__call__),
        app.__call__.__name__,
    ),
    lambda app: app(),
    lambda app: asyncio.run(app({}, None, None)),
    lambda app: asyncio.run(app({"type": "lifespan"}, None, None)),
    lambda app: FastAPI(colour="red").extra,
    lambda app: FastAPI(routes=7),  # type: ignore[arg-type]
]


def test_fastapi_behaves_as_without_tracing(tracer_provider: Any) -> None:
    patches = [starlette_instrumentation.patch, starlette_instrumentation.patch_fastapi]
    assert_same_when_patched(patches, tracer_provider, make_fastapi, FASTAPI)


def make_litestar() -> Any:
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        try:
            yield "open"
        except Exception as error:
            seen.append(f"{type(error).__name__} {type(error.__context__).__name__}")
            raise
        finally:
            seen.append("closed")

    def sold_out(request: Any, error: SoldOut) -> Response[Any]:
        return Response([type(request).__name__, str(error), repr(error.__context__)], status_code=409)

    @get("/seen")
    async def what_was_seen() -> list[str]:
        return seen

    @get("/items/{item:int}", dependencies={"opened": Provide(session)})
    async def item(item: FromPath[int], opened: NamedDependency[str]) -> dict[str, Any]:
        if item == 401:
            raise NotAuthorizedException("no tea")
        if item == 409:
            raise SoldOut("tea")
        if item == 500:
            raise ValueError("no tea")
        return {"item": item, "session": opened}

    @get("/sync/{item:int}", sync_to_thread=True)
    def sync_item(item: FromPath[int]) -> int:
        if item == 500:
            raise ValueError("no tea")
        return item

    @post("/{name:str}")
    async def user(name: FromPath[str]) -> Response[str]:
        return Response(name, background=BackgroundTask(seen.append, name))

    @get("/{name:str}")
    async def later(name: FromPath[str]) -> Response[str]:
        return Response(name, background=BackgroundTask(int, name))

    @get("/stream/{count:int}")
    async def stream(count: FromPath[int]) -> Stream:
        async def pieces() -> AsyncIterator[str]:
            for number in range(count):
                yield str(number)
            if count > 2:
                raise ValueError("no more tea")

        return Stream(pieces())

    @get("/whole", media_type=MediaType.TEXT)
    async def whole(request: LitestarRequest[Any, Any, Any]) -> str:
        client: Any = request.client
        return f"{client.host} {request.url.path} {request.scope['path_template']}"

    @websocket("/rooms/{room:str}")
    async def room(socket: LitestarSocket[Any, Any, Any], room: FromPath[str]) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        if room == "broken":
            raise ValueError("no tea")
        await socket.close(4000)

    users = Router("/users", route_handlers=[user, later])
    return Litestar(
        [what_was_seen, item, sync_item, stream, whole, room, users],
        exception_handlers={SoldOut: sold_out},  # type: ignore[dict-item]
    )


LITESTAR_ASKS = (*ASKS, "OPTIONS /items/1", "GET /items/401", "GET /schema/openapi.json", "GET /seen")

LITESTAR: list[Callable[[Any], Any]] = [
    lambda app: answers(uvicorn_serving, app, *LITESTAR_ASKS, door=asgi_errors),
    lambda app: [heard(app, path) for path in ("/rooms/tea", "/rooms/broken", "/gone")],
    lambda app: LitestarClient(app, raise_server_exceptions=True).get("/items/500"),
    lambda app: LitestarClient(app).get("/whole").text,
    lambda app: (app, app.asgi_handler, app.asgi_router, app.routes, app.state),
    lambda app: (app.openapi_schema.to_schema()["paths"], app.route_reverse("missing")),
    lambda app: (
        str(inspect.signature(app.__call__)),
        inspect.iscoroutinefunction(app.__call__),
        app.__call__.__name__,
    ),
    lambda app: app(),
    lambda app: asyncio.run(app({}, None, None)),
    lambda app: Litestar(colour="red"),  # type: ignore[call-arg]
]


def test_litestar_behaves_as_without_tracing(tracer_provider: Any) -> None:
    assert_same_when_patched([uvicorn_instrumentation.patch], tracer_provider, make_litestar, LITESTAR)


def test_django_behaves_as_without_tracing() -> None:
    program = Path(__file__).with_name("same_calls_of_django.py")
    # Django is configured once a process.
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the same"
