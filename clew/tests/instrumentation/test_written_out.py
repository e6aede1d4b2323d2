"""What writes the bracket out, since its cost shows (ASGI, gRPC, decorated functions), does what `Scope` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, get_current_span

import clew
from clew.carriers import GrpcCarrier
from clew.instrumentation._grpc import GrpcTransport, code_number, peer_from_text, status_given
from clew.instrumentation.asgi import AsgiTransport, TracingMiddleware
from clew.testing import SpanRecorder
from clew.tracing import Tracer
from clew.tracing.attributes import grpc_outcome
from clew.transport import Call, current_client_transport, current_server_transport

HEADERS = [
    (b"host", b"shop:8080"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"baggage", b"tea=green"),
]


def a_scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/orders/7",
        "query_string": b"page=2",
        "scheme": "http",
        "http_version": "1.1",
        "client": ("10.0.0.1", 4711),
        "headers": list(HEADERS),
        "path_template": "/orders/{id}",
    }


class Seen:
    """What a handler finds current."""

    def __init__(self) -> None:
        span, call = get_current_span(), current_server_transport()
        self.is_recording = span.is_recording()
        self.call = type(call)
        self.baggage = baggage.get_baggage("tea")


Ending = Callable[[], int]


def answering(status: int) -> Ending:
    return lambda: status


def raising(error: BaseException) -> Ending:
    def end() -> int:
        raise error

    return end


async def by_middleware(provider: Any, ending: Ending) -> Seen:
    seen: list[Seen] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Seen())
        await send({"type": "http.response.start", "status": ending(), "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        return

    async def receive() -> Any:
        return {"type": "http.request"}

    with suppress(RuntimeError, asyncio.CancelledError):
        await TracingMiddleware(app, tracer_provider=provider)(a_scope(), receive, send)
    return seen[0]


async def by_bracket(provider: Any, ending: Ending) -> Seen:
    tracer = Tracer(SpanKind.SERVER, tracer_provider=provider)
    call = AsgiTransport(a_scope())
    with suppress(RuntimeError, asyncio.CancelledError), tracer.scope(call) as scope:
        seen = Seen()
        call.routed("/orders/{id}")
        tracer.update_name(scope.span, call)
        try:
            call.status = ending()
        except BaseException as error:
            call.failed_with(error)
            raise
    return seen


def described(span: Any, spans: Sequence[Any] = ()) -> Any:
    parent = span.parent and span.parent.span_id
    return (
        span.name,
        span.kind,
        # The parent by its id; by what it is where it is one of these.
        next((one.kind for one in spans if one.context.span_id == parent), parent),
        dict(span.attributes),
        span.status.status_code,
        span.status.description,
        [(event.name, event.attributes.get("exception.type")) for event in span.events],
    )


@pytest.mark.parametrize(
    "ending",
    [
        answering(200),
        answering(404),
        answering(503),
        raising(RuntimeError("sold out")),
        raising(asyncio.CancelledError()),
    ],
    ids=["answer", "refusal", "fault", "exception", "cancellation"],
)
def test_a_request_is_traced_alike_by_the_middleware_and_by_the_bracket(tracer_provider: Any, ending: Ending) -> None:
    recorder = SpanRecorder(tracer_provider)
    written_out = asyncio.run(by_middleware(tracer_provider, ending))
    by_hand = asyncio.run(by_bracket(tracer_provider, ending))
    first, second = recorder.spans
    assert described(first) == described(second)
    assert vars(written_out) == vars(by_hand)
    assert current_server_transport() is None
    assert not get_current_span().is_recording()


METHOD = "/shop.Orders/Get"
TIMEOUT_S = 100
Handler = Callable[[Any], bytes]


def refusing(context: Any) -> bytes:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    context.set_details("no such order")
    return b""


def closing(context: Any) -> bytes:
    context.set_code(grpc.StatusCode.UNAVAILABLE)
    context.set_details("closed")
    return b""


def breaking(context: Any) -> bytes:
    raise RuntimeError("sold out")


class Calls:
    """Makes one call of gRPC over a socket, and keeps what its handler found current and what its caller was told."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.target = self.peer = ""
        self.seen: Seen
        self.error: Any = None

    def _method(self, answer: Any) -> Any:
        handler = grpc.unary_unary_rpc_method_handler(answer)
        return grpc.method_handlers_generic_handler("shop.Orders", {"Get": handler})

    def _handled(self, handler: Handler, context: Any) -> bytes:
        self.seen, self.peer = Seen(), context.peer()
        return handler(context)

    def _check(self) -> None:
        assert current_client_transport() is None
        assert not get_current_span().is_recording()

    def make(self, handler: Handler) -> None:
        """By sync servers and channels."""
        with ThreadPoolExecutor(1) as pool:
            server = grpc.server(pool, interceptors=[clew.grpc.server_interceptor(tracer_provider=self.provider)])
            server.add_generic_rpc_handlers((self._method(lambda _, context: self._handled(handler, context)),))
            self.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
            ours = clew.grpc.client_interceptor(tracer_provider=self.provider, target=self.target)
            try:
                with grpc.insecure_channel(self.target) as channel:
                    grpc.intercept_channel(channel, ours).unary_unary(METHOD)(b"7", timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                self.error = error.with_traceback(None)  # which holds the server
            finally:
                server.stop(None).wait()
        self._check()

    def make_async(self, handler: Handler) -> None:
        """By those of asyncio."""

        async def answer(_: bytes, context: Any) -> bytes:
            return self._handled(handler, context)

        async def main() -> None:
            server = aio.server(interceptors=[clew.grpc.aio.server_interceptor(tracer_provider=self.provider)])
            server.add_generic_rpc_handlers((self._method(answer),))
            self.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            await server.start()
            ours = clew.grpc.aio.client_interceptor(tracer_provider=self.provider, target=self.target)
            try:
                async with aio.insecure_channel(self.target, interceptors=ours) as channel:
                    await channel.unary_unary(METHOD)(b"7", timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                self.error = error.with_traceback(None)  # which holds the server
            finally:
                await server.stop(None)
            self._check()

        asyncio.run(main())


class Context:
    """What a handler sets on gRPC's context."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self.code: Any = None
        self.details = ""

    def peer(self) -> str:
        return self._peer

    def set_code(self, code: Any) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details


def by_bracket_of_grpc(calls: Calls, handler: Handler) -> Seen:
    """The same call by brackets: a client's, and within it that of a server that reads what the client wrote."""
    context, told = Context(calls.peer), calls.error
    sent = GrpcTransport(METHOD, GrpcCarrier(()), peer=peer_from_text(calls.target))
    client = Tracer(SpanKind.CLIENT, tracer_provider=calls.provider).scope(sent)
    carrier: Any = sent.carrier
    server = Tracer(SpanKind.SERVER, tracer_provider=calls.provider).scope(
        GrpcTransport(METHOD, GrpcCarrier(carrier.pairs), context=context)
    )
    server.enter()
    seen = Seen()
    error: BaseException | None = None
    try:
        handler(context)
    except RuntimeError as failure:
        error = failure
    server.leave()
    server.finish(*status_given(code_number(context.code), context.details, None, error))
    code = 0 if told is None else code_number(told.code()) or 0
    client.finish(grpc_outcome(code, None if told is None else told.details(), server=False), told)
    return seen


@pytest.mark.parametrize("make", [Calls.make, Calls.make_async], ids=["sync", "async"])
@pytest.mark.parametrize("handler", [lambda context: b"", refusing, closing, breaking])
def test_a_grpc_call_is_traced_alike_by_the_interceptors_and_by_the_bracket(
    tracer_provider: Any, make: Callable[[Calls, Handler], None], handler: Handler
) -> None:
    recorder = SpanRecorder(tracer_provider)
    calls = Calls(tracer_provider)
    token = attach(baggage.set_baggage("tea", "green"))
    try:
        make(calls, handler)
        by_hand = by_bracket_of_grpc(calls, handler)
    finally:
        detach(token)
    spans = recorder.spans
    assert len(spans) == 4
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        written_out, bracketed = (described(span, spans) for span in spans if span.kind is kind)
        assert written_out == bracketed
    assert vars(calls.seen) == vars(by_hand)
    assert calls.seen.baggage == "green"


class Silent(Exception):
    """Has no words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no tea"),
        ValueError("http://u:pw@shop/?token=S"),
        Silent(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=["error", "secret", "silent", "cancellation", "interrupt"],
)
def test_a_decorated_function_fails_as_a_call_in_the_bracket_does(tracer_provider: Any, error: BaseException) -> None:
    recorder = SpanRecorder(tracer_provider)

    @clew.trace(tracer_provider=tracer_provider)
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        work()
    with (
        pytest.raises(type(error)),
        Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider).scope(Call("x", "X", "x")),
    ):
        raise error
    decorated, bracketed = (
        (
            {key: value for key, value in span.attributes.items() if key in ("error.type", "clew.cancelled")},
            span.status.status_code,
            span.status.description,
            [(event.name, event.attributes["exception.message"]) for event in span.events],
        )
        for span in recorder.spans
    )
    assert decorated == bracketed
