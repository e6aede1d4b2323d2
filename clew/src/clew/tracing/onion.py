"""The tracing middleware itself: one wrapper for each colour of handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span

from clew import guard
from clew.middleware import Handler, Middleware
from clew.tracing.streams import traced_async_stream, traced_stream
from clew.tracing.tracer import Tracer
from clew.transport import Transport


def traced(tracer: Tracer, current: ContextVar[Transport | None]) -> Middleware:
    """Middleware that traces the current transport's call with `tracer`."""

    def wrap(handler: Handler) -> Handler:
        called = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
        while isinstance(called, functools.partial):
            called = called.func
        if inspect.iscoroutinefunction(called):
            return functools.wraps(handler, updated=())(_async(tracer, current, handler))
        return functools.wraps(handler, updated=())(_sync(tracer, current, handler))

    return wrap


def _sync(tracer: Tracer, current: ContextVar[Transport | None], handler: Handler) -> Handler:
    def call(request: Any) -> Any:
        transport = current.get()
        if transport is None:
            return handler(request)
        span, context = tracer.begin(transport.operation, transport.carrier, transport)
        tracer.received(span, request)
        token = attach(context)
        try:
            reply = handler(request)
        except BaseException as error:
            tracer.end(span, reply=_outcome(transport, None, error), error=error, transport=transport)
            raise
        finally:
            detach(token)

        def finish(error: BaseException | None) -> None:
            tracer.end(span, reply=_outcome(transport, None, error), error=error, transport=transport)

        if inspect.isgenerator(reply):
            stream: Iterator[Any] = traced_stream(reply, context, finish)
            return stream
        if inspect.isasyncgen(reply):
            async_stream: AsyncIterator[Any] = traced_async_stream(reply, context, finish)
            return async_stream
        if inspect.isawaitable(reply):
            # A plain function that hands on a coroutine, as middleware outside this one may.
            return _awaited(tracer, span, context, transport, reply)
        tracer.end(span, reply=_outcome(transport, reply, None), transport=transport)
        return reply

    return call


def _async(tracer: Tracer, current: ContextVar[Transport | None], handler: Handler) -> Handler:
    async def call(request: Any) -> Any:
        transport = current.get()
        if transport is None:
            return await handler(request)
        span, context = tracer.begin(transport.operation, transport.carrier, transport)
        tracer.received(span, request)
        return await _awaited(tracer, span, context, transport, handler(request))

    return call


async def _awaited(tracer: Tracer, span: Span, context: Context, transport: Transport, pending: Awaitable[Any]) -> Any:
    token = attach(context)
    try:
        reply = await pending
    except BaseException as error:
        tracer.end(span, reply=_outcome(transport, None, error), error=error, transport=transport)
        raise
    finally:
        detach(token)
    if inspect.isasyncgen(reply):
        return traced_async_stream(
            reply,
            context,
            lambda error: tracer.end(span, reply=_outcome(transport, None, error), error=error, transport=transport),
        )
    tracer.end(span, reply=_outcome(transport, reply, None), transport=transport)
    return reply


def _outcome(transport: Transport, reply: object, error: BaseException | None) -> object:
    """What the transport reads from the reply, if it reads any; else the reply."""
    read = getattr(transport, "outcome", None)
    if read is None:
        return reply
    try:
        outcome = read(reply, error)
    except Exception as failure:
        guard.swallow(f"reading the reply of {transport.component}", failure)
        return reply
    return reply if outcome is None else outcome
