"""Consumers that return messages one by one: the span of a message lasts until the next message is asked for."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

from opentelemetry.context import attach, get_current

from clew import guard
from clew.instrumentation._messages import MessageTracing, MessageTransport
from clew.instrumentation._patching import Switch, Undo, replace

#: True while a traced method of a consumer runs; other traced methods that it calls make no span.
_is_inside: Final[ContextVar[bool]] = ContextVar("clew_is_inside_consumer", default=False)
# Number of ended spans for which a consumer checks whether they are still current.
_REMEMBERED: Final = 3


class Handling:
    """The CONSUMER span of one message: current from its creation until `end`, which any task or thread may call."""

    __slots__ = ("_before", "_call_before", "_scope", "_transports", "call", "message")

    def __init__(self, tracing: MessageTracing, call: MessageTransport, message: Any) -> None:
        """`message` is the library's own object."""
        self.call: Final = call
        self.message = message
        self._transports = tracing.consumer.transports
        self._before, self._call_before = get_current(), self._transports.get()
        self._scope = tracing.handling(call)
        self._scope.enter()

    def end(self, error: BaseException | None = None) -> None:
        """End the span and, if it is current, make current what was before. A second call does nothing."""
        self.message = None
        try:
            self.leave()
        finally:
            self._scope.finish(None, error)

    def leave(self) -> None:
        """If the span is current, make current what was before."""
        # Not with the scope's tokens, since another task or thread than the one that created the span may call this.
        if get_current() is self._scope.context:
            attach(self._before)
        if self._transports.get() is self.call:
            self._transports.set(self._call_before)


#: The message being handled in this context; `processing` uses it, in order to record how the handling ends.
current_handling: Final[ContextVar[Handling | None]] = ContextVar("clew_handling", default=None)


_all: Final[WeakSet[Turns]] = WeakSet()


# Registered after the provider's own exit handler, and so called before the provider is shut down.
@atexit.register
def _at_exit() -> None:
    """End the spans of messages whose consumers the program has not closed."""
    for turns in list(_all):
        turns.done()


class Turns:
    """The messages of one consumer, and the span of the message it returned last."""

    __slots__ = ("__weakref__", "_ended", "_in_flight", "_last", "tracing")

    def __init__(self, tracing: MessageTracing) -> None:
        self.tracing: Final = tracing
        self._ended: list[Handling] = []
        self._last: Handling | None = None
        # The id of the exception that was being handled when the last message was returned.
        self._in_flight = id(None)
        _all.add(self)

    def again(self) -> Turns:
        """A new object for the same consumer."""
        raise NotImplementedError

    def call_of(self, given: Any) -> MessageTransport:
        """The `Call` for the handling of a message. May raise."""
        raise NotImplementedError

    def closed(self) -> None:
        """The consumer was closed. If that happens in the `finally` of a failed handler, its exception is recorded."""
        error = sys.exc_info()[1]
        self.done(None if id(error) == self._in_flight else error)

    def done(self, error: BaseException | None = None) -> None:
        """End the span of the last message."""
        try:
            last, self._last = self._last, None
            if last is not None:
                last.end(error)
                self._ended.append(last)
            # When the application ends a span that it began within one of these, it makes that ended span current again.
            for one in list(self._ended):
                one.leave()
            del self._ended[:-_REMEMBERED]
        except Exception as failure:
            guard.swallow("ending the span of a message", failure)

    def handle(self, given: Any) -> None:
        """Start the span of a message; it lasts until `done`."""
        try:
            self._last = Handling(self.tracing, self.call_of(given), given)
            self._in_flight = id(sys.exc_info()[1])
            current_handling.set(self._last)
        except Exception as failure:
            guard.swallow("reading a message", failure)


class Messages:
    """Iterates over a consumer; the span of a message is current until the next message is asked for."""

    def __init__(self, consumer: Any, turns: Turns) -> None:
        self._clew_consumer = consumer
        self._clew_turns = turns.again()

    # The loop has ended, since only the loop holds a reference to this.
    def __del__(self) -> None:
        self._clew_turns.done()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The consumer's class: without tracing the consumer is its own iterator."""
        return type(self._clew_consumer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clew_consumer, name)

    def __iter__(self) -> Messages:
        return self

    # The sync twin of `__anext__`, written by scripts/sync_twins.py.
    def __next__(self) -> Any:
        self._clew_turns.done()
        with inside():
            message = next(self._clew_consumer)
        if self._clew_turns.tracing.is_on:
            self._clew_turns.handle(message)
        return message

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Any:
        self._clew_turns.done()
        with inside():
            message = await anext(self._clew_consumer)
        if self._clew_turns.tracing.is_on:
            self._clew_turns.handle(message)
        return message


@contextmanager
def inside() -> Iterator[None]:
    """Within this block, traced methods of a consumer make no span."""
    token = _is_inside.set(True)
    try:
        yield
    finally:
        _is_inside.reset(token)


# -- classes ------------------------------------------------------------------------------------------------------------

#: `function(client, tracing of the client, original method, *args, **kwargs)`.
Around = Callable[..., Any]


def install(owner: type, around: dict[str, Around], tracing: Callable[[Any], Any]) -> Undo:
    """Wrap methods of a class; `tracing(client)` returns how a client is traced, None to leave the call alone."""

    def make(function: Around) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
                own = None if not switch.on or _is_inside.get() else tracing(self)
                if own is None:
                    return original(self, *args, **kwargs)
                return function(self, own, original, *args, **kwargs)

            return method

        return wrap

    undos = [replace(owner, name, make(function)) for name, function in around.items()]

    def undo() -> None:
        for one in undos:
            one()

    return undo
