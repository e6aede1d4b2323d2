"""A span around one call of a client's function, for libraries whose functions are wrapped one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from clew.tracing.tracer import Tracer
from clew.transport import Call, current_client_transport

T = TypeVar("T")


# The sync twin of `traced_acall`, written by scripts/sync_twins.py.
def traced_call(tracer: Tracer, call: Call, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """The function's reply; its exception passes through untouched."""
    with tracer.scope(call) as scope:
        reply = scope.reply = function(*args, **kwargs)
    return reply


async def traced_acall(
    tracer: Tracer, call: Call, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
) -> T:
    """The same for a function whose reply is awaited."""
    with tracer.scope(call) as scope:
        reply = scope.reply = await function(*args, **kwargs)
    return reply


def is_within(kind: str) -> bool:
    """Whether a call of this kind is already running, made by a library that uses the caller's; that one makes the span."""
    current = current_client_transport()
    return current is not None and current.kind == kind
