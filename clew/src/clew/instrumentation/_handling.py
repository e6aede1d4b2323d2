"""Messages that are given out one by one: each is handled until the next, whoever and wherever that is asked for."""

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

#: Set while a method of a consumer works, which may call another one that is traced as well.
_is_inside: Final[ContextVar[bool]] = ContextVar("clew_is_inside_consumer", default=False)
# How many spans that are over a consumer looks for, where they are current still.
_REMEMBERED: Final = 3


class Handling:
    """The CONSUMER span of one message, current from its start until `end`, which any task or thread may call."""

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
        """End the span; what was current before is current again, if it was this here. A second end changes nothing."""
        self.message = None
        try:
            self.leave()
        finally:
            self._scope.finish(None, error)

    def leave(self) -> None:
        """Make current what was so before, if this here is current."""
        # Not by the scope's tokens: another task or thread may end what this one has begun.
        if get_current() is self._scope.context:
            attach(self._before)
        if self._transports.get() is self.call:
            self._transports.set(self._call_before)


#: What is being handled here; `processing` takes it over, and so knows how the handling ends.
current_handling: Final[ContextVar[Handling | None]] = ContextVar("clew_handling", default=None)


_all: Final[WeakSet[Turns]] = WeakSet()


# Registered after the provider is set up, so called before it is shut down.
@atexit.register
def _at_exit() -> None:
    """End what is being handled by a program that ends without closing its consumers."""
    for turns in list(_all):
        turns.done()


class Turns:
    """What a consumer gives out one by one, and the span of what it gave out last."""

    __slots__ = ("__weakref__", "_ended", "_in_flight", "_last", "tracing")

    def __init__(self, tracing: MessageTracing) -> None:
        self.tracing: Final = tracing
        self._ended: list[Handling] = []
        self._last: Handling | None = None
        # The identity of the exception that was being handled when the last message was given out.
        self._in_flight = id(None)
        _all.add(self)

    def again(self) -> Turns:
        """Another one for the same consumer."""
        raise NotImplementedError

    def call_of(self, given: Any) -> MessageTransport:
        """The handling of a message as a call. May raise."""
        raise NotImplementedError

    def closed(self) -> None:
        """The consumer is closed: in a `finally`, say, where what was done with the last message has failed."""
        error = sys.exc_info()[1]
        self.done(None if id(error) == self._in_flight else error)

    def done(self, error: BaseException | None = None) -> None:
        """Whatever was given out last has been dealt with."""
        try:
            last, self._last = self._last, None
            if last is not None:
                last.end(error)
                self._ended.append(last)
            # A span that the application began within one and ends later makes that one current once more.
            for one in list(self._ended):
                one.leave()
            del self._ended[:-_REMEMBERED]
        except Exception as failure:
            guard.swallow("ending the span of a message", failure)

    def handle(self, given: Any) -> None:
        """`given` is dealt with from now until `done`."""
        try:
            self._last = Handling(self.tracing, self.call_of(given), given)
            self._in_flight = id(sys.exc_info()[1])
            current_handling.set(self._last)
        except Exception as failure:
            guard.swallow("reading a message", failure)


class Messages:
    """Iterates over a consumer; between two messages the first one's span is current."""

    def __init__(self, consumer: Any, turns: Turns) -> None:
        self._clew_consumer = consumer
        self._clew_turns = turns.again()

    # The loop was left: nobody else holds this.
    def __del__(self) -> None:
        self._clew_turns.done()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """That of the consumer, which is its own iterator without tracing."""
        return type(self._clew_consumer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clew_consumer, name)

    def __iter__(self) -> Messages:
        return self

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
            message = await self._clew_consumer.__anext__()
        if self._clew_turns.tracing.is_on:
            self._clew_turns.handle(message)
        return message


@contextmanager
def inside() -> Iterator[None]:
    """A method of a consumer works, and calls others for itself."""
    token = _is_inside.set(True)
    try:
        yield
    finally:
        _is_inside.reset(token)


# -- classes ------------------------------------------------------------------------------------------------------------

#: `method(client, tracing of it, the original, bound, *args, **kwargs)`.
Around = Callable[..., Any]


def install(owner: type, around: dict[str, Around], tracing: Callable[[Any], Any]) -> Undo:
    """Put a function around each method of a class; `tracing` says of a client how it is traced, None: not here."""

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
