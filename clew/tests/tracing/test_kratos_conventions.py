"""Kratos' conventions, case by case, as a running Kratos v2.9.2 was seen to write them (tests-e2e/test_kratos.py compares)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, StatusCode

from clew.propagation import TraceContextPropagator
from clew.recorder.provider import TracerProvider
from clew.testing import SpanRecorder, assert_span, exceptions_of
from clew.tracing.attributes import grpc_outcome, http_outcome
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome


def recorded(
    call: Call, kind: SpanKind, *, reply: Any = None, error: BaseException | None = None, conventions: Any = "kratos"
) -> Any:
    """The span of one call."""
    provider = TracerProvider()
    recorder = SpanRecorder(provider)
    tracer = Tracer(kind, tracer_provider=provider, conventions=conventions)
    tracer.end(tracer.start(call.operation, {}, transport=call), reply=reply, error=error)
    return recorder.one()


def grpc_call() -> Call:
    return Call("grpc", "gRPC", "a.v1.B/C", peer=("10.0.0.1", 50051))


def http_client_call(url: str = "http://10.0.0.1:8000/hello/a%20da?secret=1") -> Call:
    values = {"http.request.method": "GET", "url.full": url, "server.address": "10.0.0.1"}
    return Call("http", "HTTP", "GET", peer=("10.0.0.1", 8000), values=values)


def test_a_grpc_call_has_its_whole_method_as_its_name() -> None:
    span = recorded(grpc_call(), SpanKind.CLIENT, reply=grpc_outcome(0, None, server=False))
    assert_span(span, name="/a.v1.B/C", status=StatusCode.OK)
    assert dict(span.attributes) == {
        "component": "gRPC",
        "rpc.system": "grpc",
        "rpc.service": "a.v1.B",
        "rpc.method": "C",
        "net.peer.ip": "10.0.0.1",
        "net.peer.port": "50051",
    }


def test_an_http_client_knows_the_path_for_a_route_and_keeps_the_query_to_itself() -> None:
    span = recorded(http_client_call(), SpanKind.CLIENT, reply=http_outcome(200, server=False))
    assert_span(span, name="/hello/a da", status=StatusCode.OK)
    assert dict(span.attributes) == {
        "component": "HTTP",
        "http.method": "GET",
        "http.route": "/hello/a da",
        "http.target": "/hello/a da",
        "rpc.system": "http",
        "rpc.service": "hello",
        "rpc.method": "a da",
        "net.peer.ip": "10.0.0.1",
        "net.peer.port": "8000",
    }


def test_a_host_without_a_port_is_no_peer() -> None:
    span = recorded(http_client_call("https://shop.example/raw"), SpanKind.CLIENT)
    assert_span(span, name="/raw", attributes={"rpc.operation": "/raw"})
    assert not [key for key in span.attributes if key.startswith(("net.", "rpc.service", "rpc.method"))]


def test_a_server_learns_its_route_at_the_end() -> None:
    values = {"http.request.method": "PUT", "url.path": "/users/1"}
    call = Call("http", "HTTP", "PUT", peer=("", 1234), values=values)
    outcome = http_outcome(200, server=True)
    outcome.attributes = {**outcome.attributes, "http.route": "/users/{id}"}
    span = recorded(call, SpanKind.SERVER, reply=outcome)
    assert dict(span.attributes) == {
        "component": "HTTP",
        "http.method": "PUT",
        "http.route": "/users/{id}",
        "http.target": "/users/1",
        "rpc.system": "http",
        "rpc.service": "users",
        "rpc.method": "{id}",
        "net.peer.ip": "127.0.0.1",
        "net.peer.port": "1234",
    }


@pytest.mark.parametrize(
    ("expected", "codes"),
    [
        (500, (2, 13, 15, 99)),
        (501, (12,)),
        (503, (14,)),
        (400, (3, 9, 11)),
        (401, (16,)),
        (403, (7,)),
        (404, (5,)),
        (409, (6, 10)),
        (429, (8,)),
        (499, (1,)),
        (504, (4,)),
    ],
)
def test_codes_of_grpc_become_those_of_http_and_are_errors_on_both_sides(expected: int, codes: tuple[int, ...]) -> None:
    for code, kind in product(codes, (SpanKind.SERVER, SpanKind.CLIENT)):
        outcome = grpc_outcome(code, None, server=kind is SpanKind.SERVER)
        outcome.message = "no"
        span = recorded(grpc_call(), kind, reply=outcome)
        assert_span(
            span,
            status=StatusCode.ERROR,
            attributes={"rpc.status_code": expected, "event": "error", "message": "no"},
        )
        assert span.status.description == "no"
        assert [set(event) for event in exceptions_of(span)] == [{"exception.type", "exception.message"}]


@pytest.mark.parametrize(("status", "failed"), [(200, False), (304, False), (404, True), (503, True)])
def test_failures_over_http_begin_at_400_on_both_sides(status: int, failed: bool) -> None:
    for kind in (SpanKind.SERVER, SpanKind.CLIENT):
        outcome = http_outcome(status, server=kind is SpanKind.SERVER)
        span = recorded(http_client_call(), kind, reply=outcome)
        assert_span(span, status=StatusCode.ERROR if failed else StatusCode.OK)
        assert span.attributes.get("rpc.status_code") == (status if failed else None)


def test_an_exception_is_a_500_without_a_stack_and_one_that_knows_its_code_has_that() -> None:
    class NotFound(Exception):
        code = 404

    for error, code in ((ValueError("broken"), 500), (NotFound("lost"), 404)):
        span = recorded(grpc_call(), SpanKind.SERVER, error=error)
        assert_span(span, status=StatusCode.ERROR, attributes={"rpc.status_code": code, "message": str(error)})
        (event,) = exceptions_of(span)
        assert event["exception.message"] == str(error)
        assert "exception.stacktrace" not in event


def test_a_number_of_another_protocol_is_no_code_of_http() -> None:
    call = Call("db", "MongoDB", "find orders")
    assert_span(recorded(call, SpanKind.CLIENT, reply=Outcome(code=11000)), status=StatusCode.OK)
    span = recorded(call, SpanKind.CLIENT, reply=Outcome(code=11000, error_type="11000", message="twice"))
    assert_span(span, name="find orders", status=StatusCode.ERROR, attributes={"rpc.status_code": 500})
    assert "rpc.system" not in span.attributes


def test_beside_opentelemetrys_names_stay_and_the_exception_is_written_once() -> None:
    span = recorded(grpc_call(), SpanKind.SERVER, error=ValueError("broken"), conventions=("otel", "kratos"))
    assert_span(span, name="a.v1.B/C", attributes={"error.type": "ValueError", "rpc.status_code": 500})
    (event,) = exceptions_of(span)
    assert "exception.stacktrace" in event


def test_a_call_that_was_given_up_is_no_error() -> None:
    span = recorded(grpc_call(), SpanKind.CLIENT, reply=Outcome(cancelled=True))
    assert_span(span, status=StatusCode.UNSET, attributes={"clew.cancelled": True, "rpc.status_code": 499})


def test_clients_say_of_the_flags_only_that_of_sampling() -> None:
    # Others make the Go side begin a new trace.
    came = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"}
    for conventions, flags in (("kratos", "01"), ("otel", "03")):
        provider = TracerProvider()
        tracer = Tracer(SpanKind.CLIENT, tracer_provider=provider, conventions=conventions)
        headers: dict[str, str] = {}
        token = attach(TraceContextPropagator().extract(came, Context()))
        try:
            tracer.end(tracer.start("call", headers))
        finally:
            detach(token)
        assert headers["traceparent"][-2:] == flags
