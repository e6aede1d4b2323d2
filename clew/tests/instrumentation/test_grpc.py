"""gRPC's sync side over loopback sockets: both kits, all four arities, every way a call can end."""

from __future__ import annotations

import gc
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep
from typing import Any

import grpc
import pytest
from grpc.experimental import ChannelOptions
from opentelemetry import baggage
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.instrumentation.grpc import client_interceptor, patch, server_interceptor
from clew.testing import Body, ClientKit, ServerKit, SpanRecorder, assert_span, exceptions_of
from clew.transport import current_server_transport

METHOD = "/test.v1.Echo/Say"
NAME = "test.v1.Echo/Say"
TIMEOUT_S = 100


class OneMethod(grpc.GenericRpcHandler):
    """Answers everything with one handler."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def service(self, handler_call_details: Any) -> Any:
        return self._handler


class Watch(grpc.ServerInterceptor):
    """Outermost: keeps what comes out of the interceptors inside it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)

        def call(request: Any, context: Any) -> Any:
            try:
                return handler.unary_unary(request, context)
            except Exception as error:
                self.error = error
                raise
            except BaseException as error:
                # gRPC would never answer.
                self.error = error
                return b""

        return grpc.unary_unary_rpc_method_handler(call)


@contextmanager
def serving(
    handler: Any,
    interceptors: Sequence[Any] = (),
    *,
    address: str = "127.0.0.1:0",
    workers: int = 4,
    **options: Any,
) -> Iterator[tuple[str, grpc.Server]]:
    """The target of a server that has this handler only, and the server; on leaving all its threads are done."""
    before = set(threading.enumerate())
    pool = ThreadPoolExecutor(workers)
    server = grpc.server(pool, interceptors=list(interceptors), **options)
    server.add_generic_rpc_handlers((OneMethod(handler),))
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield (address if address.startswith("unix") else f"{address.rpartition(':')[0]}:{port}"), server
    finally:
        server.stop(None).wait(TIMEOUT_S)
        pool.shutdown()
        # Those of channels that were opened meanwhile, too: they end the spans of streams.
        for thread in set(threading.enumerate()) - before:
            thread.join(TIMEOUT_S)


@contextmanager
def suppress_instrumentation() -> Iterator[None]:
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        detach(token)


@contextmanager
def talking(target: str, *interceptors: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        yield grpc.intercept_channel(channel, *interceptors) if interceptors else channel


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

        def answer(request: bytes, context: Any) -> bytes:
            body()
            return request

        ours = server_interceptor(tracer_provider=tracer_provider, propagator=propagator)
        with (
            serving(grpc.unary_unary_rpc_method_handler(answer), [watch, ours]) as (target, _),
            talking(target) as channel,
        ):
            try:
                channel.unary_unary(METHOD)(b"", metadata=tuple(headers), timeout=TIMEOUT_S)
            except grpc.RpcError:
                pass
        return watch.error

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        def answer(request: bytes, context: Any) -> Iterator[bytes]:
            for _ in source:
                yield b"message"

        ours = server_interceptor(tracer_provider=tracer_provider)
        with (
            serving(grpc.unary_stream_rpc_method_handler(answer), [ours]) as (target, _),
            talking(target) as channel,
        ):
            assert list(channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S)) == [b"message"] * 3


