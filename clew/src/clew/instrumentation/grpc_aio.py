"""grpc.aio: a SERVER span for each call answered, a CLIENT span for each call made, in all four arities.

A server's span ends with its handler, a streaming one's with its last message; a client's when the call's
status is there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Unpack

import grpc
from grpc import aio
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, TracerProvider

from clew import guard
from clew.instrumentation._grpc import (
    OK,
    GrpcTransport,
    NoMessage,
    Replies,
    cancelled_outcome,
    code_number,
    given_up_outcome,
    method_name,
    peer_from_text,
    received_call,
    sent_call,
    status_given,
    text_of,
)
from clew.instrumentation._patching import Switch, Undo, bind, replace
from clew.tracing.attributes import grpc_outcome
from clew.tracing.options import TracerOptions
from clew.tracing.outcome import is_cancellation
from clew.tracing.streams import traced_async_stream
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, client_transport, server_transport

# How what grpc.aio says of calls begins that this side has given up; the other side may have cancelled them, too.
_CANCELLED_HERE: Final = ("Locally cancelled", "Cancelled upon garbage")


# The server


def server_interceptor(**options: Unpack[TracerOptions]) -> aio.ServerInterceptor:
    """For `grpc.aio.server(interceptors=[…])`; best as the first of them. Options as `TracerOptions` says."""
    return _ServerInterceptor(Tracer(SpanKind.SERVER, scope="clew.grpc", **options))


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
    answer = _Answer(tracer, behaviour, method_name(details.method), details.invocation_metadata, streams_requests)
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

    def _begin(self, request: Any, context: Any) -> tuple[Span, Context, GrpcTransport] | None:
        transport = received_call(self._method, self._metadata, context)
        if transport is None:
            return None
        span, current = self._tracer.begin(transport.operation, transport.carrier, transport)
        if not self._streams_requests:
            self._tracer.received(span, request)
        return span, current, transport

    def _end(
        self, span: Span, transport: GrpcTransport, context: Any, reply: object, error: BaseException | None
    ) -> None:
        outcome: Outcome | None = None
        try:
            if span.is_recording():
                if isinstance(error, aio.AbortError):
                    # How a handler says a status, and no failure of its own.
                    error = None
                code = code_number(context.code())
                if error is not None and is_cancellation(error):
                    # `abort` is cancelled where the caller has its status and leaves before the handler has ended.
                    outcome = None if code else given_up_outcome(context.time_remaining())
                    error = None
                if outcome is None:
                    outcome, error = status_given(code, context.details(), reply, error)
        except Exception as failure:
            guard.swallow("reading a gRPC status", failure)
        self._tracer.end(span, reply=outcome, error=error, transport=transport)

    def _failed(self, span: Span, transport: GrpcTransport, context: Any, request: Any, error: BaseException) -> None:
        if hasattr(request, "ByteSize"):
            self._tracer.replied(span, NoMessage)
        self._end(span, transport, context, None, error)

    async def coroutine(self, request: Any, context: Any) -> Any:
        begun = self._begin(request, context)
        if begun is None:
            return await self._behaviour(request, context)
        span, current, transport = begun
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            reply = await self._behaviour(request, context)
        except BaseException as error:
            self._failed(span, transport, context, request, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        self._end(span, transport, context, reply, None)
        return reply

    # The sync twin of `coroutine`, written by scripts/sync_twins.py.
    def _function(self, request: Any, context: Any) -> Any:
        begun = self._begin(request, context)
        if begun is None:
            return self._behaviour(request, context)
        span, current, transport = begun
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            reply = self._behaviour(request, context)
        except BaseException as error:
            self._failed(span, transport, context, request, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        self._end(span, transport, context, reply, None)
        return reply

    def function(self, request: Any, context: Any) -> Any:
        return self._function(request, _ThreadContext(context))

    async def async_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        stream = self._behaviour(request, context)
        begun = self._begin(request, context)
        if begun is not None:
            span, current, transport = begun
            stream = traced_async_stream(
                _Steps(stream, transport),
                current,
                lambda error: self._end(span, transport, context, None, error),
            )
        try:
            async for message in stream:
                yield message
        finally:
            await stream.aclose()

    def stream(self, request: Any, context: Any) -> Iterator[Any]:
        context = _ThreadContext(context)
        begun = self._begin(request, context)
        if begun is None:
            yield from self._behaviour(request, context)
            return
        span, current, transport = begun
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            replies = self._behaviour(request, context)
        except BaseException as error:
            self._end(span, transport, context, None, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        yield from Replies(
            replies,
            current,
            server_transport,
            transport,
            lambda error: self._end(span, transport, context, None, error),
        )


class _Steps:
    """A generator of replies in which the call is the one being answered."""

    __slots__ = ("_stream", "_transport")

    def __init__(self, stream: AsyncGenerator[Any, None], transport: GrpcTransport) -> None:
        self._stream = stream
        self._transport = transport

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        token = server_transport.set(self._transport)
        try:
            return await anext(self._stream)
        finally:
            server_transport.reset(token)

    async def aclose(self) -> None:
        token = server_transport.set(self._transport)
        try:
            await self._stream.aclose()
        finally:
            server_transport.reset(token)


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


# The client


def client_interceptor(*, target: str | None = None, **options: Unpack[TracerOptions]) -> list[aio.ClientInterceptor]:
    """For `grpc.aio.insecure_channel(target, interceptors=clew.grpc.aio.client_interceptor())`.

    A list of four, as grpc.aio takes one interceptor for each arity; put others beside them with `[*…, other]`.
    `target` is the channel's, which interceptors are not told; with it spans say which server they asked.
    Options as `TracerOptions` says.
    """
    tracer = Tracer(SpanKind.CLIENT, scope="clew.grpc", **options)
    peer = None if target is None else peer_from_text(target)
    return [kind(tracer, peer) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _ClientInterceptor:
    def __init__(self, tracer: Tracer, peer: Peer | None) -> None:
        self._tracer = tracer
        self._peer = peer

    async def _call(
        self, continuation: Any, details: Any, request: Any, *, streams_requests: bool, streams_replies: bool
    ) -> Any:
        transport = sent_call(method_name(details.method), details.metadata, self._peer)
        if transport is None:
            return await continuation(details, request)
        carrier: Any = transport.carrier
        before = carrier.pairs
        tracer = self._tracer
        span, context = tracer.begin(transport.operation, carrier, transport)
        if not streams_requests:
            tracer.received(span, request)
        if carrier.pairs is not before:
            details = details._replace(metadata=aio.Metadata(*carrier.pairs))
        transport_token = client_transport.set(transport)
        token = attach(context)
        try:
            call = await continuation(details, request)
        except BaseException as error:
            tracer.end(span, error=error, transport=transport)
            raise
        finally:
            detach(token)
            client_transport.reset(transport_token)
            transport.is_over = True
        try:
            if not streams_replies and hasattr(request, "ByteSize"):
                # Of a reply that never comes; one that does comes later, with its own.
                tracer.replied(span, NoMessage)
            call.add_done_callback(functools.partial(_done, tracer, span, transport, streams_replies))
        except Exception as failure:
            guard.swallow("waiting for a gRPC call", failure)
            tracer.end(span, transport=transport)
        return call


def _done(tracer: Tracer, span: Span, transport: GrpcTransport, streams_replies: bool, call: Any) -> None:
    outcome: Outcome | None = None
    error: BaseException | None = None
    try:
        if span.is_recording():
            status = _settled(call.code())
            code = code_number(status) or OK
            details = text_of(_settled(call.details())) if code else None
            if call.cancelled() and (details is None or details.startswith(_CANCELLED_HERE)):
                outcome = cancelled_outcome()
            elif code:
                outcome = grpc_outcome(code, details, server=False)
                # The application gets its own, later; this one has the same type and text.
                error = aio.AioRpcError(status, aio.Metadata(), aio.Metadata(), details=details)
            elif not streams_replies:
                # The status is there before the reply, which is a moment later, and still before the application's.
                asyncio.get_running_loop().call_soon(_replied, tracer, span, transport, call)
                return
            else:
                outcome = grpc_outcome(OK, None, server=False)
    except Exception as failure:
        guard.swallow("reading a gRPC status", failure)
    tracer.end(span, reply=outcome, error=error, transport=transport)


def _replied(tracer: Tracer, span: Span, transport: GrpcTransport, call: Any) -> None:
    outcome: Outcome | None = None
    try:
        outcome = grpc_outcome(OK, None, server=False, reply=_settled(call.__await__()))
    except Exception as failure:
        guard.swallow("reading a gRPC reply", failure)
    tracer.end(span, reply=outcome, transport=transport)


def _settled(awaitable: Any) -> Any:
    """The result of a coroutine or generator that has nothing left to wait for; None if it has."""
    try:
        awaitable.send(None)
    except StopIteration as stop:
        return stop.value
    awaitable.close()
    return None


class _UnaryUnary(_ClientInterceptor, aio.UnaryUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(
            continuation, client_call_details, request, streams_requests=False, streams_replies=False
        )


class _UnaryStream(_ClientInterceptor, aio.UnaryStreamClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(
            continuation, client_call_details, request, streams_requests=False, streams_replies=True
        )


class _StreamUnary(_ClientInterceptor, aio.StreamUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(
            continuation, client_call_details, request_iterator, streams_requests=True, streams_replies=False
        )


class _StreamStream(_ClientInterceptor, aio.StreamStreamClientInterceptor):  # type: ignore[misc,unused-ignore]
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(
            continuation, client_call_details, request_iterator, streams_requests=True, streams_replies=True
        )


# instrument()


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Give every server and channel made from now on our interceptors, unless it has them; returns an undo function."""
    chosen: TracerOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    on_server = server_interceptor(**chosen)

    def make_server(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def server(*args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(*args, **kwargs)
            bound = bind(original, args, kwargs)
            if bound is None:
                return original(*args, **kwargs)
            given = list(bound.arguments.get("interceptors") or ())
            if not any(isinstance(one, _ServerInterceptor) for one in given):
                bound.arguments["interceptors"] = [on_server, *given]
            return original(*bound.args, **bound.kwargs)

        return server

    def make_channel(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def channel(*args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(*args, **kwargs)
            bound = bind(original, args, kwargs)
            if bound is None:
                return original(*args, **kwargs)
            given = list(bound.arguments.get("interceptors") or ())
            if not any(isinstance(one, _ClientInterceptor) for one in given):
                ours = client_interceptor(target=bound.arguments["target"], **chosen)
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
