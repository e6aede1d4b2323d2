"""pika against a RabbitMQ broker: what is published, handled and fetched."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pika
import pytest
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import pika as instrumentation
from clew.testing import Body, ConsumerKit, ProducerKit, SpanRecorder, assert_span, exceptions_of
from clew.testing.kits.sameness import outcome
from harness.backends import Backend


@pytest.fixture
def connect(rabbitmq: Backend) -> Iterator[Callable[[], Any]]:
    """Makes blocking connections, closed after the test."""
    made: list[pika.BlockingConnection] = []

    def connect() -> pika.BlockingConnection:
        made.append(pika.BlockingConnection(pika.ConnectionParameters(rabbitmq.host, rabbitmq.port)))
        return made[-1]

    yield connect
    for connection in made:
        if connection.is_open:
            connection.close()


@pytest.fixture
def queue(connect: Callable[[], Any]) -> str:
    name = f"orders-{uuid4().hex}"
    connect().channel().queue_declare(name, auto_delete=False, exclusive=False)
    return name


def fetched(channel: Any, queue: str) -> Any:
    """The next message, waited for."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return properties, body
        time.sleep(0.01)
    raise AssertionError("no message came")


class TestPublishing(ProducerKit):
    component = "RabbitMQ"
    span_name = "publish orders"
    system = "rabbitmq"
    takes_options = True

    @pytest.fixture(autouse=True)
    def declare(self, connect: Callable[[], Any]) -> None:
        self.plain = connect().channel()
        self.plain.exchange_declare("orders", "fanout")
        self.queue = self.plain.queue_declare("", exclusive=True).method.queue
        self.plain.queue_bind(self.queue, "orders")
        self.channel = connect

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        channel = self.channel().channel()
        clew.pika.traced(channel, tracer_provider=tracer_provider, propagator=propagator, **options)
        properties = pika.BasicProperties(headers={"mine": 1})
        channel.basic_publish("orders", "new", b"tea", properties)
        assert properties.headers == {"mine": 1}
        arrived, content = fetched(self.plain, self.queue)
        assert content == b"tea"
        assert arrived.headers["mine"] == 1
        return [(name, value) for name, value in arrived.headers.items() if isinstance(value, str)], None


class TestHandling(ConsumerKit):
    component = "RabbitMQ"
    system = "rabbitmq"
    takes_options = True
    sees_repeated_traceparent = False

    @pytest.fixture(autouse=True)
    def declare(self, connect: Callable[[], Any], queue: str) -> None:
        self.queue = queue
        self.connect = connect
        self.plain = connect().channel()
        type(self).span_name = f"process {queue}"

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        self.plain.basic_publish("", self.queue, b"tea", pika.BasicProperties(headers=dict(headers)))
        connection = self.connect()
        channel = clew.pika.traced(
            connection.channel(), tracer_provider=tracer_provider, propagator=propagator, **options
        )
        came: list[BaseException | None] = []

        def handle(channel: Any, method: Any, properties: Any, content: bytes) -> None:
            came.append(None)
            body()

        channel.basic_consume(self.queue, handle, auto_ack=True)
        until = time.monotonic() + 100
        try:
            while not came and time.monotonic() < until:
                connection.process_data_events(time_limit=0.1)
        except BaseException as error:
            return error
        finally:
            if connection.is_open:
                connection.close()
        return None


class TestHandlingByLink(TestHandling):
    join = "link"

    def call(self, *args: Any, **options: Any) -> BaseException | None:
        return super().call(*args, join="link", **options)


def test_a_message_says_where_it_went_and_what_it_is(
    connect: Callable[[], Any], queue: str, rabbitmq: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    channel = clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
    channel.basic_publish("", queue, b"tea", pika.BasicProperties(message_id="m1", correlation_id="c1"))
    assert fetched(connect().channel(), queue)[1] == b"tea"
    assert_span(
        spans.one(),
        name=f"publish {queue}",
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "send",
            "messaging.operation.name": "publish",
            "messaging.destination.name": queue,
            "messaging.message.id": "m1",
            "messaging.message.conversation_id": "c1",
            "messaging.message.body.size": 3,
            "messaging.rabbitmq.destination.routing_key": queue,
            "server.address": rabbitmq.host,
            "server.port": rabbitmq.port,
        },
    )


def test_sender_and_handler_are_one_trace(
    connect: Callable[[], Any], queue: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    sending = clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        sending.basic_publish("", queue, b"tea")
    channel = clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
    seen: list[int] = []
    for _, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=100):
        assert body == b"tea"
        seen.append(get_current_span().get_span_context().span_id)
        break
    channel.cancel()
    request, publish, process = (
        spans.one(kind=kind) for kind in (SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER)
    )
    assert publish.parent.span_id == request.context.span_id
    assert process.parent.span_id == publish.context.span_id
    assert seen == [process.context.span_id]
    assert_span(process, name=f"process {queue}", status=StatusCode.UNSET)


