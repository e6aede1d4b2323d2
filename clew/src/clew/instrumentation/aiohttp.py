"""aiohttp: a SERVER span for each request a web application answers, a CLIENT span for each a session sends.

app = web.Application(middlewares=[clew.aiohttp.middleware()])
session = aiohttp.ClientSession(trace_configs=[clew.aiohttp.trace_config()])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, Unpack

import aiohttp
from aiohttp import web
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue
from yarl import URL

from clew import guard, semconv
from clew.instrumentation import _http
from clew.instrumentation._http import RequestTransport
from clew.instrumentation._http_server import ServerCall, server_attributes
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import OTHER, http_outcome
from clew.tracing.options import HttpOptions
from clew.tracing.scope import Scope
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer

OPTIONS: Final = _http.OPTIONS
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Newer versions warn of plain names.
_MARK: Final[Any] = web.RequestKey("clew.traced", bool) if hasattr(web, "RequestKey") else "clew.traced"
#: On a trace configuration of ours.
_OURS: Final = "_clew_ours"
#: On a response: what its connection's socket is connected to.
_REMOTE: Final = "_clew_remote"


class MultiDictCarrier:
    """aiohttp's headers."""

    __slots__ = ("headers",)

    def __init__(self, headers: Any) -> None:
        self.headers = headers

    def get(self, key: str) -> list[str]:
        return list(self.headers.getall(key, ()))

    def set(self, key: str, value: str) -> None:
        self.headers[key] = value

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name in self.headers))


# -- server -------------------------------------------------------------------------------------------------------------


class ServerTransport(ServerCall):
    """A request that a web application answers, as a call."""

    __slots__ = ("request",)

    def __init__(self, request: web.Request) -> None:
        resource = request.match_info.route.resource
        # The route is known when middleware runs.
        super().__init__(
            request.method, MultiDictCarrier(request.headers), None if resource is None else resource.canonical
        )
        self.request: Final = request

    @property
    def path(self) -> str:
        """The path asked for, decoded, without the query."""
        return self.request.path

    @property
    def url(self) -> str:
        """Scheme, host and path; no query."""
        return f"{self.request.scheme}://{self.request.host}{self.path}"

    @property
    def peer(self) -> Peer | None:
        """The client's address as the socket has it."""
        transport = self.request.transport
        name = None if transport is None else transport.get_extra_info("peername")
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP server."""
        request = self.request
        attributes = server_attributes(
            self.method,
            request.scheme,
            f"{request.version.major}.{request.version.minor}",
            request.host,
            request.path,
            request.rel_url.raw_query_string,
            request.remote,
            request.headers.get("user-agent"),
            self.peer,
        )
        if self.route is not None:
            attributes[semconv.HTTP_ROUTE] = self.route
        return attributes

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """Status and headers of the response, which may be an exception that aiohttp has people raise."""
        answer = error if isinstance(error, web.HTTPException) else reply
        if answer is not None:
            self.status = answer.status
            self.reply_carrier = MultiDictCarrier(answer.headers)
        elif error is not None:
            self.failed_with(error)
        outcome = super().outcome(reply, None if answer is error else error)
        return None if outcome is None else dataclasses.replace(outcome, handled=answer is error, reply=answer)


def middleware(**options: Unpack[HttpOptions]) -> Any:
    """Middleware for `web.Application(middlewares=[…])`, to be the first. Raises ValueError for an unknown convention."""
    tracer = Tracer(SpanKind.SERVER, scope="clew.aiohttp", **options)

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await _answer(tracer, request, handler)

    return traced


async def _answer(tracer: Tracer, request: web.Request, handler: Handler) -> web.StreamResponse:
    if _MARK in request:
        return await handler(request)
    call = guard.attempt("reading a request of aiohttp", ServerTransport, request)
    if call is None:
        return await handler(request)
    request[_MARK] = True
    with tracer.scope(call) as scope:
        response = scope.reply = await handler(request)
    return response


# -- client -------------------------------------------------------------------------------------------------------------


class _Exchange:
    """The request of a session that is under way, and how often it was sent again."""

    __slots__ = ("is_sent", "resend_count", "scope")

    def __init__(self, trace_request_ctx: object = None) -> None:
        self.scope: Scope | None = None
        self.resend_count = 0
        #: Whether the headers of the current span's request were sent.
        self.is_sent = False


class _ClientTracing:
    """Handlers of a session's signals."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.is_on = True

    def config(self) -> aiohttp.TraceConfig:
        """A configuration of these signals."""
        factory: Any = _Exchange
        made: Any = aiohttp.TraceConfig(trace_config_ctx_factory=factory)
        made.on_request_start.append(self._started)
        made.on_request_headers_sent.append(self._sending)
        made.on_request_redirect.append(self._redirected)
        made.on_request_end.append(self._ended)
        made.on_request_exception.append(self._failed)
        setattr(made, _OURS, True)
        return made  # type: ignore[no-any-return]

    async def _started(self, session: Any, exchange: _Exchange, about: Any) -> None:
        self._begin(exchange, about.method, about.url, about.headers)

    async def _sending(self, session: Any, exchange: _Exchange, about: Any) -> None:
        """Headers are about to be written; a second time when aiohttp or a middleware of the session tries again."""
        if exchange.is_sent and exchange.scope is not None:
            exchange.scope.finish(Outcome(error_type=OTHER, message="sent again"))
            exchange.resend_count += 1
            self._begin(exchange, about.method, about.url, about.headers)
        exchange.is_sent = True

    async def _redirected(self, session: Any, exchange: _Exchange, about: Any) -> None:
        self._end(exchange, about.response, None)
        try:
            location = about.response.headers.get("location") or about.response.headers.get("uri")
            if location is not None and self.is_on:
                exchange.resend_count += 1
                method = "GET" if about.response.status == 303 and about.method != "HEAD" else about.method
                if about.response.status in (301, 302) and about.method == "POST":
                    method = "GET"
                self._begin(exchange, method, about.url.join(URL(location)), about.headers)
        except Exception as failure:
            guard.swallow("following a redirect of aiohttp", failure)

    async def _ended(self, session: Any, exchange: _Exchange, about: Any) -> None:
        self._end(exchange, about.response, None)

    async def _failed(self, session: Any, exchange: _Exchange, about: Any) -> None:
        self._end(exchange, None, about.exception)

    def _begin(self, exchange: _Exchange, method: str, url: URL, headers: Any) -> None:
        if not self.is_on:
            return
        try:
            # What is written here is what the session sends.
            call = RequestTransport(method, str(url), MultiDictCarrier(headers), resend_count=exchange.resend_count)
            exchange.scope = self._tracer.scope(call)
            exchange.is_sent = False
            self._tracer.stays_beside(exchange.scope.span, call)
        except Exception as failure:
            guard.swallow("reading a request of aiohttp", failure)

    def _end(self, exchange: _Exchange, response: Any, error: BaseException | None) -> None:
        scope, exchange.scope = exchange.scope, None
        if scope is None:
            return
        outcome: Outcome | None = None
        if response is not None:
            scope.call.reply_carrier = MultiDictCarrier(response.headers)
            call: Any = scope.call
            call.version, call.remote = response.version, getattr(response, _REMOTE, None)
        elif isinstance(error, aiohttp.ClientResponseError) and error.status:
            # `raise_for_status=True`: there was a response, of which the exception keeps the status.
            outcome = http_outcome(error.status, server=False)
        scope.finish(response if outcome is None else outcome, error)


