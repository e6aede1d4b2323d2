"""gRPC, sync: a SERVER span for each call answered, a CLIENT span for each call made, in all four arities.

    server = grpc.server(pool, interceptors=[clew.grpc.server_interceptor()])
    channel = grpc.intercept_channel(channel, clew.grpc.client_interceptor())

A server's span ends with its handler, a streaming one's with its last message; a client's when the call's status is
there, which for a stream of replies is after the last was read, or when the call object is garbage collected. `clew.grpc.aio`
is `clew.instrumentation.grpc_aio`, loaded when asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import grpc
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, TracerProvider

from clew import guard
from clew.instrumentation._grpc import (
    OK,
    UNKNOWN,
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
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome, Peer, client_transport, server_transport

if TYPE_CHECKING:
    from clew.instrumentation import grpc_aio as aio

__all__ = ["aio", "client_interceptor", "patch", "server_interceptor"]


def __getattr__(name: str) -> Any:
    if name == "aio":
        from clew.instrumentation import grpc_aio

        globals()["aio"] = grpc_aio
        return grpc_aio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# The server


def server_interceptor(**options: Unpack[TracerOptions]) -> grpc.ServerInterceptor:
    """For `grpc.server(pool, interceptors=[…])`; best as the first of them. Options as `TracerOptions` says.

    A call that no handler is there for, or that is refused because too many are being answered, has no span.
    """
    return _ServerInterceptor(Tracer(SpanKind.SERVER, scope="clew.grpc", **options))


class _ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        try:
            return _traced_handler(self._tracer, handler, handler_call_details)
        except Exception as failure:
            guard.swallow("wrapping a gRPC handler", failure)
            return handler


def _traced_handler(tracer: Tracer, handler: Any, details: Any) -> Any:
    streams_requests = handler.request_streaming
    if handler.response_streaming:
        behaviour = handler.stream_stream if streams_requests else handler.unary_stream
        make: Any = grpc.stream_stream_rpc_method_handler if streams_requests else grpc.unary_stream_rpc_method_handler
        wrap = _streaming
    else:
        behaviour = handler.stream_unary if streams_requests else handler.unary_unary
        make = grpc.stream_unary_rpc_method_handler if streams_requests else grpc.unary_unary_rpc_method_handler
        wrap = _unary
    if getattr(behaviour, "experimental_non_blocking", False):
        # Called with a third argument, and done at some time after it has returned.
        return handler
    answer: Any = wrap(tracer, behaviour, method_name(details.method), details.invocation_metadata, streams_requests)
    pool = getattr(behaviour, "experimental_thread_pool", None)
    if pool is not None:
        answer.experimental_thread_pool = pool
    return make(answer, handler.request_deserializer, handler.response_serializer)


def _unary(
    tracer: Tracer, behaviour: Callable[..., Any], method: str, metadata: Any, streams_requests: bool
) -> Callable[..., Any]:
    def answer(request: Any, context: Any) -> Any:
        transport = received_call(method, metadata, context)
        if transport is None:
            return behaviour(request, context)
        span, current = tracer.begin(transport.operation, transport.carrier, transport)
        if not streams_requests:
            tracer.received(span, request)
        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            reply = behaviour(request, context)
        except BaseException as error:
            if hasattr(request, "ByteSize"):
                tracer.replied(span, NoMessage)
            _answered(tracer, span, transport, context, None, error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        _answered(tracer, span, transport, context, reply, None)
        return reply

    return answer


def _streaming(
    tracer: Tracer, behaviour: Callable[..., Any], method: str, metadata: Any, streams_requests: bool
) -> Callable[..., Any]:
    def answer(request: Any, context: Any) -> Any:
        transport = received_call(method, metadata, context)
        if transport is None:
            return behaviour(request, context)
        span, current = tracer.begin(transport.operation, transport.carrier, transport)
        if not streams_requests:
            tracer.received(span, request)

        def finish(error: BaseException | None) -> None:
            _answered(tracer, span, transport, context, None, error)

        transport_token = server_transport.set(transport)
        token = attach(current)
        try:
            replies = behaviour(request, context)
        except BaseException as error:
            finish(error)
            raise
        finally:
            detach(token)
            server_transport.reset(transport_token)
        return Replies(replies, current, server_transport, transport, finish)

    return answer


def _answered(
    tracer: Tracer,
    span: Span,
    transport: Call,
    context: Any,
    reply: object,
    error: BaseException | None,
) -> None:
    outcome: Outcome | None = None
    try:
        if span.is_recording():
            code = code_number(context.code())
            if type(error) is grpc.RpcError or (type(error) is Exception and code and not error.args):
                # The first is what gRPC raises in a handler whose caller is gone, the second how `abort` leaves one:
                # no failures of its own.
                error = None
            if (error is None or is_cancellation(error)) and not context.is_active():
                # The status is read no more: the caller has cancelled, is disconnected, or its deadline has passed.
                outcome, error = given_up_outcome(context.time_remaining()), None
            else:
                outcome, error = status_given(code, context.details(), reply, error)
    except Exception as failure:
        guard.swallow("reading a gRPC status", failure)
    tracer.end(span, reply=outcome, error=error, transport=transport)


# The client


def client_interceptor(*, target: str | None = None, **options: Unpack[TracerOptions]) -> Any:
    """For `grpc.intercept_channel(channel, clew.grpc.client_interceptor())`, for calls of all four arities.

    `target` is the channel's, which interceptors are not told; with it spans say which server they asked. Options as
    `TracerOptions` says.
    """
    return _ClientInterceptor(
        Tracer(SpanKind.CLIENT, scope="clew.grpc", **options), None if target is None else peer_from_text(target)
    )


class _ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc,unused-ignore]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc,unused-ignore]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc,unused-ignore]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc,unused-ignore]
):
    def __init__(self, tracer: Tracer, peer: Peer | None) -> None:
        self._tracer = tracer
        self._peer = peer

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._call(continuation, client_call_details, request, False, False)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._call(continuation, client_call_details, request, False, True)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return self._call(continuation, client_call_details, request_iterator, True, False)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return self._call(continuation, client_call_details, request_iterator, True, True)

    def _call(
        self, continuation: Any, details: Any, request: Any, streams_requests: bool, streams_replies: bool
    ) -> Any:
        method = method_name(details.method)
        around = client_transport.get()
        if isinstance(around, GrpcTransport) and around.method == method:
            # The same call: `instrument()` has given the channel an interceptor, and so has the application.
            return continuation(details, request)
        tracer = self._tracer
        given = details.metadata
        transport = sent_call(method, given, self._peer)
        if transport is None:
            return continuation(details, request)
        carrier: Any = transport.carrier
        before = carrier.pairs
        span, current = tracer.begin(transport.operation, carrier, transport)
        if not streams_requests:
            tracer.received(span, request)
        if carrier.pairs is not before or not (given is None or isinstance(given, (list, tuple))):
            # An iterator can be read only once, and has been.
            details = _with_metadata(details, carrier.pairs)
        transport_token = client_transport.set(transport)
        token = attach(current)
        try:
            call = continuation(details, request)
        except BaseException as error:
            tracer.end(span, error=error, transport=transport)
            raise
        finally:
            detach(token)
            client_transport.reset(transport_token)
            transport.is_over = True
        try:
            return _watched(tracer, span, transport, current, call, request, streams_replies)
        except Exception as failure:
            guard.swallow("waiting for a gRPC call", failure)
            tracer.end(span, transport=transport)
            return call


def _with_metadata(details: Any, pairs: list[Any]) -> Any:
    """The details with other metadata, of the kind they had: other interceptors add to it in their own ways."""
    metadata = pairs if isinstance(details.metadata, list) else tuple(pairs)
    renewed = getattr(details, "_replace", None)
    return _Details(details, metadata) if renewed is None else renewed(metadata=metadata)


class _Details(grpc.ClientCallDetails):  # type: ignore[misc,unused-ignore]
    """The details that another interceptor made in its own way, with other metadata."""

    def __init__(self, original: Any, metadata: Any) -> None:
        self._original = original
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def _watched(
    tracer: Tracer,
    span: Span,
    transport: GrpcTransport,
    current: Context,
    call: Any,
    request: Any,
    streams_replies: bool,
) -> Any:
    """The call, or what stands for it, whose end is the span's."""
    if not span.is_recording():
        span.end()
        return call
    if not streams_replies and hasattr(request, "ByteSize"):
        # Of a reply that never comes; one that does comes later, with its own.
        tracer.replied(span, NoMessage)
    if not streams_replies and (done := getattr(call, "done", None)) is not None and done():
        _done(tracer, span, transport, call)
    elif hasattr(call, "add_callback") and hasattr(call, "_state"):
        _Pending(tracer, span, transport, call)
    elif hasattr(call, "add_done_callback"):
        call.add_done_callback(lambda call: _done(tracer, span, transport, call))
    elif hasattr(call, "__next__"):
        # A generator of another interceptor.
        return Replies(
            call,
            current,
            client_transport,
            transport,
            lambda error: _asked(tracer, span, transport, None, error),
        )
    else:
        tracer.end(span, reply=call, transport=transport)
    return call


