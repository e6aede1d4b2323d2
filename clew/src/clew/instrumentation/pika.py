"""pika (RabbitMQ): a PRODUCER span for each message published, a CONSUMER span for each one handled.

channel = clew.pika.traced(connection.channel())
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, Final, TypeVar, Unpack

import pika
from opentelemetry.trace import TracerProvider
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel

from clew import guard
from clew.instrumentation import _messages
from clew.instrumentation._amqp import publishing, received
from clew.instrumentation._messages import MessageTracing, MessageTransport
from clew.instrumentation._patching import Switch, Undo, argument, replace, with_argument
from clew.tracing.options import MessagingOptions
from clew.transport import Peer

OPTIONS: Final = _messages.OPTIONS
_MARK: Final = "_clew_tracing"
# The first three arguments of `basic_publish`; the fourth are the properties.
_OF_PUBLISH: Final = ("exchange", "routing_key", "body")
AnyChannel = TypeVar("AnyChannel")


def _peer(channel: Any) -> Peer | None:
    connection = getattr(channel, "connection", None)
    parameters = getattr(getattr(connection, "_impl", connection), "params", None)
    host = getattr(parameters, "host", None)
    return None if host is None else (str(host), int(getattr(parameters, "port", 0) or 0))


class _Methods:
    """Around the methods of a channel; each is given the original, bound."""

    def __init__(self, tracing: MessageTracing) -> None:
        self._tracing = tracing

    def basic_publish(self, channel: Any, original: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        given = argument(args, kw, 3, "properties")
        exchange, key, body = (argument(args, kw, n, name) for n, name in enumerate(_OF_PUBLISH))
        if not (isinstance(exchange, str) and isinstance(key, str) and isinstance(given, pika.BasicProperties | None)):
            return original(*args, **kw)  # which refuses it
        call: MessageTransport | None = None
        try:
            # A copy, as the application's own may serve for several messages.
            own = pika.BasicProperties() if given is None else copy.copy(given)
            own.headers = dict(own.headers or {})
            size = len(body) if isinstance(body, (bytes, str)) else None
            call = publishing(own, own.headers, exchange, key, size, _peer(channel))
            args, kw = with_argument(args, kw, 3, "properties", own)
        except Exception as failure:
            guard.swallow("reading a message of pika", failure)
        if call is None:
            return original(*args, **kw)
        return self._tracing.send(call, original, *args, **kw)

    def basic_consume(self, channel: Any, original: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        callback = argument(args, kw, 1, "on_message_callback")
        if callable(callback):
            handler = self._handler(argument(args, kw, 0, "queue"), callback)
            args, kw = with_argument(args, kw, 1, "on_message_callback", handler)
        return original(*args, **kw)

    def _handler(self, queue: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        tracing = self._tracing

        @wraps(callback)
        def handle(channel: Any, method: Any, properties: Any, body: Any) -> Any:
            call = _received(channel, queue, method, properties, body, "process") if tracing.is_on else None
            if call is None:
                return callback(channel, method, properties, body)
            with tracing.handling(call):
                return callback(channel, method, properties, body)

        setattr(handle, _MARK, True)
        return handle

    def basic_get(self, channel: Any, original: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        reply = original(*args, **kw)
        if isinstance(reply, tuple) and reply[0] is not None:
            self._note(channel, argument(args, kw, 0, "queue"), reply)
        return reply

    def consume(self, channel: Any, original: Callable[..., Any], /, *args: Any, **kw: Any) -> Iterator[Any]:
        # Called here and not in the generator, so that what pika refuses is refused at the call.
        return self._consumed(channel, original(*args, **kw), argument(args, kw, 0, "queue"))

    def _consumed(self, channel: Any, replies: Iterator[Any], queue: str) -> Iterator[Any]:
        # A message is handled between two of these steps, so the span is current only for the handling code.
        for reply in replies:
            method, properties, body = reply
            call = None
            if method is not None and self._tracing.is_on:
                call = _received(channel, queue, method, properties, body, "process")
            if call is None:
                yield reply
                continue
            with self._tracing.handling(call):
                yield reply

    def _note(self, channel: Any, queue: str, reply: Any) -> None:
        method, properties, body = reply
        call = _received(channel, queue, method, properties, body, "receive")
        if call is not None:
            self._tracing.received(call, [call.carrier])

    def of_blocking(self) -> dict[str, Callable[..., Any]]:
        """By the names of those they go around."""
        return {
            "basic_publish": self.basic_publish,
            "basic_consume": self.basic_consume,
            "basic_get": self.basic_get,
            "consume": self.consume,
        }

    def of_others(self) -> dict[str, Callable[..., Any]]:
        """Those of channels that are not blocking: a message that is got comes by a callback, which is not traced."""
        return {"basic_publish": self.basic_publish, "basic_consume": self.basic_consume}


def _received(channel: Any, queue: str, method: Any, properties: Any, body: Any, what: Any) -> MessageTransport | None:
    try:
        size = len(body) if isinstance(body, bytes) else None
        return received(what, method, properties, properties.headers, queue, size, _peer(channel))
    except Exception as failure:
        guard.swallow("reading a message of pika", failure)
        return None


def traced(channel: AnyChannel, **options: Unpack[MessagingOptions]) -> AnyChannel:
    """The same channel, whose messages are traced from now on; a second time changes nothing.

    Takes a blocking channel and those of the other adapters. Raises TypeError for anything else, ValueError for an
    unknown convention.
    """
    own: Any = channel
    if not isinstance(own, (BlockingChannel, Channel)):
        raise TypeError(f"not a channel of pika: {type(channel).__name__}")
    if _MARK in vars(own):
        return channel
    methods = _Methods(MessageTracing(options, "clew.pika"))
    setattr(own, _MARK, methods)
    around = methods.of_blocking() if isinstance(own, BlockingChannel) else methods.of_others()
    for name, function in around.items():
        setattr(own, name, partial(function, own, getattr(own, name)))
    return channel


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every channel, made before or after; returns an undo function."""
    tracing = MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.pika")
    methods = _Methods(tracing)

    def make(around: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, *args: Any, **kwargs: Any) -> Any:
                if not switch.on or _MARK in vars(self) or _is_below_traced(self):
                    return original(self, *args, **kwargs)
                return around(self, partial(original, self), *args, **kwargs)

            return method

        return wrap

    undos = [replace(BlockingChannel, name, make(function)) for name, function in methods.of_blocking().items()]
    undos += [replace(Channel, name, make(function)) for name, function in methods.of_others().items()]

    def undo() -> None:
        tracing.is_on = False
        for one in undos:
            one()

    return undo


def _is_below_traced(channel: Any) -> bool:
    """Whether this is what a blocking channel works through: that one is traced."""
    return isinstance(channel, Channel) and channel._get_cookie() is not None
