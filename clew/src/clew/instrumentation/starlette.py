"""Starlette and FastAPI for `instrument()`: every application gets the ASGI middleware around it. Else use `clew.asgi`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette

from clew.instrumentation._patching import Undo, replace
from clew.instrumentation.asgi import TracingMiddleware


def patch(tracer_provider: TracerProvider | None) -> Undo:
    """Trace every application from now on, those already made too; returns the way back."""

    # On each application, made at its first request; another `instrument()` makes another.
    attribute = "_clew_tracing"

    def make(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def traced(self: Starlette, scope: Any, receive: Any, send: Any) -> None:
            known = self.__dict__.get(attribute)
            if known is None or known[0] is not original_key:
                known = (original_key, TracingMiddleware(partial(original, self), tracer_provider=tracer_provider))
                self.__dict__[attribute] = known
            await known[1](scope, receive, send)

        return traced

    original_key = object()
    return replace(Starlette, "__call__", make)