def _done(tracer: Tracer, span: Span, transport: Call, call: Any) -> None:
    """Read a call that is over; of a unary one the reply, too."""
    outcome: Outcome | None = None
    error: BaseException | None = None
    try:
        if call.cancelled():
            outcome = cancelled_outcome()
        else:
            error = call.exception()
            if error is None:
                outcome = grpc_outcome(OK, None, server=False, reply=call.result())
    except Exception as failure:
        guard.swallow("reading a gRPC status", failure)
    if outcome is None:
        _asked(tracer, span, transport, None, error)
    else:
        tracer.end(span, reply=outcome, transport=transport)


def _asked(tracer: Tracer, span: Span, transport: Call, reply: object, error: BaseException | None) -> None:
    outcome: Outcome | None = None
    try:
        if error is None:
            outcome = grpc_outcome(OK, None, server=False, reply=reply)
        elif isinstance(error, grpc.RpcError) and (code := getattr(error, "code", None)) is not None:
            outcome = grpc_outcome(
                code_number(code()) or UNKNOWN, text_of(getattr(error, "details", _nothing)()), server=False
            )
    except Exception as failure:
        guard.swallow("reading a gRPC status", failure)
    tracer.end(span, reply=outcome, error=error, transport=transport)


def _nothing() -> None:
    return


