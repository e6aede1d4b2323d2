"""grpc.aio: a SERVER span for each call answered, a CLIENT span for each call made, in all four arities.

A server's span ends with its handler, a streaming one's with its last message; a client's when the call's
status is there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from grpc import aio
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.carriers import GrpcCarrier
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import grpc_outcome, rpc_attributes
from clew.tracing.options import Conventions
from clew.tracing.streams import traced_async_stream, traced_stream
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, client_transport, server_transport

_UNKNOWN: Final = 2


class GrpcTransport:
    """A gRPC call; `method` is its full name, `/package.Service/Method`."""

    __slots__ = ("_server", "carrier", "method", "operation", "peer")

    kind: Final = "grpc"
    component: Final = "gRPC"
    reply_carrier: Final = None

    def __init__(self, method: str, carrier: GrpcCarrier, peer: Peer | None, *, server: bool) -> None:
        self.method: Final = method
        self.operation: Final = method.lstrip("/")
        self.carrier: Final = carrier
        self.peer: Final = peer
        self._server = server

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an RPC."""
        host, port = self.peer or (None, None)
        if not self._server:
            return rpc_attributes("grpc", self.method, host, port)
        attributes = rpc_attributes("grpc", self.method, None, None)
        if host:
            attributes[semconv.CLIENT_ADDRESS] = host
            attributes[semconv.NETWORK_PEER_ADDRESS] = host
            if port:
                attributes[semconv.NETWORK_PEER_PORT] = port
        return attributes


def _peer_from_text(text: str) -> Peer | None:
    """Host and port from gRPC's `ipv4:127.0.0.1:50051`, `ipv6:%5B::1%5D:50051` or a target as `dns:///host:1`."""
    scheme, colon, rest = text.partition(":")
    if not colon:
        return (text, 0) if text else None
    if scheme in ("ipv4", "ipv6", "dns", "passthrough"):
        text = rest.rpartition("/")[2]
    elif scheme in ("unix", "unix-abstract"):
        return rest, 0
    host, colon, port = text.replace("%5B", "[").replace("%5D", "]").rpartition(":")
    if not colon or not port.isdecimal():
        return text.strip("[]"), 0
    return host.strip("[]"), int(port)


# The server


def server_interceptor(
    *,
    tracer_provider: TracerProvider | None = None,
    propagator: TextMapPropagator | None = None,
    conventions: Conventions = ("otel",),
) -> aio.ServerInterceptor:
    """For `grpc.aio.server(interceptors=[…])`. Arguments as `clew.server`."""
    return _ServerInterceptor(
        Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, propagator=propagator, conventions=conventions)
    )


