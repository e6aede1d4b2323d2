"""Flask for `clew.instrument()`; by hand it is `app.wsgi_app = clew.wsgi.TracingMiddleware(app.wsgi_app)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import flask
from opentelemetry.trace import SpanKind, TracerProvider

from clew.instrumentation import wsgi
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.tracer import Tracer

OPTIONS: Final = wsgi.OPTIONS


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every Flask application, made before or after; returns an undo function."""
    tracer = Tracer(SpanKind.SERVER, scope="clew.flask", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., Iterable[bytes]], switch: Switch) -> Callable[..., Iterable[bytes]]:
        def wsgi_app(self: flask.Flask, environ: Any, start_response: Any) -> Iterable[bytes]:
            if not switch.on or wsgi.is_traced(environ):
                return original(self, environ, start_response)
            return wsgi.respond(tracer, partial(original, self), environ, start_response)

        return wsgi_app

    return replace(flask.Flask, "wsgi_app", make)
