"""Middleware: wraps a handler, sync or async, so that each call of it runs the middleware first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: One call: takes a request, returns (or awaits, or yields) its reply.
Handler = Callable[[Any], Any]
#: Wraps a handler in another of the same kind: a coroutine function stays one, a plain function stays one.
Middleware = Callable[[Handler], Handler]


def chain(*middleware: Middleware) -> Middleware:
    """Combines several middleware into one; the first is the outermost. Without any it returns the handler unchanged."""

    def wrap(handler: Handler) -> Handler:
        for one in reversed(middleware):
            handler = one(handler)
        return handler

    return wrap
