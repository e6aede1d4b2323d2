"""confluent-kafka: a PRODUCER span for each message until its delivery report, a CONSUMER span for what is received.

    producer = clew.kafka.traced(producer)
    Producer = clew.kafka.traced(confluent_kafka.Producer)

Its classes are written in C and cannot be changed. A subclass traces, which stands in their place in the package while it
is patched; an object that was made without stands within another that does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import confluent_kafka
from confluent_kafka.cimpl import Consumer
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _messages
from clew.instrumentation._kafka import (
    COMPONENT,
    MARK,
    SYSTEM,
    Client,
    Reader,
    Sending,
    client_from_settings,
    is_elsewhere,
    own_headers,
    sending,
    use_by_default,
)
from clew.instrumentation._messages import MessageTracing, MessageTransport
from clew.instrumentation._patching import Undo, argument, with_argument

OPTIONS: Final = _messages.OPTIONS
NAMES: Final = ("Producer", "Consumer", "SerializingProducer", "DeserializingConsumer")
# Arguments of `produce`, by class, in their order.
_OF_PRODUCE: Final = ("topic", "value", "key", "partition", "callback", "on_delivery", "timestamp", "headers")
_OF_SERIALIZING: Final = ("topic", "key", "value", "partition", "on_delivery", "timestamp", "headers")


def _settings(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a client is made with; names in words' arguments have `_` for `.`."""
    given = {**(args[0] if args and isinstance(args[0], dict) else {}), **kwargs}
    return {str(name).replace("_", "."): value for name, value in given.items()}


def _client(settings: dict[str, Any]) -> Client:
    servers = settings.get("bootstrap.servers") or settings.get("metadata.broker.list")
    return client_from_settings(settings.get("client.id"), settings.get("group.id"), servers)


# -- sending ------------------------------------------------------------------------------------------------------------


class _Delivery:
    """The delivery callback of one message: ends its span, then calls the application's."""

    __slots__ = ("_callback", "_own")

    def __init__(self, own: Sending, callback: Callable[..., Any] | None) -> None:
        self._own = own
        self._callback = callback

    def __call__(self, error: Any, message: Any) -> Any:
        try:
            if error is not None:
                self._own.refused(error.name(), error.str())
            else:
                self._own.done(message.partition(), message.offset())
        except Exception as failure:
            guard.swallow("ending a message of confluent-kafka", failure)
        return None if self._callback is None else self._callback(error, message)

    # The library drops it without calling it if only failures are reported (`delivery.report.only.error`), and with the producer.
    def __del__(self) -> None:
        self._own.done()


