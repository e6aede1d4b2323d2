"""confluent-kafka against a Kafka broker: what is produced, polled and consumed in batches."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import confluent_kafka
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.aio import AIOConsumer, AIOProducer
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import confluent_kafka as instrumentation
from clew.testing import Body, SpanRecorder, assert_span
from clew.testing.kits.sameness import outcome
from harness.backends import Backend
from harness.kafka_kits import KafkaHandling, KafkaSending

TIMEOUT_S = 60


class Kafka:
    """One topic, with a producer and a consumer that nobody traces."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"orders-{uuid4().hex[:8]}"
        self.settings = {"bootstrap.servers": servers, "linger.ms": 0, "log_level": 0}
        self.plain = Producer(self.settings)
        self.consumers: list[Any] = []
        self.plain_reader = Consumer({**self.settings_of_reader(), "group.id": "plain"})

    def settings_of_reader(self, **options: Any) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.servers,
            "group.id": "till",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
            **options,
        }

    def send(self, value: bytes | None = b"tea", headers: Any = None) -> int:
        """Sends one and returns its offset."""
        offsets: list[int] = []
        self.plain.produce(
            self.topic, value, headers=headers, on_delivery=lambda error, message: offsets.append(message.offset())
        )
        assert self.plain.flush(TIMEOUT_S) == 0
        return offsets[0]

    def at(self, consumer: Any, offset: int) -> Any:
        """The consumer, which reads from there on."""
        consumer.assign([TopicPartition(self.topic, 0, offset)])
        return consumer

    def reader(self, offset: int, cls: Any = Consumer, **options: Any) -> Any:
        self.consumers.append(cls(self.settings_of_reader(**options)))
        return self.at(self.consumers[-1], offset)

    def read(self, offset: int) -> Any:
        """What arrived there."""
        return polled(self.at(self.plain_reader, offset))


