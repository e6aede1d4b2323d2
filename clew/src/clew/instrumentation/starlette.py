"""Starlette and FastAPI for `instrument()`: every application gets the ASGI middleware around it. Else use `clew.asgi`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette

from clew.instrumentation._patching import Switch, Undo, replace
from clew.instrumentation.asgi import TracingMiddleware
from clew.tracing.options import HttpOptions

#: The words `patch` takes besides the provider.
OPTIONS: Final = HttpOptions


def patch(tracer_provider: TracerProvider | None, **options: Any) -> Undo:
    """Trace every application from now on, those already made too; returns an undo function. Options as `clew.asgi`."""
    return _patch(Starlette, tracer_provider, options)


def patch_fastapi(tracer_provider: TracerProvider | None, **options: Any) -> Undo:
    """As `patch`, around what FastAPI does before Starlette: from 0.142 on it traces requests there by itself."""
    # Not from the package, which is not complete yet when its module is.
    from fastapi.applications import FastAPI

    return _patch(FastAPI, tracer_provider, options) if "__call__" in vars(FastAPI) else lambda: None


def _patch(application: type[Starlette], tracer_provider: TracerProvider | None, options: dict[str, Any]) -> Undo:
    attribute = f"_clew_tracing_{application.__name__}"

    def make(original: Callable[..., Awaitable[None]], switch: Switch) -> Callable[..., Awaitable[None]]:
        async def __call__(self: Starlette, scope: Any, receive: Any, send: Any) -> None:
            if not switch.on:
                await original(self, scope, receive, send)
                return
            # Made at the application's first request; another `instrument()` has another switch and makes another.
            known = self.__dict__.get(attribute)
            if known is None or known[0] is not switch:
                known = (switch, TracingMiddleware(partial(original, self), tracer_provider=tracer_provider, **options))
                self.__dict__[attribute] = known
            await known[1](scope, receive, send)

        return __call__

    return replace(application, "__call__", make)
