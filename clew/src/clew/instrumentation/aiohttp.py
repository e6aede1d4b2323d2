"""aiohttp: a SERVER span for each request a web application answers, a CLIENT span for each a session sends.

app = web.Application(middlewares=[clew.aiohttp.middleware()])
session = aiohttp.ClientSession(trace_configs=[clew.aiohttp.trace_config()])
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Unpack

import aiohttp
from aiohttp import web
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue
from yarl import URL

from clew import guard, semconv
from clew.instrumentation import _http
from clew.instrumentation._http import RequestTransport
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import http_method_attributes, http_outcome, http_span_name, redacted
from clew.tracing.options import HttpOptions
from clew.tracing.outcome import client_has_left
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, server_transport

OPTIONS: Final = _http.OPTIONS
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Newer versions warn of plain names.
_MARK: Final[Any] = web.RequestKey("clew.traced", bool) if hasattr(web, "RequestKey") else "clew.traced"
#: On a trace configuration of ours.
_OURS: Final = "_clew_ours"


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


class ServerTransport:
    """A request that a web application answers, as a call."""

    __slots__ = ("carrier", "method", "operation", "reply_carrier", "request", "route")

    kind: Final = "http"
    component: Final = "HTTP"

    def __init__(self, request: web.Request) -> None:
        self.request: Final = request
        self.carrier: Final = MultiDictCarrier(request.headers)
        self.reply_carrier: MultiDictCarrier | None = None
        self.method: Final = request.method
        resource = request.match_info.route.resource
        self.route: Final = None if resource is None else resource.canonical
        # The route is known when middleware runs.
        self.operation: Final = http_span_name(request.method, self.route)

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
        attributes = http_method_attributes(self.method)
        attributes[semconv.URL_SCHEME] = request.scheme
        attributes[semconv.URL_PATH] = request.path
        if request.query_string:
            attributes[semconv.URL_QUERY] = redacted(request.rel_url.raw_query_string)
        if self.route is not None:
            attributes[semconv.HTTP_ROUTE] = self.route
        attributes[semconv.NETWORK_PROTOCOL_VERSION] = f"{request.version.major}.{request.version.minor}"
        host = request.host.rpartition("@")[2]  # user and password have no place there, and yet are sent
        name, colon, port = host.rpartition(":")
        if not (colon and port.isdecimal()):
            name, port = host, ""
        attributes[semconv.SERVER_ADDRESS] = name.strip("[]")
        number = int(port) if port else _http.DEFAULT_PORTS.get(request.scheme)
        if number is not None:
            attributes[semconv.SERVER_PORT] = number
        if request.remote:
            attributes[semconv.CLIENT_ADDRESS] = request.remote
        agent = request.headers.get("user-agent")
        if agent:
            attributes[semconv.USER_AGENT_ORIGINAL] = agent
        return attributes


def middleware(**options: Unpack[HttpOptions]) -> Any:
    """Middleware for `web.Application(middlewares=[…])`, to be the first. Raises ValueError for an unknown convention."""
    tracer = Tracer(SpanKind.SERVER, **options)

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await _answer(tracer, request, handler)

    return traced


async def _answer(tracer: Tracer, request: web.Request, handler: Handler) -> web.StreamResponse:
    if _MARK in request:
        return await handler(request)
    try:
        call = ServerTransport(request)
        request[_MARK] = True
    except Exception as failure:
        guard.swallow("reading a request of aiohttp", failure)
        return await handler(request)
    span, context = tracer.begin(call.operation, call.carrier, call)
    transport_token = server_transport.set(call)
    token = attach(context)
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        # An answer like any other, which aiohttp has people raise.
        tracer.end(span, reply=_outcome(tracer, call, answer), transport=call)
        raise
    except BaseException as error:
        # What aiohttp answers for it, unless there is nobody left to be answered.
        answers = isinstance(error, Exception) and not client_has_left(error)
        outcome = Outcome({semconv.HTTP_RESPONSE_STATUS_CODE: 500}, code=500) if answers else None
        tracer.end(span, reply=outcome, error=error, transport=call)
        raise
    finally:
        detach(token)
        server_transport.reset(transport_token)
    tracer.end(span, reply=_outcome(tracer, call, response), transport=call)
    return response


def _outcome(tracer: Tracer, call: ServerTransport, response: Any) -> Outcome | None:
    try:
        status: int = response.status
        if tracer.wants_reply_headers:
            call.reply_carrier = MultiDictCarrier(response.headers)
        return Outcome(
            {semconv.HTTP_RESPONSE_STATUS_CODE: status},
            str(status) if status >= 500 else None,
            None,
            status,
            reply=response,
        )
    except Exception as failure:
        guard.swallow("reading a response of aiohttp", failure)
        return None


# -- client -------------------------------------------------------------------------------------------------------------


class _Exchange:
    """The request of a session that is under way, and how often it was redirected."""

    __slots__ = ("call", "resend_count", "span")

    def __init__(self, trace_request_ctx: object = None) -> None:
        self.call: RequestTransport | None = None
        self.span: Span | None = None
        self.resend_count = 0


class _ClientTracing:
    """The signals of a session."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.is_on = True

    def config(self) -> aiohttp.TraceConfig:
        """A configuration of these signals."""
        factory: Any = _Exchange
        made: Any = aiohttp.TraceConfig(trace_config_ctx_factory=factory)
        made.on_request_start.append(self._started)
        made.on_request_redirect.append(self._redirected)
        made.on_request_end.append(self._ended)
        made.on_request_exception.append(self._failed)
        setattr(made, _OURS, True)
        return made  # type: ignore[no-any-return]

    async def _started(self, session: Any, exchange: _Exchange, about: Any) -> None:
        self._begin(exchange, about.method, about.url, about.headers)

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
            exchange.call = call
            exchange.span = self._tracer.begin(call.operation, call.carrier, call)[0]
        except Exception as failure:
            guard.swallow("reading a request of aiohttp", failure)

    def _end(self, exchange: _Exchange, response: Any, error: BaseException | None) -> None:
        call, span = exchange.call, exchange.span
        exchange.call = exchange.span = None
        if call is None or span is None:
            return
        outcome: Outcome | None = None
        try:
            if response is not None:
                outcome = call.outcome(response, error)
                if self._tracer.wants_reply_headers:
                    call.reply_carrier = MultiDictCarrier(response.headers)
            elif isinstance(error, aiohttp.ClientResponseError) and error.status:
                # `raise_for_status=True`: there was a response, of which the exception keeps the status.
                outcome = http_outcome(error.status, server=False)
        except Exception as failure:
            guard.swallow("reading a response of aiohttp", failure)
        self._tracer.end(span, reply=outcome, error=error, transport=call)