class _Writer:
    """How one producer is traced."""

    __slots__ = ("_callback", "_client", "_is_known", "_places", "_tracing")

    def __init__(self, cls: type, tracing: MessageTracing, settings: dict[str, Any] | None) -> None:
        """`settings` are None where the producer was made before anybody looked."""
        self._tracing = tracing
        self._places = _OF_SERIALIZING if issubclass(cls, confluent_kafka.SerializingProducer) else _OF_PRODUCE
        self._is_known = settings is not None
        self._callback = (settings or {}).get("on.delivery")
        self._client = _client(settings or {})

    def _place(self, name: str) -> int:
        places = self._places
        return places.index(name) if name in places else len(places)

    def produce(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Around `produce`."""
        own = None
        is_reported = False
        try:
            given = {name: argument(args, kwargs, self._place(name), name) for name in _OF_PRODUCE}
            carrier = own_headers(given["headers"], (list, dict))
            call = sending(given["topic"], given["value"], given["key"], carrier, given["partition"], self._client)
            own = Sending(self._tracing, call)
            if carrier is not None and carrier.headers:
                args, kwargs = with_argument(args, kwargs, self._place("headers"), "headers", carrier.headers)
            word = "callback" if given["callback"] is not None else "on_delivery"
            callback = given[word] if given[word] is not None else self._callback
            is_reported = (
                (given[word] is not None or self._is_known)
                and (callback is None or callable(callback))
                and (given["callback"] is None or given["on_delivery"] is None)
            )
            if is_reported:
                args, kwargs = with_argument(args, kwargs, self._place(word), word, _Delivery(own, callback))
        except Exception as failure:
            guard.swallow("reading a message of confluent-kafka", failure)
        if own is None:
            return original(*args, **kwargs)
        with own.handing_over():
            reply = original(*args, **kwargs)
        if not is_reported:
            own.done()
        return reply

    def produce_batch(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Around `produce_batch`, whose messages cannot have headers."""
        own = None
        try:
            topic, messages = argument(args, kwargs, 0, "topic"), argument(args, kwargs, 1, "messages")
            call = MessageTransport(
                SYSTEM,
                COMPONENT,
                "send",
                "send",
                topic if isinstance(topic, str) else None,
                None,
                peer=self._client.peer,
                client_id=self._client.client_id,
                batch_count=len(messages) if isinstance(messages, list) else None,
            )
            own = Sending(self._tracing, call)
        except Exception as failure:
            guard.swallow("reading a batch of confluent-kafka", failure)
        if own is None:
            return original(*args, **kwargs)
        with own.handing_over():
            reply = original(*args, **kwargs)
        own.done()
        return reply

    #: By the names of those they go around; each is given the original, bound.
    AROUND: Final = {"produce": produce, "produce_batch": produce_batch}

    @property
    def is_on(self) -> bool:
        """Whether messages are traced still."""
        return self._tracing.is_on

    def stop(self) -> None:
        """Stop tracing; spans of messages that are being sent still end."""


# -- receiving ----------------------------------------------------------------------------------------------------------


class _Reading:
    """How one consumer is traced."""

    __slots__ = ("reader",)

    def __init__(self, tracing: MessageTracing, settings: dict[str, Any] | None) -> None:
        self.reader: Final = Reader(tracing, _client(settings or {}))

    def poll(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Around `poll`."""
        self.reader.done()
        message = original(*args, **kwargs)
        if message is not None and message.error() is None:
            self.reader.give(message, elsewhere=is_elsewhere())
        return message

    def consume(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Around `consume`."""
        self.reader.done()
        messages = original(*args, **kwargs)
        self.reader.note([message for message in messages if message.error() is None])
        return messages

    def close(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Around what ends the consumer."""
        self.reader.closed()
        return original(*args, **kwargs)

    #: By the names of those they go around; each is given the original, bound.
    AROUND: Final = {"poll": poll, "consume": consume, "close": close, "__exit__": close}

    @property
    def is_on(self) -> bool:
        """Whether messages are traced still."""
        return self.reader.tracing.is_on

    def stop(self) -> None:
        """Stop tracing, and end the span of the last message."""
        self.reader.done()


def _around(cls: type, tracing: MessageTracing, settings: dict[str, Any] | None) -> Any:
    return _Reading(tracing, settings) if issubclass(cls, Consumer) else _Writer(cls, tracing, settings)


# -- classes and objects ------------------------------------------------------------------------------------------------


def _subclass(base: type, tracing: MessageTracing) -> type:
    """A class that is the same but for the spans, its name included."""

    initialise: Callable[..., None] = base.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        try:
            _mark(self, _around(base, tracing, _settings(args, kwargs)))
        except Exception as failure:
            guard.swallow("tracing a client of confluent-kafka", failure)

    def method(name: str) -> Callable[..., Any]:
        original = getattr(base, name)

        def traced_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            own = vars(self).get(_AROUND)
            if own is not None and not own.is_on:
                own.stop()
                own = None
            if own is None:
                return original(self, *args, **kwargs)
            return own.AROUND[name](own, partial(original, self), *args, **kwargs)

        traced_method.__name__, traced_method.__doc__ = name, original.__doc__
        traced_method.__qualname__ = f"{base.__qualname__}.{name}"
        return traced_method

    own: dict[str, Any] = {
        "__init__": __init__,
        "__doc__": base.__doc__,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        _BASE: base,
    }
    for name in (_Reading if issubclass(base, Consumer) else _Writer).AROUND:
        if hasattr(base, name):
            own[name] = method(name)
    return _StandIn(base.__name__, (base,), own)


class _StandIn(type):
    """The class of such classes: what is made of the original is one of theirs as well."""

    def __instancecheck__(cls, instance: Any) -> bool:
        base = vars(cls).get(_BASE)
        return super().__instancecheck__(instance) if base is None else isinstance(instance, base)

    def __subclasscheck__(cls, subclass: type) -> bool:
        base = vars(cls).get(_BASE)
        return super().__subclasscheck__(subclass) if base is None else issubclass(subclass, base)


_AROUND: Final = "_clew_around"
_BASE: Final = "_clew_base"


def _mark(client: Any, around: Any) -> None:
    setattr(client, _AROUND, around)
    setattr(client, MARK, around.reader if isinstance(around, _Reading) else around)


class _Within:
    """A client that was made without tracing, within; it does the same, and looks as if it were that one."""

    def __init__(self, client: Any, around: Any) -> None:
        self._clew_client = client
        _mark(self, around)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._clew_client)

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._clew_client, name)
        own = vars(self)[_AROUND]
        around = own.AROUND.get(name)
        return original if around is None else partial(around, own, original)

    def __len__(self) -> int:
        return len(self._clew_client)

    def __bool__(self) -> bool:
        return bool(self._clew_client)

    def __enter__(self) -> _Within:
        self._clew_client.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.__getattr__("__exit__")(*error)


def traced(client: Any, tracing: MessageTracing) -> Any:
    """A client, or a class of them, whose messages are traced; a second time changes nothing."""
    if isinstance(client, type):
        return client if hasattr(client, _BASE) else _subclass(client, tracing)
    if getattr(client, MARK, None) is not None:
        return client
    around = _around(type(client), tracing, None)
    if not hasattr(client, "__dict__"):
        return _Within(client, around)
    _mark(client, around)
    for name, function in around.AROUND.items():
        if not name.startswith("__") and hasattr(client, name):
            setattr(client, name, partial(function, around, getattr(client, name)))
    return client


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace what is made of the package's classes from now on; returns the undo function."""
    tracing = MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.kafka")
    originals = {name: getattr(confluent_kafka, name) for name in NAMES}
    ours = {name: traced(original, tracing) for name, original in originals.items()}
    for name, cls in ours.items():
        setattr(confluent_kafka, name, cls)
    forget = use_by_default(tracing)

    def undo() -> None:
        forget()
        for name, cls in ours.items():
            if getattr(confluent_kafka, name) is cls:
                setattr(confluent_kafka, name, originals[name])

    return undo
