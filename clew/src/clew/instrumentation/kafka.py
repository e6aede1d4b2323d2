"""Kafka with confluent-kafka, aiokafka and kafka-python: `traced` for the clients of all three, `processing` for a message.

    producer = clew.kafka.traced(producer)
    with clew.kafka.processing(message): ...

Imports none of the three; an application that has a client of one has imported it.
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
# Package of a client's class -> names of its classes, and the module that traces them.
_LIBRARIES: Final = {
    "confluent_kafka": (
        ("Producer", "Consumer", "SerializingProducer", "DeserializingConsumer"),
        "clew.instrumentation.confluent_kafka",
    ),
    "kafka": (("KafkaProducer", "KafkaConsumer"), "clew.instrumentation.kafka_python"),
    "aiokafka": (("AIOKafkaProducer", "AIOKafkaConsumer"), "clew.instrumentation.aiokafka"),
}


def traced(client: AnyClient, **options: Unpack[MessagingOptions]) -> AnyClient:
    """Trace the messages of a producer or consumer from now on, and return it. A second call does nothing.

    Clients of confluent-kafka are written in C; for them the returned object is a wrapper with the same methods. A class of
    confluent-kafka may be given too: the returned class makes traced objects.
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
    return "confluent_kafka" if name == "cimpl" else name  # `cimpl` is confluent-kafka's C module


@contextmanager
def processing(message: Any, consumer: Any = None, **options: Unpack[MessagingOptions]) -> Iterator[None]:
    """A span `process <topic>` for the handling of one message, whether fetched singly or in a batch.

    With the `consumer` that returned the message, given to `traced` before, the span uses its options and has its consumer
    group. In a loop over a consumer the message has such a span already; then this only records how it ends.
    Raises ValueError for an unknown convention.
    """
    reader = _kafka.reader_of(consumer)
    client = Client() if reader is None else reader.client
    known = _kafka.default_tracing() if reader is None else reader.tracing
    tracing = MessageTracing(options, "clew.kafka") if options else known
    with _kafka.processing(tracing, message, client):
        yield