def trace_config(**options: Unpack[HttpOptions]) -> aiohttp.TraceConfig:
    """For `aiohttp.ClientSession(trace_configs=[…])`. Raises ValueError for an unknown convention."""
    return _ClientTracing(Tracer(SpanKind.CLIENT, **options)).config()


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every application and every session that is made from now on; returns the way back."""
    server = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, **options)
    client = _ClientTracing(Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider, **options))

    def make_application(original: Callable[..., None], switch: Switch) -> Callable[..., None]:
        @web.middleware
        async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await (_answer(server, request, handler) if switch.on else handler(request))

        def __init__(self: web.Application, *args: Any, middlewares: Any = (), **kwargs: Any) -> None:
            original(self, *args, middlewares=[traced, *middlewares] if switch.on else middlewares, **kwargs)

        return __init__

    def make_session(original: Callable[..., None], switch: Switch) -> Callable[..., None]:
        def __init__(self: aiohttp.ClientSession, *args: Any, trace_configs: Any = None, **kwargs: Any) -> None:
            given = list(trace_configs or ())
            if switch.on and not any(hasattr(one, _OURS) for one in given):
                given.append(client.config())
            original(self, *args, trace_configs=given or None, **kwargs)

        return __init__

    undos = [
        replace(web.Application, "__init__", make_application),
        replace(aiohttp.ClientSession, "__init__", make_session),
    ]

    def undo() -> None:
        client.is_on = False
        for one in undos:
            one()

    return undo
