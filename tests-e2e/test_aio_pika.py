"""aio-pika against a RabbitMQ broker: what is published, handled by callbacks, iterated over and fetched."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exchange import Exchange
from aio_pika.queue import Queue, QueueIterator
from aio_pika.robust_queue import RobustQueueIterator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation import aio_pika as instrumentation
from clew.testing import Body, ConsumerKit, ProducerKit, SpanRecorder, assert_span, exceptions_of
from clew.testing.kits.sameness import aoutcome, shape, unreadable
from harness.backends import Backend

T = TypeVar("T")
TIMEOUT_S = 60


class Rabbit:
    """Runs coroutines with connections and a queue of their own, gone at the end of each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"orders-{uuid4().hex[:8]}"

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        async def within() -> T:
            self.plain = await aio_pika.connect(self.url)
            self.made = [self.plain]
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    self.channel = await self.plain.channel()
                    self.queue = await self.channel.declare_queue(self.name, auto_delete=False)
                    return await main()
            finally:
                await self.queue.delete(if_unused=False, if_empty=False)
                for one in self.made:
                    await one.close()

        return asyncio.run(within())

    async def connection(self, **options: Any) -> Any:
        """One that reconnects, traced."""
        self.made.insert(0, await aio_pika.connect_robust(self.url, reconnect_interval=0.1))
        return clew.aio_pika.traced(self.made[0], **options)

    async def send(self, body: bytes = b"tea", **options: Any) -> None:
        """Publishes without a span."""
        await self.channel.default_exchange.publish(aio_pika.Message(body, **options), self.name)


@pytest.fixture
def rabbit(rabbitmq: Backend) -> Rabbit:
    return Rabbit(f"amqp://guest:guest@{rabbitmq.address}/")


class TestPublishing(ProducerKit):
    component = "RabbitMQ"
    system = "rabbitmq"
    takes_options = True

    @pytest.fixture(autouse=True)
    def use(self, rabbit: Rabbit) -> None:
        self.rabbit = rabbit
        type(self).span_name = f"publish {rabbit.name}"

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        async def main() -> Any:
            channel = await (
                await self.rabbit.connection(tracer_provider=tracer_provider, propagator=propagator, **options)
            ).channel()
            message = aio_pika.Message(b"tea", headers={"mine": 1})
            await channel.default_exchange.publish(message, self.rabbit.name)
            assert message.headers == {"mine": 1}
            return await self.rabbit.queue.get(no_ack=True)

        arrived = self.rabbit.run(main)
        assert arrived.body == b"tea"
        assert arrived.headers["mine"] == 1
        return [(name, value) for name, value in arrived.headers.items() if isinstance(value, str)], None


