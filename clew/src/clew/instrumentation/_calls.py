"""One call of a client's function with a span around it: for libraries whose functions are wrapped one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from opentelemetry.context import attach, detach

from clew import guard
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Transport, client_transport

T = TypeVar("T")


class ConcludingTransport(Transport, Protocol):
    """A transport that reads its own replies."""

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """What the end of the call adds to the span."""


def traced_call(
    tracer: Tracer, call: ConcludingTransport, function: Callable[..., T], /, *args: Any, **kwargs: Any
) -> T:
    """The function's reply; its exception passes through untouched."""
    span, context = tracer.begin(call.operation, call.carrier, call)
    transport_token = client_transport.set(call)
    token = attach(context)
    try:
        reply = function(*args, **kwargs)
    except BaseException as error:
        tracer.end(span, reply=_outcome(call, None, error), error=error, transport=call)
        raise
    finally:
        detach(token)
        client_transport.reset(transport_token)
    tracer.end(span, reply=_outcome(call, reply, None), transport=call)
    return reply


async def traced_acall(
    tracer: Tracer, call: ConcludingTransport, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
) -> T:
    """The same for a function whose reply is awaited."""
    span, context = tracer.begin(call.operation, call.carrier, call)
    transport_token = client_transport.set(call)
    token = attach(context)
    try:
        reply = await function(*args, **kwargs)
    except BaseException as error:
        tracer.end(span, reply=_outcome(call, None, error), error=error, transport=call)
        raise
    finally:
        detach(token)
        client_transport.reset(transport_token)
    tracer.end(span, reply=_outcome(call, reply, None), transport=call)
    return reply


def is_within_database_call() -> bool:
    """Whether a database call is being made already, by a library above the one that asks: it has the span."""
    current = client_transport.get()
    return current is not None and current.kind == "db"


def _outcome(call: ConcludingTransport, reply: object, error: BaseException | None) -> Outcome | None:
    try:
        return call.outcome(reply, error)
    except Exception as failure:
        guard.swallow(f"reading the reply of {call.component}", failure)
        return None
