"""kafka-python against a Kafka broker: what is sent, iterated over and polled in batches."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import kafka as library
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import MessageSizeTooLargeError
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import kafka_python as instrumentation
from clew.testing import Body, SpanRecorder, assert_span, exceptions_of
from clew.testing.kits.sameness import outcome, shape, unreadable
from harness.backends import Backend
from harness.kafka_kits import KafkaHandling, KafkaSending

TIMEOUT_S = 60


class Kafka:
    """One topic, with a producer and a consumer that nobody traces."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"orders-{uuid4().hex[:8]}"
        self.made: list[Any] = []
        self.plain = KafkaProducer(bootstrap_servers=servers)
        self.plain_reader = KafkaConsumer(bootstrap_servers=servers, fetch_max_wait_ms=20)

    def send(self, value: bytes | None = b"tea", **options: Any) -> int:
        """Sends one and returns its offset."""
        offset: int = self.plain.send(self.topic, value, **options).get(TIMEOUT_S).offset
        return offset

    def producer(self, **options: Any) -> Any:
        self.made.append(KafkaProducer(bootstrap_servers=self.servers, **options))
        return self.made[-1]

    def consumer(self, offset: int, **options: Any) -> Any:
        self.made.append(KafkaConsumer(bootstrap_servers=self.servers, fetch_max_wait_ms=20, **options))
        return self.at(self.made[-1], offset)

    def at(self, consumer: Any, offset: int) -> Any:
        consumer.assign([TopicPartition(self.topic, 0)])
        consumer.seek(TopicPartition(self.topic, 0), offset)
        return consumer


@pytest.fixture(scope="module")
def topic(kafka: Backend) -> Iterator[Kafka]:
    made = Kafka(kafka.address)
    made.send()
    yield made
    made.plain.close()
    made.plain_reader.close()


@pytest.fixture
def orders(topic: Kafka) -> Iterator[Kafka]:
    """A topic that exists, with one partition; what is made for it is closed after the test."""
    yield topic
    while topic.made:
        topic.made.pop().close()


class TestSending(KafkaSending):
    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        producer = self.orders.producer()
        assert (
            clew.kafka.traced(producer, tracer_provider=tracer_provider, propagator=propagator, **options) is producer
        )
        headers = [("mine", b"1"), ("Traceparent", b"of another")]
        sent = producer.send(self.orders.topic, b"tea", headers=headers).get(TIMEOUT_S)
        assert headers == [("mine", b"1"), ("Traceparent", b"of another")]
        # The future knows before its callbacks have run; the producer is done when they have.
        producer.close()
        arrived = next(self.orders.at(self.orders.plain_reader, sent.offset))
        assert arrived.value == b"tea"
        assert arrived.headers[0] == ("mine", b"1")
        return [(name, value.decode()) for name, value in arrived.headers if value != b"of another"], None


class TestIterating(KafkaHandling):
    """A message in a loop over the consumer, whose handling `clew.kafka.processing` says the end of."""

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        offset = self.orders.send(headers=[(name, value.encode()) for name, value in headers])
        consumer = clew.kafka.traced(
            self.orders.consumer(offset), tracer_provider=tracer_provider, propagator=propagator, **options
        )
        try:
            for message in consumer:
                before = get_current_span()
                with clew.kafka.processing(message, consumer):
                    assert get_current_span() is before
                    body()
                break
        except BaseException as error:
            return error
        return None


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert is_so()


