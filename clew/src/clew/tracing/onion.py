"""The tracing middleware: wrappers for sync and async handlers around one `Scope`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

from clew.middleware import Handler, Middleware
from clew.tracing.scope import Scope
from clew.tracing.streams import traced_async_stream, traced_stream
from clew.tracing.tracer import Tracer


def traced(tracer: Tracer) -> Middleware:
    """Middleware that traces the current call of the tracer's direction; without one the handler runs untraced."""

    def wrap(handler: Handler) -> Handler:
        called = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
        while isinstance(called, functools.partial):
            called = called.func
        if inspect.iscoroutinefunction(called):
            return functools.wraps(handler, updated=())(_async(tracer, handler))
        return functools.wraps(handler, updated=())(_sync(tracer, handler))

    return wrap


def _sync(tracer: Tracer, handler: Handler) -> Handler:
    def call(request: Any) -> Any:
        current = tracer.transports.get()
        if current is None:
            return handler(request)
        scope = tracer.scope(current)
        tracer.received(scope.span, request)
        scope.enter()
        try:
            reply = handler(request)
        except BaseException as error:
            scope.leave()
            scope.finish(None, error)
            raise
        scope.leave()
        if inspect.isgenerator(reply):
            stream: Iterator[Any] = traced_stream(reply, scope.context, scope.failed)
            return stream
        if inspect.isasyncgen(reply):
            async_stream: AsyncIterator[Any] = traced_async_stream(reply, scope.context, scope.failed)
            return async_stream
        if inspect.isawaitable(reply):
            # A plain function that returns a coroutine, as middleware outside this one may.
            return _awaited(scope, reply)
        scope.finish(reply)
        return reply

    return call


def _async(tracer: Tracer, handler: Handler) -> Handler:
    async def call(request: Any) -> Any:
        current = tracer.transports.get()
        if current is None:
            return await handler(request)
        scope = tracer.scope(current)
        tracer.received(scope.span, request)
        return await _awaited(scope, handler(request))

    return call


async def _awaited(scope: Scope, pending: Awaitable[Any]) -> Any:
    scope.enter()
    try:
        reply = await pending
    except BaseException as error:
        scope.leave()
        scope.finish(None, error)
        raise
    scope.leave()
    if inspect.isasyncgen(reply):
        return traced_async_stream(reply, scope.context, scope.failed)
    scope.finish(reply)
    return reply
