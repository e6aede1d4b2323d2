"""gunicorn for `instrument()`: whatever WSGI application its workers serve, of a framework that is known here or of none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gunicorn.workers.base import Worker
from opentelemetry.trace import TracerProvider

from clew.instrumentation import wsgi
from clew.instrumentation._patching import Switch, Undo, replace

OPTIONS: Final = wsgi.OPTIONS
# gunicorn's own that call `wsgi(environ, start_response)`; uvicorn's serves what it loads by itself.
_OURS: Final = "gunicorn.workers."


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every application that a worker loads from now on; returns an undo function. Options as `clew.wsgi`."""

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def load_wsgi(self: Any) -> None:
            original(self)
            app = getattr(self, "wsgi", None)
            if not switch.on or app is None or not type(self).__module__.startswith(_OURS):
                return
            if not isinstance(app, wsgi.TracingMiddleware):
                self.wsgi = wsgi.TracingMiddleware(app, tracer_provider=tracer_provider, **options)

        return load_wsgi

    return replace(Worker, "load_wsgi", make)