def test_sender_and_loop_are_one_trace(
    orders: Kafka, kafka: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    tracer = tracer_provider.get_tracer("app")
    producer = clew.kafka.traced(orders.producer(client_id="till"), tracer_provider=tracer_provider)
    with tracer.start_as_current_span("request"):
        sent = producer.send(orders.topic, None, b"green").get(TIMEOUT_S)
    consumer = orders.consumer(sent.offset, group_id="till", enable_auto_commit=False)
    for _ in clew.kafka.traced(consumer, tracer_provider=tracer_provider):
        with tracer.start_as_current_span("work"):
            pass
        break
    assert not get_current_span().get_span_context().is_valid
    until(lambda: spans.open == 0)
    request, work = (next(span for span in spans.spans if span.name == name) for name in ("request", "work"))
    send, process = spans.one(kind=SpanKind.PRODUCER), spans.one(kind=SpanKind.CONSUMER)
    assert send.parent.span_id == request.context.span_id
    assert process.parent.span_id == send.context.span_id
    assert work.parent.span_id == process.context.span_id
    same = {
        "messaging.system": "kafka",
        "messaging.destination.name": orders.topic,
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": sent.offset,
        "messaging.kafka.message.key": "green",
        "messaging.kafka.message.tombstone": True,
        "server.address": kafka.host,
        "server.port": kafka.port,
    }
    assert_span(send, name=f"send {orders.topic}", attributes={**same, "messaging.client.id": "till"})
    assert_span(process, name=f"process {orders.topic}", attributes={**same, "messaging.consumer.group.name": "till"})


def test_a_batch_is_one_span_linked_to_all_senders(orders: Kafka, tracer_provider: Any, spans: SpanRecorder) -> None:
    producer = clew.kafka.traced(orders.producer(), tracer_provider=tracer_provider)
    first = producer.send(orders.topic, b"one").get(TIMEOUT_S)
    producer.send(orders.topic, b"two").get(TIMEOUT_S)
    until(lambda: len(spans.spans) == 2)
    consumer = clew.kafka.traced(orders.consumer(first.offset), tracer_provider=tracer_provider)
    assert len(consumer.poll(TIMEOUT_S * 1000)) == 1
    poll = spans.one(kind=SpanKind.CONSUMER)
    assert_span(poll, name=f"poll {orders.topic}", attributes={"messaging.batch.message_count": 2})
    assert [link.context.span_id for link in poll.links] == [
        span.context.span_id for span in spans.spans if span.kind is SpanKind.PRODUCER
    ]
    assert consumer.poll(1) == {}
    assert len(spans.spans) == 3


def test_a_message_that_cannot_be_sent_is_an_error_with_its_name(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    producer = clew.kafka.traced(orders.producer(max_request_size=2_000_000), tracer_provider=tracer_provider)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(orders.topic, b"x" * 3_000_000)
    # The broker refuses what the client lets through.
    with pytest.raises(library.errors.KafkaError):
        producer.send(orders.topic, b"x" * 1_500_000).get(TIMEOUT_S)
    until(lambda: len(spans.spans) == 2)
    for span in spans.spans:
        assert_span(span, status=StatusCode.ERROR)
        assert str(span.attributes["error.type"]).isupper()
        assert len(exceptions_of(span)) == 1


def test_methods_keep_their_kind_and_calls_their_results_and_exceptions(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    topic = orders.topic
    methods = [(KafkaProducer, "send")] + [(KafkaConsumer, name) for name in ("poll", "__iter__", "__next__", "close")]
    before = [shape(getattr(owner, name)) for owner, name in methods]
    calls: list[Callable[[Any], Any]] = [
        lambda kafka: kafka[0].send(topic, b"tea", b"key", [("a", b"1")], 0).get(TIMEOUT_S).partition,
        lambda kafka: kafka[0].send(value=b"tea", topic=topic, headers=None).get(TIMEOUT_S).serialized_value_size,
        lambda kafka: kafka[0].send(topic, b"tea", headers=(("a", b"1"),)),
        lambda kafka: kafka[0].send(topic, b"tea", headers=[("a", "1")]),
        lambda kafka: kafka[0].send(topic, b"tea", headers=["a"]),
        lambda kafka: kafka[0].send(topic),
        lambda kafka: kafka[0].send(),
        lambda kafka: kafka[0].send(topic, "text"),
        lambda kafka: kafka[0].send(topic, b"tea", partition=99),
        lambda kafka: kafka[0].send("no topic!", b"tea"),
        lambda kafka: kafka[1].poll(-1),
        lambda kafka: kafka[1].poll(max_records="1"),
        lambda kafka: kafka[1].poll(TIMEOUT_S * 1000, 1),
        lambda kafka: isinstance(iter(kafka[1]), KafkaConsumer),
        lambda kafka: iter(kafka[1]).assignment() == kafka[1].assignment(),
        lambda kafka: next(iter(kafka[1])),
        lambda kafka: next(kafka[1]),
        lambda kafka: kafka[1].close(autocommit=False),
        lambda kafka: next(kafka[1]),
        lambda kafka: kafka[1].poll(),
    ]

    def outcomes() -> list[Any]:
        pair = orders.producer(), orders.consumer(0)
        return [outcome(call, pair) for call in calls]

    plain = outcomes()
    undo = instrumentation.patch(tracer_provider)
    try:
        assert [shape(getattr(owner, name)) for owner, name in methods] == before
        assert outcomes() == plain
        with unreadable():
            assert outcomes() == plain
    finally:
        undo()
    count = len(spans.spans)
    assert outcomes() == plain
    assert len(spans.spans) == count
    assert not get_current_span().get_span_context().is_valid


def test_clew_run_traces_a_program_that_knows_nothing_of_it(orders: Kafka, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"""
import sys
assert "kafka" not in sys.modules, "imported before the program does"
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

producer = KafkaProducer(bootstrap_servers={orders.servers!r})
sent = producer.send({orders.topic!r}, b"tea").get(20)
producer.close()
consumer = KafkaConsumer(bootstrap_servers={orders.servers!r})
consumer.assign([TopicPartition({orders.topic!r}, 0)])
consumer.seek(TopicPartition({orders.topic!r}, 0), sent.offset)
for message in consumer:
    break
consumer.close()
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
