"""Log records as events of their spans: sent in every way, in any order, over crashes; the same answers as from span events."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from harness.server import PROTOBUF, Server, free_port
from harness.wire import attributes, fresh_name, new_span_id, new_trace_id, request, span, spans_of

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def exception(trace_id: bytes, span_id: bytes, at_unix_nano: int, **fields: Any) -> LogRecord:
    made = LogRecord(
        trace_id=trace_id,
        span_id=span_id,
        time_unix_nano=at_unix_nano,
        severity_text="ERROR",
        severity_number=17,  # type: ignore[arg-type]
        attributes=attributes({"exception.type": "shop.Refused", "exception.message": "no money", "tries": 3}),
        **fields,
    )
    made.body.string_value = "payment failed"
    return made


def logs(service: str, *records: LogRecord) -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add()
    group.resource.attributes.extend(attributes({"service.name": service}))
    group.scope_logs.add().log_records.extend(records)
    return message


def line(text: str) -> LogRecord:
    made = LogRecord(severity_text="INFO")
    made.body.string_value = text
    return made


def send(server: Server, message: ExportLogsServiceRequest, how: str = "protobuf") -> None:
    """Send until it is acknowledged, in full."""
    if how == "grpc":
        with grpc.insecure_channel(server.otlp_grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
            assert channel.unary_unary(EXPORT)(message.SerializeToString(), timeout=100) == b""
        return
    body, media, answer = message.SerializeToString(), PROTOBUF, b""
    if how == "json":
        tree = MessageToDict(message, use_integers_for_enums=True)
        records = tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        for record, sent in zip(records, message.resource_logs[0].scope_logs[0].log_records, strict=True):
            record.update(traceId=sent.trace_id.hex(), spanId=sent.span_id.hex())
        body, media, answer = json.dumps(tree).encode(), "application/json", b"{}"
    got = httpx.post(f"{server.otlp_http}/v1/logs", content=body, headers={"Content-Type": media}, timeout=100)
    assert (got.status_code, got.content) == (200, answer)


def json_spans(server: Server, trace_id: bytes) -> list[Any]:
    tree = server.get_json(f"/api/v1/traces/{trace_id.hex()}")
    return [one for group in tree["resourceSpans"] for scope in group["scopeSpans"] for one in scope["spans"]]


@pytest.mark.parametrize("how", ["protobuf", "json", "grpc"])
@pytest.mark.parametrize("span_first", [True, False])
def test_a_record_becomes_an_event_of_its_span_in_every_answer(server: Server, how: str, span_first: bool) -> None:
    service, trace_id = fresh_name("logs"), new_trace_id()
    root, child = span(trace_id, name="GET /pay"), span(trace_id, name="charge", failed=True)
    child.parent_span_id = root.span_id
    at = child.start_time_unix_nano + 100
    message = logs(service, exception(trace_id, child.span_id, at), line("started"), line("stopped"))
    server.flush()
    before = server.status()
    parts: list[Callable[[], None]] = [
        lambda: server.export(request(service, [root, child])),
        lambda: send(server, message, how),
    ]
    for part in parts if span_first else parts[::-1]:
        part()

    def check() -> None:
        found = {one.name: one for one in spans_of(server.trace_bytes(trace_id))}
        assert sorted(found) == ["GET /pay", "charge"]
        assert not found["GET /pay"].events
        (event,) = found["charge"].events
        assert (event.name, event.time_unix_nano) == ("exception", at)
        values = {pair.key: pair.value for pair in event.attributes}
        assert values["exception.type"].string_value == "shop.Refused"
        assert (values["tries"].int_value, values["clew.from"].string_value) == (3, "log")
        assert (values["log.severity_text"].string_value, values["log.body"].string_value) == (
            "ERROR",
            "payment failed",
        )
        in_json = {one["name"]: one for one in json_spans(server, trace_id)}
        assert [one["name"] for one in in_json["charge"]["events"]] == ["exception"]
        answer = server.get_json(f"/api/v1/traces/{trace_id.hex()}/explain")
        first = answer["failures"][0]
        assert (first["span_id"], first["type"], first["message"]) == (child.span_id.hex(), "shop.Refused", "no money")
        skeleton = server.get_json(f"/api/v1/traces/{trace_id.hex()}/skeleton")
        assert skeleton["total"] == 2

    check()  # from the log, before it is stored
    server.flush()
    check()
    for query in (
        f'service={service} event=exception event.exception.type="shop.Refused"',
        f"service={service} name=charge event.tries=3 event.clew.from=log",
    ):
        (listed,) = server.found(q=query)
        assert (listed["trace_id"], listed["spans"], listed["errors"]) == (trace_id.hex(), 2, 1)
        assert listed["services"] == [service]
    assert server.found(q=f'service={service} name="GET /pay" event=exception') == []
    status = server.status()
    assert status["accepted_spans"] - before["accepted_spans"] == 2
    assert status["stored_spans"] - before["stored_spans"] == 2
    assert status["dropped_signals"]["log"] - before["dropped_signals"]["log"] == 2
    assert (
        f'clew_dropped_signals_total{{kind="log"}} {float(status["dropped_signals"]["log"])}'
        in server.get("/metrics").text
    )
    operations = server.get_json("/api/v1/operations", service=service)["operations"]
    assert sorted(one["name"] for one in operations) == ["GET /pay", "charge"]


def test_records_without_their_span_are_no_trace_and_wait_in_one_that_is_there(server: Server) -> None:
    service, trace_id, missing = fresh_name("waiting"), new_trace_id(), new_span_id()
    send(server, logs(service, exception(trace_id, missing, 1_795_346_136_783_749_738, event_name="refused")))
    path = f"/api/v1/traces/{trace_id.hex()}"
    for _ in range(2):
        for view in ("", "/skeleton", "/explain"):
            assert server.get(path + view).status_code == 404
        server.flush()
    assert service not in server.get_json("/api/v1/services")["services"]
    assert server.found(q=f"event=refused service={service}") == []
    server.export(request(service, [span(trace_id)]))
    notes = " ".join(server.get_json(f"{path}/explain")["completeness"]["notes"])
    assert "1 event that came as a log record belongs to a span that was not received" in notes
    server.export(request(service, [span(trace_id, span_id=missing, name="late")]))
    notes = " ".join(server.get_json(f"{path}/explain")["completeness"]["notes"])
    assert "log record" not in notes
    assert [one.events[0].name for one in spans_of(server.trace_bytes(trace_id)) if one.events] == ["refused"]


@pytest.mark.parametrize("log_first", [True, False])
def test_a_kill_between_record_and_span_parts_neither_from_the_other(
    make_server: Callable[..., Server], log_first: bool
) -> None:
    server = make_server(ports=(free_port(), free_port(), free_port())).start()
    service, trace_id, span_id = fresh_name("killed"), new_trace_id(), new_span_id()
    one = span(trace_id, span_id=span_id, name="charge")
    message = logs(service, exception(trace_id, span_id, one.start_time_unix_nano + 1))
    for number, is_log in enumerate((log_first, not log_first)):
        if is_log:
            send(server, message)
        else:
            server.export(request(service, [one]))
        if number == 1:
            server.flush()
        server.kill()
        server.start()
    send(server, message)  # the client did not hear of the first: acknowledged, and not written again
    assert server.status()["duplicate_requests"] == 1
    server.flush()
    (found,) = spans_of(server.trace_bytes(trace_id))
    assert [event.name for event in found.events] == ["exception"]
    (listed,) = server.found(q=f"service={service} event=exception")
    assert (listed["trace_id"], listed["spans"]) == (trace_id.hex(), 1)
    assert server.status()["stored_spans"] == 1
    assert server.stop() == 0


# OpenTelemetry's instrumentations decide by the variable; what they do then stands in the semantic conventions ("recording
# exceptions"). The SDK installed here knows it nowhere, so the program does by it what they say, with the SDK's own parts.
PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import SpanKind, Status, StatusCode

    how, address, service = sys.argv[1:]
    mode = os.environ.get("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "")
    resource = Resource.create({"service.name": service})
    logger_provider = None
    if how == "clew":
        import clew
        provider = clew.configure(service_name=service, endpoint=address)
    else:
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        if how == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            spans = OTLPSpanExporter(endpoint=address, insecure=True)
            records = OTLPLogExporter(endpoint=address, insecure=True)
        else:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            spans = OTLPSpanExporter(endpoint=address + "/v1/traces")
            records = OTLPLogExporter(endpoint=address + "/v1/logs")
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(spans))
        logger_provider = LoggerProvider(resource=resource)
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(records))
    tracer = provider.get_tracer("shop")

    class Refused(Exception):
        pass

    def record(span, error):
        at = time.time_ns()
        span.set_status(Status(StatusCode.ERROR, "Refused"))
        if how == "clew" or mode != "logs":
            span.record_exception(error, timestamp=at)
        if logger_provider is not None and mode in ("logs", "logs/dup"):
            from opentelemetry._logs import SeverityNumber
            logger = logger_provider.get_logger("shop")
            logger.emit(
                event_name="shop.payment.exception", severity_number=SeverityNumber.ERROR, exception=error, timestamp=at
            )

    quiet = {"record_exception": False, "set_status_on_exception": False}
    try:
        with tracer.start_as_current_span("GET /pay", kind=SpanKind.SERVER, **quiet) as root:
            print(format(root.get_span_context().trace_id, "032x"))
            with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT, **quiet) as span:
                try:
                    raise Refused("no money for 'cart' 7")
                except Refused as error:
                    record(span, error)
                    root.set_status(Status(StatusCode.ERROR))
                    raise
    except Refused:
        pass
    if logger_provider is not None:
        logger_provider.shutdown()
    provider.shutdown()
    """
)


