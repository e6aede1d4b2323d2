"""A Kratos service in Go and a Python service call each other over HTTP and gRPC: one trace, and the same on both sides."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from socket import socket
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from google.protobuf.wrappers_pb2 import StringValue, UInt32Value
from grpc import aio
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import clew
from clew.propagation import BaggagePropagator, CompositePropagator, ServiceNamePropagator, TraceContextPropagator
from clew.testing import SpanRecorder, spans_from_otlp
from harness import backends
from harness.staying import Staying

TIMEOUT_S = 60
CHECK = "/grpc.health.v1.Health/Check"
SERVING = UInt32Value(value=1)
SERVICE = "python-peer"
# What a span of ours has and one of Kratos' has not: our own name for its transport, and what its first versions wrote.
OURS_ALONE = {"component", "event", "message"}


class Sink:
    """Where the Go side sends its spans, OTLP over HTTP."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[Any] = queue.Queue()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for span in spans_from_otlp(body):
                    sink._arrived.put(span)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def take(self, count: int) -> list[Any]:
        """So many spans, when they are there."""
        return [self._arrived.get(timeout=TIMEOUT_S) for _ in range(count)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Peers:
    """Both services, running, and what they have seen."""

    options: dict[str, Any]
    recorder: SpanRecorder
    sink: Sink
    http: str = ""
    grpc: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)

    def look(self, headers: Any) -> None:
        known = {str(name).lower(): value for name, value in headers}
        self.seen.append(
            {
                "baggage": dict(baggage.get_all()),
                "tenant": known.get("x-md-global-tenant"),
                "caller": known.get("x-md-service-name"),
            }
        )


@pytest.fixture(scope="session")
def program() -> Path:
    """The Go side, built here."""
    try:
        return backends.build_go("kratos", Path(__file__).parent / "kratos")
    except backends.Absent as reason:
        pytest.skip(f"kratos: {reason}")


@pytest.fixture(params=["sync", "aio"])
def peers(request: pytest.FixtureRequest, program: Path, tracer_provider: Any, tmp_path: Path) -> Iterator[Peers]:
    propagator = CompositePropagator([ServiceNamePropagator(SERVICE), BaggagePropagator(), TraceContextPropagator()])
    options = {"tracer_provider": tracer_provider, "propagator": propagator, "conventions": "kratos"}
    with ExitStack() as stack:
        sink = Sink()
        stack.callback(sink.close)
        made = Peers(options, SpanRecorder(tracer_provider), sink)
        serve = serving_grpc if request.param == "sync" else serving_grpc_aio
        grpc_port = stack.enter_context(serve(made))
        http_port = stack.enter_context(serving_http(made))
        command = [str(program), "-otlp", sink.address]
        command += ["-http-peer", f"127.0.0.1:{http_port}", "-grpc-peer", f"127.0.0.1:{grpc_port}"]
        process = Staying(command, tmp_path / "log")
        stack.callback(process.end)
        # Kratos' own middleware may print before.
        addresses = json.loads(process.next(r"\{.*")[0])
        made.http, made.grpc = f"http://{addresses['http']}", addresses["grpc"]
        yield made


@contextmanager
def serving_http(peers: Peers) -> Iterator[int]:
    async def hello(request: Request) -> JSONResponse:
        peers.look(request.headers.items())
        match request.path_params["name"]:
            case "lost":
                return JSONResponse({"code": 404, "reason": "NO_SUCH_NAME", "message": "nobody has that name"}, 404)
            case "boom":
                raise RuntimeError("boom")
        return JSONResponse({"hello": request.path_params["name"]})

    app = clew.asgi.TracingMiddleware(Starlette(routes=[Route("/hello/{name}", hello)]), **peers.options)
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(TIMEOUT_S)


def health(check: Any, watch: Any) -> grpc.GenericRpcHandler:
    """The health service, its messages as others that look the same on the wire."""
    coding = {"request_deserializer": StringValue.FromString, "response_serializer": UInt32Value.SerializeToString}
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, **coding),
            # A Kratos client waits for this to say that the server can be used, and hears it for as long as it lives.
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **coding),
        },
    )


