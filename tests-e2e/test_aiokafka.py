"""aiokafka against a Kafka broker: what is sent, given out singly, iterated over and fetched in batches."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import aiokafka as instrumentation
from clew.testing import Body, SpanRecorder, assert_span, exceptions_of
from clew.testing.kits.sameness import aoutcome, shape, unreadable
from harness.backends import Backend
from harness.kafka_kits import KafkaHandling, KafkaSending

T = TypeVar("T")
TIMEOUT_S = 60


class Kafka:
    """Runs coroutines with producers and consumers of one topic, which are stopped at the end of each."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"orders-{uuid4().hex[:8]}"

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        async def within() -> T:
            self.started: list[Any] = []
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await main()
            finally:
                for one in self.started:
                    await one.stop()

        return asyncio.run(within())

    async def producer(self, **options: Any) -> AIOKafkaProducer:
        self.started.append(AIOKafkaProducer(bootstrap_servers=self.servers, **options))
        await self.started[-1].start()
        return self.started[-1]

    async def consumer(self, offset: int = 0, **options: Any) -> AIOKafkaConsumer:
        """One that reads from an offset on."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, fetch_max_wait_ms=50, **options)
        self.started.append(consumer)
        await consumer.start()
        consumer.assign([TopicPartition(self.topic, 0)])
        consumer.seek(TopicPartition(self.topic, 0), offset)
        return consumer


@pytest.fixture(scope="module")
def orders(kafka: Backend) -> Kafka:
    """A topic that exists, with one partition."""
    made = Kafka(kafka.address)

    async def create() -> None:
        await (await made.producer()).send_and_wait(made.topic, b"first")

    made.run(create)
    return made


class TestSending(KafkaSending):
    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        orders = self.orders

        async def main() -> Any:
            producer = await orders.producer()
            assert (
                clew.kafka.traced(producer, tracer_provider=tracer_provider, propagator=propagator, **options)
                is producer
            )
            headers = [("mine", b"1"), ("Traceparent", b"of another")]
            sent = await producer.send_and_wait(orders.topic, b"tea", headers=headers)
            assert headers == [("mine", b"1"), ("Traceparent", b"of another")]
            return await (await orders.consumer(sent.offset)).getone()

        arrived = orders.run(main)
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
        async def main() -> BaseException | None:
            producer = await self.orders.producer()
            pairs = [(name, value.encode()) for name, value in headers]
            sent = await producer.send_and_wait(self.orders.topic, b"tea", headers=pairs)
            consumer = await self.orders.consumer(sent.offset)
            try:
                await self.handle(consumer, body, tracer_provider=tracer_provider, propagator=propagator, **options)
            except BaseException as error:
                return error
            return None

        return self.orders.run(main)

    async def handle(self, consumer: AIOKafkaConsumer, body: Body, **options: Any) -> None:
        """Have the next message handled by `body`."""
        async for message in clew.kafka.traced(consumer, **options):
            before = get_current_span()
            with clew.kafka.processing(message, consumer):
                assert get_current_span() is before
                body()
            break


class TestProcessingByLink(TestIterating):
    """A message fetched in a batch and handled within `clew.kafka.processing`, with options of its own."""

    join = "link"

    async def handle(self, consumer: AIOKafkaConsumer, body: Body, **options: Any) -> None:
        (messages,) = (await consumer.getmany(timeout_ms=TIMEOUT_S * 1000, max_records=1)).values()
        with clew.kafka.processing(messages[0], consumer, join="link", **options):
            body()


def test_a_message_says_where_it_went_and_what_it_is(
    orders: Kafka, kafka: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> Any:
        producer = clew.kafka.traced(await orders.producer(client_id="till"), tracer_provider=tracer_provider)
        future = await producer.send(orders.topic, b"tea", key=b"green", partition=0)
        assert len(spans.spans) == 0  # the broker has not answered yet
        assert spans.open == 1
        return await future

    sent = orders.run(main)
    assert_span(
        spans.one(),
        name=f"send {orders.topic}",
        kind=SpanKind.PRODUCER,
        status=StatusCode.UNSET,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": "send",
            "messaging.destination.name": orders.topic,
            "messaging.destination.partition.id": "0",
            "messaging.kafka.message.key": "green",
            "messaging.kafka.offset": sent.offset,
            "messaging.message.body.size": 3,
            "messaging.client.id": "till",
            "server.address": kafka.host,
            "server.port": kafka.port,
        },
    )
    assert "messaging.kafka.message.tombstone" not in spans.one().attributes


def test_sender_and_loop_are_one_trace_and_what_is_done_in_the_loop_is_below_it(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    tracer = tracer_provider.get_tracer("app")

    async def main() -> None:
        producer = clew.kafka.traced(await orders.producer(), tracer_provider=tracer_provider)
        with tracer.start_as_current_span("request"):
            first = await producer.send_and_wait(orders.topic, None, key=b"green")
        await producer.send_and_wait(orders.topic, b"two")
        consumer = clew.kafka.traced(
            await orders.consumer(first.offset, group_id="till", enable_auto_commit=False),
            tracer_provider=tracer_provider,
        )
        async for message in consumer:
            with tracer.start_as_current_span("work"):
                pass
            if message.value == b"two":
                break
        assert not get_current_span().get_span_context().is_valid
        with tracer.start_as_current_span("after"):
            pass

    orders.run(main)
    by_name: dict[str, list[Any]] = {}
    for span in spans.spans:
        by_name.setdefault(span.name.partition(" ")[0], []).append(span)
    assert [span.parent.span_id for span in by_name["process"]] == [span.context.span_id for span in by_name["send"]]
    assert [span.parent.span_id for span in by_name["work"]] == [span.context.span_id for span in by_name["process"]]
    assert by_name["after"][0].parent is None
    assert by_name["send"][0].attributes["messaging.kafka.message.tombstone"] is True
    assert_span(
        by_name["process"][0],
        kind=SpanKind.CONSUMER,
        status=StatusCode.UNSET,
        attributes={
            "messaging.operation.type": "process",
            "messaging.kafka.message.tombstone": True,
            "messaging.kafka.message.key": "green",
            "messaging.destination.partition.id": "0",
            "messaging.consumer.group.name": "till",
        },
    )
    assert spans.open == 0


def test_a_batch_is_one_span_linked_to_all_senders_and_each_message_of_it_can_have_its_own(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        producer = clew.kafka.traced(await orders.producer(), tracer_provider=tracer_provider)
        first = await producer.send_and_wait(orders.topic, b"one")
        await producer.send_and_wait(orders.topic, b"two")
        consumer = clew.kafka.traced(await orders.consumer(first.offset), tracer_provider=tracer_provider)
        fetched = await consumer.getmany(timeout_ms=TIMEOUT_S * 1000)
        (messages,) = fetched.values()
        for message in messages:
            with clew.kafka.processing(message, consumer):
                pass

    orders.run(main)
    senders = [span.context.span_id for span in spans.spans if span.kind is SpanKind.PRODUCER]
    poll, *processed = [span for span in spans.spans if span.kind is SpanKind.CONSUMER]
    assert_span(
        poll,
        name=f"poll {orders.topic}",
        parent_id="",
        attributes={
            "messaging.operation.type": "receive",
            "messaging.operation.name": "poll",
            "messaging.batch.message_count": 2,
            "messaging.destination.partition.id": "0",
        },
    )
    assert [link.context.span_id for link in poll.links] == senders
    assert [span.parent.span_id for span in processed] == senders


def test_nothing_fetched_is_no_span(orders: Kafka, tracer_provider: Any, spans: SpanRecorder) -> None:
    async def main() -> None:
        consumer = clew.kafka.traced(await orders.consumer(), tracer_provider=tracer_provider)
        await consumer.seek_to_end()
        assert await consumer.getmany(timeout_ms=10) == {}

    orders.run(main)
    assert spans.spans == []


def test_a_message_asked_for_alone_is_handled_until_the_next_but_within_a_request_it_is_linked(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    tracer = tracer_provider.get_tracer("app")

    async def main() -> None:
        producer = await orders.producer()
        first = await producer.send_and_wait(orders.topic, b"one")
        for _ in range(3):
            await producer.send_and_wait(orders.topic, b"more")
        consumer = clew.kafka.traced(await orders.consumer(first.offset), tracer_provider=tracer_provider)
        await consumer.getone()
        with tracer.start_as_current_span("work"):
            pass
        await consumer.getone()
        with tracer.start_as_current_span("work"):
            pass
        with tracer.start_as_current_span("request"):
            # The span of the message before is current here, and its end leaves this one alone.
            await consumer.getone()
        # In a task of its own: the caller does not see what is current there.
        await asyncio.create_task(consumer.getone())
        await consumer.stop()
        assert not get_current_span().get_span_context().is_valid

    orders.run(main)
    process = [span for span in spans.spans if span.name == f"process {orders.topic}"]
    polled = [span for span in spans.spans if span.name == f"poll {orders.topic}"]
    work = [span for span in spans.spans if span.name == "work"]
    assert [span.parent.span_id for span in work] == [span.context.span_id for span in process]
    assert [span.attributes["messaging.kafka.offset"] for span in polled] == [
        process[1].attributes["messaging.kafka.offset"] + 1,
        process[1].attributes["messaging.kafka.offset"] + 2,
    ]
    assert spans.open == 0


def test_a_failure_after_which_the_consumer_is_stopped_is_that_of_the_last_message(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        sent = await (await orders.producer()).send_and_wait(orders.topic, b"tea")
        consumer = clew.kafka.traced(await orders.consumer(sent.offset), tracer_provider=tracer_provider)
        try:
            await consumer.getone()
            raise ValueError("no tea")
        finally:
            await consumer.stop()

    with pytest.raises(ValueError, match="no tea"):
        orders.run(main)
    assert_span(spans.one(), status=StatusCode.ERROR, attributes={"error.type": "ValueError"})


def test_a_message_that_cannot_be_sent_is_an_error_with_its_name(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        producer = clew.kafka.traced(await orders.producer(max_request_size=2_000_000), tracer_provider=tracer_provider)
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(orders.topic, b"x" * 3_000_000)
        # The broker refuses what the client lets through.
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(orders.topic, b"x" * 1_500_000)

    orders.run(main)
    assert len(spans.spans) == 2
    for span in spans.spans:
        assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "MESSAGE_SIZE_TOO_LARGE"})
        assert len(exceptions_of(span)) == 1


def test_a_failure_that_nobody_asks_for_is_still_told_by_asyncio(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    told: dict[bool, list[str]] = {}

    async def send(traced: bool) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: told.setdefault(traced, []).append(context["message"])
        )
        producer = await orders.producer(max_request_size=2_000_000)
        if traced:
            clew.kafka.traced(producer, tracer_provider=tracer_provider)
        await producer.send(orders.topic, b"x" * 1_500_000)
        await producer.flush()

    for traced in (False, True):
        orders.run(lambda traced=traced: send(traced))  # type: ignore[misc]
    assert told.get(True) == told.get(False)


def test_a_batch_that_is_sent_is_one_span_with_its_count(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        producer = clew.kafka.traced(await orders.producer(), tracer_provider=tracer_provider)
        batch = producer.create_batch()
        for text in (b"one", b"two"):
            batch.append(key=None, value=text, timestamp=None)
        await (await producer.send_batch(batch, orders.topic, partition=0))

    orders.run(main)
    assert_span(spans.one(), name=f"send {orders.topic}", attributes={"messaging.batch.message_count": 2})


def test_all_clients_are_traced_until_it_is_undone_and_never_twice(
    orders: Kafka, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        plain = await orders.producer()
        explicit = clew.kafka.traced(await orders.producer(), tracer_provider=tracer_provider)
        undo = instrumentation.patch(tracer_provider)
        try:
            first = await plain.send_and_wait(orders.topic, b"one")
            await explicit.send_and_wait(orders.topic, b"two")
            consumer = await orders.consumer(first.offset)
            async for message in consumer:
                if message.value == b"two":
                    break
        finally:
            undo()
        await plain.send_and_wait(orders.topic, b"three")
        assert (await consumer.getone()).value == b"three"

    orders.run(main)
    assert [span.name.partition(" ")[0] for span in spans.spans] == ["send", "send", "process", "process"]


def test_methods_keep_their_kind_and_calls_their_results_and_exceptions(orders: Kafka, tracer_provider: Any) -> None:
    names = ("send", "send_and_wait", "send_batch", "getone", "getmany", "stop", "__aiter__", "__anext__")
    owners = (AIOKafkaProducer, AIOKafkaConsumer)
    methods = [(owner, name) for owner in owners for name in names if hasattr(owner, name)]
    before = [shape(getattr(owner, name)) for owner, name in methods]
    topic = orders.topic
    calls: list[Callable[[Any], Awaitable[Any]]] = [
        lambda kafka: place(kafka[0].send_and_wait(topic, b"tea", b"key", 0, None, [("a", b"1")])),
        lambda kafka: place(kafka[0].send_and_wait(topic, headers=None, value=b"tea")),
        lambda kafka: place(kafka[0].send_and_wait(topic, b"tea", headers=(("a", b"1"),))),
        lambda kafka: kafka[0].send(topic),
        lambda kafka: kafka[0].send(topic, "no bytes"),
        lambda kafka: kafka[0].send(topic, b"tea", headers=5),
        lambda kafka: kafka[0].send(topic, b"tea", headers=[("a", "no bytes")]),
        lambda kafka: kafka[0].send(topic, b"tea", partition=99),
        lambda kafka: kafka[0].send(topic, b"tea", nothing=1),
        lambda kafka: kafka[0].send(),
        lambda kafka: kafka[1].getone(),
        lambda kafka: kafka[1].getone("no partition"),
        lambda kafka: kafka[1].getmany(timeout_ms=1000, max_records=1),
        lambda kafka: kafka[1].getmany(max_records=0),
        lambda kafka: anext(aiter(kafka[1])),
        lambda kafka: anext(kafka[1]),
    ]

    async def place(sent: Awaitable[Any]) -> tuple[type, int]:
        metadata = await sent
        return type(metadata), metadata.partition

    async def main() -> list[Any]:
        pair = await orders.producer(), await orders.consumer()
        assert isinstance(aiter(pair[1]), AIOKafkaConsumer)
        assert aiter(pair[1]).subscription() == pair[1].subscription()
        return [await aoutcome(call, pair) for call in calls]

    plain = orders.run(main)
    undo = instrumentation.patch(tracer_provider)
    try:
        assert [shape(getattr(owner, name)) for owner, name in methods] == before
        assert orders.run(main) == plain
        with unreadable():
            assert orders.run(main) == plain
    finally:
        undo()


def test_clew_run_traces_a_program_that_knows_nothing_of_it(orders: Kafka) -> None:
    program = f"""
        import asyncio, sys
        assert "aiokafka" not in sys.modules, "imported before the program does"
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

        async def main():
            async with AIOKafkaProducer(bootstrap_servers={orders.servers!r}) as producer:
                sent = await producer.send_and_wait({orders.topic!r}, b"tea")
            async with AIOKafkaConsumer({orders.topic!r}, bootstrap_servers={orders.servers!r},
                                        auto_offset_reset="earliest") as consumer:
                async for message in consumer:
                    if message.offset == sent.offset:
                        break

        asyncio.run(main())
    """
    command = [sys.executable, "-m", "clew.cli", "run", "--exporter", "console", "-m", "aiokafka_program"]
    done = run_program(command, program)
    assert done.count(f"send {orders.topic}") == 1
    assert f"process {orders.topic}" in done


def run_program(command: list[str], program: str) -> str:
    """What a program prints, which stands where Python finds it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "aiokafka_program.py").write_text(textwrap.dedent(program))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a producer nor a consumer of Kafka: str"):
        clew.kafka.traced("producer")
    with pytest.raises(ValueError, match="parent or link"):
        instrumentation.patch(None, join="sibling")
    assert aiokafka.AIOKafkaProducer.send.__name__ == "send"