def answers(server: Server, how: str, mode: str | None) -> dict[str, Any]:
    """What the server says of a request that failed in a program with this setting."""
    service = fresh_name("modes")
    address = server.otlp_grpc if how == "grpc" else server.otlp_http
    environment = {"NO_PROXY": "*", "no_proxy": "*"}
    if mode is not None:
        environment["OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"] = mode
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, address, service],
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    trace_id = ran.stdout.strip()
    server.flush()
    answer = server.get_json(f"/api/v1/traces/{trace_id}/explain")
    names = {one["spanId"]: one["name"] for one in json_spans(server, bytes.fromhex(trace_id))}
    events = {one["name"]: one.get("events", []) for one in json_spans(server, bytes.fromhex(trace_id))}
    (event,) = events["charge"]
    assert events["GET /pay"] == []
    values = {pair["key"]: pair["value"] for pair in event["attributes"]}
    (listed,) = server.found(q=f"service={service} event.exception.message=\"no money for 'cart' 7\"")
    return {
        "verdict": answer["verdict"],
        "origin": [names[one] for one in answer["origin"]],
        "failures": [(names[one["span_id"]], one["role"], one["type"], one["message"]) for one in answer["failures"]],
        "findings": [one["text"].replace(service, "SERVICE") for one in answer["findings"] if one["kind"] == "failure"],
        "event": [values[key]["stringValue"] for key in ("exception.type", "exception.message")],
        "stacktrace": "Refused: no money" in values["exception.stacktrace"]["stringValue"],
        "listed": (listed["spans"], listed["errors"]),
        "from_log": "clew.from" in values,
    }  # fmt: skip


@pytest.mark.parametrize("how", ["http", "grpc"])
def test_the_answers_are_the_same_whichever_signal_carries_the_exception(server: Server, how: str) -> None:
    unset, moved, both = (answers(server, how, mode) for mode in (None, "logs", "logs/dup"))
    assert (unset.pop("from_log"), moved.pop("from_log"), both.pop("from_log")) == (False, True, False)
    assert unset == moved == both
    assert unset["failures"][0][1:] == ("origin", "__main__.Refused", "no money for 'cart' 7")
    assert unset["verdict"] == "failed"


def test_clews_own_recorder_gives_the_same_answers_under_any_setting(server: Server) -> None:
    """It sends no logs: exceptions stay on their spans."""
    unset, moved, both = (answers(server, "clew", mode) for mode in (None, "logs", "logs/dup"))
    assert unset == moved == both
    assert unset["failures"][0][1:] == ("origin", "__main__.Refused", "no money for 'cart' 7")
