"""ASGI: one SERVER span for each HTTP request and websocket connection, none for a send or receive.

Pure ASGI: works for Starlette, FastAPI and anything else, and never touches a body. The span ends with the
last body message; when that carries a 5xx, only after the application returned, at that message's time, so
that the exception behind it is on the span. That is the one that leaves the application, or the one that a framework
handles while it sends the 5xx, as Litestar does.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import time_ns
from typing import Any, Final, Unpack

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from clew import guard
from clew._otel import ATTACH, DETACH
from clew.carriers import AsgiCarrier
from clew.instrumentation import starlette_routes
from clew.instrumentation._http_server import AFTERWARDS, OUTCOMES, ServerCall, server_attributes
from clew.tracing.attributes import METHODS, http_span_name
from clew.tracing.options import HttpOptions
from clew.tracing.outcome import client_has_left
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, server_transport

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_MARK: Final = "clew.traced"
# What a WebSocket is closed with when its handler failed: RFC 6455's code, and Litestar's.
_INTERNAL_ERRORS: Final = frozenset((1011, 4500))
# Signals of Flask and Django, whose WSGI applications may be mounted within: they tell routes and exceptions.
_WITH_SIGNALS: Final = frozenset(("flask.signals", "django.core.signals"))


class AsgiTransport(ServerCall):
    """An ASGI connection as a call. A websocket is the GET it begins with."""

    __slots__ = ("scope",)

    carrier: AsgiCarrier
    scope: Scope

    def __init__(self, scope: Scope) -> None:
        # The code of `ServerCall`, inlined, since this runs for every request.
        own: Any = self
        method = scope.get("method", "GET")
        own.method, own.operation = method, method if method in METHODS else http_span_name(method, None)
        own.carrier, own.reply_carrier = AsgiCarrier(scope["headers"]), None
        own.route, own.error, own.status = None, None, 0
        own.scope = scope

    @property
    def path(self) -> str:
        """The path asked for, decoded, without the query."""
        path: str = self.scope["path"]
        return path

    @property
    def url(self) -> str:
        """Scheme, host and path; no query."""
        host = self.carrier.index().get(b"host", b"").decode("latin-1")
        return f"{self.scope.get('scheme', 'http')}://{host}{self.path}"

    @property
    def peer(self) -> Peer | None:
        """The client's address as the server saw it."""
        client = self.scope.get("client")
        return (client[0] or "", client[1] or 0) if client else None

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP server."""
        scope = self.scope
        headers = self.carrier.index()
        query = scope.get("query_string")
        client = scope.get("client")
        agent = headers.get(b"user-agent")
        # Servers put the client that a proxy names in place of the socket's other end, most of them without a port.
        is_peer = client and client[1] and b"x-forwarded-for" not in headers and b"forwarded" not in headers
        return server_attributes(
            self.method,
            scope.get("scheme"),
            scope.get("http_version"),
            headers.get(b"host") or tuple(scope.get("server") or ()),
            scope["path"],
            query.decode("latin-1") if query else None,
            client[0] if client else None,
            agent.decode("latin-1") if agent else None,
            client if is_peer else None,
        )


class TracingMiddleware:
    """ASGI middleware. Lifespan, and requests that another instance traces already, are passed through."""

    __slots__ = ("_tracer", "app")

    def __init__(self, app: ASGIApp, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.server`; raises ValueError for an unknown convention."""
        self.app: Final = app
        self._tracer: Final = Tracer(SpanKind.SERVER, scope="clew.asgi", **options)
        if not _WITH_SIGNALS.isdisjoint(sys.modules):
            from clew.instrumentation.wsgi import listen_to_frameworks

            listen_to_frameworks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        kind = scope.get("type")
        if (kind != "http" and kind != "websocket") or _MARK in scope:
            await self.app(scope, receive, send)
            return
        tracer = self._tracer
        try:
            transport = AsgiTransport(scope)
            scope[_MARK] = True
        except Exception as failure:
            guard.swallow("reading an ASGI scope", failure)
            transport = None
        if transport is None:
            await self.app(scope, receive, send)
            return
        # The code of `Scope`, inlined, since this runs for every request.
        span, context = tracer.begin(transport.operation, transport.carrier, transport)
        status = 0
        open_ = True
        end_time_unix_nano: int | None = None

        async def send_last(message: Message) -> None:
            nonlocal open_, end_time_unix_nano
            await send(message)
            if open_ and end_time_unix_nano is None:
                if status >= 500:
                    end_time_unix_nano = time_ns()
                    _note_handled(transport, status)
                else:
                    open_ = False
                    _end(tracer, span, transport, status, None, None)

        def traced_send(message: Message) -> Awaitable[None]:
            nonlocal status
            name = message["type"]
            if name == "http.response.body":
                return send(message) if message.get("more_body") else send_last(message)
            if name == "http.response.start" or name == "websocket.http.response.start":
                status = message["status"]
                if tracer.wants_reply_headers:
                    transport.reply_carrier = AsgiCarrier(message.get("headers") or ())
            elif name == "websocket.accept":
                status = 101
            elif name == "websocket.close":
                if not status:
                    # Closed before it was accepted: servers answer the handshake with 403.
                    status = 403
                if message.get("code") in _INTERNAL_ERRORS:
                    _note_handled(transport, status)
            return send(message)

        transport_token = server_transport.set(transport)
        token = ATTACH(context)
        try:
            await self.app(scope, receive, traced_send)
        except BaseException as error:
            if open_:
                open_ = False
                if not status and kind == "http" and isinstance(error, Exception) and not client_has_left(error):
                    status = 500  # what servers answer for it
                _end(tracer, span, transport, status, error, end_time_unix_nano)
            elif isinstance(error, Exception) and not client_has_left(error):
                # Its answer was sent: a background task, or what a middleware does afterwards.
                tracer.note_failure(AFTERWARDS, error, context=context, kind=SpanKind.INTERNAL)
            raise
        finally:
            if open_:
                if transport.error is not None and transport.error is sys.exc_info()[1]:
                    # It is handled around the application, not in it: a server may be started in an `except` block.
                    transport.error = None
                _end(tracer, span, transport, status, None, end_time_unix_nano)
            try:
                DETACH(token)
                server_transport.reset(transport_token)
            except ValueError:
                # Closed by the garbage collector, in another context than this one.
                pass


def _note_handled(transport: AsgiTransport, status: int) -> None:
    # The exception that is being handled while the application says that it failed. One that has the status itself, as
    # `HTTPException(503)`, is a way to answer.
    error = sys.exc_info()[1]
    if transport.error is None and isinstance(error, Exception):
        is_the_answer = getattr(error, "status_code", None) == status and not client_has_left(error)
        transport.error = None if is_the_answer else error


def _end(
    tracer: Tracer,
    span: Span,
    transport: AsgiTransport,
    status: int,
    error: BaseException | None,
    end_time_unix_nano: int | None,
) -> None:
    outcome: Outcome | None = None
    if transport.error is not None:
        # Else a reference cycle through the traceback's frames.
        error, transport.error = error or transport.error, None
    if span.is_recording():
        try:
            scope = transport.scope
            route = transport.route
            if not route and ("endpoint" in scope or "route" in scope or "path_template" in scope):
                route = starlette_routes.template(scope)
            if route:
                transport.routed(route)
                tracer.update_name(span, transport)
            outcome = OUTCOMES.get((status, transport.route)) if error is None else None
            if outcome is None:
                transport.status = status
                outcome = transport.outcome(None, error)
        except Exception as failure:
            guard.swallow("describing an ASGI response", failure)
    tracer.end(span, reply=outcome, error=error, end_time_unix_nano=end_time_unix_nano, transport=transport)
