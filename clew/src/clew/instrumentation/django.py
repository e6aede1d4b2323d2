"""Django, over WSGI and ASGI: its routes, and the patch of `clew.instrument()`.

By hand it is the middleware of the protocol around the application, and this one among Django's own for the routes:

    MIDDLEWARE = ["clew.instrumentation.django.RouteMiddleware", …]
    application = clew.wsgi.TracingMiddleware(get_wsgi_application())
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.base import BaseHandler
from opentelemetry.trace import SpanKind, TracerProvider

from clew.instrumentation import asgi, wsgi
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.tracer import Tracer
from clew.transport import current_server_transport

OPTIONS: Final = wsgi.OPTIONS


def note_route(request: Any, match: Any) -> None:
    """Set the route that Django has found on the current call, with its root path: `/shop/users/<int:pk>/`."""
    route = getattr(match, "route", None)
    transport: Any = current_server_transport()
    if isinstance(route, str) and hasattr(transport, "route"):
        root = str(request.META.get("SCRIPT_NAME") or "").rstrip("/")
        transport.route = f"{root}/{route.removeprefix('/')}"


class RouteMiddleware:
    """Tells the span the route; sync and async."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        # Over ASGI this is the only place that sees the exceptions Django answers itself.
        wsgi.listen_to_frameworks()
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Return the response of the next middleware."""
        return self.get_response(request)

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        """Called when the route is known."""
        note_route(request, request.resolver_match)


def patch_wsgi(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every Django application over WSGI, made before or after; returns an undo function."""
    from django.core.handlers.wsgi import WSGIHandler

    tracer = Tracer(SpanKind.SERVER, scope="clew.django", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def __call__(self: WSGIHandler, environ: Any, start_response: Any) -> Any:
            if not switch.on or wsgi.is_traced(environ):
                return original(self, environ, start_response)
            return wsgi.respond(tracer, partial(original, self), environ, start_response)

        return __call__

    return _with_routes(replace(WSGIHandler, "__call__", make))


def patch_asgi(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """The same over ASGI."""
    from django.core.handlers.asgi import ASGIHandler

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        async def __call__(self: ASGIHandler, scope: Any, receive: Any, send: Any) -> None:
            app = partial(original, self)
            if switch.on:
                await asgi.TracingMiddleware(app, tracer_provider=tracer_provider, **options)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return __call__

    return _with_routes(replace(ASGIHandler, "__call__", make))


def _with_routes(undo_handler: Undo) -> Undo:
    """Connect to Django's signals for routes and exceptions; a second call does nothing."""
    wsgi.listen_to_frameworks()

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def resolve_request(self: BaseHandler, request: Any) -> Any:
            match = original(self, request)
            if switch.on:
                note_route(request, match)
            return match

        return resolve_request

    undo_routes = replace(BaseHandler, "resolve_request", make)

    def undo() -> None:
        undo_routes()
        undo_handler()

    return undo
