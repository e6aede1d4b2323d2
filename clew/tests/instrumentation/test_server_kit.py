"""The server kit over the frameworks' own applications, each behind a real server."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import django
import flask
import pytest
from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from fastapi.responses import Response as FastAPIResponse
from fastapi.responses import StreamingResponse as FastAPIStream
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import Response as LitestarResponse
from litestar import get as litestar_get
from litestar.logging import LoggingConfig
from litestar.response import Stream
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from werkzeug.test import Client

import clew
from clew.instrumentation.django import patch_wsgi
from clew.instrumentation.flask import patch as flask_patch
from clew.instrumentation.starlette import patch as starlette_patch
from clew.testing import SpanRecorder, assert_span

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_server import (
    AsgiKit,
    Visit,
    WsgiKit,
    asgi_door,
    gunicorn_serving,
    uvicorn_serving,
    visit,
    visited,
    waitress_serving,
)

ANSWERS = MappingProxyType(
    {200: StatusCode.UNSET, 302: StatusCode.UNSET, 404: StatusCode.UNSET, 500: StatusCode.ERROR, 503: StatusCode.ERROR}
)


async def pieces(visit: Visit) -> AsyncIterator[bytes]:
    for _ in visit.source:
        yield b"piece"


def starlette_at_once(request: Any) -> Response:
    visited(request.url.query).body()
    return Response("ok")


async def starlette_stream(request: Any) -> Response:
    return StreamingResponse(pieces(visited(request.url.query)))


def starlette_status(request: Any) -> Response:
    return Response(status_code=visited(request.url.query).status)


class TestStarlette(AsgiKit):
    span_name = "GET /users/{id}"
    answers = ANSWERS
    application = Starlette(
        routes=[
            Route("/users/{id}", starlette_at_once),
            Route("/stream", starlette_stream),
            Route("/status", starlette_status),
        ]
    )


fastapi_app = FastAPI()


@fastapi_app.get("/users/{id}")
def fastapi_user(id: int, request: FastAPIRequest) -> int:
    visited(request.url.query).body()
    return id


@fastapi_app.get("/later/{id}")
async def fastapi_later(id: int, request: FastAPIRequest) -> int:
    visited(request.url.query).body()
    return id


@fastapi_app.get("/stream")
async def fastapi_stream(request: FastAPIRequest) -> FastAPIStream:
    return FastAPIStream(pieces(visited(request.url.query)))


@fastapi_app.get("/status")
def fastapi_status(request: FastAPIRequest) -> FastAPIResponse:
    return FastAPIResponse(status_code=visited(request.url.query).status)


class TestFastAPI(AsgiKit):
    span_name = "GET /users/{id}"
    answers = ANSWERS
    application = fastapi_app


class TestFastAPIAsync(TestFastAPI):
    span_name = "GET /later/{id}"
    path = "/later/1"
    # Bodies that wait for each other would stop the loop.
    overlaps = False


@litestar_get("/users/{id:int}", sync_to_thread=True)
def litestar_user(request: LitestarRequest[Any, Any, Any]) -> str:
    visited(request.scope["query_string"]).body()
    return "ok"


@litestar_get("/stream")
async def litestar_stream(request: LitestarRequest[Any, Any, Any]) -> Stream:
    return Stream(pieces(visited(request.scope["query_string"])))


@litestar_get("/status", sync_to_thread=True)
def litestar_status(request: LitestarRequest[Any, Any, Any]) -> LitestarResponse[str]:
    return LitestarResponse("", status_code=visited(request.scope["query_string"]).status)


class TestLitestar(AsgiKit):
    span_name = "GET /users/{id}"
    answers = ANSWERS
    application = Litestar(
        [litestar_user, litestar_stream, litestar_status],
        logging_config=LoggingConfig(configure_root_logger=False),
        openapi_config=None,
    )
    # It answers them itself.
    sees_exceptions = False


flask_app = flask.Flask("shop")


@flask_app.get("/users/<int:id>")
def flask_user(id: int) -> str:
    visited(flask.request.query_string).body()
    return str(id)


@flask_app.get("/stream")
def flask_stream() -> flask.Response:
    source = visited(flask.request.query_string).source
    return flask.Response(b"piece" for _ in source)


@flask_app.get("/status")
def flask_status() -> flask.Response:
    return flask.Response(status=visited(flask.request.query_string).status)


class TestFlask(WsgiKit):
    span_name = "GET /users/<int:id>"
    answers = ANSWERS
    application = flask_app
    # It answers them itself.
    sees_exceptions = False


class TestFlaskUnderWaitress(TestFlask):
    serving = staticmethod(waitress_serving)


class TestFlaskUnderGunicorn(TestFlask):
    serving = staticmethod(gunicorn_serving)


def django_user(request: Any, id: int) -> HttpResponse:
    visited(request.META["QUERY_STRING"]).body()
    return HttpResponse(str(id))


def django_stream(request: Any) -> StreamingHttpResponse:
    visit = visited(request.META["QUERY_STRING"])
    if hasattr(request, "scope"):
        return StreamingHttpResponse(pieces(visit))
    return StreamingHttpResponse(b"piece" for _ in visit.source)


def django_status(request: Any) -> HttpResponse:
    return HttpResponse(status=visited(request.META["QUERY_STRING"]).status)


class Site:
    """What Django takes for a module of routes."""

    urlpatterns = (path("users/<int:id>", django_user), path("stream", django_stream), path("status", django_status))


# Once a process; no other test of this process has a site.
settings.configure(
    ROOT_URLCONF=Site,
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["clew.instrumentation.django.RouteMiddleware"],
)
django.setup()


class TestDjango(WsgiKit):
    span_name = "GET /users/<int:id>"
    answers = ANSWERS
    application = get_wsgi_application()
    serving = staticmethod(waitress_serving)
    # It answers them itself.
    sees_exceptions = False


@pytest.fixture(scope="class")
def left_open_files_are_gone() -> Iterator[None]:
    yield
    gc.collect()  # here, and not in the midst of another test, where the warning is an error


# Django leaves the file of a request's body open where a view is cancelled.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("left_open_files_are_gone")
class TestDjangoOverAsgi(AsgiKit):
    span_name = "GET /users/<int:id>"
    answers = ANSWERS
    application = get_asgi_application()
    # It answers them itself.
    sees_exceptions = False


def starlette_adapter(app: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names another package
        from starlette.middleware.wsgi import WSGIMiddleware
    return WSGIMiddleware(app)


@pytest.fixture(scope="module")
def uvicorn_port() -> Iterator[int]:
    with uvicorn_serving(asgi_door) as port:
        yield port


def broken() -> None:
    raise ValueError("no tea")


@pytest.mark.parametrize("way", ["outside", "both", "patched"])
@pytest.mark.parametrize("adapter", [starlette_adapter, WsgiToAsgi])
@pytest.mark.parametrize("inner", [flask_app, TestDjango.application], ids=["flask", "django"])
def test_a_wsgi_application_within_an_asgi_one_has_one_server_span_with_its_route_and_its_exception(
    tracer_provider: Any, uvicorn_port: int, way: str, adapter: Any, inner: Any
) -> None:
    recorder = SpanRecorder(tracer_provider)
    undos = []
    if way == "both":
        inner = clew.wsgi.TracingMiddleware(inner, tracer_provider=tracer_provider)
    elif way == "patched":
        undos = [starlette_patch(tracer_provider), flask_patch(tracer_provider), patch_wsgi(tracer_provider)]
    app: Any = Starlette(routes=[Mount("/legacy", adapter(inner))])
    if way != "patched":
        app = clew.asgi.TracingMiddleware(app, tracer_provider=tracer_provider)
    try:
        visit(uvicorn_port, "/legacy/users/1", app=app)
        visit(uvicorn_port, "/legacy/users/1", app=app, body=broken)
        visit(uvicorn_port, "/legacy/nothing", app=app)
    finally:
        for undo in undos:
            undo()
    fine, failed, missing = recorder.spans
    route = "/legacy/users/<int:id>"
    for span in (fine, failed):
        assert_span(span, name=f"GET {route}", kind=SpanKind.SERVER, attributes={"http.route": route})
    assert_span(fine, status=StatusCode.UNSET, attributes={"http.response.status_code": 200})
    assert_span(
        failed, status=StatusCode.ERROR, attributes={"http.response.status_code": 500, "error.type": "ValueError"}
    )
    # The mount is all that the request has reached.
    assert_span(missing, name="GET /legacy", status=StatusCode.UNSET, attributes={"http.response.status_code": 404})


def test_a_wsgi_application_that_an_asgi_handler_calls_itself_has_a_span_of_its_own(
    tracer_provider: Any, uvicorn_port: int
) -> None:
    async def gateway(request: Any) -> Response:
        client = Client(clew.wsgi.TracingMiddleware(flask_app, tracer_provider=tracer_provider))
        return Response(client.get("/users/1", query_string=request.url.query).data)

    recorder = SpanRecorder(tracer_provider)
    app = clew.asgi.TracingMiddleware(Starlette(routes=[Route("/", gateway)]), tracer_provider=tracer_provider)
    visit(uvicorn_port, "/", app=app)
    assert sorted(span.name for span in recorder.spans) == ["GET /", "GET /users/<int:id>"]
