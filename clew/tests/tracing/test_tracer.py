"""Tracer: start and end by hand, conventions, and failures that stay inside."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.baggage import get_baggage
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.trace import SpanKind, StatusCode, get_current_span, use_span

from clew import guard
from clew.carriers import DictCarrier
from clew.testing import TRACEPARENT, FakeTransport, SpanRecorder, assert_span, exceptions_of, outside_pytest
from clew.tracing import Tracer, client, server, span_id, trace_id
from clew.tracing.attributes import db_attributes
from clew.transport import Call, Outcome, Transport


def test_a_database_call_by_hand(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    call = Call("db", "SQLite", "SELECT messages", values=db_attributes("sqlite", operation="SELECT"))
    assert isinstance(call, Transport)
    span = tracer.start(call.operation, call.carrier, transport=call)
    assert get_current_span() is not span
    tracer.end(span)
    assert_span(
        recorder.one(),
        name="SELECT messages",
        kind=SpanKind.CLIENT,
        status=StatusCode.UNSET,
        attributes={"component": "SQLite", "db.system.name": "sqlite", "db.operation.name": "SELECT"},
    )


@pytest.mark.parametrize("kind", [SpanKind.INTERNAL, None, 3, "SERVER"])
def test_kinds_that_are_no_call_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="SERVER, CLIENT, PRODUCER or CONSUMER"):
        Tracer(kind)


@pytest.mark.parametrize("conventions", ["nope", ("otel", "nope"), ()])
def test_unknown_conventions_are_refused(conventions: Any) -> None:
    for make in (server, client):
        with pytest.raises(ValueError, match="otel, kratos"):
            make(conventions=conventions)


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CONSUMER])
def test_servers_and_consumers_read_the_carrier_and_leave_it(tracer_provider: Any, kind: SpanKind) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(kind, tracer_provider=tracer_provider)
    headers = {"TraceParent": TRACEPARENT, "baggage": "k=v"}
    span, context = tracer.begin("operation", headers, None)
    assert get_baggage("k", context) == "v"
    tracer.end(span)
    assert_span(recorder.one(), kind=kind, parent_id=TRACEPARENT[36:52])
    assert headers == {"TraceParent": TRACEPARENT, "baggage": "k=v"}


@pytest.mark.parametrize("kind", [SpanKind.CLIENT, SpanKind.PRODUCER])
def test_clients_and_producers_write_the_carrier_and_do_not_read_it(tracer_provider: Any, kind: SpanKind) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(kind, tracer_provider=tracer_provider)
    headers = {"TraceParent": TRACEPARENT}
    tracer.end(tracer.start("operation", headers))
    span = recorder.one()
    assert_span(span, kind=kind, parent_id="")
    assert next(iter(headers)) == "traceparent"
    assert headers["traceparent"][36:52] == f"{span.context.span_id:016x}"


def test_nothing_is_traced_where_instrumentation_is_suppressed(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    headers: dict[str, str] = {}
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    tracer.end(tracer.start("operation", headers))
    detach(token)
    assert recorder.spans == []
    assert headers == {}


def test_errors_cancellations_and_outcomes_end_a_span_as_what_they_are(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)

    class Nasty(asyncio.CancelledError):
        pass

    for ending in (
        {"error": KeyError("k")},
        {"error": Nasty()},
        {"error": GeneratorExit()},
        {"reply": Outcome({"a": 1}, error_type="500")},
        {"reply": "a reply of the application's"},
        {"reply": Outcome(message="said so"), "error": ValueError("original")},
    ):
        tracer.end(tracer.start("operation"), **ending)  # type: ignore[arg-type]
    key_error, nasty, closed, refused, fine, said = recorder.spans
    assert_span(key_error, status=StatusCode.ERROR, attributes={"error.type": "KeyError"})
    assert key_error.status.description == "'k'"
    for span in (nasty, closed):
        assert_span(span, status=StatusCode.UNSET, attributes={"clew.cancelled": True})
        assert not span.events
    assert_span(refused, status=StatusCode.ERROR, attributes={"error.type": "500", "a": 1})
    assert exceptions_of(refused) == []
    assert_span(fine, status=StatusCode.UNSET)
    assert said.status.description == "said so"
    assert len(exceptions_of(said)) == 1


def test_an_end_can_lie_in_the_past(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    span = tracer.start("operation")
    tracer.end(span, end_time_unix_nano=4_000_000_000_000_000_000)
    assert recorder.one().end_time == 4_000_000_000_000_000_000


class SizedMessage:
    """As protobuf's messages, which know their size."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    def ByteSize(self) -> int:
        return self._size_bytes


