"""server() and client() over a fake transport, for every colour of handler, through the public kits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, set_span_in_context

from clew.carriers import DictCarrier
from clew.middleware import Handler, chain
from clew.testing import (
    Body,
    ClientKit,
    ConsumerKit,
    FakeTransport,
    ProducerKit,
    ServerKit,
    SpanRecorder,
    assert_span,
    exceptions_of,
)
from clew.tracing import Tracer, client, server
from clew.tracing.attributes import messaging_attributes, messaging_span_name
from clew.transport import Call, Outcome, client_transport, server_transport


def fake_server_transport(headers: Sequence[tuple[str, str]]) -> FakeTransport:
    values: dict[str, list[str]] = {}
    for key, value in headers:
        values.setdefault(key, []).append(value)
    return FakeTransport(headers=values)


class TestSyncServer(ServerKit):
    component = "Fake"
    span_name = "/fake.Service/Method"
    takes_options = True
    overlaps = True

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        handler = server(tracer_provider=tracer_provider, propagator=propagator, **options)(lambda request: body())
        token = server_transport.set(fake_server_transport(headers))
        try:
            handler("request")
        except BaseException as error:
            return error
        finally:
            server_transport.reset(token)
        return None

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        def handler(request: object) -> Iterator[str]:
            for _ in source:
                yield "message"

        token = server_transport.set(FakeTransport())
        try:
            list(server(tracer_provider=tracer_provider)(handler)("request"))
        finally:
            server_transport.reset(token)


class TestAsyncServer(ServerKit):
    component = "Fake"
    span_name = "/fake.Service/Method"
    takes_options = True
    overlaps = True

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        async def handler(request: object) -> None:
            await asyncio.sleep(0)
            body()

        async def main() -> BaseException | None:
            server_transport.set(fake_server_transport(headers))
            try:
                await server(tracer_provider=tracer_provider, propagator=propagator, **options)(handler)("request")
            except BaseException as error:
                return error
            return None

        return asyncio.run(main())

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        async def handler(request: object) -> AsyncIterator[str]:
            for _ in source:
                yield "message"

        async def main() -> None:
            server_transport.set(FakeTransport())
            async for _ in server(tracer_provider=tracer_provider)(handler)("request"):
                assert not get_current_span().get_span_context().is_valid

        asyncio.run(main())


class TestSyncClient(ClientKit):
    component = "Fake"
    span_name = "/fake.Service/Method"
    takes_options = True
    overlaps = True

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        transport = FakeTransport()
        token = client_transport.set(transport)
        error: BaseException | None = None
        try:
            client(tracer_provider=tracer_provider, propagator=propagator, **options)(lambda request: body())("request")
        except BaseException as caught:
            error = caught
        finally:
            client_transport.reset(token)
        return list(transport.headers.items()), error


class TestAsyncClient(ClientKit):
    component = "Fake"
    span_name = "/fake.Service/Method"
    takes_options = True
    overlaps = True

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        transport = FakeTransport()

        async def handler(request: object) -> None:
            body()

        async def main() -> BaseException | None:
            client_transport.set(transport)
            try:
                await client(tracer_provider=tracer_provider, propagator=propagator, **options)(handler)("request")
            except BaseException as error:
                return error
            return None

        error = asyncio.run(main())
        return list(transport.headers.items()), error


class TestConsumer(ConsumerKit):
    """By the tracer itself, as an instrumentation of a message queue uses it."""

    component = "Fake"
    span_name = "process orders"
    takes_options = True
    overlaps = True
    system = "fake"

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        tracer = Tracer(SpanKind.CONSUMER, tracer_provider=tracer_provider, propagator=propagator, **options)
        call = Call(
            "messaging",
            "Fake",
            messaging_span_name("process", "orders"),
            DictCarrier(dict(headers)),
            values=messaging_attributes("fake", "process", destination="orders"),
        )
        span, context = self.begin(tracer, call)
        token = attach(context)
        try:
            body()
        except BaseException as error:
            tracer.end(span, error=error, transport=call)
            return error
        finally:
            detach(token)
        tracer.end(span, transport=call)
        return None

    def begin(self, tracer: Tracer, call: Call) -> tuple[Span, Context]:
        return tracer.begin(call.operation, call.carrier, call)


class TestLinkingConsumer(TestConsumer):
    join = "link"

    def begin(self, tracer: Tracer, call: Call) -> tuple[Span, Context]:
        span, _ = tracer.begin(call.operation, None, call, tracer.links([call.carrier]))
        return span, set_span_in_context(span, tracer.extract(call.carrier))


class TestProducer(ProducerKit):
    component = "Fake"
    span_name = "send orders"
    takes_options = True
    overlaps = True
    sees_exceptions = True
    system = "fake"

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        tracer = Tracer(SpanKind.PRODUCER, tracer_provider=tracer_provider, propagator=propagator, **options)
        headers: dict[str, str] = {}
        call = Call(
            "messaging",
            "Fake",
            messaging_span_name("send", "orders"),
            DictCarrier(headers),
            values=messaging_attributes("fake", "send", destination="orders"),
        )
        span = tracer.start(call.operation, call.carrier, transport=call)
        try:
            body()
        except BaseException as error:
            tracer.end(span, error=error, transport=call)
            return list(headers.items()), error
        tracer.end(span, transport=call)
        return list(headers.items()), None


def test_without_a_transport_the_handler_runs_untraced(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    assert server(tracer_provider=tracer_provider)(lambda request: request + 1)(1) == 2
    assert recorder.spans == []


def test_the_first_middleware_of_a_chain_is_the_outermost() -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        def middleware(handler: Handler) -> Handler:
            def call(request: Any) -> Any:
                order.append(name)
                return handler(request)

            return call

        return middleware

    assert chain(named("a"), named("b"))(lambda request: request)("x") == "x"
    assert order == ["a", "b"]
    assert chain()(len)("four") == 4


def test_a_reader_that_gives_up_ends_the_span_as_cancelled(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    closed: list[bool] = []

    def handler(request: object) -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    token = server_transport.set(FakeTransport())
    stream = server(tracer_provider=tracer_provider)(handler)("request")
    server_transport.reset(token)
    assert next(stream) == 0
    assert recorder.spans == []
    stream.close()
    assert closed == [True]
    assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})


def test_a_stream_that_fails_midway_has_its_exception_once(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    failure = ValueError("torn")

    async def handler(request: object) -> AsyncIterator[int]:
        yield 1
        raise failure

    async def main() -> None:
        server_transport.set(FakeTransport())
        async for _ in server(tracer_provider=tracer_provider)(handler)("request"):
            pass

    with pytest.raises(ValueError, match="torn") as caught:
        asyncio.run(main())
    assert caught.value is failure
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "ValueError"})
    assert len(exceptions_of(span)) == 1


def test_a_transport_reads_its_own_replies(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    transport = FakeTransport(conclude=lambda reply, error: Outcome({"size": 3}, error_type="E3", message="three"))
    token = client_transport.set(transport)
    assert client(tracer_provider=tracer_provider)(lambda request: "abc")("request") == "abc"
    client_transport.reset(token)
    span = recorder.one(kind=SpanKind.CLIENT)
    assert_span(span, status=StatusCode.ERROR, attributes={"size": 3, "error.type": "E3"})
    assert span.status.description == "three"


def test_a_plain_function_that_returns_a_coroutine_is_traced_until_that_is_done(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def inner(request: object) -> str:
        await asyncio.sleep(0)
        assert recorder.spans == []
        return "reply"

    async def main() -> None:
        server_transport.set(FakeTransport())
        assert await server(tracer_provider=tracer_provider)(lambda request: inner(request))("request") == "reply"

    asyncio.run(main())
    assert_span(recorder.one(), status=StatusCode.UNSET)
