"""OTLP logs on both listeners: records of spans are in the log as fragments, all others are counted, bad requests are refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.collector import record
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers import otlp as otlp_module
from clew_server.receivers import pieces as pieces_module
from clew_server.receivers.contract import JSON, MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, PROTOBUF
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.otlp_receivers import EXPORT_LOGS
from clew_server.receivers.signals import LOGS

HEADERS = {"content-type": PROTOBUF}
TRACE_ID, SPAN_ID = bytes(range(1, 17)), bytes(range(1, 9))
NOW = 1_795_346_136_783_749_738


def exception(number: int = 0, **fields: Any) -> LogRecord:
    """A record as OpenTelemetry's SDK writes it for an exception."""
    made = LogRecord(
        **{
            "time_unix_nano": NOW + number,
            "observed_time_unix_nano": NOW + number + 5,
            "severity_number": 17,
            "severity_text": "ERROR",
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "flags": 1,
            **fields,
        }
    )
    made.body.string_value = "it failed"
    made.attributes.add(key="exception.type").value.string_value = "ValueError"
    made.attributes.add(key="exception.message").value.string_value = f"number {number}"
    made.attributes.add(key="retries").value.int_value = 3
    return made


def plain(**fields: Any) -> LogRecord:
    made = LogRecord(time_unix_nano=NOW, **fields)
    made.body.string_value = "a line"
    return made


def logs(*records: LogRecord) -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    resource = message.resource_logs.add(schema_url="https://example.com/resource")
    resource.resource.attributes.add(key="service.name").value.string_value = "cart"
    scope = resource.scope_logs.add(schema_url="https://example.com/scope")
    scope.scope.name = "cart.pay"
    scope.log_records.extend(records)
    return message


