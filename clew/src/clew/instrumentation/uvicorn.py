"""uvicorn for `instrument()`: whatever ASGI application it serves, of a framework that is known here or of none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.trace import TracerProvider
from uvicorn.config import Config

from clew.instrumentation._patching import Switch, Undo, replace
from clew.instrumentation.asgi import TracingMiddleware
from clew.tracing.options import HttpOptions

OPTIONS: Final = HttpOptions


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every application that uvicorn loads from now on; returns an undo function. Options as `clew.asgi`."""

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def load(self: Config) -> None:
            original(self)
            if not switch.on:
                return
            # Within uvicorn's own middleware for proxies, which sets the client's address.
            outer: Any = self
            name = "loaded_app"
            while type(getattr(outer, name)).__module__.startswith("uvicorn.middleware.") and hasattr(
                getattr(outer, name), "app"
            ):
                outer, name = getattr(outer, name), "app"
            app = getattr(outer, name)
            if not isinstance(app, TracingMiddleware):
                setattr(outer, name, TracingMiddleware(app, tracer_provider=tracer_provider, **options))

        return load

    return replace(Config, "load", make)