def polled(consumer: Any) -> Any:
    """The next message, waited for."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            return message
    raise AssertionError("no message came")


@pytest.fixture(scope="module")
def topic(kafka: Backend) -> Iterator[Kafka]:
    made = Kafka(kafka.address)
    made.send()
    yield made
    made.plain_reader.close()
    made.plain.close()


@pytest.fixture
def orders(topic: Kafka) -> Iterator[Kafka]:
    """A topic that exists, with one partition; its consumers are closed after the test."""
    yield topic
    while topic.consumers:
        topic.consumers.pop().close()


class TestProducing(KafkaSending):
    def producer(self, **options: Any) -> Any:
        return clew.kafka.traced(Producer, **options)(self.orders.settings)

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        producer = self.producer(tracer_provider=tracer_provider, propagator=propagator, **options)
        headers = [("mine", b"1"), ("Traceparent", b"of another")]
        offsets: list[int] = []
        producer.produce(
            self.orders.topic, b"tea", headers=headers, callback=lambda error, message: offsets.append(message.offset())
        )
        assert producer.flush(TIMEOUT_S) == 0
        assert headers == [("mine", b"1"), ("Traceparent", b"of another")]
        arrived = self.orders.read(offsets[0])
        assert arrived.value() == b"tea"
        assert arrived.headers()[0] == ("mine", b"1")
        return [(name, value.decode()) for name, value in arrived.headers() if value != b"of another"], None


class TestProducingByWhatWasMadeBefore(TestProducing):
    def producer(self, **options: Any) -> Any:
        return clew.kafka.traced(Producer(self.orders.settings), **options)


class TestPolling(KafkaHandling):
    """A message polled alone, whose handling `clew.kafka.processing` says the end of."""

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        offset = self.orders.send(headers=list(headers))
        cls = clew.kafka.traced(Consumer, tracer_provider=tracer_provider, propagator=propagator, **options)
        consumer = self.orders.reader(offset, cls)
        message = polled(consumer)
        try:
            with clew.kafka.processing(message, consumer):
                body()
        except BaseException as error:
            return error
        return None


def test_a_message_says_where_it_went_once_the_broker_has_it(
    orders: Kafka, kafka: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    cls = clew.kafka.traced(Producer, tracer_provider=tracer_provider)
    producer = cls({**orders.settings, "client.id": "till"})
    producer.produce(orders.topic, b"tea", "green")
    assert spans.spans == []
    assert spans.open == 1
    assert producer.flush(TIMEOUT_S) == 0
    (offset,) = (span.attributes["messaging.kafka.offset"] for span in spans.spans)
    assert orders.read(offset).key() == b"green"
    assert_span(
        spans.one(),
        name=f"send {orders.topic}",
        kind=SpanKind.PRODUCER,
        status=StatusCode.UNSET,
        attributes={
            "messaging.operation.type": "send",
            "messaging.destination.name": orders.topic,
            "messaging.destination.partition.id": "0",
            "messaging.kafka.message.key": "green",
            "messaging.message.body.size": 3,
            "messaging.client.id": "till",
            "server.address": kafka.host,
            "server.port": kafka.port,
        },
    )


def test_sender_and_what_is_done_until_the_next_poll_are_one_trace(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    tracer = tracer_provider.get_tracer("app")
    first = orders.send(b"before")
    producer = clew.kafka.traced(Producer, tracer_provider=tracer_provider)(orders.settings)
    for value in (b"one", None):
        producer.produce(orders.topic, value, b"key")
    producer.flush(TIMEOUT_S)
    consumer = orders.reader(first + 1, clew.kafka.traced(Consumer, tracer_provider=tracer_provider))
    for _ in range(2):
        polled(consumer)
        with tracer.start_as_current_span("work"):
            pass
    consumer.close()
    assert not get_current_span().get_span_context().is_valid
    sent, processed, work = (
        [span for span in spans.spans if span.name.startswith(name)] for name in ("send", "process", "work")
    )
    assert [span.parent.span_id for span in processed] == [span.context.span_id for span in sent]
    assert [span.parent.span_id for span in work] == [span.context.span_id for span in processed]
    assert "messaging.kafka.message.tombstone" not in processed[0].attributes
    assert_span(
        processed[1],
        kind=SpanKind.CONSUMER,
        attributes={"messaging.kafka.message.tombstone": True, "messaging.consumer.group.name": "till"},
    )
    assert spans.open == 0


@pytest.mark.parametrize("way", ["finally", "with"])
def test_a_failure_after_which_the_consumer_is_closed_is_that_of_the_last_message(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder, way: str
) -> None:
    offset = orders.send()
    consumer = orders.reader(offset, clew.kafka.traced(Consumer, tracer_provider=tracer_provider))

    def read() -> None:
        if way == "with":
            with consumer:
                polled(consumer)
                raise ValueError("no tea")
        try:
            polled(consumer)
            raise ValueError("no tea")
        finally:
            consumer.close()

    with pytest.raises(ValueError, match="no tea"):
        read()
    assert_span(spans.one(), status=StatusCode.ERROR, attributes={"error.type": "ValueError"})
    # One that was there before the message came is not its own.
    another = orders.reader(offset, clew.kafka.traced(Consumer, tracer_provider=tracer_provider))
    try:
        raise ValueError("earlier")
    except ValueError:
        polled(another)
        another.close()
    assert_span(spans.spans[1], status=StatusCode.UNSET)


def test_a_batch_is_one_span_linked_to_all_senders(orders: Kafka, tracer_provider: Any, spans: SpanRecorder) -> None:
    first = orders.send(b"before")
    producer = clew.kafka.traced(Producer, tracer_provider=tracer_provider)(orders.settings)
    for value in (b"one", b"two"):
        producer.produce(orders.topic, value)
    producer.flush(TIMEOUT_S)
    consumer = orders.reader(first + 1, clew.kafka.traced(Consumer, tracer_provider=tracer_provider))
    assert [message.value() for message in consumer.consume(2, TIMEOUT_S)] == [b"one", b"two"]
    poll = spans.one(kind=SpanKind.CONSUMER)
    assert_span(poll, name=f"poll {orders.topic}", attributes={"messaging.batch.message_count": 2})
    assert [link.context.span_id for link in poll.links] == [
        span.context.span_id for span in spans.spans if span.kind is SpanKind.PRODUCER
    ]
    assert consumer.consume(2, 0.01) == []
    assert consumer.poll(0.01) is None
    assert len(spans.spans) == 3


def test_what_is_polled_for_somebody_else_is_linked_and_nothing_of_it_stays_in_the_thread(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    first = orders.send()
    for _ in range(2):
        orders.send()
    consumer = orders.reader(first, clew.kafka.traced(Consumer, tracer_provider=tracer_provider))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(consumer.poll, TIMEOUT_S).result() is not None
        assert pool.submit(lambda: consumer.poll(TIMEOUT_S)).result() is not None
        assert not pool.submit(get_current_span).result().get_span_context().is_valid
    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        assert consumer.poll(TIMEOUT_S) is not None
    assert [span.name for span in spans.spans] == [f"poll {orders.topic}"] * 3 + ["request"]


def test_its_asyncio_clients_send_a_batch_and_poll_in_a_thread(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    undo = instrumentation.patch(tracer_provider)

    async def main() -> None:
        producer = AIOProducer(dict(orders.settings), batch_size=2)
        sent = await asyncio.gather(*[await producer.produce(orders.topic, value=b"tea") for _ in range(2)])
        await producer.close()
        consumer = AIOConsumer(orders.settings_of_reader())
        await consumer.assign([TopicPartition(orders.topic, 0, sent[0].offset())])
        message = await consumer.poll(TIMEOUT_S)
        assert not get_current_span().get_span_context().is_valid
        with clew.kafka.processing(message):
            assert get_current_span().get_span_context().is_valid
        await consumer.close()

    try:
        asyncio.run(main())
    finally:
        undo()
    assert [span.name.partition(" ")[0] for span in spans.spans] == ["send", "poll", "process"]
    assert_span(spans.spans[0], attributes={"messaging.batch.message_count": 2})
    assert spans.open == 0


@pytest.mark.parametrize("made", ["of the class", "before"])
def test_a_message_that_cannot_be_delivered_is_an_error_with_its_code_and_the_application_hears_of_it(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder, made: str
) -> None:
    settings = {**orders.settings, "message.timeout.ms": 1}
    settings["bootstrap.servers"] = "127.0.0.1:1"
    cls = clew.kafka.traced(Producer, tracer_provider=tracer_provider)
    producer: Any = (
        cls(settings)
        if made == "of the class"
        else clew.kafka.traced(Producer(settings), tracer_provider=tracer_provider)
    )
    heard: list[Any] = []
    producer.produce(
        orders.topic, b"tea", on_delivery=lambda error, message: heard.append((error.name(), message.value()))
    )
    assert producer.flush(TIMEOUT_S) == 0
    assert heard == [("_MSG_TIMED_OUT", b"tea")]
    assert_span(spans.one(), status=StatusCode.ERROR, attributes={"error.type": "_MSG_TIMED_OUT"})
    assert spans.one().status.description == "Local: Message timed out"


def test_a_message_that_the_library_refuses_is_an_error_with_its_code(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    producer = clew.kafka.traced(Producer, tracer_provider=tracer_provider)(orders.settings)
    with pytest.raises(KafkaException):
        producer.produce(orders.topic, b"x" * 2_000_000)
    assert_span(spans.one(), status=StatusCode.ERROR, attributes={"error.type": "MSG_SIZE_TOO_LARGE"})


def test_callbacks_are_called_as_without_tracing_and_poll_and_flush_count_the_same(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    def tried(cls: Any, **settings: Any) -> Any:
        heard: list[Any] = []

        def by_default(error: Any, message: Any) -> None:
            heard.append(("default", error, message.value(), message.topic(), message.headers()))

        def mine(error: Any, message: Any) -> None:
            heard.append(("mine", error, message.value(), message.topic(), message.headers()))

        def failing(error: Any, message: Any) -> None:
            raise ValueError("in the callback")

        producer = cls({**orders.settings, **settings}, on_delivery=by_default)
        counts: list[Any] = [producer.poll(0)]
        calls: list[Callable[[], Any]] = [
            lambda: producer.produce(orders.topic, b"1"),
            lambda: producer.produce(orders.topic, b"2", on_delivery=mine),
            lambda: producer.produce(orders.topic, b"3", b"key", 0, mine),
            lambda: producer.produce(orders.topic, b"4", b"key", 0, None, mine, 0, [("a", b"b")]),
            lambda: producer.produce(topic=orders.topic, value=b"5", headers={"a": "b", "c": None}, callback=mine),
            lambda: producer.produce(orders.topic, "6"),
            lambda: producer.produce(orders.topic, callback=None, on_delivery=None),
        ]
        for call in calls:
            assert call() is None
            until = time.monotonic() + TIMEOUT_S
            while not (count := producer.poll(0.01)) and time.monotonic() < until:
                pass
            counts.append(count)
        producer.produce(orders.topic, b"7", on_delivery=failing)
        counts.append(outcome(lambda one: one.flush(TIMEOUT_S), producer))
        counts.append(len(producer))
        counts.append(bool(producer))
        return counts, heard

    for settings in ({}, {"delivery.report.only.error": True}):
        spans.clear()
        plain = tried(Producer, **settings)
        assert tried(clew.kafka.traced(Producer, tracer_provider=tracer_provider), **settings) == plain
        assert len(spans.spans) == 8
        assert spans.open == 0


def test_calls_give_the_same_results_and_exceptions(orders: Kafka, tracer_provider: Any) -> None:
    topic = orders.topic
    calls: list[Callable[[Any], Any]] = [
        # From then on the producer knows which partitions there are.
        lambda kafka: kafka[0].produce(topic, b"tea"),
        lambda kafka: kafka[0].flush(TIMEOUT_S),
        lambda kafka: kafka[0].produce(),
        lambda kafka: kafka[0].produce(5),
        lambda kafka: kafka[0].produce(topic, 5),
        lambda kafka: kafka[0].produce(topic, b"tea", headers=5),
        lambda kafka: kafka[0].produce(topic, b"tea", headers=(("a", b"1"),)),
        lambda kafka: kafka[0].produce(topic, b"tea", headers=[("a", 5)]),
        lambda kafka: kafka[0].produce(topic, b"tea", headers=["a"]),
        lambda kafka: kafka[0].produce(topic, b"tea", on_delivery=5),
        lambda kafka: kafka[0].produce(topic, b"tea", callback=print, on_delivery=5),
        lambda kafka: kafka[0].produce(topic, b"tea", nothing=5),
        lambda kafka: kafka[0].produce(topic, b"tea", partition=99),
        lambda kafka: kafka[0].produce_batch(topic, [{"value": b"1"}, {"value": b"2"}]),
        lambda kafka: kafka[0].produce_batch(topic, 5),
        lambda kafka: kafka[0].flush(TIMEOUT_S),
        lambda kafka: kafka[0].list_topics(topic, TIMEOUT_S),
        lambda kafka: kafka[1].poll("soon"),
        lambda kafka: kafka[1].consume(-1),
        lambda kafka: kafka[1].consume(1, TIMEOUT_S),
        lambda kafka: polled(kafka[1]),
        lambda kafka: kafka[1].__enter__() is kafka[1],
        lambda kafka: kafka[1].close(),
        lambda kafka: kafka[1].poll(0),
        lambda kafka: (type(kafka[0]).__name__, type(kafka[0]).__module__, isinstance(kafka[0], Producer)),
        lambda kafka: (
            kafka[0].__class__.__name__,
            isinstance(kafka[1], Consumer),
            repr(kafka[0]).partition(" object")[0],
        ),
    ]

    def outcomes(made: Callable[[Any], Any]) -> list[Any]:
        pair = made(Producer)(orders.settings), orders.at(made(Consumer)(orders.settings_of_reader()), 0)
        return [outcome(call, pair) for call in calls]

    plain = outcomes(lambda cls: cls)
    assert outcomes(lambda cls: clew.kafka.traced(cls, tracer_provider=tracer_provider)) == plain

    def made_before(cls: Any) -> Any:
        return lambda *args: clew.kafka.traced(cls(*args), tracer_provider=tracer_provider)

    # The last two ask for the object's own class.
    assert outcomes(made_before)[:-2] == plain[:-2]


def test_the_packages_classes_are_traced_until_it_is_undone_and_never_twice(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    originals = [getattr(confluent_kafka, name) for name in instrumentation.NAMES]
    undo = instrumentation.patch(tracer_provider)
    try:
        assert clew.kafka.traced(confluent_kafka.Producer) is confluent_kafka.Producer
        producer = confluent_kafka.Producer(orders.settings)
        assert clew.kafka.traced(producer) is producer
        assert isinstance(orders.plain, confluent_kafka.Producer)
        assert issubclass(Producer, confluent_kafka.Producer)
        assert not isinstance(orders.plain, confluent_kafka.Consumer)

        class Mine(confluent_kafka.Producer):
            pass

        assert not isinstance(producer, Mine)
        mine = Mine(orders.settings)
        serializing = confluent_kafka.SerializingProducer(
            {**orders.settings, "value.serializer": lambda value, context: value.encode()}
        )
        for one, value in ((producer, b"one"), (mine, b"two"), (serializing, "three")):
            one.produce(orders.topic, value=value)
            one.flush(TIMEOUT_S)
        first = spans.spans[0].attributes["messaging.kafka.offset"]
        consumer = orders.reader(
            first,
            confluent_kafka.DeserializingConsumer,
            **{"value.deserializer": lambda value, context: value.decode()},
        )
        assert [polled(consumer).value() for _ in range(3)] == ["one", "two", "three"]
    finally:
        undo()
    consumer.close()
    assert [getattr(confluent_kafka, name) for name in instrumentation.NAMES] == originals
    producer.produce(orders.topic, b"four")
    producer.flush(TIMEOUT_S)
    assert not get_current_span().get_span_context().is_valid
    assert sorted(span.name.partition(" ")[0] for span in spans.spans) == ["process"] * 3 + ["send"] * 3


def test_messages_that_are_never_delivered_have_their_span_when_the_producer_goes(
    tracer_provider: Any, spans: SpanRecorder
) -> None:
    cls = clew.kafka.traced(Producer, tracer_provider=tracer_provider)
    producer = cls({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    producer.produce("nowhere", b"tea")
    producer.purge()
    producer.flush(1)
    del producer
    assert_span(spans.one(), status=StatusCode.ERROR, attributes={"error.type": "_PURGE_QUEUE"})
    assert threading.active_count() >= 1


def test_clew_run_traces_a_program_that_knows_nothing_of_it(orders: Kafka, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"""
import sys
assert "confluent_kafka" not in sys.modules, "imported before the program does"
from confluent_kafka import Consumer, Producer, TopicPartition

offsets = []
producer = Producer({{"bootstrap.servers": {orders.servers!r}}})
producer.produce({orders.topic!r}, b"tea", on_delivery=lambda error, message: offsets.append(message.offset()))
producer.flush(20)
consumer = Consumer({{"bootstrap.servers": {orders.servers!r}, "group.id": "run"}})
consumer.assign([TopicPartition({orders.topic!r}, 0, offsets[0])])
while consumer.poll(20) is None:
    pass
# It ends without closing the consumer.
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "clew.cli", "run", "--exporter", "console", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"send {orders.topic}" in done.stdout
    assert f"process {orders.topic}" in done.stdout