class TestHandling(ConsumerKit):
    """By a callback."""

    component = "RabbitMQ"
    system = "rabbitmq"
    takes_options = True
    sees_repeated_traceparent = False

    @pytest.fixture(autouse=True)
    def use(self, rabbit: Rabbit) -> None:
        self.rabbit = rabbit
        type(self).span_name = f"process {rabbit.name}"

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        async def main() -> BaseException | None:
            await self.rabbit.send(headers=dict(headers))
            channel = await (
                await self.rabbit.connection(tracer_provider=tracer_provider, propagator=propagator, **options)
            ).channel()
            return await self.handle(await channel.get_queue(self.rabbit.name), body)

        return self.rabbit.run(main)

    async def handle(self, queue: Any, body: Body) -> BaseException | None:
        """Have the next message handled by `body`; what came out."""
        done: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        async def callback(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            try:
                body()
            except BaseException as error:
                done.set_result(error)
                raise
            done.set_result(None)

        tag = await queue.consume(callback, no_ack=True)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        came_out = await done
        await queue.cancel(tag)
        return came_out


class TestHandlingByLink(TestHandling):
    join = "link"

    def call(self, *args: Any, **options: Any) -> BaseException | None:
        return super().call(*args, join="link", **options)


class TestIterating(TestHandling):
    """In a loop, where `message.process()` tells of failures."""

    async def handle(self, queue: Any, body: Body) -> BaseException | None:
        try:
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        body()
                    break
        except BaseException as error:
            return error
        return None


def test_a_message_says_where_it_went_and_what_it_is(
    rabbit: Rabbit, rabbitmq: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        channel = await (await rabbit.connection(tracer_provider=tracer_provider)).channel()
        exchange = await channel.declare_exchange("till", "fanout", auto_delete=True)
        await exchange.publish(
            aio_pika.Message(b"tea", message_id="m1", correlation_id="c1"), routing_key="new", mandatory=False
        )

    rabbit.run(main)
    assert_span(
        spans.one(),
        name="publish till",
        kind=SpanKind.PRODUCER,
        status=StatusCode.UNSET,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "send",
            "messaging.operation.name": "publish",
            "messaging.destination.name": "till:new",
            "messaging.message.id": "m1",
            "messaging.message.conversation_id": "c1",
            "messaging.message.body.size": 3,
            "messaging.rabbitmq.destination.routing_key": "new",
            "server.address": rabbitmq.host,
            "server.port": rabbitmq.port,
        },
    )


@pytest.mark.parametrize("loop", ["iterator", "queue"])
def test_sender_and_loop_are_one_trace_and_what_is_done_in_the_loop_is_below_it(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder, loop: str
) -> None:
    tracer = tracer_provider.get_tracer("app")

    async def main() -> None:
        channel = await (await rabbit.connection(tracer_provider=tracer_provider)).channel()
        for body in (b"one", b"two"):
            await channel.default_exchange.publish(aio_pika.Message(body), rabbit.name)
        queue = await channel.get_queue(rabbit.name)
        async for message in queue.iterator(no_ack=True) if loop == "iterator" else queue:
            with tracer.start_as_current_span("work"):
                pass
            if message.body == b"two":
                break
        assert not get_current_span().get_span_context().is_valid

    rabbit.run(main)
    publish, process, work = (
        [span for span in spans.spans if span.name.startswith(name)] for name in ("publish", "process", "work")
    )
    assert [span.parent.span_id for span in process] == [span.context.span_id for span in publish]
    assert [span.parent.span_id for span in work] == [span.context.span_id for span in process]
    assert spans.open == 0


def test_a_message_that_is_fetched_is_linked_to_its_sender(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        channel = await (await rabbit.connection(tracer_provider=tracer_provider)).channel()
        for body in (b"one", b"two"):
            await channel.default_exchange.publish(aio_pika.Message(body), rabbit.name)
        queue = await channel.get_queue(rabbit.name)
        await queue.get(no_ack=True)
        assert (await anext(queue.iterator(no_ack=True))).body == b"two"
        assert await queue.get(fail=False) is None

    rabbit.run(main)
    publish = [span for span in spans.spans if span.kind is SpanKind.PRODUCER]
    receive = [span for span in spans.spans if span.kind is SpanKind.CONSUMER]
    for span in receive:
        assert_span(span, name=f"receive {rabbit.name}", parent_id="")
    assert [[link.context.span_id for link in span.links] for span in receive] == [
        [span.context.span_id] for span in publish
    ]


def test_a_message_nobody_takes_is_an_error_where_the_library_raises(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        channel = await (await rabbit.connection(tracer_provider=tracer_provider)).channel(on_return_raises=True)
        with pytest.raises(aio_pika.exceptions.PublishError):
            await channel.default_exchange.publish(aio_pika.Message(b"tea"), "nobody")

    rabbit.run(main)
    assert_span(spans.one(), name="publish nobody", status=StatusCode.ERROR)
    assert len(exceptions_of(spans.one())) == 1


def test_a_connection_that_comes_back_has_each_message_handled_in_one_span(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        connection = await rabbit.connection(tracer_provider=tracer_provider)
        channel = await connection.channel()
        queue = await channel.declare_queue(rabbit.name, auto_delete=False)
        came: asyncio.Queue[bytes] = asyncio.Queue()

        async def callback(message: Any) -> None:
            came.put_nowait(message.body)

        await queue.consume(callback, no_ack=True)
        back = asyncio.Event()
        connection.reconnect_callbacks.add(lambda *_: back.set())
        await connection.transport.connection.close(ConnectionError("for the test"))
        await back.wait()
        await rabbit.send()
        assert await came.get() == b"tea"

    rabbit.run(main)
    assert spans.one(kind=SpanKind.CONSUMER).name == f"process {rabbit.name}"


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # the library's own, of callbacks that are no coroutine functions
def test_callbacks_that_are_no_coroutine_functions_are_handled_in_a_span_too(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder
) -> None:
    tracer = tracer_provider.get_tracer("app")

    async def main() -> None:
        channel = await (await rabbit.connection(tracer_provider=tracer_provider)).channel()
        queue = await channel.get_queue(rabbit.name)
        first, done = asyncio.Event(), asyncio.Event()

        def plain(message: Any) -> None:
            tracer.start_span("work").end()
            first.set()

        def awaited(message: Any) -> Any:
            async def later() -> None:
                tracer.start_span("work").end()
                done.set()

            return later()

        tag = await queue.consume(plain, no_ack=True)
        await rabbit.send()
        await first.wait()
        await queue.cancel(tag)
        tag = await queue.consume(awaited, no_ack=True)
        await rabbit.send()
        await done.wait()
        await queue.cancel(tag)

    rabbit.run(main)
    work = [span for span in spans.spans if span.name == "work"]
    process = [span for span in spans.spans if span.kind is SpanKind.CONSUMER]
    assert [span.parent.span_id for span in work] == [span.context.span_id for span in process]
    assert len(process) == 2


def test_all_connections_are_traced_until_it_is_undone_and_never_twice(
    rabbit: Rabbit, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def main() -> None:
        explicit = await (await rabbit.connection(tracer_provider=tracer_provider)).channel()
        undo = instrumentation.patch(tracer_provider)
        try:
            await rabbit.send(b"one")
            await explicit.default_exchange.publish(aio_pika.Message(b"two"), rabbit.name)
            for _ in range(2):
                await rabbit.queue.get(no_ack=True)
        finally:
            undo()
        await rabbit.send(b"three")

    rabbit.run(main)
    assert [span.name.partition(" ")[0] for span in spans.spans] == ["publish", "publish", "receive", "receive"]


def test_methods_keep_their_kind_and_calls_their_results_and_exceptions(rabbit: Rabbit, tracer_provider: Any) -> None:
    methods = [
        (Exchange, "publish"),
        (Queue, "consume"),
        (Queue, "get"),
        (Queue, "__aiter__"),
        (QueueIterator, "__aiter__"),
        (QueueIterator, "__anext__"),
        (RobustQueueIterator, "__anext__"),
    ]
    before = [shape(getattr(owner, name)) for owner, name in methods]
    message = aio_pika.Message(b"tea")

    async def main() -> list[Any]:
        exchange, queue = rabbit.channel.default_exchange, rabbit.queue
        iterators: list[Any] = []

        async def iterated() -> Any:
            iterators.append(queue.iterator(no_ack=True))
            it = aiter(iterators[0])
            return isinstance(it, QueueIterator), (await anext(it)).body, it.consumer_tag == iterators[0].consumer_tag

        calls: list[Callable[[Any], Awaitable[Any]]] = [
            lambda _: exchange.publish(message, rabbit.name),
            lambda _: exchange.publish(message=message, routing_key=rabbit.name),
            lambda _: exchange.publish(message, "nobody"),
            lambda _: exchange.publish(),
            lambda _: exchange.publish(message),
            lambda _: exchange.publish("text", rabbit.name),
            lambda _: exchange.publish(message, rabbit.name, False),
            lambda _: queue.get(),
            lambda _: queue.get(no_ack=True, fail=False, timeout=100),
            lambda _: queue.get(fail=False),
            lambda _: queue.get(),
            lambda _: queue.consume(),
            lambda _: exchange.publish(message, rabbit.name),
            lambda _: iterated(),
            lambda _: iterators[0].close(),
        ]
        return [await aoutcome(call, None) for call in calls]

    plain = rabbit.run(main)
    undo = instrumentation.patch(tracer_provider)
    try:
        assert [shape(getattr(owner, name)) for owner, name in methods] == before
        assert rabbit.run(main) == plain
        with unreadable():
            assert rabbit.run(main) == plain
    finally:
        undo()


def test_clew_run_traces_a_program_that_knows_nothing_of_it(rabbit: Rabbit, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"""
import asyncio, sys
assert "aio_pika" not in sys.modules, "imported before the program does"
import aio_pika

async def main():
    async with await aio_pika.connect_robust({rabbit.url!r}) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("{rabbit.name}-run", auto_delete=True)
        await channel.default_exchange.publish(aio_pika.Message(b"tea"), queue.name)
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    break

asyncio.run(main())
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "clew.cli", "run", "--exporter", "console", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"publish {rabbit.name}-run" in done.stdout
    assert f"process {rabbit.name}-run" in done.stdout


def test_what_is_no_connection_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a connection nor a channel of aio-pika: str"):
        clew.aio_pika.traced("channel")  # type: ignore[type-var]
    with pytest.raises(ValueError, match="parent or link"):
        instrumentation.patch(None, join="sibling")