class TestClient(ClientKit):
    component = "gRPC"
    span_name = NAME
    same_exception = False

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        headers: list[tuple[str, str]] = []

        def answer(request: bytes, context: Any) -> bytes:
            headers.extend(context.invocation_metadata())
            body()
            return request

        ours = client_interceptor(tracer_provider=tracer_provider, propagator=propagator)
        with (
            serving(grpc.unary_unary_rpc_method_handler(answer)) as (target, _),
            talking(target, ours) as channel,
        ):
            try:
                channel.unary_unary(METHOD)(b"", metadata=(("traceparent", "mine"),), timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                return headers, error
        return headers, None


def unary_unary(request: bytes, context: Any) -> bytes:
    return request


def unary_stream(request: bytes, context: Any) -> Iterator[bytes]:
    for _ in range(3):
        yield request


def unary_stream_by_list(request: bytes, context: Any) -> Iterator[bytes]:
    return iter([request] * 3)


def stream_unary(requests: Iterator[bytes], context: Any) -> bytes:
    return b"".join(requests)


def stream_stream(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    yield from requests


def three() -> Iterator[bytes]:
    yield from [b"x"] * 3


@pytest.mark.parametrize(
    ("handler", "speak", "reply"),
    [
        (grpc.unary_unary_rpc_method_handler(unary_unary), lambda c: c.unary_unary(METHOD)(b"x"), b"x"),
        (grpc.unary_unary_rpc_method_handler(unary_unary), lambda c: c.unary_unary(METHOD).with_call(b"x")[0], b"x"),
        (grpc.unary_unary_rpc_method_handler(unary_unary), lambda c: c.unary_unary(METHOD).future(b"x").result(), b"x"),
        (grpc.unary_stream_rpc_method_handler(unary_stream), lambda c: b"".join(c.unary_stream(METHOD)(b"x")), b"xxx"),
        (
            grpc.unary_stream_rpc_method_handler(unary_stream_by_list),
            lambda c: b"".join(c.unary_stream(METHOD)(b"x")),
            b"xxx",
        ),
        (grpc.stream_unary_rpc_method_handler(stream_unary), lambda c: c.stream_unary(METHOD)(three()), b"xxx"),
        (
            grpc.stream_unary_rpc_method_handler(stream_unary),
            lambda c: c.stream_unary(METHOD).with_call(three())[0],
            b"xxx",
        ),
        (
            grpc.stream_unary_rpc_method_handler(stream_unary),
            lambda c: c.stream_unary(METHOD).future(three()).result(),
            b"xxx",
        ),
        (
            grpc.stream_stream_rpc_method_handler(stream_stream),
            lambda c: b"".join(c.stream_stream(METHOD)(three())),
            b"xxx",
        ),
    ],
    ids=["uu", "uu-with-call", "uu-future", "us", "us-list", "su", "su-with-call", "su-future", "ss"],
)
def test_every_arity_has_a_client_span_and_its_server_span(
    tracer_provider: Any, handler: Any, speak: Callable[[grpc.Channel], bytes], reply: bytes
) -> None:
    recorder = SpanRecorder(tracer_provider)
    with (
        serving(handler, [server_interceptor(tracer_provider=tracer_provider)]) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider, target=target)) as channel,
    ):
        assert speak(channel) == reply
    client_span = recorder.one(kind=SpanKind.CLIENT)
    attributes = {
        "component": "gRPC",
        "rpc.system": "grpc",
        "rpc.service": "test.v1.Echo",
        "rpc.method": "Say",
        "rpc.grpc.status_code": 0,
        "network.peer.address": "127.0.0.1",
    }
    port = int(target.rpartition(":")[2])
    assert_span(
        client_span,
        name=NAME,
        status=StatusCode.UNSET,
        parent_id="",
        attributes={**attributes, "server.address": "127.0.0.1", "server.port": port, "network.peer.port": port},
    )
    server_span = recorder.one(kind=SpanKind.SERVER)
    assert_span(
        server_span,
        name=NAME,
        status=StatusCode.UNSET,
        parent_id=f"{client_span.context.span_id:016x}",
        attributes={**attributes, "client.address": "127.0.0.1"},
    )
    assert server_span.attributes["network.peer.port"] not in (0, port)
    assert recorder.open == 0
    assert not get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("by", ["abort", "set_code"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("code", "is_fault"), [(grpc.StatusCode.NOT_FOUND, False), (grpc.StatusCode.UNAVAILABLE, True)]
)
def test_a_server_answers_for_its_own_faults_only_and_a_client_counts_all(
    tracer_provider: Any, code: grpc.StatusCode, is_fault: bool, streams: bool, by: str
) -> None:
    recorder = SpanRecorder(tracer_provider)

    def speak(channel: grpc.Channel) -> None:
        if streams:
            list(channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S))
        else:
            channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S)

    def end(context: Any) -> None:
        if by == "abort":
            context.abort(code, "not today")
        context.set_code(code)
        context.set_details("not today")

    def answer(request: bytes, context: Any) -> bytes:
        end(context)
        return b""

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        end(context)

    handler = grpc.unary_stream_rpc_method_handler(answers) if streams else grpc.unary_unary_rpc_method_handler(answer)
    with (
        serving(handler, [server_interceptor(tracer_provider=tracer_provider)]) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        speak(channel)
    assert caught.value.code() is code  # type: ignore[attr-defined]
    server_span, client_span = recorder.one(kind=SpanKind.SERVER), recorder.one(kind=SpanKind.CLIENT)
    number = {"rpc.grpc.status_code": code.value[0]}
    assert_span(server_span, status=StatusCode.ERROR if is_fault else StatusCode.UNSET, attributes=number)
    assert ("error.type" in server_span.attributes) is is_fault
    assert exceptions_of(server_span) == []
    assert_span(client_span, status=StatusCode.ERROR, attributes={**number, "error.type": code.name})
    assert client_span.status.description == "not today"
    assert len(exceptions_of(client_span)) == 1


def test_an_exception_after_messages_fails_the_stream_on_both_sides(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        raise ValueError("out of cheese")

    with (
        serving(
            grpc.unary_stream_rpc_method_handler(answers), [server_interceptor(tracer_provider=tracer_provider)]
        ) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        call = channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S)
        assert next(call) == b"one"
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
    assert caught.value is call
    assert_span(
        recorder.one(kind=SpanKind.SERVER),
        status=StatusCode.ERROR,
        attributes={"error.type": "ValueError", "rpc.grpc.status_code": 2},
    )
    assert_span(recorder.one(kind=SpanKind.CLIENT), status=StatusCode.ERROR, attributes={"error.type": "UNKNOWN"})


def test_a_deadline_is_the_error_of_both_sides(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    began, over = threading.Event(), threading.Event()

    def answer(request: bytes, context: Any) -> bytes:
        began.set()
        context.add_callback(over.set)
        assert over.wait(TIMEOUT_S)
        return b""

    with (
        serving(grpc.unary_unary_rpc_method_handler(answer), [server_interceptor(tracer_provider=tracer_provider)]) as (
            target,
            _,
        ),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        for deadline_s in (0.1, 1, 10, TIMEOUT_S):
            recorder.clear()
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(METHOD)(b"", timeout=deadline_s)
            if began.is_set():  # else a busy machine did not bring the call to the server in time
                break
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert_span(
            recorder.one(kind=kind),
            status=StatusCode.ERROR,
            attributes={"error.type": "DEADLINE_EXCEEDED", "rpc.grpc.status_code": 4},
        )


@pytest.mark.parametrize("streams", [False, True])
def test_a_call_the_client_cancels_is_marked_on_both_sides(tracer_provider: Any, streams: bool) -> None:
    recorder = SpanRecorder(tracer_provider)
    arrived, over = threading.Event(), threading.Event()

    def wait(context: Any) -> None:
        context.add_callback(over.set)
        arrived.set()
        assert over.wait(TIMEOUT_S)

    def answer(request: bytes, context: Any) -> bytes:
        wait(context)
        return b""

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        wait(context)
        yield b"two"

    handler = grpc.unary_stream_rpc_method_handler(answers) if streams else grpc.unary_unary_rpc_method_handler(answer)
    with (
        serving(handler, [server_interceptor(tracer_provider=tracer_provider)]) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        call = channel.unary_stream(METHOD)(b"") if streams else channel.unary_unary(METHOD).future(b"")
        if streams:
            assert next(call) == b"one"
        assert arrived.wait(TIMEOUT_S)
        call.cancel()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            next(call) if streams else call.result()
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert_span(
            recorder.one(kind=kind),
            status=StatusCode.UNSET,
            attributes={"clew.cancelled": True, "rpc.grpc.status_code": 1},
        )
        assert exceptions_of(recorder.one(kind=kind)) == []


def test_a_handler_that_waits_for_requests_of_a_client_that_left_is_cancelled(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    waiting = threading.Event()

    def answer(requests: Iterator[bytes], context: Any) -> bytes:
        next(requests)
        waiting.set()
        next(requests, None)
        # gRPC may say that the requests are over a moment before it says that the client is gone.
        while context.is_active():
            sleep(0.001)
        return b""

    def one_and_no_more() -> Iterator[bytes]:
        yield b"one"
        left.wait(TIMEOUT_S)

    left = threading.Event()
    with serving(
        grpc.stream_unary_rpc_method_handler(answer), [server_interceptor(tracer_provider=tracer_provider)]
    ) as (target, _):
        with talking(target) as channel:
            call = channel.stream_unary(METHOD).future(one_and_no_more())
            assert waiting.wait(TIMEOUT_S)
        # The channel is closed: the client is gone.
        left.set()
        assert call.code() is grpc.StatusCode.CANCELLED
    span = recorder.one(kind=SpanKind.SERVER)
    assert_span(span, status=StatusCode.UNSET, attributes={"clew.cancelled": True})
    assert exceptions_of(span) == []


def test_a_server_that_stops_in_the_middle_of_a_stream_ends_both_spans(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    over = threading.Event()

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(over.set)
        yield b"one"
        assert over.wait(TIMEOUT_S)
        yield b"two"

    with (
        serving(
            grpc.unary_stream_rpc_method_handler(answers), [server_interceptor(tracer_provider=tracer_provider)]
        ) as (target, server),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        call = channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S)
        assert next(call) == b"one"
        server.stop(None)
        with pytest.raises(grpc.RpcError):
            next(call)
    assert_span(recorder.one(kind=SpanKind.SERVER), status=StatusCode.UNSET, attributes={"clew.cancelled": True})
    client_span = recorder.one(kind=SpanKind.CLIENT)
    assert_span(client_span, status=StatusCode.ERROR)
    # What the client is told depends on how far the server got.
    assert client_span.attributes["error.type"] in ("CANCELLED", "UNAVAILABLE", "UNKNOWN")


@pytest.mark.parametrize("options", [None, [(ChannelOptions.SingleThreadedUnaryStream, 1)]])
@pytest.mark.parametrize("how", ["never", "first"])
def test_a_stream_that_is_not_read_to_its_end_is_over_when_nobody_holds_it(
    tracer_provider: Any, how: str, options: Any
) -> None:
    recorder = SpanRecorder(tracer_provider)
    ended = threading.Event()

    def on_end(*_: Any) -> None:
        ended.set()

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        while True:
            yield b"one"

    with (
        serving(grpc.unary_stream_rpc_method_handler(answers)) as (target, _),
        grpc.insecure_channel(target, options=options) as plain,
    ):
        channel = grpc.intercept_channel(plain, client_interceptor(tracer_provider=tracer_provider, on_end=on_end))
        call = channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S)
        if how == "first":
            assert next(call) == b"one"
        assert recorder.spans == []
        del call
        gc.collect()
        assert ended.wait(TIMEOUT_S)
    assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})


def test_a_server_that_is_not_there_is_the_clients_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    with (
        talking("127.0.0.1:1", client_interceptor(tracer_provider=tracer_provider)) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(METHOD)(b"")
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "UNAVAILABLE"})
    assert span.status.description == caught.value.details()  # type: ignore[attr-defined]


def test_a_request_that_cannot_be_serialized_is_the_clients_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    def fail(request: Any) -> bytes:
        raise ValueError("no bytes")

    with (
        talking("127.0.0.1:1", client_interceptor(tracer_provider=tracer_provider)) as channel,
        pytest.raises(grpc.RpcError),
    ):
        channel.unary_unary(METHOD, request_serializer=fail)(b"")
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "INTERNAL"})


def test_an_exception_of_another_interceptor_reaches_the_caller_as_it_is(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    failure = LookupError("no token")

    class Failing(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            raise failure

    with (
        talking("127.0.0.1:1", client_interceptor(tracer_provider=tracer_provider), Failing()) as channel,
        pytest.raises(LookupError) as caught,
    ):
        channel.unary_unary(METHOD)(b"")
    assert caught.value is failure
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "LookupError"})


def test_the_span_is_current_in_a_generator_only_while_it_computes(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    inside: list[Any] = []
    between: list[Any] = []

    def look(seen: list[Any]) -> None:
        seen.append((get_current_span().get_span_context().span_id, current_server_transport() is not None))

    def answers(request: bytes, context: Any) -> Iterator[bytes]:
        try:
            for _ in range(2):
                look(inside)
                yield b"one"
        finally:
            look(inside)

    class Around(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            handler = continuation(handler_call_details)

            def call(request: Any, context: Any) -> Iterator[Any]:
                for reply in handler.unary_stream(request, context):
                    look(between)
                    yield reply
                look(between)

            return grpc.unary_stream_rpc_method_handler(call)

    with (
        serving(
            grpc.unary_stream_rpc_method_handler(answers),
            [Around(), server_interceptor(tracer_provider=tracer_provider)],
        ) as (target, _),
        talking(target) as channel,
    ):
        assert list(channel.unary_stream(METHOD)(b"", timeout=TIMEOUT_S)) == [b"one"] * 2
    span_id = recorder.one().context.span_id
    assert inside == [(span_id, True)] * 3
    assert between == [(0, False)] * 3


def test_the_metadata_of_the_caller_arrives_whatever_it_is_kept_in(tracer_provider: Any) -> None:
    SpanRecorder(tracer_provider)
    arrived: list[dict[str, Any]] = []

    def answer(request: bytes, context: Any) -> bytes:
        arrived.append(dict(context.invocation_metadata()))
        return b""

    given: list[Any] = [("a", "1"), ("blob-bin", b"\x00\xff")]

    class Adding(grpc.UnaryUnaryClientInterceptor):
        """As people write them: a list is appended to, a tuple added to."""

        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            metadata = client_call_details.metadata
            if isinstance(metadata, list):
                metadata.append(("more", "2"))
            else:
                metadata += (("more", "2"),)
            return continuation(client_call_details._replace(metadata=metadata), request)

    with (
        serving(grpc.unary_unary_rpc_method_handler(answer)) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider), Adding()) as channel,
    ):
        call = channel.unary_unary(METHOD)
        call(b"")
        call(b"", metadata=given)
        call(b"", metadata=tuple(given))
        call(b"", metadata=iter(given))
    assert given == [("a", "1"), ("blob-bin", b"\x00\xff")]
    assert all(seen["more"] == "2" and "traceparent" in seen for seen in arrived)
    assert [(seen.get("a"), seen.get("blob-bin")) for seen in arrived] == [(None, None), *[("1", b"\x00\xff")] * 3]


def test_metadata_that_can_be_read_once_is_sent_where_nothing_is_traced(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    arrived: list[dict[str, Any]] = []

    def answer(request: bytes, context: Any) -> bytes:
        arrived.append(dict(context.invocation_metadata()))
        return b""

    with (
        serving(grpc.unary_unary_rpc_method_handler(answer)) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
        suppress_instrumentation(),
    ):
        channel.unary_unary(METHOD)(b"", metadata=iter([("a", "1")]))
    assert arrived[0]["a"] == "1"
    assert "traceparent" not in arrived[0]
    assert recorder.spans == []


def test_metadata_that_grpc_cannot_read_is_refused_by_grpc(tracer_provider: Any) -> None:
    SpanRecorder(tracer_provider)

    def refusal(*interceptors: Any) -> BaseException:
        with talking("127.0.0.1:1", *interceptors) as channel, pytest.raises(Exception) as caught:  # noqa: PT011
            channel.unary_unary(METHOD)(b"", metadata=[("alone",)])
        return caught.value

    ours = client_interceptor(tracer_provider=tracer_provider)
    assert type(refusal(ours)) is type(refusal())


def test_details_that_another_interceptor_made_itself_are_kept(tracer_provider: Any) -> None:
    SpanRecorder(tracer_provider)
    arrived: list[Any] = []

    def answer(request: bytes, context: Any) -> bytes:
        arrived.append((dict(context.invocation_metadata()), context.time_remaining()))
        return b""

    class Own(grpc.ClientCallDetails):
        def __init__(self, method: str, metadata: Any) -> None:
            self.method = method
            self.metadata = metadata

    class Outside(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return continuation(Own(client_call_details.method, [("a", "1")]), request)

    with (
        serving(grpc.unary_unary_rpc_method_handler(answer)) as (target, _),
        talking(target, Outside(), client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S)
    metadata, remaining_s = arrived[0]
    assert metadata["a"] == "1"
    assert "traceparent" in metadata
    assert 0 < remaining_s < 2 * TIMEOUT_S


def test_an_interceptor_that_makes_a_generator_of_the_replies_is_traced_through(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    class Generating(grpc.UnaryStreamClientInterceptor):
        def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            def replies() -> Iterator[Any]:
                yield from continuation(client_call_details, request)

            return replies()

    with (
        serving(grpc.unary_stream_rpc_method_handler(unary_stream)) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider), Generating()) as channel,
    ):
        call = channel.unary_stream(METHOD)(b"x")
        assert recorder.spans == []
        assert list(call) == [b"x"] * 3
        assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"rpc.grpc.status_code": 0})
        recorder.clear()
        unread = channel.unary_stream(METHOD)(b"x")
        del unread
        gc.collect()
        assert_span(recorder.one(), attributes={"clew.cancelled": True})


def test_excluded_methods_have_no_span_on_either_side(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    exclude = ["/grpc.health.v1.Health/*", "/grpc.reflection.*"]
    with (
        serving(
            grpc.unary_unary_rpc_method_handler(unary_unary),
            [server_interceptor(tracer_provider=tracer_provider, exclude=exclude)],
        ) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider, exclude=exclude)) as channel,
    ):
        for method in ("/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            assert channel.unary_unary(method)(b"x") == b"x"
        assert recorder.spans == []
        assert channel.unary_unary(METHOD)(b"x") == b"x"
    assert len(recorder.spans) == 2


def test_hooks_and_names_are_the_applications(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    replies: list[Any] = []
    with (
        serving(
            grpc.unary_unary_rpc_method_handler(unary_unary),
            [
                server_interceptor(
                    tracer_provider=tracer_provider,
                    rename=lambda transport: f"answer {transport.operation}",
                    on_start=lambda span, transport: span.set_attribute("a", 1),
                    on_end=lambda span, transport, reply, error: replies.append(reply),
                )
            ],
        ) as (target, _),
        talking(target) as channel,
    ):
        channel.unary_unary(METHOD)(b"x")
    assert_span(recorder.one(), name=f"answer {NAME}", attributes={"a": 1})
    assert replies == [b"x"]


def test_calls_that_wait_for_a_worker_do_not_mix(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: dict[bytes, int] = {}

    def answer(request: bytes, context: Any) -> bytes:
        seen[request] = get_current_span().get_span_context().trace_id
        assert baggage.get_baggage("n") == request.decode()
        return request

    propagator = clew.propagation.default_propagator()
    with (
        serving(
            grpc.unary_unary_rpc_method_handler(answer),
            [server_interceptor(tracer_provider=tracer_provider, propagator=propagator)],
            workers=1,
        ) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        call = channel.unary_unary(METHOD)
        futures = [call.future(str(n).encode(), metadata=[("baggage", f"n={n}")]) for n in range(40)]
        assert [future.result(TIMEOUT_S) for future in futures] == [str(n).encode() for n in range(40)]
    by_id = {span.context.span_id: span for span in recorder.spans}
    servers = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert len(servers) == len(by_id) - 40 == len({span.context.trace_id for span in servers}) == 40
    assert {by_id[span.parent.span_id].context.trace_id for span in servers} == set(seen.values())
    assert recorder.open == 0


def test_a_call_refused_because_too_many_run_is_the_clients_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    arrived, go_on = threading.Event(), threading.Event()

    def answer(request: bytes, context: Any) -> bytes:
        arrived.set()
        assert go_on.wait(TIMEOUT_S)
        return b""

    with (
        serving(
            grpc.unary_unary_rpc_method_handler(answer),
            [server_interceptor(tracer_provider=tracer_provider)],
            maximum_concurrent_rpcs=1,
        ) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
    ):
        first = channel.unary_unary(METHOD).future(b"")
        assert arrived.wait(TIMEOUT_S)
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(METHOD)(b"")
        go_on.set()
        first.result(TIMEOUT_S)
    outcomes = [span.attributes.get("error.type") for span in recorder.spans if span.kind is SpanKind.CLIENT]
    assert sorted(outcomes, key=str) == [None, "RESOURCE_EXHAUSTED"]
    assert len([span for span in recorder.spans if span.kind is SpanKind.SERVER]) == 1
    assert recorder.open == 0


def test_a_method_nobody_answers_has_only_the_clients_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    with (
        serving(None, [server_interceptor(tracer_provider=tracer_provider)]) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider)) as channel,
        pytest.raises(grpc.RpcError),
    ):
        channel.unary_unary(METHOD)(b"")
    assert_span(recorder.one(), kind=SpanKind.CLIENT, attributes={"error.type": "UNIMPLEMENTED"})


@pytest.fixture
def unix_socket() -> Iterator[str]:
    """A path for one, which has 107 bytes at most: the test's own folder may lie too deep."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/s"


def test_the_path_of_a_unix_socket_is_its_address(tracer_provider: Any, unix_socket: str) -> None:
    recorder = SpanRecorder(tracer_provider)
    called_at(f"unix:{unix_socket}", tracer_provider)
    client_span, server_span = recorder.one(kind=SpanKind.CLIENT), recorder.one(kind=SpanKind.SERVER)
    assert_span(client_span, attributes={"server.address": unix_socket, "network.peer.address": unix_socket})
    # The client's end of a Unix socket has no name.
    assert "network.peer.port" not in {**client_span.attributes, **server_span.attributes}


def test_an_address_of_ipv6_is_named(tracer_provider: Any) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    recorder = SpanRecorder(tracer_provider)
    called_at("[::1]:0", tracer_provider)
    client_span, server_span = recorder.one(kind=SpanKind.CLIENT), recorder.one(kind=SpanKind.SERVER)
    assert_span(client_span, attributes={"server.address": "::1", "network.peer.address": "::1"})
    assert_span(server_span, attributes={"client.address": "::1", "network.peer.address": "::1"})


def called_at(address: str, tracer_provider: Any) -> None:
    """One call of a server at this address, both sides traced."""
    with (
        serving(
            grpc.unary_unary_rpc_method_handler(unary_unary),
            [server_interceptor(tracer_provider=tracer_provider)],
            address=address,
        ) as (target, _),
        talking(target, client_interceptor(tracer_provider=tracer_provider, target=target)) as channel,
    ):
        assert channel.unary_unary(METHOD)(b"x") == b"x"


def test_calls_are_traced_once_whoever_gave_the_interceptor(tracer_provider: Any) -> None:
    before = (grpc.server, grpc.insecure_channel, grpc.secure_channel)
    undo = patch(tracer_provider)
    try:
        for is_explicit in (False, True):
            recorder = SpanRecorder(tracer_provider)
            on_server = [server_interceptor(tracer_provider=tracer_provider)] if is_explicit else []
            on_client = [client_interceptor(tracer_provider=tracer_provider)] if is_explicit else []
            with (
                serving(grpc.unary_unary_rpc_method_handler(unary_unary), on_server) as (target, _),
                talking(target, *on_client) as channel,
            ):
                assert channel.unary_unary(METHOD)(b"x") == b"x"
            client_span, server_span = recorder.one(kind=SpanKind.CLIENT), recorder.one(kind=SpanKind.SERVER)
            assert_span(server_span, parent_id=f"{client_span.context.span_id:016x}")
            if not is_explicit:
                assert_span(client_span, attributes={"server.address": "127.0.0.1"})
        kept = grpc.insecure_channel
    finally:
        undo()
    assert (grpc.server, grpc.insecure_channel, grpc.secure_channel) == before
    recorder = SpanRecorder(tracer_provider)
    with serving(grpc.unary_unary_rpc_method_handler(unary_unary)) as (target, _), kept(target) as channel:
        assert channel.unary_unary(METHOD)(b"x") == b"x"
    assert recorder.spans == []
