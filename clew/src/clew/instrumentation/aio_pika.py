"""aio-pika (RabbitMQ): a PRODUCER span for each message published, a CONSUMER span for each one handled.

connection = clew.aio_pika.traced(await aio_pika.connect_robust(url))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, Final, TypeVar, Unpack
from weakref import WeakKeyDictionary

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exchange import Exchange
from aio_pika.message import IncomingMessage, ProcessContext
from aio_pika.queue import Queue, QueueIterator
from aio_pika.robust_queue import RobustQueueIterator
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _messages
from clew.instrumentation._amqp import publishing, received
from clew.instrumentation._handling import Around, Messages, Turns, current_handling, inside, install
from clew.instrumentation._messages import MessageTracing, MessageTransport
from clew.instrumentation._patching import Undo
from clew.tracing.options import MessagingOptions
from clew.transport import Peer

OPTIONS: Final = _messages.OPTIONS
AnyClient = TypeVar("AnyClient", AbstractConnection, AbstractChannel)


def _connection(channel: Any) -> Any:
    return getattr(channel, "_connection", None)


def _peer(channel: Any) -> Peer | None:
    url = getattr(_connection(channel), "url", None)
    host = getattr(url, "host", None)
    return None if host is None else (str(host), int(getattr(url, "port", 0) or 0))


# -- publishing ---------------------------------------------------------------------------------------------------------


class _WithHeaders:
    """A message with its own copy of the headers, since the application may publish its message object several times."""

    def __init__(self, message: Any) -> None:
        self._clew_message = message
        self.properties = message.properties
        self.properties.headers = dict(message.headers or {})

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._clew_message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clew_message, name)


async def _publish(
    exchange: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    given = args or (kwargs.get("message"),)
    routing_key = args[1] if len(args) > 1 else kwargs.get("routing_key")
    if not hasattr(given[0], "properties") or not isinstance(routing_key, str):
        return await original(exchange, *args, **kwargs)  # raises for the wrong arguments
    read = guard.attempt("reading a message of aio-pika", _publishing, exchange, given[0], routing_key)
    if read is None:
        return await original(exchange, *args, **kwargs)
    call, message = read
    if args:
        args = (message, *args[1:])
    else:
        kwargs = {**kwargs, "message": message}
    return await tracing.asend(call, original, exchange, *args, **kwargs)


def _publishing(exchange: Any, given: Any, routing_key: str) -> tuple[MessageTransport, _WithHeaders]:
    message = _WithHeaders(given)
    headers = message.properties.headers
    call = publishing(message, headers, exchange.name, routing_key, len(message.body), _peer(exchange.channel))
    return call, message


# -- receiving ----------------------------------------------------------------------------------------------------------


def _received(queue: Any, message: IncomingMessage, what: Any) -> MessageTransport:
    headers = dict(message.headers)
    return received(what, message, message, headers, queue.name, len(message.body), _peer(queue.channel))


async def _consume(queue: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    callback = args[0] if args else kwargs.get("callback")
    # A `QueueIterator` uses a callback of its own to receive messages; their spans belong to the loop.
    if not callable(callback) or isinstance(getattr(callback, "__self__", None), QueueIterator):
        return await original(queue, *args, **kwargs)
    handler = _handler(queue, tracing, callback)
    if args:
        return await original(queue, handler, *args[1:], **kwargs)
    return await original(queue, **{**kwargs, "callback": handler})


def _handler(queue: Any, tracing: MessageTracing, callback: Callable[..., Any]) -> Callable[..., Any]:
    def begun(message: Any) -> MessageTransport | None:
        if not tracing.is_on:
            return None
        try:
            return _received(queue, message, "process")
        except Exception as failure:
            guard.swallow("reading a message of aio-pika", failure)
            return None

    # A coroutine function must stay one: the library warns of other callbacks.
    if asyncio.iscoroutinefunction(callback):

        @wraps(callback)
        async def ahandle(message: Any) -> Any:
            call = begun(message)
            if call is None:
                return await callback(message)
            with tracing.handling(call):
                return await callback(message)

        return ahandle

    @wraps(callback)
    def handle(message: Any) -> Any:
        call = begun(message)
        if call is None:
            return callback(message)
        scope = tracing.handling(call)
        scope.enter()
        try:
            reply = callback(message)
        except BaseException as error:
            scope.finish(None, error)
            raise
        finally:
            scope.leave()
        if not hasattr(reply, "__await__"):
            scope.finish()
            return reply

        async def awaited() -> Any:
            scope.enter()
            try:
                return await reply
            except BaseException as error:
                scope.finish(None, error)
                raise
            finally:
                scope.leave()
                scope.finish()

        return awaited()

    return handle


async def _get(queue: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    message = await original(queue, *args, **kwargs)
    if message is not None:
        _note(queue, tracing, message)
    return message


def _note(queue: Any, tracing: MessageTracing, message: Any) -> None:
    try:
        call = _received(queue, message, "receive")
        tracing.received(call, [call.carrier])
    except Exception as failure:
        guard.swallow("reading a message of aio-pika", failure)


class _Turns(Turns):
    """The messages of a loop over one queue."""

    __slots__ = ("_queue",)

    def __init__(self, tracing: MessageTracing, queue: Any) -> None:
        super().__init__(tracing)
        self._queue = queue

    def again(self) -> _Turns:
        """A new object for the same queue."""
        return _Turns(self.tracing, self._queue)

    def call_of(self, given: Any) -> MessageTransport:
        """The `Call` for the handling of a message."""
        return _received(self._queue, given, "process")


def _aiter(iterator: Any, tracing: MessageTracing, original: Callable[..., Any]) -> Any:
    return Messages(original(iterator), _Turns(tracing, iterator._amqp_queue))


def _aiter_queue(queue: Any, tracing: MessageTracing, original: Callable[..., Any]) -> Any:
    return Messages(original(queue), _Turns(tracing, queue))


async def _anext(iterator: Any, tracing: MessageTracing, original: Callable[..., Any]) -> Any:
    with inside():
        message = await original(iterator)
    _note(iterator._amqp_queue, tracing, message)
    return message


async def _left(process: Any, tracing: MessageTracing, original: Callable[..., Any], *error: Any) -> Any:
    """Wraps the end of `async with message.process()`: an exception is recorded on the span of the loop."""
    current = current_handling.get()
    if len(error) > 1 and error[1] is not None and current is not None and current.message is process.message:
        try:
            return await original(process, *error)
        finally:
            current.end(error[1])
    return await original(process, *error)


# -- what is traced -----------------------------------------------------------------------------------------------------

_CLASSES: Final[tuple[tuple[type, dict[str, Around], Callable[[Any], Any]], ...]] = (
    (Exchange, {"publish": _publish}, lambda exchange: exchange.channel),
    (Queue, {"consume": _consume, "get": _get, "__aiter__": _aiter_queue}, lambda queue: queue.channel),
    (QueueIterator, {"__aiter__": _aiter, "__anext__": _anext}, lambda iterator: iterator._amqp_queue.channel),
    (RobustQueueIterator, {"__anext__": _anext}, lambda iterator: iterator._amqp_queue.channel),
)
#: Connections and channels given to `traced`.
_by_hand: Final[WeakKeyDictionary[Any, MessageTracing]] = WeakKeyDictionary()
_lock: Final = Lock()
_is_installed = False


def _found(channel: Any) -> MessageTracing | None:
    """The tracing of a channel, or of its connection, that was given to `traced`."""
    found = _by_hand.get(channel)
    if found is None and (connection := _connection(channel)) is not None:
        found = _by_hand.get(connection)
    return found


def _install(tracing: Callable[[Any], MessageTracing | None], always: MessageTracing) -> list[Undo]:
    def of(channel_of: Callable[[Any], Any]) -> Callable[[Any], MessageTracing | None]:
        return lambda one: tracing(channel_of(one))

    undos = [install(owner, around, of(channel_of)) for owner, around, channel_of in _CLASSES]
    # For `process()` the current handling decides, not the channel.
    return [*undos, install(ProcessContext, {"__aexit__": _left}, lambda _: always)]


def traced(client: AnyClient, **options: Unpack[MessagingOptions]) -> AnyClient:
    """Trace the messages of a connection or channel from now on, and return it. A second call does nothing.

    Raises TypeError for anything else, ValueError for an unknown convention.
    """
    global _is_installed
    if not isinstance(client, (AbstractConnection, AbstractChannel)):
        raise TypeError(f"neither a connection nor a channel of aio-pika: {type(client).__name__}")
    tracing = MessageTracing(options, "clew.aio_pika")
    with _lock:
        if not _is_installed:
            _install(_found, tracing)
            _is_installed = True
        _by_hand.setdefault(client, tracing)
    return client


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace all connections, existing and future ones; returns an undo function."""
    tracing = MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.aio_pika")
    undos = _install(lambda channel: None if _found(channel) is not None else tracing, tracing)

    def undo() -> None:
        tracing.is_on = False
        for one in undos:
            one()

    return undo