class _Pending:
    """Ends a span when its call ends, whose reply or replies are still to come.

    gRPC cancels a call that has no references left, so this keeps none, as `add_done_callback` would. It keeps the
    call's state only, which says how the call ended.
    """

    __slots__ = ("_call", "_open", "_span", "_state", "_tracer", "_transport")

    def __init__(self, tracer: Tracer, span: Span, transport: Call, call: Any) -> None:
        self._tracer = tracer
        self._span = span
        self._transport = transport
        self._state = call._state
        # The caller that removes it ends the span.
        self._open = [True]
        self._call: weakref.ref[Any] | None = weakref.ref(call, self._dropped)
        if not call.add_callback(self._ended):
            self._ended()

    def _dropped(self, _: object) -> None:
        self._ended()

    def _ended(self) -> None:
        try:
            self._open.pop()
        except IndexError:
            return
        reference, self._call = self._call, None
        outcome: Outcome | None = None
        error: BaseException | None = None
        try:
            state = self._state
            if state.cancelled or state.code is None:
                outcome = cancelled_outcome()
            else:
                code = code_number(state.code) or OK
                outcome = grpc_outcome(
                    code, text_of(state.details) if code else None, server=False, reply=state.response
                )
                if code and reference is not None:
                    # What the application gets raised is the call itself.
                    error = reference()
        except Exception as failure:
            guard.swallow("reading a gRPC status", failure)
        self._tracer.end(self._span, reply=outcome, error=error, transport=self._transport)


# instrument()


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Give every server and channel made from now on our interceptor, unless it has it; returns an undo function."""
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
            made = original(*args, **kwargs)
            if not switch.on:
                return made
            target = args[0] if args else kwargs.get("target")
            return grpc.intercept_channel(made, client_interceptor(target=target, **chosen))

        return channel

    undos = [
        replace(grpc, "server", make_server),
        replace(grpc, "insecure_channel", make_channel),
        replace(grpc, "secure_channel", make_channel),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo
