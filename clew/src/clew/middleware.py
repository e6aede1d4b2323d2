"""The onion: a handler is one call, a middleware wraps it. Sync and async handlers alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: One call: takes a request, returns (or awaits, or yields) its reply.
Handler = Callable[[Any], Any]
#: Wraps a handler in another of the same colour: a coroutine function in, a coroutine function out.
Middleware = Callable[[Handler], Handler]


def chain(*middleware: Middleware) -> Middleware:
    """One middleware out of several; the first is the outermost. Without any, the handler itself."""

    def wrap(handler: Handler) -> Handler:
        for one in reversed(middleware):
            handler = one(handler)
        return handler

    return wrap