@contextmanager
def serving_grpc(peers: Peers) -> Iterator[int]:
    def check(request: StringValue, context: grpc.ServicerContext) -> UInt32Value:
        peers.look(context.invocation_metadata())
        if request.value == "lost":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        if request.value == "boom":
            raise RuntimeError("boom")
        return SERVING

    def watch(request: StringValue, context: grpc.ServicerContext) -> Iterator[UInt32Value]:
        left = threading.Event()
        context.add_callback(left.set)
        yield SERVING
        left.wait()

    ours = clew.grpc.server_interceptor(**peers.options, exclude=["/grpc.health.v1.Health/Watch"])
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[ours])
        server.add_generic_rpc_handlers((health(check, watch),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait(TIMEOUT_S)


@contextmanager
def serving_grpc_aio(peers: Peers) -> Iterator[int]:
    async def check(request: StringValue, context: Any) -> UInt32Value:
        peers.look(context.invocation_metadata())
        if request.value == "lost":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        if request.value == "boom":
            raise RuntimeError("boom")
        return SERVING

    async def watch(request: StringValue, context: Any) -> Any:
        yield SERVING
        await asyncio.Event().wait()

    ports: queue.Queue[int] = queue.Queue()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def main() -> None:
        ours = clew.grpc.aio.server_interceptor(**peers.options, exclude=["/grpc.health.v1.Health/Watch"])
        server = aio.server(interceptors=[ours])
        server.add_generic_rpc_handlers((health(check, watch),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ports.put(port)
        await over.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    yield ports.get(timeout=TIMEOUT_S)
    loop.call_soon_threadsafe(over.set)
    thread.join(TIMEOUT_S)
    loop.close()


def get(peers: Peers, path: str) -> httpx.Response:
    with httpx.Client(transport=clew.httpx.TracingTransport(**peers.options)) as client:
        return client.get(peers.http + path, timeout=TIMEOUT_S)


def check(peers: Peers, name: str) -> Any:
    with grpc.insecure_channel(peers.grpc) as plain:
        channel = grpc.intercept_channel(plain, clew.grpc.client_interceptor(target=peers.grpc, **peers.options))
        call = channel.unary_unary(
            CHECK, request_serializer=StringValue.SerializeToString, response_deserializer=UInt32Value.FromString
        )
        return call(StringValue(value=name), timeout=TIMEOUT_S, wait_for_ready=True)


def check_aio(peers: Peers, name: str) -> Any:
    async def main() -> Any:
        ours = clew.grpc.aio.client_interceptor(target=peers.grpc, **peers.options)
        async with aio.insecure_channel(peers.grpc, interceptors=ours) as channel:
            call = channel.unary_unary(
                CHECK, request_serializer=StringValue.SerializeToString, response_deserializer=UInt32Value.FromString
            )
            return await call(StringValue(value=name), timeout=TIMEOUT_S, wait_for_ready=True)

    return asyncio.run(main())


def assert_chain(*spans: Any) -> None:
    """Each span is the child of the one before it."""
    for parent, child in pairwise(spans):
        assert child.context.trace_id == parent.context.trace_id
        assert child.parent.span_id == parent.context.span_id


def assert_same(ours: Any, theirs: Any, *, exact: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Names, kinds, statuses, attributes and events are those of Kratos; the values of `exact`, too."""
    assert theirs.instrumentation_scope.name == "kratos"
    assert (ours.name, ours.kind, ours.status.status_code) == (
        theirs.name,
        theirs.kind,
        theirs.status.status_code,
    )
    shape = {key: type(value) for key, value in ours.attributes.items() if key not in OURS_ALONE}
    assert shape == {key: type(value) for key, value in theirs.attributes.items()}
    for key in exact | {"rpc.system", "rpc.service", "rpc.method", "net.peer.ip"}:
        assert ours.attributes.get(key) == theirs.attributes.get(key), key
    assert [(event.name, set(event.attributes)) for event in ours.events] == [
        (event.name, set(event.attributes)) for event in theirs.events
    ]
    assert bool(ours.status.description) == bool(theirs.status.description)


def of(spans: Any, kind: SpanKind, system: str) -> Any:
    (found,) = (span for span in spans if span.kind is kind and span.attributes["rpc.system"] == system)
    return found


def test_one_trace_goes_from_python_over_http_to_kratos_over_grpc_to_python(peers: Peers) -> None:
    context = baggage.set_baggage("order", "17")
    token = attach(context)
    try:
        with httpx.Client(transport=clew.httpx.TracingTransport(**peers.options)) as client:
            reply = client.get(f"{peers.http}/grpc/ada", headers={"x-md-global-tenant": "acme"}, timeout=TIMEOUT_S)
    finally:
        detach(token)
    assert reply.json() == {"status": "SERVING"}
    theirs = peers.sink.take(2)
    asked, answered = peers.recorder.one(kind=SpanKind.CLIENT), peers.recorder.one(kind=SpanKind.SERVER)
    assert_chain(asked, of(theirs, SpanKind.SERVER, "http"), of(theirs, SpanKind.CLIENT, "grpc"), answered)
    # Baggage and global metadata go through; the service's name is that of each hop.
    assert peers.seen == [{"baggage": {"order": "17"}, "tenant": "acme", "caller": "kratos-peer"}]
    assert of(theirs, SpanKind.SERVER, "http").attributes["peer.service"] == SERVICE
    assert answered.attributes["peer.service"] == "kratos-peer"


def test_one_trace_goes_from_python_over_http_to_kratos_over_http_to_python(peers: Peers) -> None:
    assert get(peers, "/http/ada").json() == {"hello": "ada"}
    theirs = peers.sink.take(2)
    asked, answered = peers.recorder.one(kind=SpanKind.CLIENT), peers.recorder.one(kind=SpanKind.SERVER)
    their_answer, their_question = of(theirs, SpanKind.SERVER, "http"), of(theirs, SpanKind.CLIENT, "http")
    assert_chain(asked, their_answer, their_question, answered)
    assert answered.attributes["peer.service"] == "kratos-peer"


@pytest.mark.parametrize(("name", "status"), [("ada", StatusCode.OK), ("lost", StatusCode.ERROR)])
def test_http_spans_are_kratos_own_on_both_sides(peers: Peers, name: str, status: StatusCode) -> None:
    # The same question from Python to Kratos, and from Kratos to Python.
    get(peers, f"/hello/{name}")
    (their_answer,) = peers.sink.take(1)
    our_question = peers.recorder.one(kind=SpanKind.CLIENT)
    peers.recorder.clear()
    get(peers, f"/http/{name}")
    their_question = of(peers.sink.take(2), SpanKind.CLIENT, "http")
    our_answer = peers.recorder.one(kind=SpanKind.SERVER)
    exact = {"http.method", "http.route", "http.target", "rpc.status_code"}
    assert_same(our_question, their_question, exact=exact)
    assert_same(our_answer, their_answer, exact=exact)
    assert our_answer.status.status_code is status


def test_an_exception_over_http_is_a_500_on_both_sides(peers: Peers) -> None:
    assert get(peers, "/hello/boom").status_code == 500
    (their_answer,) = peers.sink.take(1)
    peers.recorder.clear()
    get(peers, "/http/boom")
    their_question = of(peers.sink.take(2), SpanKind.CLIENT, "http")
    our_answer = peers.recorder.one(kind=SpanKind.SERVER)
    assert_same(our_answer, their_answer, exact={"rpc.status_code"})
    assert their_question.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("ask", [check, check_aio], ids=["client-sync", "client-aio"])
@pytest.mark.parametrize(("name", "code"), [("", None), ("lost", 404)])
def test_grpc_spans_are_kratos_own_on_both_sides(
    peers: Peers, ask: Callable[[Peers, str], Any], name: str, code: int | None
) -> None:
    if code is None:
        assert ask(peers, name).value == 1
    else:
        with pytest.raises(grpc.RpcError):
            ask(peers, name)
    (their_answer,) = peers.sink.take(1)
    our_question = peers.recorder.one(kind=SpanKind.CLIENT)
    assert_chain(our_question, their_answer)
    peers.recorder.clear()
    get(peers, f"/grpc/{name or 'any'}")
    their_question = of(peers.sink.take(2), SpanKind.CLIENT, "grpc")
    our_answer = peers.recorder.one(kind=SpanKind.SERVER)
    assert_same(our_question, their_question, exact={"rpc.status_code", "recv_msg.size"})
    assert_same(our_answer, their_answer, exact={"rpc.status_code", "send_msg.size"})
    assert our_answer.attributes.get("rpc.status_code") == code
