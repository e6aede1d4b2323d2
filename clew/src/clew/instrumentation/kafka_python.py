"""kafka-python: a PRODUCER span for each message sent, a CONSUMER span for each one handled or each batch polled.

producer = clew.kafka.traced(kafka.KafkaProducer(bootstrap_servers="localhost:9092"))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kafka.consumer.group import KafkaConsumer
from kafka.producer.kafka import KafkaProducer
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _messages
from clew.instrumentation._handling import Messages, inside
from clew.instrumentation._kafka import (
    Client,
    Reader,
    SendArguments,
    Tracings,
    begun,
    client_from_settings,
    is_elsewhere,
)
from clew.instrumentation._messages import MessageTracing
from clew.instrumentation._patching import Undo

OPTIONS: Final = _messages.OPTIONS
_SEND: Final = SendArguments(topic=0, value=1, key=2, headers=3, partition=4)
# Brokers before this one have no headers.
_WITH_HEADERS: Final = (0, 11)


def client_of(client: Any) -> Client:
    """What a producer or consumer was made with."""
    config = client.config
    return client_from_settings(config.get("client_id"), config.get("group_id"), config.get("bootstrap_servers"))


# -- sending ------------------------------------------------------------------------------------------------------------


def _send(producer: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    own = None
    try:
        version = producer.config.get("api_version")
        can_carry = not isinstance(version, tuple) or version >= _WITH_HEADERS
        own, args, kwargs = begun(tracing, client_of(producer), _SEND, args, kwargs, can_carry=can_carry)
    except Exception as failure:
        guard.swallow("reading a message of kafka-python", failure)
    if own is None:
        return original(producer, *args, **kwargs)
    with own.handing_over():
        future = original(producer, *args, **kwargs)
    try:
        future.add_callback(lambda metadata: own.done(metadata.partition, metadata.offset))
        future.add_errback(own.failed)
    except Exception as failure:
        guard.swallow("waiting for a message of kafka-python", failure)
        own.done()
    return future


# -- receiving ----------------------------------------------------------------------------------------------------------


def _poll(consumer: Any, reader: Reader, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    reader.done()
    with inside():
        records = original(consumer, *args, **kwargs)
    reader.note([message for several in records.values() for message in several])
    return records


def _iter(consumer: Any, reader: Reader, original: Callable[..., Any]) -> Any:
    return Messages(original(consumer), reader)


def _next(consumer: Any, reader: Reader, original: Callable[..., Any]) -> Any:
    reader.done()
    with inside():
        message = original(consumer)
    reader.give(message, elsewhere=is_elsewhere())
    return message


def _close(consumer: Any, reader: Reader, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    reader.closed()
    return original(consumer, *args, **kwargs)


# -- what is traced -----------------------------------------------------------------------------------------------------

_tracings: Final = Tracings(
    {KafkaProducer: {"send": _send}},
    {KafkaConsumer: {"poll": _poll, "__iter__": _iter, "__next__": _next, "close": _close}},
    client_of,
)


def traced(client: Any, tracing: MessageTracing) -> Any:
    """The same producer or consumer, whose messages are traced from now on; a second time changes nothing."""
    _tracings.trace(client, tracing)
    return client


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every producer and consumer, made before or after; returns the undo function."""
    return _tracings.patch(MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.kafka"))
