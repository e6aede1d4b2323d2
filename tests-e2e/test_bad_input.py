"""What a sender can do wrong over OTLP: each gets its own status, the log is unharmed, and good spans still go in."""

from __future__ import annotations

import errno
import gzip
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import delimited as field
from clew.otlp.encode import varint
from harness.server import PROTOBUF, Server
from harness.wire import fresh_name, new_trace_id, rejected_spans, request, span, spans_of

_request = request  # which is also the name of a fixture of pytest's
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 1 << 20


@pytest.fixture(scope="module")
def good(server: Server) -> Iterator[tuple[str, dict[str, str]]]:
    """A service, and by the id of each of its traces the test after which it was sent; in the end all of them are stored.

    Nothing is dead-lettered then and nothing stays behind.
    """
    service, after = fresh_name("good"), dict[str, str]()
    yield service, after
    server.flush()
    stored = {trace["trace_id"]: trace["spans"] for trace in server.found(service=service, limit=1000)}
    assert {name: stored.get(trace_id) for trace_id, name in after.items()} == dict.fromkeys(after.values(), 1)
    status = server.status()
    assert (status["dead_letter_spans"], status["backlog_spans"]) == (0, 0)


@pytest.fixture(autouse=True)
def log_is_unharmed(server: Server, good: tuple[str, dict[str, str]], request: pytest.FixtureRequest) -> Iterator[None]:
    """After every bad input the next good batch is taken and can be read."""
    yield
    (service, after), one = good, span()
    server.export(_request(service, [one]))
    assert spans_of(server.trace_bytes(one.trace_id)) == [one]
    after[one.trace_id.hex()] = str(request.node.name)


def send_raw(server: Server, payload: bytes, *, timeout_s: float = 30) -> bytes:
    """Bytes to the OTLP/HTTP port; what comes back until the server closes or falls silent."""
    host, port = server.otlp_http.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        try:
            for at in range(0, len(payload), MIB):
                connection.sendall(payload[at : at + MIB])
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise
            # It answered and closed before it had read everything.
        try:
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


GOOD = request("malformed", [span()])
MALFORMED = [
    pytest.param(b"\xff" * 40, id="garbage"),
    pytest.param(GOOD[:-3], id="cut off"),
    pytest.param(b"\x0a\xff\xff\xff\xff\x0f", id="length beyond the end"),
    pytest.param(b"\x0a\x02\x0a\x7f", id="inner length beyond the end"),
    pytest.param(b"\x0b", id="group without an end"),
    pytest.param(b"\x00\x00", id="field zero"),
    pytest.param(b'{"resourceSpans": []}', id="JSON called protobuf"),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_protobuf_is_400_with_a_status_in_protobuf(server: Server, body: bytes) -> None:
    answer = server.post(body)
    assert answer.status_code == 400, answer.content
    assert answer.headers["content-type"].split(";")[0] == PROTOBUF
    status = Status.FromString(answer.content)
    assert status.message
    assert status.code in (0, 3)


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_protobuf_over_grpc_is_invalid_argument(server: Server, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export_raw(server, body)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details()


def export_raw(server: Server, body: bytes, **options: Any) -> bytes:
    """The bytes as the message of one unary call."""
    settings = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.otlp_grpc, options=settings) as channel:
        return bytes(channel.unary_unary(EXPORT)(body, timeout=60, **options))


def json_span(**changes: Any) -> dict[str, Any]:
    made = {
        "traceId": new_trace_id().hex(),
        "spanId": "00f067aa0ba902b7",
        "name": "json",
        "kind": 2,
        "startTimeUnixNano": "1795346136783749738",
        "endTimeUnixNano": 1795346136783846832,
        "attributes": [
            {"key": "i", "value": {"intValue": "7"}},
            {"key": "b", "value": {"bytesValue": "AQI="}},
            {
                "key": "l",
                "value": {"arrayValue": {"values": [{"intValue": 1}, {"doubleValue": 0.5}, {"boolValue": False}]}},
            },
        ],
        "status": {},
    }
    return {**made, **changes}


def json_body(service: str, *spans: dict[str, Any]) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def test_json_is_stored_and_answered_in_json(server: Server) -> None:
    service, wanted = fresh_name("json"), json_span(unknownField=[{"deep": 1}])
    answer = server.post(json_body(service, wanted), content_type="application/json; charset=utf-8")
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    server.flush()
    (stored,) = spans_of(server.trace_bytes(bytes.fromhex(wanted["traceId"])))
    assert (stored.span_id.hex(), stored.kind, stored.start_time_unix_nano) == (
        "00f067aa0ba902b7",
        2,
        1795346136783749738,
    )
    assert stored.attributes[1].value.bytes_value == b"\x01\x02"
    assert [found["trace_id"] for found in server.found(service=service, attr="i:7")] == [wanted["traceId"]]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b'{"resourceSpans": 5}', id="a number for a list"),
        pytest.param(b'{"resourceSpans": ' * 2000, id="nested without end"),
        pytest.param(json_body("names", json_span(kind="SERVER")), id="kind by half its name"),
        pytest.param(json_body("names", json_span(status={"code": "ERROR"})), id="status by half its name"),
        pytest.param(json_body("ids", json_span(traceId="AAAAAAAAAAAAAAAAAAAAAQ==")), id="id in base64"),
        pytest.param(json_body("time", json_span(startTimeUnixNano="soon")), id="a word for a time"),
        pytest.param(
            json_body("time", json_span(startTimeUnixNano="99999999999999999999999")), id="a time beyond 64 bits"
        ),
        pytest.param(
            json_body("value", json_span(attributes=[{"key": "b", "value": {"bytesValue": "!"}}])),
            id="bytes not in base64",
        ),
    ],
)
def test_json_that_otlp_forbids_is_400_or_rejected_with_a_message(server: Server, body: bytes) -> None:
    """A whole request that cannot be read is 400; one broken span of a readable one may be a partial success."""
    answer = server.post(body, content_type="application/json")
    if answer.status_code == 200:
        partial = answer.json()["partialSuccess"]
        assert int(partial["rejectedSpans"]) == 1
        assert partial["errorMessage"]
        return
    assert answer.status_code == 400, answer.content
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    assert answer.json()["message"]


def test_one_wrong_value_in_json_costs_its_own_span_of_512(server: Server) -> None:
    service = fresh_name("json-batch")
    spans = [json_span(spanId=f"{number + 1:016x}") for number in range(512)]
    spans[1]["name"] = "cut \ud83d"
    spans[2]["kind"] = "SPAN_KIND_CLIENT"
    spans[3]["kind"] = "no kind"
    spans[4]["attributes"] = [{"key": "d", "value": {"doubleValue": "1_000"}}]
    answer = server.post(json_body(service, *spans), content_type="application/json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "2"
    server.flush()
    found = server.found(service=service, limit=1000)
    assert len(found) == 510
    assert "cut �" in {trace["root_name"] for trace in found}


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("trace_id", b""),
        ("trace_id", bytes(16)),
        ("trace_id", b"\x01" * 15),
        ("trace_id", b"\x01" * 17),
        ("span_id", b""),
        ("span_id", bytes(8)),
        ("span_id", b"\x01" * 7),
        ("span_id", b"\x01" * 16),
    ],
)
@pytest.mark.parametrize("how", ["http", "grpc"])
def test_a_span_with_a_wrong_id_is_rejected_and_counted_and_the_others_are_stored(
    server: Server, how: str, field_name: str, value: bytes
) -> None:
    service = fresh_name("wrong-id")
    wrong = span()
    setattr(wrong, field_name, value)
    body = request(service, [span(), wrong, span()])
    answer = server.post(body).raise_for_status().content if how == "http" else export_raw(server, body)
    assert rejected_spans(answer) == 1
    server.flush()
    assert len(server.found(service=service)) == 2


def test_an_odd_parent_id_costs_no_span(server: Server) -> None:
    service = fresh_name("parents")
    server.export(request(service, [span(parent_id=bytes(8)), span()]))
    server.flush()
    assert [trace["has_root"] for trace in server.found(service=service)] == [True, True]


def test_invalid_text_in_one_of_a_hundred_spans_costs_only_that_span(server: Server) -> None:
    service = fresh_name("text")
    spans = [span(name=f"operation {number:03}") for number in range(100)]
    spans[41].name = "BROKEN-NAME!"
    body = request(service, spans).replace(b"BROKEN-NAME!", b"BROKEN-\xff\xfe\xfd\xfc!")
    answer = server.post(body)
    assert answer.status_code == 200, answer.content
    assert rejected_spans(answer.content) in (0, 1)
    server.flush()
    found = server.found(service=service, limit=1000)
    stored = {trace["root_name"] for trace in found}
    assert {f"operation {number:03}" for number in range(100) if number != 41} <= stored
    assert len(found) == 100 - rejected_spans(answer.content)


def test_a_client_that_sends_field_1000_itself_makes_no_mark_of_ours(server: Server) -> None:
    """The mark of the log is ours: the request is rebuilt without what OTLP does not know at the top."""
    service, kept = fresh_name("marks"), span()
    forged = field(1000, b"\x09" + struct.pack("<Q", 1) + b"\x11" + struct.pack("<Q", 5)) + field(999, b"x")
    body = forged + request(service, [kept]) + forged
    answer = server.post(body)
    assert (answer.status_code, answer.content) == (200, b"")
    server.flush()
    (found,) = server.found(service=service)
    assert (found["trace_id"], found["spans"]) == (kept.trace_id.hex(), 1)
    assert spans_of(server.trace_bytes(kept.trace_id)) == [kept]


def test_unknown_fields_inside_a_span_come_back(server: Server) -> None:
    service, kept = fresh_name("unknown"), span()
    strange = kept.SerializeToString() + field(500, b"from the future")
    template = ExportTraceServiceRequest.FromString(request(service, []))
    resource = template.resource_spans[0].resource.SerializeToString()
    body = field(1, field(1, resource) + field(2, field(2, strange)))
    server.export(body)
    server.flush()
    assert b"from the future" in server.trace_bytes(kept.trace_id)
    assert len(server.found(service=service)) == 1


def test_an_empty_request_is_a_success(server: Server) -> None:
    assert server.post(b"").status_code == 200
    assert server.post(b"{}", content_type="application/json").json() == {}
    assert export_raw(server, b"") == b""


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/grpc", "image/png; a=b", "", None]
)
def test_an_unknown_content_type_is_415(server: Server, content_type: str | None) -> None:
    assert server.post(GOOD, content_type=content_type).status_code == 415


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "made-up"])
def test_an_unknown_content_encoding_is_415(server: Server, encoding: str) -> None:
    assert server.post(GOOD, headers={"Content-Encoding": encoding}).status_code == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_another_method_is_405(server: Server, method: str) -> None:
    answer = send_raw(
        server,
        f"{method} /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode(),
    )
    assert status_of(answer) == 405
    assert b"\r\nallow: post" in answer.lower()


def test_an_unknown_path_is_404(server: Server) -> None:
    answer = send_raw(
        server, b"POST /v1/trace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert status_of(answer) == 404


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"not gzip at all", id="not gzip"),
        pytest.param(gzip.compress(GOOD)[:-12], id="cut off"),
        pytest.param(gzip.compress(b"\xff" * 40), id="gzip of garbage"),
        pytest.param(gzip.compress(GOOD)[:-8] + bytes(8), id="wrong checksum"),
    ],
)
def test_broken_gzip_is_400(server: Server, body: bytes) -> None:
    answer = server.post(body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400, answer.content
    assert Status.FromString(answer.content).message


def test_gzip_in_two_members_is_read_whole(server: Server) -> None:
    service = fresh_name("members")
    body = request(service, [span(), span()])
    answer = server.post(gzip.compress(body[:30]) + gzip.compress(body[30:]), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200, answer.content
    server.flush()
    assert len(server.found(service=service)) == 2


def test_a_body_announced_with_100_mb_is_413(server: Server) -> None:
    size = 100 * MIB
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {size}\r\n\r\n".encode()
    assert status_of(send_raw(server, head + bytes(2 * MIB))) == 413


def test_a_body_of_100_mb_without_a_length_is_413(server: Server) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
    assert status_of(send_raw(server, head + chunk * 100 + b"0\r\n\r\n")) == 413


def bomb(size_bytes: int) -> bytes:
    """`size_bytes` of one attribute's zeros, a thousandth of that on the wire; without gzip's trailer, which lies far beyond the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(b"\x0a" + varint(size_bytes - 6)) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush equal bytes are packed alike, so one piece stands for all.
    return head + (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size_bytes // MIB)


def test_a_gzip_bomb_is_413_and_costs_little_memory(server: Server) -> None:
    before_kb = peak_memory_kb(server.pid)
    body = bomb(1024 * MIB)
    assert len(body) < 2 * MIB
    answer = server.post(body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413, answer.content[:200]
    assert peak_memory_kb(server.pid) - before_kb < 300 * 1024


def peak_memory_kb(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def test_100_mb_over_grpc_are_resource_exhausted_without_retry_information(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export_raw(server, bytes(100 * MIB))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in dict(refused.value.trailing_metadata() or ())


def test_more_than_200000_spans_in_a_request_are_413(server: Server) -> None:
    one = field(2, span(name="x").SerializeToString())
    body = field(1, field(2, one * 200_001))
    assert len(body) < 64 * MIB
    answer = server.post(body)
    assert answer.status_code == 413, answer.content[:200]


def test_a_grpc_method_that_is_not_there_is_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Import")(b"", timeout=100)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def hpack(name: str, value: str) -> bytes:
    """A header without indexing, not Huffman coded; names and values below 127 bytes."""
    return b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


H2_HEADERS = b"".join(
    hpack(name, value)
    for name, value in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", EXPORT),
        (":authority", "127.0.0.1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
)
H2_START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0, b"") + h2_frame(1, 4, 1, H2_HEADERS)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(
            h2_frame(0, 1, 1, b"\x00" + struct.pack(">I", 500) + GOOD[:100]), id="message shorter than it says"
        ),
        pytest.param(h2_frame(0, 1, 1, b"\x00\x00"), id="prefix cut off"),
        pytest.param(h2_frame(0, 0, 1, b"\x00" + struct.pack(">I", len(GOOD)) + GOOD)[:60], id="frame cut off"),
        pytest.param(
            h2_frame(0, 1, 1, b"\x01" + struct.pack(">I", 9) + b"not gzip!"), id="compressed without saying how"
        ),
        pytest.param(h2_frame(0, 1, 1, b"\x07" + struct.pack(">I", len(GOOD)) + GOOD), id="a flag that does not exist"),
        pytest.param(h2_frame(0, 1, 1, b"\x00" + struct.pack(">I", 2**32 - 1)), id="four gigabytes announced"),
        pytest.param(h2_frame(9, 4, 1, b"\xff" * 20), id="broken headers"),
        pytest.param(b"\xff" * 100, id="not http2 at all"),
    ],
)
def test_truncated_and_broken_grpc_frames_harm_nobody_else(server: Server, frames: bytes) -> None:
    host, port = server.otlp_grpc.split(":")
    before = server.status()["accepted_spans"]
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(H2_START + frames)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except (TimeoutError, ConnectionResetError):
            pass
    service = fresh_name("after-frames")
    assert export_raw(server, request(service, [span()])) == b""
    server.flush()
    assert len(server.found(service=service)) == 1
    assert server.status()["accepted_spans"] == before + 1


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
        pytest.param(b"POST /v1/traces HTTP/9.9\r\n\r\n", id="unknown version"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(
            f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\nContent-Length: -5\r\n\r\n".encode(),
            id="negative length",
        ),
        pytest.param(
            f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {len(GOOD) + 5}\r\n\r\n".encode()
            + GOOD,
            id="shorter than it says",
        ),
        pytest.param(
            f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
            id="broken chunk",
        ),
        pytest.param(
            b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
            id="endless header",
        ),
    ],
)
def test_broken_http_is_refused_and_stores_nothing(server: Server, payload: bytes) -> None:
    before = server.status()["accepted_spans"]
    answer = send_raw(server, payload, timeout_s=5)
    assert not answer or 400 <= status_of(answer) < 500, answer[:200]
    assert server.status()["accepted_spans"] == before