def as_json(message: ExportLogsServiceRequest) -> bytes:
    """OTLP's JSON, in which ids are hex."""
    tree = MessageToDict(message, use_integers_for_enums=True)
    for resource in tree["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for one in scope["logRecords"]:
                if "traceId" in one:
                    one["traceId"], one["spanId"] = TRACE_ID.hex(), SPAN_ID.hex()
    return json.dumps(tree).encode()


def only_span(request: bytes) -> Span:
    (resource,) = ExportTraceServiceRequest.FromString(request).resource_spans
    (scope,) = resource.scope_spans
    (span,) = scope.spans
    return span


def plain_values(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_a_record_of_a_span_becomes_a_fragment_that_lacks_nothing(media: str) -> None:
    message = logs(exception(dropped_attributes_count=2))
    batch = decode_otlp(message.SerializeToString() if media == PROTOBUF else as_json(message), media, LOGS)
    assert (batch.spans, batch.fragments, batch.dropped, batch.rejected, batch.signal) == (1, 1, {}, {}, "logs")
    assert batch.heads == b"\x0a\x10" + TRACE_ID + b"\x12\x08" + SPAN_ID
    span = only_span(batch.request)
    assert (span.trace_id, span.span_id, span.flags, span.name) == (TRACE_ID, SPAN_ID, 1, "")
    assert plain_values(span.attributes) == {"clew.fragment": "log"}
    (event,) = span.events
    assert (event.name, event.time_unix_nano, event.dropped_attributes_count) == ("exception", NOW, 2)
    assert list(plain_values(event.attributes).items()) == [
        ("exception.type", "ValueError"),
        ("exception.message", "number 0"),
        ("retries", 3),
        ("clew.from", "log"),
        ("log.severity_number", 17),
        ("log.severity_text", "ERROR"),
        ("log.body", "it failed"),
        ("log.observed_time_unix_nano", NOW + 5),
        ("log.scope.name", "cart.pay"),
    ]
    group = ExportTraceServiceRequest.FromString(batch.request).resource_spans[0]
    sent = message.resource_logs[0]
    assert (group.resource, group.schema_url) == (sent.resource, sent.schema_url)
    assert (group.scope_spans[0].scope, group.scope_spans[0].schema_url) == (
        sent.scope_logs[0].scope,
        sent.scope_logs[0].schema_url,
    )


def test_an_event_is_named_by_its_name_and_stands_at_the_observed_time_where_it_has_no_other() -> None:
    one = exception(event_name="payment.refused", time_unix_nano=0)
    event = only_span(decode_otlp(logs(one).SerializeToString(), PROTOBUF, LOGS).request).events[0]
    assert (event.name, event.time_unix_nano) == ("payment.refused", NOW + 5)
    bare = LogRecord(event_name="started", trace_id=TRACE_ID, span_id=SPAN_ID, observed_time_unix_nano=2**64 - 1)
    event = only_span(decode_otlp(logs(bare).SerializeToString(), PROTOBUF, LOGS).request).events[0]
    assert (event.name, event.time_unix_nano) == ("started", 2**64 - 1)
    assert plain_values(event.attributes)["log.observed_time_unix_nano"] == str(2**64 - 1)


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_records_that_belong_to_no_span_or_are_lines_of_text_are_counted_and_not_kept(media: str) -> None:
    others = [
        plain(),
        plain(trace_id=TRACE_ID, span_id=SPAN_ID),
        plain(event_name="an event of no span"),
        exception(trace_id=b"", span_id=b""),
    ]
    if media == PROTOBUF:  # in JSON the two ids are always written whole here
        others += [
            exception(trace_id=bytes(16)),
            exception(span_id=bytes(8)),
            exception(trace_id=b"short"),
            exception(span_id=SPAN_ID * 2),
        ]
    message = logs(*others, exception())
    batch = decode_otlp(message.SerializeToString() if media == PROTOBUF else as_json(message), media, LOGS)
    assert (batch.spans, batch.dropped, batch.rejected, batch.rejection) == (1, {"log": len(others)}, {}, "")
    message = logs(*others)
    batch = decode_otlp(message.SerializeToString() if media == PROTOBUF else as_json(message), media, LOGS)
    assert (batch.spans, batch.request, batch.dropped) == (0, b"", {"log": len(others)})


def test_a_broken_record_costs_itself() -> None:
    message = logs(exception(1), exception(2), plain(), exception(3))
    message.resource_logs[0].scope_logs[0].log_records[1].severity_text = "MARK"
    body = message.SerializeToString().replace(b"MARK", b"\xff\xff\xff\xff")
    batch = decode_otlp(body, PROTOBUF, LOGS)
    assert (batch.spans, batch.dropped, batch.rejected) == (2, {"log": 1}, {"log_record": 1})
    assert batch.rejection.startswith("1 log record rejected: ")
    tree = json.loads(as_json(logs(exception(1), exception(2), plain())))
    tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1]["severityNumber"] = "loud"
    batch = decode_otlp(json.dumps(tree).encode(), JSON, LOGS)
    assert (batch.spans, batch.dropped, batch.rejected) == (1, {"log": 1}, {"log_record": 1})


def test_what_is_no_request_of_logs_is_refused() -> None:
    for body in (b"\x0a\xff", b"\x0a\x05hello"):
        with pytest.raises(BadInput):
            decode_otlp(body, PROTOBUF, LOGS)
    only_broken = b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": true}]}]}]}'
    for body in (b"[]", b"{", only_broken, b'{"resourceLogs": 1}'):
        with pytest.raises(BadInput):
            decode_otlp(body, JSON, LOGS)
    assert decode_otlp(b"", PROTOBUF, LOGS).spans == decode_otlp(b"{}", JSON, LOGS).spans == 0
    # The other signal's name is an unknown key, which OTLP's JSON ignores.
    assert decode_otlp(b'{"resourceSpans": 1}', JSON, LOGS).spans == 0


def test_a_large_request_is_read_in_pieces_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (otlp_module, pieces_module):
        monkeypatch.setattr(module, "PIECE_BYTES", 2_000)
    records = [plain(trace_id=TRACE_ID, span_id=SPAN_ID) if n % 3 else exception(n) for n in range(300)]
    batch = decode_otlp(logs(*records).SerializeToString(), PROTOBUF, LOGS)
    assert (batch.spans, batch.fragments, batch.dropped, batch.signal) == (100, 100, {"log": 200}, "logs")
    request = ExportTraceServiceRequest.FromString(batch.request)
    times = [s.start_time_unix_nano - NOW for r in request.resource_spans for c in r.scope_spans for s in c.spans]
    assert times == list(range(0, 300, 3))
    assert len(batch.heads or b"") == 100 * 28


def test_the_limits_are_those_of_spans() -> None:
    with pytest.raises(TooLarge, match="log records"):
        decode_otlp(_many(MAX_REQUEST_SPANS + 1), PROTOBUF, LOGS)
    assert decode_otlp(_many(MAX_REQUEST_SPANS), PROTOBUF, LOGS).dropped == {"log": MAX_REQUEST_SPANS}
    with pytest.raises(TooLarge):
        decode_otlp(bytes(MAX_REQUEST_BYTES + 1), PROTOBUF, LOGS)
    empty = exception()
    for _ in range(10_000):
        empty.attributes.add()
    with pytest.raises(TooLarge, match="attributes without a key or a value"):
        decode_otlp(logs(empty).SerializeToString(), PROTOBUF, LOGS)


def _many(records: int) -> bytes:
    message = logs()
    message.resource_logs[0].scope_logs[0].log_records.extend([LogRecord()] * records)
    return message.SerializeToString()


@pytest.fixture
def server(listen: Callable[..., Any]) -> Any:
    return listen()


@pytest.fixture
def client(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http_url, trust_env=False, timeout=100) as client:
        yield client


@pytest.fixture
def call(server: Any) -> Iterator[Callable[..., bytes]]:
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        yield lambda body, method=EXPORT_LOGS: channel.unary_unary(method)(body, timeout=100)


def test_every_way_of_sending_ends_in_the_log_and_counts_no_span(
    server: Any, client: httpx.Client, call: Callable[..., bytes]
) -> None:
    bodies = [logs(exception(number), plain()) for number in range(4)]
    answer = client.post("/v1/logs", content=bodies[0].SerializeToString(), headers=HEADERS)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", PROTOBUF)
    packed = gzip.compress(bodies[1].SerializeToString())
    answer = client.post("/v1/logs", content=packed, headers={**HEADERS, "content-encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, b"")
    answer = client.post("/v1/logs", content=as_json(bodies[2]), headers={"content-type": JSON})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"{}", JSON)
    assert call(bodies[3].SerializeToString()) == b""
    assert sorted(span.events[0].time_unix_nano - NOW for span in server.logged()) == [0, 1, 2, 3]
    statistics = server.intake.statistics()
    assert (statistics.accepted_spans, statistics.accepted_requests) == (0, 4)
    assert (statistics.dropped_signals, statistics.rejected_spans) == ({"log": 4}, {})
    assert server.http.spans == server.grpc.spans == 0
    assert statistics.in_flight_bytes == 0


def test_the_same_request_again_is_acknowledged_and_neither_written_nor_counted(
    server: Any, client: httpx.Client
) -> None:
    for _ in range(3):
        body = logs(exception(), plain()).SerializeToString()
        assert client.post("/v1/logs", content=body, headers=HEADERS).status_code == 200
    statistics = server.intake.statistics()
    assert (len(server.logged()), statistics.duplicate_requests, statistics.dropped_signals) == (1, 2, {"log": 1})


def test_the_same_bytes_as_another_signal_are_another_request(server: Any, client: httpx.Client) -> None:
    """In JSON one text can be a request of both."""
    span = {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "name": "op"}
    record_ = {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "eventName": "e"}
    both = json.dumps(
        {
            "resourceSpans": [{"scopeSpans": [{"spans": [span]}]}],
            "resourceLogs": [{"scopeLogs": [{"logRecords": [record_]}]}],
        }
    )
    for path in ("/v1/traces", "/v1/logs"):
        assert client.post(path, content=both, headers={"content-type": JSON}).status_code == 200
    assert sorted(span.name for span in server.logged()) == ["", "op"]
    assert server.intake.statistics().duplicate_requests == 0


def test_broken_records_are_a_partial_success(server: Any, client: httpx.Client, call: Callable[..., bytes]) -> None:
    message = logs(exception(1), exception(2))
    message.resource_logs[0].scope_logs[0].log_records[1].severity_text = "MARK"
    body = message.SerializeToString().replace(b"MARK", b"\xff\xff\xff\xff")
    answer = client.post("/v1/logs", content=body, headers=HEADERS)
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_log_records) == (200, 1)
    assert "log record" in partial.error_message
    body = body.replace(b"number 1", b"number 3")
    assert ExportLogsServiceResponse.FromString(call(body)).partial_success.rejected_log_records == 1
    tree = json.loads(as_json(logs(exception(5), exception(6))))
    tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1]["attributes"] = 5
    told = client.post("/v1/logs", json=tree).json()["partialSuccess"]
    assert told["rejectedLogRecords"] == "1"
    assert told["errorMessage"]
    assert len(server.logged()) == 3
    assert server.intake.statistics().rejected_spans == {"log_record": 3}


def test_bad_requests_are_refused_as_those_of_traces_are(
    server: Any, client: httpx.Client, call: Callable[..., bytes]
) -> None:
    answer = client.post("/v1/logs", content=b"\x0a\xff", headers=HEADERS)
    assert (answer.status_code, Status.FromString(answer.content).code) == (400, 3)
    assert client.post("/v1/logs", content=b"{", headers={"content-type": JSON}).status_code == 400
    assert client.post("/v1/logs", content=b"x").status_code == 415
    assert client.post("/v1/logs", content=b"x", headers={**HEADERS, "content-encoding": "zstd"}).status_code == 415
    assert client.post("/v1/logs", content=bytes(MAX_REQUEST_BYTES + 1), headers=HEADERS).status_code == 413
    answer = client.get("/v1/logs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"\x0a\xff")
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert server.logged() == []
    assert server.intake.statistics().refused_requests == 7


@pytest.mark.parametrize(
    "method",
    [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        EXPORT_LOGS + "2",
    ],
)
def test_metrics_and_profiles_are_unimplemented(call: Callable[..., bytes], method: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"", method)
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_with_a_token_logs_need_it_too(listen: Callable[..., Any]) -> None:
    server = listen(token="secret")
    with grpc.insecure_channel(server.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        export = channel.unary_unary(EXPORT_LOGS)
        with pytest.raises(grpc.RpcError) as refusal:
            export(logs(exception()).SerializeToString(), timeout=100)
        assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
        allowed = (("authorization", "Bearer secret"),)
        assert export(logs(exception()).SerializeToString(), timeout=100, metadata=allowed) == b""
    assert len(server.logged()) == 1


def test_a_record_of_the_log_with_fragments_is_canonical(server: Any, client: httpx.Client) -> None:
    """docs/formats/wal.md: canonical protobuf, the two ids first."""
    client.post("/v1/logs", content=logs(exception(1), exception(2)).SerializeToString(), headers=HEADERS)
    (segment,) = server.wal.segments()
    data = segment.path.read_bytes()[: segment.size_bytes]
    (one,) = record.scan(data).records
    body = data[one.body : one.mark]
    assert ExportTraceServiceRequest.FromString(body).SerializeToString() == body
    assert body.count(b"\x0a\x10" + TRACE_ID + b"\x12\x08" + SPAN_ID) == 2
