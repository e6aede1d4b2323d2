"""httpx: a CLIENT span for each request a transport sends; a redirect followed is a request of its own.

The span ends when the response's headers are there, as OpenTelemetry's conventions advise where an
application may leave a body unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Final

import httpx
from opentelemetry.context import attach, detach
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from clew.carriers import HttpxCarrier
from clew.tracing.attributes import http_client_attributes, http_outcome, http_span_name
from clew.tracing.tracer import Conventions, Tracer
from clew.transport import Peer, client_transport

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: In a request's extensions while a transport of ours sends it, so that no other traces it again.
MARK: Final = "clew.traced"


class HttpxTransport:
    """An httpx request as a call."""

    __slots__ = ("carrier", "method", "operation", "request")

    kind: Final = "http"
    component: Final = "HTTP"
    reply_carrier: Final = None

    def __init__(self, request: httpx.Request) -> None:
        self.request: Final = request
        self.carrier: Final = HttpxCarrier(request.headers)
        self.method: Final = request.method
        self.operation: Final = http_span_name(request.method, None)

    @property
    def peer(self) -> Peer | None:
        """The host asked for."""
        url = self.request.url
        return url.host, url.port or _DEFAULT_PORTS.get(url.scheme, 0)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP client."""
        url = self.request.url
        host, port = url.host, url.port or _DEFAULT_PORTS.get(url.scheme)
        shown = str(url.copy_with(userinfo=b"")) if url.userinfo else str(url)
        return http_client_attributes(self.method, shown, host, port)


class TracingTransport(httpx.BaseTransport):
    """Traces what another transport sends; an `httpx.HTTPTransport()` unless one is given."""

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Conventions = ("otel",),
    ) -> None:
        """Further arguments as `clew.client`; raises ValueError for an unknown convention."""
        self._transport = httpx.HTTPTransport() if transport is None else transport
        self._tracer = Tracer(
            SpanKind.CLIENT, tracer_provider=tracer_provider, propagator=propagator, conventions=conventions
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if MARK in request.extensions:
            return self._transport.handle_request(request)
        tracer = self._tracer
        call = HttpxTransport(request)
        span, context = tracer.begin(call.operation, call.carrier, call)
        request.extensions[MARK] = True
        transport_token = client_transport.set(call)
        token = attach(context)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            tracer.end(span, error=error)
            raise
        finally:
            detach(token)
            client_transport.reset(transport_token)
            request.extensions.pop(MARK, None)
        tracer.end(span, reply=http_outcome(response.status_code, server=False))
        return response

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()

    def __enter__(self) -> TracingTransport:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """The same for an `httpx.AsyncClient`; an `httpx.AsyncHTTPTransport()` unless one is given."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Conventions = ("otel",),
    ) -> None:
        """Further arguments as `clew.client`; raises ValueError for an unknown convention."""
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport
        self._tracer = Tracer(
            SpanKind.CLIENT, tracer_provider=tracer_provider, propagator=propagator, conventions=conventions
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if MARK in request.extensions:
            return await self._transport.handle_async_request(request)
        tracer = self._tracer
        call = HttpxTransport(request)
        span, context = tracer.begin(call.operation, call.carrier, call)
        request.extensions[MARK] = True
        transport_token = client_transport.set(call)
        token = attach(context)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            tracer.end(span, error=error)
            raise
        finally:
            detach(token)
            client_transport.reset(transport_token)
            request.extensions.pop(MARK, None)
        tracer.end(span, reply=http_outcome(response.status_code, server=False))
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()

    async def __aenter__(self) -> AsyncTracingTransport:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)
