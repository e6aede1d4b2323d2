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
    "confluent_kafka": (
        ("Producer", "Consumer", "SerializingProducer", "DeserializingConsumer"),
        "clew.instrumentation.confluent_kafka",
    ),
    "kafka": (("KafkaProducer", "KafkaConsumer"), "clew.instrumentation.kafka_python"),
    "aiokafka": (("AIOKafkaProducer", "AIOKafkaConsumer"), "clew.instrumentation.aiokafka"),
}


def traced(client: AnyClient, **options: Unpack[MessagingOptions]) -> AnyClient:
    """The producer or consumer, whose messages are traced from now on; a second time changes nothing.

    It is the one that was given, but for those of confluent-kafka, which are written in C: that one within another that
    does the same. Of confluent-kafka it may be a class as well: a class whose objects are traced.
    Raises TypeError for anything else, ValueError for an unknown convention.
    """
    cls = client if isinstance(client, type) else type(client)
    for package, (names, home) in _LIBRARIES.items():
        if any(_package(known) == package and known.__name__ in names for known in cls.__mro__):
            found: AnyClient = import_module(home).traced(client, MessageTracing(options, "clew.kafka"))
            return found
    raise TypeError(f"neither a producer nor a consumer of Kafka: {type(client).__name__}")


def _package(cls: type) -> str:
    name = cls.__module__.partition(".")[0]
    return "confluent_kafka" if name == "cimpl" else name  # as its C module calls itself


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
    tracing = MessageTracing(options, "clew.kafka") if options else known
    with _kafka.processing(tracing, message, client):
        yield
