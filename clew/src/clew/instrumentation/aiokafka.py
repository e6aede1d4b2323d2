"""aiokafka: a PRODUCER span for each message sent, a CONSUMER span for each one handled or each batch fetched.

producer = clew.kafka.traced(AIOKafkaProducer(bootstrap_servers="localhost:9092"))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _messages
from clew.instrumentation._handling import Messages, inside
from clew.instrumentation._kafka import (
    COMPONENT,
    SYSTEM,
    Client,
    Reader,
    SendArguments,
    Sending,
    Tracings,
    begun,
    client_from_settings,
)
from clew.instrumentation._messages import MessageTracing, MessageTransport
from clew.instrumentation._patching import Undo, argument

OPTIONS: Final = _messages.OPTIONS
_SEND: Final = SendArguments(topic=0, value=1, key=2, partition=3, headers=5)


def client_of(client: Any) -> Client:
    """What a producer or consumer was made with."""
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client
    return client_from_settings(
        getattr(inner, "_client_id", None),
        getattr(client, "_group_id", None),
        getattr(inner, "_bootstrap_servers", None),
    )


# -- sending ------------------------------------------------------------------------------------------------------------


async def _send(producer: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    own = None
    try:
        own, args, kwargs = begun(tracing, client_of(producer), _SEND, args, kwargs)
    except Exception as failure:
        guard.swallow("reading a message of aiokafka", failure)
    return await _handed_over(own, original, producer, *args, **kwargs)


async def _send_batch(
    producer: Any, tracing: MessageTracing, original: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    own = None
    try:
        batch = argument(args, kwargs, 0, "batch")
        client = client_of(producer)
        call = MessageTransport(
            SYSTEM,
            COMPONENT,
            "send",
            "send",
            argument(args, kwargs, 1, "topic"),
            None,
            peer=client.peer,
            client_id=client.client_id,
            partition=kwargs.get("partition"),
            batch_count=batch.record_count() if isinstance(batch, BatchBuilder) else None,
        )
        own = Sending(tracing, call)
    except Exception as failure:
        guard.swallow("reading a batch of aiokafka", failure)
    return await _handed_over(own, original, producer, *args, **kwargs)


async def _handed_over(own: Sending | None, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if own is None:
        return await original(*args, **kwargs)
    with own.handing_over():
        future = await original(*args, **kwargs)
    _end_with(own, future)
    return future


def _end_with(own: Sending, future: Any) -> None:
    """End the span with the broker's answer; asyncio still warns of a failure that is never retrieved."""

    def ended(future: asyncio.Future[Any]) -> None:
        try:
            if future.cancelled():
                # The caller no longer waits, but the message is being sent.
                own.done()
                return
            # Not with `exception()`, which would make asyncio treat the failure as retrieved.
            error = getattr(future, "_exception", None)
            if error is not None:
                own.failed(error)
            else:
                metadata = future.result()
                own.done(getattr(metadata, "partition", None), getattr(metadata, "offset", None))
        except Exception as failure:
            guard.swallow("ending a message of aiokafka", failure)

    if isinstance(future, asyncio.Future):
        future.add_done_callback(ended)
    else:
        own.done()


# -- receiving ----------------------------------------------------------------------------------------------------------


async def _getone(consumer: Any, reader: Reader, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    reader.done()
    with inside():
        message = await original(consumer, *args, **kwargs)
    reader.give(message, elsewhere=_is_task_of_its_own("getone"))
    return message


async def _anext(consumer: Any, reader: Reader, original: Callable[..., Any]) -> Any:
    reader.done()
    with inside():
        message = await original(consumer)
    reader.give(message, elsewhere=_is_task_of_its_own("__anext__"))
    return message


async def _getmany(consumer: Any, reader: Reader, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    reader.done()
    with inside():
        records = await original(consumer, *args, **kwargs)
    reader.note([message for several in records.values() for message in several])
    return records


def _aiter(consumer: Any, reader: Reader, original: Callable[..., Any]) -> Any:
    return Messages(original(consumer), reader)


async def _stop(consumer: Any, reader: Reader, original: Callable[..., Any]) -> Any:
    reader.closed()
    return await original(consumer)


def _is_task_of_its_own(name: str) -> bool:
    """Whether a task does nothing but fetch the message, as below `asyncio.wait_for`: it is dealt with elsewhere."""
    task = asyncio.current_task()
    return task is None or getattr(task.get_coro(), "__name__", "") == name


# -- what is traced -----------------------------------------------------------------------------------------------------

_tracings: Final = Tracings(
    {AIOKafkaProducer: {"send": _send, "send_batch": _send_batch}},
    {
        AIOKafkaConsumer: {
            "getone": _getone,
            "getmany": _getmany,
            "__aiter__": _aiter,
            "__anext__": _anext,
            "stop": _stop,
        }
    },
    client_of,
)


def traced(client: Any, tracing: MessageTracing) -> Any:
    """Trace the messages of a producer or consumer from now on, and return it. A second call does nothing."""
    _tracings.trace(client, tracing)
    return client


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace all producers and consumers, existing and future ones; returns an undo function."""
    return _tracings.patch(MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.kafka"))
