"""httpx and httpx2: a CLIENT span for each request a transport sends; a redirect that is followed has a span of its own.

Both have the same classes; each subclass sets the module.

The span ends when the response's headers are there, as OpenTelemetry's conventions advise where an
application may leave a body unread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Final, Self, Unpack

from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.carriers import HttpxCarrier
from clew.instrumentation._http import ASKS_AGAIN, DEFAULT_PORTS, network_attributes
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import http_client_attributes, http_outcome, http_span_name
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = HttpOptions
#: In a request's extensions while a transport of ours sends it, so that no other traces it again.
MARK: Final = "clew.traced"
#: In a request's extensions once its answer asked for another: how often it was sent.
SENT: Final = "clew.sent"


class HttpxTransport(Call):
    """A request of httpx as a call."""

    __slots__ = ("method", "request", "resend_count")

    kind: Final = "http"
    component: Final = "HTTP"

    def __init__(self, request: Any) -> None:
        self.request: Final = request
        self.carrier: Final = HttpxCarrier(request.headers)
        self.reply_carrier = None
        self.method: Final = request.method
        self.operation: Final = http_span_name(request.method, None)
        #: How often the same was asked for before.
        self.resend_count: Final[int] = request.extensions.get(SENT, 0)

    @property
    def path(self) -> str:
        """The path asked for, decoded, without the query."""
        path: str = self.request.url.path
        return path

    @property
    def url(self) -> str:
        """Whole, as it is."""
        return str(self.request.url)

    @property
    def peer(self) -> Peer | None:
        """The host asked for."""
        url = self.request.url
        return url.host, url.port or DEFAULT_PORTS.get(url.scheme, 0)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP client."""
        url = self.request.url
        port = url.port or DEFAULT_PORTS.get(url.scheme)
        attributes = http_client_attributes(self.method, str(url), url.host, port)
        if self.resend_count:
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = self.resend_count
        return attributes

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """How the request was answered."""
        if error is not None:
            return None
        self.reply_carrier = HttpxCarrier(reply.headers)
        if reply.status_code in ASKS_AGAIN:
            # A redirect's request takes the extensions over; for an authentication the same request is sent again.
            self.request.extensions[SENT] = self.resend_count + 1
        outcome = http_outcome(reply.status_code, server=False, reply=reply)
        known = network_attributes(reply.http_version, _remote_of(reply.extensions.get("network_stream")))
        return dataclasses.replace(outcome, attributes={**outcome.attributes, **known})


def _remote_of(stream: Any) -> object:
    """The other end of a connection; None where it has none, or has closed it already."""
    try:
        return None if stream is None else stream.get_extra_info("server_addr")
    except Exception:
        return None


# The sync twin of `_asend`, written by scripts/sync_twins.py.
def _send(tracer: Tracer, send: Callable[[Any], Any], request: Any) -> Any:
    extensions = getattr(request, "extensions", None)
    call = None
    if extensions is not None and MARK not in extensions:
        call = guard.attempt("reading a request of httpx", HttpxTransport, request)
    if call is None:
        return send(request)
    with tracer.scope(call) as scope:
        request.extensions[MARK] = True
        try:
            response = scope.reply = send(request)
        finally:
            request.extensions.pop(MARK, None)
    return response


async def _asend(tracer: Tracer, send: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    extensions = getattr(request, "extensions", None)
    call = None
    if extensions is not None and MARK not in extensions:
        call = guard.attempt("reading a request of httpx", HttpxTransport, request)
    if call is None:
        return await send(request)
    with tracer.scope(call) as scope:
        request.extensions[MARK] = True
        try:
            response = scope.reply = await send(request)
        finally:
            request.extensions.pop(MARK, None)
    return response


def _scope_of(transport: Any) -> str:
    return f"clew.{transport.__module__.partition('.')[0]}"


# The sync twin of `AsyncTracing`, written by scripts/sync_twins.py.
class Tracing:
    """Traces the requests of another transport; by default a new network transport."""

    #: What makes the transport that is used where none is given.
    plain: ClassVar[Callable[[], Any]]

    def __init__(self, transport: Any = None, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.client`; raises ValueError for an unknown convention."""
        self._transport = type(self).plain() if transport is None else transport
        self._tracer = Tracer(SpanKind.CLIENT, scope=_scope_of(type(self).plain), **options)

    def handle_request(self, request: Any) -> Any:
        """Send one request."""
        return _send(self._tracer, self._transport.handle_request, request)

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncTracing:
    """The same for an `AsyncClient`."""

    #: What makes the transport that is used where none is given.
    plain: ClassVar[Callable[[], Any]]

    def __init__(self, transport: Any = None, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.client`; raises ValueError for an unknown convention."""
        self._transport = type(self).plain() if transport is None else transport
        self._tracer = Tracer(SpanKind.CLIENT, scope=_scope_of(type(self).plain), **options)

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request."""
        return await _asend(self._tracer, self._transport.handle_async_request, request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)


def patch_module(module: ModuleType, tracer_provider: TracerProvider | None, options: dict[str, Any]) -> Undo:
    """Trace what the module's own network transports send, in clients already made too; returns the undo function."""

    tracer = Tracer(SpanKind.CLIENT, scope=f"clew.{module.__name__}", tracer_provider=tracer_provider, **options)

    # The sync twin of `make_async`, written by scripts/sync_twins.py.
    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def handle_request(self: Any, request: Any) -> Any:
            if not switch.on:
                return original(self, request)
            return _send(tracer, partial(original, self), request)

        return handle_request

    def make_async(original: Callable[..., Awaitable[Any]], switch: Switch) -> Callable[..., Awaitable[Any]]:
        async def handle_async_request(self: Any, request: Any) -> Any:
            if not switch.on:
                return await original(self, request)
            return await _asend(tracer, partial(original, self), request)

        return handle_async_request

    undo_sync = replace(module.HTTPTransport, "handle_request", make)
    undo_async = replace(module.AsyncHTTPTransport, "handle_async_request", make_async)

    def undo() -> None:
        undo_sync()
        undo_async()

    return undo
