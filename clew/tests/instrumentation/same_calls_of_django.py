"""A program: Django over WSGI and ASGI gives the same with and without tracing. Django is configured once a process."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import include, path, resolve, reverse
from django.views.decorators.http import require_GET

from clew.instrumentation import django as instrumentation
from clew.recorder.provider import TracerProvider

sys.path.insert(0, str(Path(__file__).parent))

from http_server import uvicorn_serving, wsgiref_serving
from same_calls import answers, asgi_errors, assert_same_when_patched, wsgi_errors


def user(request: HttpRequest, pk: int) -> HttpResponse:
    match: Any = request.resolver_match
    return HttpResponse(f"{type(request).__name__} {pk} {match.route} {request.META['REMOTE_ADDR']} {request.path}")


async def later(request: HttpRequest, pk: int) -> HttpResponse:
    if pk == 500:
        raise ValueError("no tea")
    return HttpResponse(str(pk))


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("no tea")


def gone(request: HttpRequest) -> HttpResponse:
    raise Http404("no tea")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("no tea")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("no tea")


@require_GET
def only_get(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse("user", args=[7]))


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(BytesIO(b"tea"), content_type="text/plain")


def stream(request: HttpRequest, count: int) -> StreamingHttpResponse:
    def pieces() -> Iterator[str]:
        for number in range(count):
            yield str(number)
        if count > 2:
            raise ValueError("no more tea")

    return StreamingHttpResponse(pieces())


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    return StreamingHttpResponse(pieces())


def what_was_seen(request: HttpRequest) -> HttpResponse:
    return HttpResponse("\n".join(seen))


urlpatterns = [
    path("users/<int:pk>/", user, name="user"),
    path("broken/", broken),
    path("gone/", gone),
    path("forbidden/", forbidden),
    path("suspicious/", suspicious),
    path("only-get/", only_get),
    path("file/", file),
    path("stream/<int:count>/", stream),
    path("async-stream/", async_stream),
    path("seen/", what_was_seen),
    path("api/", include([path("later/<int:pk>/", later)])),
]
seen: list[str] = []


class Watching:
    """The application's own middleware, sync and async."""

    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self.get_response(request)
        response["x-watched"] = type(request).__name__
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        seen.append(f"{view.__name__} {kwargs}")

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        seen.append(f"{error!r} {error.__context__!r}")


def heard(sender: Any, request: Any, **_: Any) -> None:
    seen.append(f"{sender} {type(request).__name__} {sys.exc_info()[1]!r}")


ASKS = (
    "GET /users/7/",
    "GET /users/7/?a=b",
    "GET /users/7",
    "HEAD /users/7/",
    "POST /users/7/",
    "GET /users/x/",
    "GET /api/later/8/",
    "GET /api/later/500/",
    "GET /broken/",
    "GET /gone/",
    "GET /forbidden/",
    "GET /suspicious/",
    "GET /only-get/",
    "POST /only-get/",
    "GET /file/",
    "GET /stream/2/",
    "GET /stream/3/",
    "GET /async-stream/",
    "GET /nowhere/",
    "GET /%FF/",
    "GET /seen/",
)


def raising(app: Callable[[], Any], serving: Any, door: Any) -> Any:
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        return answers(serving, app(), "GET /broken/", "GET /api/later/500/", "GET /gone/", door=door)


async def asked(url: str) -> Any:
    response = await AsyncClient().get(url)
    return type(response), response.status_code, response.resolver_match.route  # type: ignore[attr-defined]


def answered(response: Any) -> Any:
    return type(response), response.status_code, response.resolver_match.route, response.headers


CALLS: list[Callable[[Any], Any]] = [
    lambda _: answers(wsgiref_serving, get_wsgi_application(), *ASKS, door=wsgi_errors),
    lambda _: answers(uvicorn_serving, get_asgi_application(), *ASKS, door=asgi_errors),
    lambda _: raising(get_wsgi_application, wsgiref_serving, wsgi_errors),
    lambda _: raising(get_asgi_application, uvicorn_serving, asgi_errors),
    lambda _: answered(Client().get("/users/7/")),
    lambda _: Client().get("/broken/"),
    lambda _: answered(Client(raise_request_exception=False).get("/broken/")),
    lambda _: Client().get("/api/later/500/"),
    lambda _: asyncio.run(asked("/api/later/8/")),
    lambda _: asyncio.run(asked("/api/later/500/")),
    lambda _: get_wsgi_application().get_response(RequestFactory().get("/users/7/")).content,
    lambda _: get_wsgi_application().resolve_request(RequestFactory().get("/users/7/")).route,
    lambda _: get_wsgi_application().resolve_request(RequestFactory().get("/nowhere/")),
    lambda _: asyncio.run(get_asgi_application().get_response_async(AsyncRequestFactory().get("/users/7/"))).content,
    lambda _: resolve("/users/7/").route,
    lambda _: shapes(get_wsgi_application()),
    lambda _: shapes(get_asgi_application()),
    lambda _: get_wsgi_application()(),  # type: ignore[call-arg]
    lambda _: get_wsgi_application()({}),  # type: ignore[call-arg]
    lambda _: get_asgi_application()(),  # type: ignore[call-arg]
    lambda _: asyncio.run(get_asgi_application()({"type": "lifespan"}, None, None)),  # type: ignore[arg-type]
]


def shapes(handler: Any) -> Any:
    return [
        (name, str(inspect.signature(function)), inspect.iscoroutinefunction(function), function.__doc__)
        for name in ("__call__", "resolve_request", "get_response", "load_middleware")
        for function in [getattr(handler, name)]
    ]


def main() -> None:
    """Raises AssertionError where something is not the same."""
    settings.configure(
        ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=[
            "django.middleware.common.CommonMiddleware", f"{__name__}.Watching",
        ], LOGGING_CONFIG=None,
    )  # fmt: skip
    logging.disable()
    warnings.simplefilter("ignore")  # of Django, for what is streamed in the other way than its protocol's
    django.setup()
    got_request_exception.connect(heard)
    provider = TracerProvider()
    patches = [instrumentation.patch_wsgi, instrumentation.patch_asgi]
    assert_same_when_patched(patches, provider, seen.clear, CALLS)
    provider.shutdown()
    print("the same")


if __name__ == "__main__":
    main()
