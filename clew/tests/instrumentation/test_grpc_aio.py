"""grpc.aio over a loopback socket: both kits, all four arities, statuses and cancellation."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from clew.instrumentation import grpc_aio
from clew.testing import Body, ClientKit, ServerKit, SpanRecorder, assert_span, exceptions_of
from clew.transport import current_server_transport

METHOD = "/test.v1.Echo/Say"
NAME = "test.v1.Echo/Say"


class OneMethod(grpc.GenericRpcHandler):
    """Answers everything with one handler."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def service(self, handler_call_details: Any) -> Any:
        return self._handler


class Watch(aio.ServerInterceptor):
    """Outermost: keeps what comes out of the interceptors inside it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler.response_streaming:
            return handler

        async def call(request: Any, context: Any) -> Any:
            try:
                return await handler.unary_unary(request, context)
            except Exception as error:
                self.error = error
                raise
            except BaseException as error:
                # gRPC would never answer.
                self.error = error
                return b""

        return grpc.unary_unary_rpc_method_handler(call)


def talk(
    handler: Any,
    speak: Callable[[aio.Channel], Awaitable[Any]],
    *,
    server: Sequence[Any] = (),
    client: Sequence[Any] = (),
) -> Any:
    """What `speak` returns over a channel to a server that has this handler only."""

    async def main() -> Any:
        running = aio.server(interceptors=list(server))
        running.add_generic_rpc_handlers((OneMethod(handler),))
        port = running.add_insecure_port("127.0.0.1:0")
        await running.start()
        try:
            async with aio.insecure_channel(f"127.0.0.1:{port}", interceptors=list(client)) as channel:
                return await speak(channel)
        finally:
            await running.stop(None)

    return asyncio.run(main())


class TestServer(ServerKit):
    component = "gRPC"
    span_name = NAME
    # gRPC's core knows this header and keeps the last.
    sees_repeated_traceparent = False

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
    ) -> BaseException | None:
        watch = Watch()

        async def answer(request: bytes, context: Any) -> bytes:
            body()
            return request

        async def speak(channel: aio.Channel) -> None:
            try:
                await channel.unary_unary(METHOD)(b"", metadata=tuple(headers), timeout=100)
            except (aio.AioRpcError, asyncio.CancelledError):
                pass

        ours = grpc_aio.server_interceptor(tracer_provider=tracer_provider, propagator=propagator)
        talk(grpc.unary_unary_rpc_method_handler(answer), speak, server=[watch, ours])
        return watch.error

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            for _ in source:
                yield b"message"

        async def speak(channel: aio.Channel) -> None:
            assert [message async for message in channel.unary_stream(METHOD)(b"")] == [b"message"] * 3

        ours = grpc_aio.server_interceptor(tracer_provider=tracer_provider)
        talk(grpc.unary_stream_rpc_method_handler(answer), speak, server=[ours])


class TestClient(ClientKit):
    component = "gRPC"
    span_name = NAME
    same_exception = False

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        headers: list[tuple[str, str]] = []

        async def answer(request: bytes, context: Any) -> bytes:
            headers.extend(context.invocation_metadata())
            body()
            return request

        async def speak(channel: aio.Channel) -> BaseException | None:
            try:
                await channel.unary_unary(METHOD)(b"", metadata=(("traceparent", "mine"),))
            except aio.AioRpcError as error:
                return error
            return None

        ours = grpc_aio.client_interceptor(tracer_provider=tracer_provider, propagator=propagator)
        error = talk(grpc.unary_unary_rpc_method_handler(answer), speak, client=ours)
        return headers, error


async def unary_unary(request: bytes, context: Any) -> bytes:
    return request


async def unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield request


async def unary_stream_by_writing(request: bytes, context: Any) -> None:
    for _ in range(3):
        await context.write(request)


async def stream_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([request async for request in requests])


async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


def unary_unary_in_a_thread(request: bytes, context: Any) -> bytes:
    return request


def unary_stream_in_a_thread(request: bytes, context: Any) -> Iterator[bytes]:
    for _ in range(3):
        yield request


async def requests() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x"


async def speak_unary_unary(channel: aio.Channel) -> Any:
    return await channel.unary_unary(METHOD)(b"x")


async def speak_unary_stream(channel: aio.Channel) -> Any:
    return b"".join([reply async for reply in channel.unary_stream(METHOD)(b"x")])


async def speak_stream_unary(channel: aio.Channel) -> Any:
    return await channel.stream_unary(METHOD)(requests())


async def speak_stream_unary_by_writing(channel: aio.Channel) -> Any:
    call = channel.stream_unary(METHOD)()
    for _ in range(3):
        await call.write(b"x")
    await call.done_writing()
    return await call


async def speak_stream_stream(channel: aio.Channel) -> Any:
    return b"".join([reply async for reply in channel.stream_stream(METHOD)(requests())])


@pytest.mark.parametrize(
    ("handler", "speak", "reply"),
    [
        (grpc.unary_unary_rpc_method_handler(unary_unary), speak_unary_unary, b"x"),
        (grpc.unary_unary_rpc_method_handler(unary_unary_in_a_thread), speak_unary_unary, b"x"),
        (grpc.unary_stream_rpc_method_handler(unary_stream), speak_unary_stream, b"xxx"),
        (grpc.unary_stream_rpc_method_handler(unary_stream_by_writing), speak_unary_stream, b"xxx"),
        (grpc.unary_stream_rpc_method_handler(unary_stream_in_a_thread), speak_unary_stream, b"xxx"),
        (grpc.stream_unary_rpc_method_handler(stream_unary), speak_stream_unary, b"xxx"),
        (grpc.stream_unary_rpc_method_handler(stream_unary), speak_stream_unary_by_writing, b"xxx"),
        (grpc.stream_stream_rpc_method_handler(stream_stream), speak_stream_stream, b"xxx"),
    ],
    ids=["uu", "uu-thread", "us", "us-write", "us-thread", "su", "su-write", "ss"],
)
def test_every_arity_has_a_client_span_and_its_server_span(
    tracer_provider: Any, handler: Any, speak: Any, reply: bytes
) -> None:
    recorder = SpanRecorder(tracer_provider)
    server = [grpc_aio.server_interceptor(tracer_provider=tracer_provider)]
    client = grpc_aio.client_interceptor(tracer_provider=tracer_provider, target="dns:///messages:9000")
    assert talk(handler, speak, server=server, client=client) == reply
    client_span = recorder.one(kind=SpanKind.CLIENT)
    attributes = {"rpc.system": "grpc", "rpc.service": "test.v1.Echo", "rpc.method": "Say", "rpc.grpc.status_code": 0}
    assert_span(
        client_span,
        name=NAME,
        status=StatusCode.UNSET,
        parent_id="",
        attributes={**attributes, "server.address": "messages", "server.port": 9000},
    )
    assert_span(
        recorder.one(kind=SpanKind.SERVER),
        name=NAME,
        status=StatusCode.UNSET,
        parent_id=f"{client_span.context.span_id:016x}",
        attributes={**attributes, "client.address": "127.0.0.1"},
    )
    assert recorder.open == 0
    assert not get_current_span().get_span_context().is_valid


def test_a_status_that_was_said_stays_when_the_handler_is_cancelled_afterwards(tracer_provider: Any) -> None:
    # As `abort` is, where the caller has its status already and leaves.
    recorder = SpanRecorder(tracer_provider)

    async def answer(request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("not today")
        raise asyncio.CancelledError

    async def speak(channel: aio.Channel) -> None:
        call = channel.unary_unary(METHOD)(b"")
        await asyncio.to_thread(recorder.one, kind=SpanKind.SERVER)
        call.cancel()  # it may not be answered, ever
        with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
            await call

    server = [grpc_aio.server_interceptor(tracer_provider=tracer_provider)]
    talk(grpc.unary_unary_rpc_method_handler(answer), speak, server=server)
    span = recorder.one(kind=SpanKind.SERVER)
    assert_span(span, status=StatusCode.ERROR, attributes={"rpc.grpc.status_code": 14})
    assert "clew.cancelled" not in span.attributes


@pytest.mark.parametrize(
    ("code", "is_fault"), [(grpc.StatusCode.NOT_FOUND, False), (grpc.StatusCode.UNAVAILABLE, True)]
)
def test_a_server_answers_for_its_own_faults_only_and_a_client_counts_all(
    tracer_provider: Any, code: grpc.StatusCode, is_fault: bool
) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def answer(request: bytes, context: Any) -> bytes:
        await context.abort(code, "not today")
        return b""

    async def speak(channel: aio.Channel) -> Any:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(METHOD)(b"")
        return caught.value.code()

    server = [grpc_aio.server_interceptor(tracer_provider=tracer_provider)]
    client = grpc_aio.client_interceptor(tracer_provider=tracer_provider)
    assert talk(grpc.unary_unary_rpc_method_handler(answer), speak, server=server, client=client) is code
    server_span, client_span = recorder.one(kind=SpanKind.SERVER), recorder.one(kind=SpanKind.CLIENT)
    number = {"rpc.grpc.status_code": code.value[0]}
    assert_span(server_span, status=StatusCode.ERROR if is_fault else StatusCode.UNSET, attributes=number)
    assert ("error.type" in server_span.attributes) is is_fault
    assert exceptions_of(server_span) == []
    assert_span(client_span, status=StatusCode.ERROR, attributes={**number, "error.type": code.name})
    assert client_span.status.description == "not today"
    assert len(exceptions_of(client_span)) == 1


def test_a_call_the_client_cancels_is_marked_on_both_sides(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def main() -> None:
        arrived = asyncio.Event()

        async def answer(request: bytes, context: Any) -> bytes:
            arrived.set()
            await asyncio.Event().wait()
            return b""

        running = aio.server(interceptors=[grpc_aio.server_interceptor(tracer_provider=tracer_provider)])
        running.add_generic_rpc_handlers((OneMethod(grpc.unary_unary_rpc_method_handler(answer)),))
        port = running.add_insecure_port("127.0.0.1:0")
        await running.start()
        ours = grpc_aio.client_interceptor(tracer_provider=tracer_provider)
        async with aio.insecure_channel(f"127.0.0.1:{port}", interceptors=ours) as channel:
            call = channel.unary_unary(METHOD)(b"")
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await running.stop(None)

    asyncio.run(main())
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert_span(
            recorder.one(kind=kind),
            status=StatusCode.UNSET,
            attributes={"clew.cancelled": True, "rpc.grpc.status_code": 1},
        )


def test_a_server_that_is_not_there_is_the_clients_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def main() -> None:
        ours = grpc_aio.client_interceptor(tracer_provider=tracer_provider)
        async with aio.insecure_channel("127.0.0.1:1", interceptors=ours) as channel:
            with pytest.raises(aio.AioRpcError):
                await channel.unary_unary(METHOD)(b"")

    asyncio.run(main())
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "UNAVAILABLE"})


def test_a_call_the_server_cancels_is_the_clients_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def answer(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.CANCELLED, "changed my mind")
        return b""

    async def speak(channel: aio.Channel) -> Any:
        with pytest.raises(aio.AioRpcError):
            await channel.unary_unary(METHOD)(b"")

    client = grpc_aio.client_interceptor(tracer_provider=tracer_provider)
    talk(grpc.unary_unary_rpc_method_handler(answer), speak, client=client)
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "CANCELLED", "rpc.grpc.status_code": 1})
    assert span.status.description == "changed my mind"


@pytest.mark.parametrize("streams", [False, True])
def test_a_deadline_is_the_error_of_both_sides(tracer_provider: Any, streams: bool) -> None:
    recorder = SpanRecorder(tracer_provider)

    began = False

    async def answer(request: bytes, context: Any) -> bytes:
        nonlocal began
        began = True
        await asyncio.Event().wait()
        return b""

    async def answers(request: bytes, context: Any) -> AsyncIterator[bytes]:
        nonlocal began
        began = True
        yield b"one"
        await asyncio.Event().wait()

    async def ask(channel: aio.Channel, deadline_s: float) -> None:
        if streams:
            [reply async for reply in channel.unary_stream(METHOD)(b"", timeout=deadline_s)]
        else:
            await channel.unary_unary(METHOD)(b"", timeout=deadline_s)

    async def speak(channel: aio.Channel) -> Any:
        for deadline_s in (0.2, 2, 20, 100):
            recorder.clear()
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(channel, deadline_s)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if began:  # else a busy machine did not bring the call to the server in time
                break
        # Otherwise the server is stopped before it has noticed.
        await asyncio.to_thread(recorder.one, kind=SpanKind.SERVER)

    handler = grpc.unary_stream_rpc_method_handler(answers) if streams else grpc.unary_unary_rpc_method_handler(answer)
    server = [grpc_aio.server_interceptor(tracer_provider=tracer_provider)]
    talk(handler, speak, server=server, client=grpc_aio.client_interceptor(tracer_provider=tracer_provider))
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert_span(
            recorder.one(kind=kind),
            status=StatusCode.ERROR,
            attributes={"error.type": "DEADLINE_EXCEEDED", "rpc.grpc.status_code": 4},
        )


def test_a_stream_that_is_not_read_to_its_end_is_over_when_nobody_holds_it(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def answers(request: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"one"

    async def speak(channel: aio.Channel) -> None:
        call = channel.unary_stream(METHOD)(b"")
        assert await call.read() == b"one"
        assert recorder.spans == []
        del call
        gc.collect()

    client = grpc_aio.client_interceptor(tracer_provider=tracer_provider)
    talk(grpc.unary_stream_rpc_method_handler(answers), speak, client=client)
    assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})


def test_excluded_methods_have_no_span_and_hooks_are_told_the_reply(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    told: list[Any] = []
    options: Any = {
        "tracer_provider": tracer_provider,
        "exclude": ["/grpc.health.v1.Health/*"],
        "on_end": lambda span, transport, reply, error: told.append((transport.method, reply, error)),
    }

    async def speak(channel: aio.Channel) -> None:
        assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"x") == b"x"
        assert recorder.spans == []
        assert await channel.unary_unary(METHOD)(b"x") == b"x"

    talk(
        grpc.unary_unary_rpc_method_handler(unary_unary),
        speak,
        server=[grpc_aio.server_interceptor(**options)],
        client=grpc_aio.client_interceptor(**options),
    )
    assert len(recorder.spans) == 2
    assert told == [(METHOD, b"x", None)] * 2


@pytest.mark.parametrize("handler", [unary_stream, unary_stream_in_a_thread], ids=["async", "in-a-thread"])
def test_a_stream_knows_the_call_it_answers(tracer_provider: Any, handler: Any) -> None:
    SpanRecorder(tracer_provider)
    seen: list[Any] = []

    async def answers(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for reply in unary_stream(request, context):
            seen.append(current_server_transport())
            yield reply

    def answers_in_a_thread(request: bytes, context: Any) -> Iterator[bytes]:
        for reply in unary_stream_in_a_thread(request, context):
            seen.append(current_server_transport())
            yield reply

    answer = answers if handler is unary_stream else answers_in_a_thread
    server = [grpc_aio.server_interceptor(tracer_provider=tracer_provider)]
    assert talk(grpc.unary_stream_rpc_method_handler(answer), speak_unary_stream, server=server) == b"xxx"
    assert [transport.operation for transport in seen] == [NAME] * 3
    assert current_server_transport() is None