def _note_remotes() -> Undo:
    """Keep the other end of a response's connection, which may be given back or closed before the span ends."""

    def make(original: Callable[..., Awaitable[Any]], switch: Switch) -> Callable[..., Awaitable[Any]]:
        async def start(self: Any, connection: Any) -> Any:
            if switch.on:
                transport = getattr(connection, "transport", None)
                setattr(self, _REMOTE, None if transport is None else transport.get_extra_info("peername"))
            return await original(self, connection)

        return start

    return replace(aiohttp.ClientResponse, "start", make)


@cache
def _note_remotes_for_good() -> None:
    """For sessions that are traced one by one."""
    _note_remotes()


def trace_config(**options: Unpack[HttpOptions]) -> aiohttp.TraceConfig:
    """For `aiohttp.ClientSession(trace_configs=[…])`. Raises ValueError for an unknown convention."""
    tracing = _ClientTracing(Tracer(SpanKind.CLIENT, scope="clew.aiohttp", **options))
    _note_remotes_for_good()
    return tracing.config()


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every application and every session that is made from now on; returns an undo function."""
    server = Tracer(SpanKind.SERVER, scope="clew.aiohttp", tracer_provider=tracer_provider, **options)
    client = _ClientTracing(Tracer(SpanKind.CLIENT, scope="clew.aiohttp", tracer_provider=tracer_provider, **options))

    def make_application(original: Callable[..., None], switch: Switch) -> Callable[..., None]:
        @web.middleware
        async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await (_answer(server, request, handler) if switch.on else handler(request))

        def __init__(self: web.Application, *args: Any, middlewares: Any = (), **kwargs: Any) -> None:
            if switch.on and isinstance(middlewares, Iterable):
                middlewares = [traced, *middlewares]
            original(self, *args, middlewares=middlewares, **kwargs)

        return __init__

    def make_session(original: Callable[..., None], switch: Switch) -> Callable[..., None]:
        def __init__(self: aiohttp.ClientSession, *args: Any, trace_configs: Any = None, **kwargs: Any) -> None:
            # What is no list is left to aiohttp, which refuses it.
            if switch.on and (not trace_configs or isinstance(trace_configs, (list, tuple))):
                given = list(trace_configs or ())
                if not any(hasattr(one, _OURS) for one in given):
                    trace_configs = [*given, client.config()]
            original(self, *args, trace_configs=trace_configs, **kwargs)

        return __init__

    undos = [
        replace(web.Application, "__init__", make_application),
        replace(aiohttp.ClientSession, "__init__", make_session),
        _note_remotes(),
    ]

    def undo() -> None:
        client.is_on = False
        for one in undos:
            one()

    return undo