def test_a_message_that_is_fetched_is_linked_to_its_sender(
    connect: Callable[[], Any], queue: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    channel = clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
    channel.basic_publish("", queue, b"tea")
    fetched(channel, queue)
    publish, receive = spans.one(kind=SpanKind.PRODUCER), spans.one(kind=SpanKind.CONSUMER)
    assert_span(receive, name=f"receive {queue}", parent_id="")
    assert [link.context.span_id for link in receive.links] == [publish.context.span_id]


def test_a_message_nobody_takes_is_an_error_where_it_is_confirmed(
    connect: Callable[[], Any], tracer_provider: Any, spans: SpanRecorder
) -> None:
    channel = clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "nobody", b"tea", mandatory=True)
    assert_span(spans.one(), name="publish nobody", status=StatusCode.ERROR)
    assert len(exceptions_of(spans.one())) == 1


def test_names_that_the_broker_makes_up_are_not_in_a_spans_name(
    connect: Callable[[], Any], tracer_provider: Any, spans: SpanRecorder
) -> None:
    channel = connect().channel()
    reply_to = channel.queue_declare("", exclusive=True).method.queue
    clew.pika.traced(channel, tracer_provider=tracer_provider).basic_publish("", reply_to, b"yes")
    assert_span(spans.one(), name="publish (temporary)", attributes={"messaging.destination.name": reply_to})


def test_patched_channels_are_traced_until_it_is_undone_and_never_twice(
    connect: Callable[[], Any], queue: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    undo = instrumentation.patch(tracer_provider)
    try:
        plain, explicit = connect().channel(), clew.pika.traced(connect().channel(), tracer_provider=tracer_provider)
        plain.basic_publish("", queue, b"one")
        explicit.basic_publish("", queue, b"two")
        fetched(plain, queue)
        assert [span.kind for span in spans.spans] == [SpanKind.PRODUCER, SpanKind.PRODUCER, SpanKind.CONSUMER]
    finally:
        undo()
    plain.basic_publish("", queue, b"three")
    assert len(spans.spans) == 3


def test_what_is_no_channel_is_refused() -> None:
    with pytest.raises(TypeError, match="not a channel of pika: str"):
        clew.pika.traced("channel")
    with pytest.raises(ValueError, match="parent or link"):
        instrumentation.patch(None, join="sibling")


# In this order, on a queue with messages in it.
CALLS: list[Callable[[Any, str], Any]] = [
    lambda c, queue: c.basic_publish("", queue, b"a"),
    lambda c, queue: c.basic_publish(exchange="", routing_key=queue, body=b"b", properties=None, mandatory=True),
    lambda c, queue: c.basic_publish("", queue, b"c", pika.BasicProperties(headers={"x": 1})),
    lambda c, queue: c.basic_publish("", queue, "d", pika.BasicProperties(), False),
    lambda c, queue: c.basic_publish("", queue),
    lambda c, queue: c.basic_publish(topic="a"),
    lambda c, queue: c.basic_publish("", queue, b"a", 7),
    lambda c, queue: fetched(c, queue)[1],
    lambda c, queue: c.basic_get(queue=queue, auto_ack=True)[2],
    lambda c, queue: c.basic_get(),
    lambda c, queue: next(c.consume(queue, auto_ack=True, inactivity_timeout=100))[2],
    lambda c, queue: next(c.consume()),
    lambda c, queue: c.cancel() >= 0,
    lambda c, queue: type(c.basic_consume(queue, lambda *given: None, auto_ack=True)),
    lambda c, queue: type(c.basic_consume(queue=queue, on_message_callback=print, consumer_tag=None)),
    lambda c, queue: c.basic_consume(queue, None),
    lambda c, queue: c.basic_consume(queue),
    lambda c, queue: type(c),
]


@pytest.mark.parametrize("is_patched", [False, True], ids=["explicit", "patched"])
def test_channels_behave_as_without_tracing(
    connect: Callable[[], Any], queue: str, tracer_provider: Any, is_patched: bool
) -> None:
    def called(channel: Any) -> list[Any]:
        return [outcome(lambda c, call=call: call(c, queue), channel) for call in CALLS]

    undo = instrumentation.patch(tracer_provider) if is_patched else None
    try:
        channel = connect().channel()
        if not is_patched:
            clew.pika.traced(channel, tracer_provider=tracer_provider)
        got = called(channel)
    finally:
        if undo is not None:
            undo()
    channel.connection.close()
    plain = connect().channel()
    plain.queue_purge(queue)
    for call, one, other in zip(CALLS, got, called(plain), strict=True):
        assert one == other, inspect.getsource(call)