def test_kratos_conventions_alone_write_what_kratos_writes(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, conventions="kratos")
    call = FakeTransport(
        operation="/api.user.v1.User/GetMyMessages",
        kind="grpc",
        component="gRPC",
        headers={"x-md-service-name": "front"},
        peer=("", 1234),
        values={"http.request.method": "GET", "url.path": "/x", "server.address": "unwanted"},
    )
    span = tracer.start(call.operation, call.carrier, transport=call)
    tracer.received(span, SizedMessage(7))
    tracer.end(span, reply=SizedMessage(9))
    span = tracer.start(call.operation, call.carrier, transport=call)
    tracer.end(span, error=RuntimeError("broken"))
    good, bad = recorder.spans
    expected = {
        "component": "gRPC",
        "rpc.system": "grpc",
        "rpc.service": "api.user.v1.User",
        "rpc.method": "GetMyMessages",
        "http.method": "GET",
        "http.target": "/x",
        "net.peer.ip": "127.0.0.1",
        "net.peer.port": "1234",
        "peer.service": "front",
    }
    assert dict(good.attributes) == {**expected, "recv_msg.size": 7, "send_msg.size": 9}
    assert_span(good, status=StatusCode.OK)
    assert dict(bad.attributes) == {**expected, "rpc.status_code": 500, "event": "error", "message": "broken"}
    assert_span(bad, status=StatusCode.ERROR)
    assert len(exceptions_of(bad)) == 1


def test_an_operation_without_a_service_is_kratos_rpc_operation(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider, conventions=("otel", "kratos"))
    call = Call("http", "HTTP", "/raw")
    tracer.end(tracer.start(call.operation, None, transport=call))
    assert_span(recorder.one(), attributes={"rpc.operation": "/raw", "rpc.system": "http"})


class BrokenTransport(FakeTransport):
    """Cannot say what it is."""

    def attributes(self) -> Any:
        raise RuntimeError("broken transport")


def test_a_transport_that_fails_still_has_its_span_and_its_failure_is_counted_and_logged_once(
    tracer_provider: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider)
    broken = BrokenTransport(component="Broken thing")
    with outside_pytest(), caplog.at_level(logging.WARNING, "clew"):
        before = guard.failures().get("reading the attributes of Broken thing", 0)
        for _ in range(3):
            tracer.end(tracer.start("operation", None, transport=broken))
    assert [span.name for span in recorder.spans] == ["operation"] * 3
    assert guard.failures()["reading the attributes of Broken thing"] == before + 3
    assert len([r for r in caplog.records if "Broken thing" in r.message]) <= 1
    with pytest.raises(RuntimeError, match="broken transport"):
        tracer.start("operation", None, transport=broken)


def test_the_global_provider_is_that_of_the_moment(tracer_provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = SpanRecorder(tracer_provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    tracer = Tracer(SpanKind.CLIENT)
    tracer.end(tracer.start("before anybody configured"))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", tracer_provider)
    tracer.end(tracer.start("after"))
    assert [span.name for span in recorder.spans] == ["after"]


def test_the_current_ids_are_hex_and_empty_without_a_span(tracer_provider: Any) -> None:
    assert trace_id() == span_id() == ""
    span = tracer_provider.get_tracer("test").start_span("span")
    with use_span(span):
        assert trace_id() == f"{span.get_span_context().trace_id:032x}"
        assert span_id() == f"{span.get_span_context().span_id:016x}"


def test_a_carrier_can_be_given_as_it_is(tracer_provider: Any) -> None:
    carrier = DictCarrier()
    tracer = Tracer(SpanKind.CLIENT, tracer_provider=tracer_provider)
    tracer.end(tracer.start("operation", carrier))
    assert carrier.get("traceparent")


@pytest.mark.parametrize("module", ["clew.tracing", "clew.logs", "clew.propagation", "clew.instrumentation"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = ['google.protobuf', 'grpc', 'requests', 'httpx', 'starlette', 'asyncio', 'clew.recorder',"
        " 'opentelemetry.sdk', 'clew_server']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
