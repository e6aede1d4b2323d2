"""Kafka by confluent-kafka, aiokafka and kafka-python: one `traced` for all of them, and the handling of one message.

    producer = clew.kafka.traced(producer)
    with clew.kafka.processing(message): ...

Imports none of them: whoever has a client of one has imported it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, TypeVar, Unpack

from clew.instrumentation import _kafka, _messages
from clew.instrumentation._kafka import Client
from clew.instrumentation._messages import MessageTracing
from clew.tracing.options import MessagingOptions

OPTIONS: Final = _messages.OPTIONS
AnyClient = TypeVar("AnyClient")
# The package that a client's class comes from, the classes' names, and where they are traced.
_LIBRARIES: Final = {
    "aiokafka": (("AIOKafkaProducer", "AIOKafkaConsumer"), "clew.instrumentation.aiokafka"),
}


def traced(client: AnyClient, **options: Unpack[MessagingOptions]) -> AnyClient:
    """The producer or consumer, whose messages are traced from now on; a second time changes nothing.

    Raises TypeError for anything else, ValueError for an unknown convention.
    """
    for package, (names, home) in _LIBRARIES.items():
        if any(cls.__module__.partition(".")[0] == package and cls.__name__ in names for cls in type(client).__mro__):
            found: AnyClient = import_module(home).traced(client, MessageTracing(options))
            return found
    raise TypeError(f"neither a producer nor a consumer of Kafka: {type(client).__name__}")


@contextmanager
def processing(message: Any, consumer: Any = None, **options: Unpack[MessagingOptions]) -> Iterator[None]:
    """The handling of one message, fetched singly or in a batch: a span `process <topic>`, joined to the sender's.

    With the `consumer` that gave it, traced by `traced`, the span has that one's options and says its group. A
    message that is being iterated over has such a span already: this records how it ends.
    Raises ValueError for an unknown convention.
    """
    reader = _kafka.reader_of(consumer)
    client = Client() if reader is None else reader.client
    known = _kafka.default_tracing() if reader is None else reader.tracing
    tracing = MessageTracing(options) if options else known
    with _kafka.processing(tracing, message, client):
        yield
