"""Routes of applications that are mounted twice, or under a root path, with the frameworks' own ways to do either."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, Router, asgi, get
from litestar.logging import LoggingConfig
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.routing import Router as StarletteRouter
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import clew
from clew.instrumentation import starlette_routes
from clew.testing import SpanRecorder


async def answer(request: Any) -> PlainTextResponse:
    return PlainTextResponse("")


def users() -> Starlette:
    return Starlette(routes=[Route("/users/{id}", answer)])


def behind(app: Any) -> Any:
    """Middleware that shows nothing of the application inside."""

    async def hidden(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return hidden


def routes_of(tracer_provider: Any, app: Any, *paths: str, root_path: str = "") -> list[str | None]:
    """Routes of the spans that GETs give; each is in its span's name."""
    recorder = SpanRecorder(tracer_provider)

    async def main() -> None:
        traced = clew.asgi.TracingMiddleware(app, tracer_provider=tracer_provider)
        transport = httpx.ASGITransport(traced, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in paths:
                await client.get(path)

    asyncio.run(main())
    spans = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    routes: list[str | None] = [span.attributes.get("http.route") for span in spans]
    assert [span.name for span in spans] == ["GET" if route is None else f"GET {route}" for route in routes]
    return routes


def starlette_one_application() -> Any:
    inner = users()
    return Starlette(routes=[Mount("/a", inner), Mount("/b", inner)])


def starlette_behind_middleware() -> Any:
    inner = users()
    middleware = [Middleware(GZipMiddleware)]
    return Starlette(routes=[Mount("/a", inner, middleware=middleware), Mount("/b", GZipMiddleware(inner))])


def starlette_behind_what_shows_nothing() -> Any:
    inner = users()
    return Starlette(routes=[Mount("/a", behind(inner)), Mount("/b", behind(inner))])


def starlette_one_route() -> Any:
    route = Route("/users/{id}", answer)
    return Starlette(routes=[Mount("/a", routes=[route]), Mount("/b", routes=[route])])


def starlette_bare_router_behind_what_shows_nothing() -> Any:
    inner = behind(StarletteRouter([Route("/users/{id}", answer)]))
    return StarletteRouter([Mount("/a", inner), Mount("/b", inner)])


def starlette_within_a_host() -> Any:
    inner = users()
    return Starlette(routes=[Host("test", StarletteRouter([Mount("/a", inner), Mount("/b", inner)]))])


def starlette_by_mount() -> Any:
    app, inner = Starlette(), users()
    app.mount("/a", inner)
    app.mount("/b", inner)
    return app


def fastapi_by_mount() -> Any:
    app, inner = FastAPI(), FastAPI()
    inner.get("/users/{id}")(lambda id: id)
    app.mount("/a", inner)
    app.mount("/b", inner)
    return app


def fastapi_router() -> APIRouter:
    router = APIRouter()
    router.get("/users/{id}")(lambda id: id)
    return router


def fastapi_by_include() -> Any:
    app, router = FastAPI(), fastapi_router()
    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")
    return app


def fastapi_by_include_within_mounts() -> Any:
    app, inner = FastAPI(), FastAPI()
    inner.include_router(fastapi_router())
    app.mount("/a", inner)
    app.mount("/b", inner)
    return app


def fastapi_mount_within_an_included_router() -> Any:
    app, router = FastAPI(), APIRouter()
    router.mount("/", users())
    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")
    return app


def fastapi_routes_of_starlette_within_an_included_router() -> Any:
    app, router = FastAPI(), APIRouter()
    router.add_route("/users/{id}", answer)
    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")
    return app


@pytest.mark.parametrize(
    "make",
    [
        starlette_one_application,
        starlette_behind_middleware,
        starlette_behind_what_shows_nothing,
        starlette_one_route,
        starlette_bare_router_behind_what_shows_nothing,
        starlette_within_a_host,
        starlette_by_mount,
        fastapi_by_mount,
        fastapi_by_include,
        fastapi_by_include_within_mounts,
        fastapi_mount_within_an_included_router,
        fastapi_routes_of_starlette_within_an_included_router,
    ],
)
@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_each_mount_shows_its_own_route(tracer_provider: Any, make: Callable[[], Any], root_path: str) -> None:
    # Twice each: what was found first must not be shown for the other.
    paths = [root_path + path for path in ("/b/users/1", "/a/users/1", "/b/users/2", "/a/users/2")]
    shown = routes_of(tracer_provider, make(), *paths, root_path=root_path)
    assert shown == [f"{root_path}/{mount}/users/{{id}}" for mount in "baba"]


def test_mounts_with_parameters_and_mounts_in_mounts_show_their_own_routes(tracer_provider: Any) -> None:
    inner = users()
    middle = Starlette(routes=[Mount("/x", inner), Mount("/{shop}", inner)])
    app = Starlette(routes=[Mount("/{tenant}/v1", middle), Mount("/{tenant}", middle)])
    paths = ("/t/v1/x/users/1", "/t/x/users/1", "/t/v1/9/users/1", "/t/9/users/1", "/t/v1/x/nothing")
    assert routes_of(tracer_provider, app, *paths) == [
        "/{tenant}/v1/x/users/{id}",
        "/{tenant}/x/users/{id}",
        "/{tenant}/v1/{shop}/users/{id}",
        "/{tenant}/{shop}/users/{id}",
        None,
    ]


def test_a_mount_that_is_added_later_shows_its_own_route(tracer_provider: Any) -> None:
    app, inner = Starlette(), users()
    app.mount("/a", inner)
    assert routes_of(tracer_provider, app, "/a/users/1") == ["/a/users/{id}"]
    app.mount("/b", inner)
    assert routes_of(tracer_provider, app, "/b/users/1", "/a/users/1") == ["/b/users/{id}", "/a/users/{id}"]


def test_requests_do_not_make_the_places_of_routes_grow(tracer_provider: Any) -> None:
    app = fastapi_by_include_within_mounts()
    routes_of(tracer_provider, app, "/first/a/users/1", "/first/b/users/1", root_path="/first")
    known = len(starlette_routes._places)
    for number in range(5):
        paths = [f"/root{number}/{mount}/users/{number}" for mount in "ab"]
        assert None not in routes_of(tracer_provider, app, *paths, root_path=f"/root{number}")
    assert len(starlette_routes._places) == known


def test_the_root_path_that_fastapi_is_given_is_in_the_route(tracer_provider: Any) -> None:
    with pytest.warns(match="root_path"):
        app = FastAPI(root_path="/shop")
    app.include_router(fastapi_router())
    app.mount("/a", users())
    assert routes_of(tracer_provider, app, "/users/1", "/shop/users/1", "/shop/a/users/1") == [
        "/shop/users/{id}",
        "/shop/users/{id}",
        "/shop/a/users/{id}",
    ]


def litestar(*handlers: Any) -> Litestar:
    quiet = LoggingConfig(configure_root_logger=False)
    return Litestar(list(handlers), logging_config=quiet, openapi_config=None)


@get("/users/{id:int}")
async def user() -> str:
    return ""


def test_a_handler_of_litestar_in_two_routers_shows_both_routes_and_the_root_path(tracer_provider: Any) -> None:
    app = litestar(Router("/a", route_handlers=[user]), Router("/b", route_handlers=[user]))
    assert routes_of(tracer_provider, app, "/shop/b/users/1", "/shop/a/users/1", root_path="/shop") == [
        "/shop/b/users/{id}",
        "/shop/a/users/{id}",
    ]


def test_litestar_that_starlette_mounts_twice_shows_both_routes(tracer_provider: Any) -> None:
    inner = litestar(user)
    app = Starlette(routes=[Mount("/a", inner), Mount("/{shop}", inner)])
    assert routes_of(tracer_provider, app, "/a/users/1", "/b/users/1") == ["/a/users/{id}", "/{shop}/users/{id}"]


def test_starlette_that_litestar_mounts_twice_shows_both_routes(tracer_provider: Any) -> None:
    inner = users()

    def mounted(path: str) -> Any:
        @asgi(path, is_mount=True, copy_scope=False)
        async def mount(scope: Any, receive: Any, send: Any) -> None:
            await Starlette(routes=[Route("/users/{id}/", answer)])(scope, receive, send)

        return mount

    app = litestar(mounted("/a"), mounted("/b"))
    assert inner is not None
    assert routes_of(tracer_provider, app, "/b/users/1", "/a/users/1") == ["/b/users/{id}/", "/a/users/{id}/"]


def shop() -> flask.Flask:
    app, users = flask.Flask("shop"), flask.Blueprint("users", __name__)
    users.get("/users/<int:id>")(lambda id: str(id))
    app.register_blueprint(users, url_prefix="/a", name="a")
    app.register_blueprint(users, url_prefix="/b", name="b")
    return app


def wsgi_routes_of(tracer_provider: Any, app: Any, *paths: str, script_name: str = "") -> list[str | None]:
    recorder = SpanRecorder(tracer_provider)
    client = Client(clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider))
    for path in paths:
        client.get(path, base_url=f"http://test{script_name}").close()
    routes: list[str | None] = [span.attributes.get("http.route") for span in recorder.spans]
    assert [span.name for span in recorder.spans] == ["GET" if route is None else f"GET {route}" for route in routes]
    return routes


@pytest.mark.parametrize("script_name", ["", "/café"])
def test_a_blueprint_of_flask_that_is_registered_twice_shows_both_routes(
    tracer_provider: Any, script_name: str
) -> None:
    shown = wsgi_routes_of(tracer_provider, shop(), "/b/users/1", "/a/users/1", script_name=script_name)
    assert shown == [f"{script_name}/b/users/<int:id>", f"{script_name}/a/users/<int:id>"]


def test_flask_that_a_dispatcher_mounts_twice_shows_both_mounts(tracer_provider: Any) -> None:
    app = shop()
    both = DispatcherMiddleware(
        flask.Flask("outer"), {"/x": app, "/y": lambda environ, start: app(dict(environ), start)}
    )
    assert wsgi_routes_of(tracer_provider, both, "/x/b/users/1", "/y/a/users/1", "/z") == [
        "/x/b/users/<int:id>",
        "/y/a/users/<int:id>",
        None,
    ]


DJANGO = """
import asyncio, sys, django, httpx
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x",
                   MIDDLEWARE=["clew.instrumentation.django.RouteMiddleware"])
django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

users = [path("users/<int:id>/", lambda request, id: HttpResponse(""))]
urlpatterns = [path("a/", include(users)), path("b/", include(users))]

import clew
from clew.testing import recording

async def ask(app, **options):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, **options), base_url="http://test") as client:
        for address in ("b/users/1/", "a/users/1/"):
            for mount in sys.argv[1:]:
                await client.get(mount + address)

def routes(spans):
    print([span.attributes.get("http.route") for span in spans])
    spans.clear()

with recording() as spans:
    inner = get_asgi_application()
    sys.argv[1:] = ["/shop/"]
    asyncio.run(ask(clew.asgi.TracingMiddleware(inner), root_path="/shop"))
    routes(spans)
    sys.argv[1:] = ["/x/", "/y/"]
    asyncio.run(ask(clew.asgi.TracingMiddleware(Starlette(routes=[Mount("/x", inner), Mount("/y", inner)]))))
    routes(spans)
    inner = get_wsgi_application()
    both = DispatcherMiddleware(inner, {"/x": inner})
    client = Client(clew.wsgi.TracingMiddleware(both))
    for address in ("/b/users/1/", "/x/a/users/1/"):
        client.get(address).close()
    routes(spans)
"""


def test_django_shows_both_places_of_an_included_list_and_where_it_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "shop_site.py").write_text(DJANGO)
    ran = subprocess.run([sys.executable, "shop_site.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ran.stdout.splitlines() == [
        "['/shop/b/users/<int:id>/', '/shop/a/users/<int:id>/']",
        "['/x/b/users/<int:id>/', '/y/b/users/<int:id>/', '/x/a/users/<int:id>/', '/y/a/users/<int:id>/']",
        "['/b/users/<int:id>/', '/x/a/users/<int:id>/']",
    ], ran.stderr