class _ServerInterceptor(aio.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        try:
            return _traced_handler(self._tracer, handler, handler_call_details)
        except Exception as failure:
            guard.swallow("wrapping a gRPC handler", failure)
            return handler


def _traced_handler(tracer: Tracer, handler: Any, details: Any) -> Any:
    streams_requests, streams_replies = handler.request_streaming, handler.response_streaming
    if streams_requests:
        behaviour = handler.stream_stream if streams_replies else handler.stream_unary
        make: Any = grpc.stream_stream_rpc_method_handler if streams_replies else grpc.stream_unary_rpc_method_handler
    else:
        behaviour = handler.unary_stream if streams_replies else handler.unary_unary
        make = grpc.unary_stream_rpc_method_handler if streams_replies else grpc.unary_unary_rpc_method_handler
    method = details.method
    answer = _Answer(
        tracer,
        behaviour,
        method if isinstance(method, str) else method.decode(),
        details.invocation_metadata,
        streams_requests,
    )
    # gRPC tells handlers apart by what kind of function they are; so each keeps its kind.
    if inspect.isasyncgenfunction(behaviour):
        call: Any = answer.async_stream
    elif inspect.iscoroutinefunction(behaviour):
        call = answer.coroutine
    elif streams_replies:
        call = answer.stream
    else:
        call = answer.function
    return make(
        call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )


class _Answer:
    """One call being answered."""

    __slots__ = ("_behaviour", "_metadata", "_method", "_streams_requests", "_tracer")

    def __init__(self, tracer: Tracer, behaviour: Any, method: str, metadata: Any, streams_requests: bool) -> None:
        self._tracer = tracer
        self._behaviour = behaviour
        self._method = method
        self._metadata = metadata
        self._streams_requests = streams_requests

    def _begin(self, request: Any, context: Any) -> tuple[Span, Context, GrpcTransport]:
        peer: Peer | None = None
        try:
            peer = _peer_from_text(context.peer())
        except Exception as failure:
            guard.swallow("reading a gRPC peer", failure)
        transport = GrpcTransport(self._method, GrpcCarrier(self._metadata), peer, server=True)
        span, current = self._tracer.begin(transport.operation, transport.carrier, transport)
        if not self._streams_requests:
            self._tracer.received(span, request)
        return span, current, transport

    def _end(self, span: Span, context: Any, reply: object, error: BaseException | None) -> None:
        outcome: Outcome | None = None
        try:
            code = _number(context.code())
            if error is None or isinstance(error, aio.AbortError):
                # Aborting is how a handler says a status, and not a failure of its own.
                error = None
                outcome = grpc_outcome(code or 0, context.details(), server=True, reply=reply)
            elif isinstance(error, Exception):
                outcome = grpc_outcome(code or _UNKNOWN, None, server=True)
                outcome.error_type = None
        except Exception as failure:
            guard.swallow("reading a gRPC status", failure)
        self._tracer.end(span, reply=outcome, error=error)

    async def coroutine(self, request: Any, context: Any) -> Any:
        span, current, transport = self._begin(request, context)
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            reply = await self._behaviour(request, context)
        except BaseException as error:
            self._end(span, context, None, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        self._end(span, context, reply, None)
        return reply

    def function(self, request: Any, context: Any) -> Any:
        context = _ThreadContext(context)
        span, current, transport = self._begin(request, context)
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            reply = self._behaviour(request, context)
        except BaseException as error:
            self._end(span, context, None, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        self._end(span, context, reply, None)
        return reply

    async def async_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        span, current, _ = self._begin(request, context)
        stream = traced_async_stream(
            self._behaviour(request, context), current, lambda error: self._end(span, context, None, error)
        )
        try:
            async for message in stream:
                yield message
        finally:
            await stream.aclose()

    def stream(self, request: Any, context: Any) -> Iterator[Any]:
        context = _ThreadContext(context)
        span, current, _ = self._begin(request, context)
        yield from traced_stream(
            iter(self._behaviour(request, context)), current, lambda error: self._end(span, context, None, error)
        )


class _ThreadContext:
    """The context of a handler that runs in a thread, which cannot be asked for the status it was given."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None
        self._details = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        return self._code

    def details(self) -> str:
        return self._details

    def set_code(self, code: Any) -> None:
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        self._details = details
        self._context.set_details(details)

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> Any:
        self._code, self._details = code, details
        return self._context.abort(code, details, trailing_metadata)


def _number(code: Any) -> int | None:
    """gRPC has codes as enum members, as their numbers and as None for not set."""
    if code is None or isinstance(code, int):
        return code
    number: int = code.value[0]
    return number


# The client


def client_interceptor(
    *,
    tracer_provider: TracerProvider | None = None,
    propagator: TextMapPropagator | None = None,
    conventions: Conventions = ("otel",),
    target: str | None = None,
) -> list[aio.ClientInterceptor]:
    """For `grpc.aio.insecure_channel(target, interceptors=clew.grpc.aio.client_interceptor())`.

    A list of four, as grpc.aio takes one interceptor for each arity; put others beside them with `[*…, other]`.
    `target` is the channel's, which interceptors are not told; with it spans say which server they asked.
    Further arguments as `clew.client`.
    """
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider, propagator=propagator, conventions=conventions)
    peer = None if target is None else _peer_from_text(target)
    return [kind(tracer, peer) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _ClientInterceptor:
    def __init__(self, tracer: Tracer, peer: Peer | None) -> None:
        self._tracer = tracer
        self._peer = peer

    async def _call(self, continuation: Any, details: Any, request: Any, *, streams_requests: bool) -> Any:
        method = details.method
        transport = GrpcTransport(
            method.decode() if isinstance(method, bytes) else method,
            GrpcCarrier(details.metadata),
            self._peer,
            server=False,
        )
        tracer = self._tracer
        span, context = tracer.begin(transport.operation, transport.carrier, transport)
        if not streams_requests:
            tracer.received(span, request)
        details = details._replace(metadata=aio.Metadata(*transport.carrier.pairs))
        transport_token = client_transport.set(transport)
        token = attach(context)
        try:
            call = await continuation(details, request)
        except BaseException as error:
            tracer.end(span, error=error)
            raise
        finally:
            detach(token)
            client_transport.reset(transport_token)
        try:
            call.add_done_callback(functools.partial(_done, tracer, span))
        except Exception as failure:
            guard.swallow("waiting for a gRPC call", failure)
            tracer.end(span)
        return call


def _done(tracer: Tracer, span: Span, call: Any) -> None:
    outcome: Outcome | None = None
    error: BaseException | None = None
    try:
        if call.cancelled():
            outcome = Outcome(cancelled=True)
        else:
            status = _settled(call.code())
            code = 0 if status is None else status.value[0]
            details = _settled(call.details()) if code else None
            outcome = grpc_outcome(code, details, server=False)
            if code:
                # The application gets its own, later; this one has the same type and text.
                error = aio.AioRpcError(status, aio.Metadata(), aio.Metadata(), details=details)
    except Exception as failure:
        guard.swallow("reading a gRPC status", failure)
    tracer.end(span, reply=outcome, error=error)


def _settled(awaitable: Any) -> Any:
    """The result of a coroutine that has nothing left to wait for; None if it has."""
    try:
        awaitable.send(None)
    except StopIteration as stop:
        return stop.value
    awaitable.close()
    return None


class _UnaryUnary(_ClientInterceptor, aio.UnaryUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request, streams_requests=False)


class _UnaryStream(_ClientInterceptor, aio.UnaryStreamClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request, streams_requests=False)


class _StreamUnary(_ClientInterceptor, aio.StreamUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator, streams_requests=True)


class _StreamStream(_ClientInterceptor, aio.StreamStreamClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator, streams_requests=True)


# instrument()


def patch(tracer_provider: TracerProvider | None) -> Undo:
    """Give every server and channel made from now on our interceptors, unless it has them; returns the way back."""

    def make_server(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def server(*args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(*args, **kwargs)
            bound = inspect.signature(original).bind(*args, **kwargs)
            given = list(bound.arguments.get("interceptors") or ())
            if not any(isinstance(one, _ServerInterceptor) for one in given):
                bound.arguments["interceptors"] = [server_interceptor(tracer_provider=tracer_provider), *given]
            return original(*bound.args, **bound.kwargs)

        return server

    def make_channel(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def channel(*args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(*args, **kwargs)
            bound = inspect.signature(original).bind(*args, **kwargs)
            given = list(bound.arguments.get("interceptors") or ())
            if not any(isinstance(one, _ClientInterceptor) for one in given):
                ours = client_interceptor(tracer_provider=tracer_provider, target=bound.arguments["target"])
                bound.arguments["interceptors"] = [*ours, *given]
            return original(*bound.args, **bound.kwargs)

        return channel

    undos = [
        replace(aio, "server", make_server),
        replace(aio, "insecure_channel", make_channel),
        replace(aio, "secure_channel", make_channel),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo
