"""OTLP/HTTP on a socket: the right answer to every kind of request, the log unharmed, the next good one stored."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew_server.collector.intake import DiskRoom
from clew_server.receivers.contract import MAX_REQUEST_BYTES

RequestOf = Callable[..., ExportTraceServiceRequest]
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def server(listen: Callable[..., Any]) -> Any:
    return listen()


@pytest.fixture
def client(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http_url, trust_env=False, timeout=100) as client:
        yield client


@pytest.fixture
def still_works(server: Any, client: httpx.Client, otlp_request: RequestOf) -> Iterator[None]:
    """After the test: nothing of it is in the log, and a good request is accepted."""
    yield
    assert server.logged() == []
    answer = client.post("/v1/traces", content=otlp_request(2).SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(server.logged()) == 2
    assert server.intake.statistics().in_flight_bytes == 0


def test_protobuf_plain_and_gzipped_is_in_the_log_when_it_is_answered(
    server: Any, client: httpx.Client, otlp_request: RequestOf
) -> None:
    one, other = otlp_request(3).SerializeToString(), otlp_request(2, first=10).SerializeToString()
    answer = client.post("/v1/traces", content=one, headers=PROTOBUF)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
    assert len(server.logged()) == 3
    packed = {**PROTOBUF, "content-encoding": "gzip"}
    assert client.post("/v1/traces", content=gzip.compress(other), headers=packed).status_code == 200
    assert [span.attributes[0].value.int_value for span in server.logged()] == [1, 2, 3, 10, 11]
    state = server.http.as_dict()
    assert (state["name"], state["spans"], state["refused_requests"], state["connections"]) == ("otlp-http", 5, 0, 1)


def test_the_same_request_again_is_acknowledged_and_not_written(
    server: Any, client: httpx.Client, otlp_request: RequestOf
) -> None:
    for _ in range(3):
        assert (
            client.post("/v1/traces", content=otlp_request(3).SerializeToString(), headers=PROTOBUF).status_code == 200
        )
    assert len(server.logged()) == 3
    assert server.intake.statistics().duplicate_requests == 2


def test_json_is_answered_in_json(server: Any, client: httpx.Client) -> None:
    span = {"traceId": "01" * 16, "spanId": "02" * 8, "name": "op"}
    sent = {"resourceSpans": [{"scopeSpans": [{"spans": [span, {**span, "spanId": "00" * 8}]}]}]}
    answer = client.post("/v1/traces", json=sent)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "span id" in answer.json()["partialSuccess"]["errorMessage"]
    assert len(server.logged()) == 1
    assert client.post("/v1/traces", content=b"{}", headers=JSON).content == b"{}"


def test_rejected_spans_are_a_partial_success(server: Any, client: httpx.Client, otlp_request: RequestOf) -> None:
    message = otlp_request(100)
    message.resource_spans[0].scope_spans[0].spans[5].trace_id = bytes(16)
    message.resource_spans[0].scope_spans[0].spans[6].name = "MARK"
    sent = message.SerializeToString().replace(b"MARK", b"\xff\xff\xff\xff")
    answer = client.post("/v1/traces", content=sent, headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 2
    assert partial.error_message
    assert len(server.logged()) == 98
    assert server.intake.statistics().rejected_spans == {"malformed": 1, "trace_id": 1}


@pytest.mark.usefixtures("still_works")
def test_what_cannot_be_decoded_is_400_with_a_status_in_the_requests_encoding(
    server: Any, client: httpx.Client
) -> None:
    answer = client.post("/v1/traces", content=b"\x0a\xff", headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/x-protobuf")
    status = Status.FromString(answer.content)
    assert status.code == 3
    assert status.message
    answer = client.post(
        "/v1/traces",
        content=b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "SERVER"}]}]}]}',
        headers=JSON,
    )
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert "kind" in answer.json()["message"]
    for broken in (b"no gzip", gzip.compress(b"x" * 100)[:-4], b""):
        packed = {**PROTOBUF, "content-encoding": "gzip"}
        assert client.post("/v1/traces", content=broken, headers=packed).status_code == 400
    assert server.http.refused_requests == server.intake.statistics().refused_requests == 5
    assert server.http.last_error


@pytest.mark.usefixtures("still_works")
def test_other_types_encodings_methods_and_signals(client: httpx.Client) -> None:
    assert client.post("/v1/traces", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/v1/traces", content=b"x").status_code == 415
    assert client.post("/v1/traces", content=b"x", headers={**PROTOBUF, "content-encoding": "zstd"}).status_code == 415
    answer = client.post("/v1/traces", content=b"x", headers={**PROTOBUF, "content-encoding": "zstd"})
    assert (answer.headers["content-type"], Status.FromString(answer.content).code) == ("application/x-protobuf", 3)
    answer = client.post("/v1/traces", content=b"x", headers={"content-type": "text/plain"})
    assert (answer.headers["content-type"], answer.json()["code"]) == ("application/json", 3)
    answer = client.get("/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for path in ("/v1/metrics", "/v1development/profiles"):
        answer = client.post(path, content=b"", headers=PROTOBUF)
        assert answer.status_code == 404
        assert f"no {path.rpartition('/')[2]}" in Status.FromString(answer.content).message
    assert client.get("/elsewhere").status_code == 404


@pytest.mark.usefixtures("still_works")
def test_bodies_above_the_limit_are_413_however_they_come(server: Any, client: httpx.Client) -> None:
    answer = client.post("/v1/traces", content=bytes(MAX_REQUEST_BYTES + 1), headers=PROTOBUF)
    assert (answer.status_code, Status.FromString(answer.content).code) == (413, 8)

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(1 << 20)

    assert client.post("/v1/traces", content=chunks(), headers=PROTOBUF).status_code == 413
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    assert client.post("/v1/traces", content=bomb, headers={**PROTOBUF, "content-encoding": "gzip"}).status_code == 413


def test_a_chunked_body_is_read_whole(server: Any, client: httpx.Client, otlp_request: RequestOf) -> None:
    sent = otlp_request(5000).SerializeToString()
    pieces = (sent[at : at + 1000] for at in range(0, len(sent), 1000))
    assert client.post("/v1/traces", content=pieces, headers=PROTOBUF).status_code == 200
    assert len(server.logged()) == 5000


@pytest.mark.usefixtures("still_works")
def test_a_client_that_leaves_amid_its_body_gives_its_room_back(server: Any) -> None:
    host, port = server.http_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\nhalf"
        )
        wait_until(lambda: server.intake.statistics().in_flight_bytes == len(b"half"))
    wait_until(lambda: server.intake.statistics().refused_requests == 1)
    wait_until(lambda: server.intake.statistics().in_flight_bytes == 0)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end, "not within 100 s"
        threading.Event().wait(0.005)


def test_without_room_the_answer_is_503_with_retry_after(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    room = [DiskRoom(0, 10**12)]
    server = listen(disk_room=lambda: room[0])
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        for headers in (PROTOBUF, JSON):
            answer = client.post("/v1/traces", content=otlp_request(1).SerializeToString(), headers=headers)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        assert json.loads(answer.content)["code"] == 14
        room[0] = DiskRoom(10**11, 10**12)
        wait_until(
            lambda: (
                client.post("/v1/traces", content=otlp_request(1).SerializeToString(), headers=PROTOBUF).status_code
                == 200
            )
        )
    assert len(server.logged()) == 1


def test_bytes_in_flight_are_bounded_before_a_body_is_read(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    server = listen(in_flight_bytes=10_000)
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        assert client.post("/v1/traces", content=bytes(20_000), headers=PROTOBUF).status_code == 503
        packed = gzip.compress(otlp_request(1000).SerializeToString())
        answer = client.post("/v1/traces", content=packed, headers={**PROTOBUF, "content-encoding": "gzip"})
        assert answer.status_code == 503
    assert server.logged() == []


def test_a_log_that_fails_once_refuses_one_request(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    failures = [OSError(5, "Input/output error")]

    def sync(fd: int) -> None:
        if failures:
            raise failures.pop()

    server = listen(wal={"fdatasync": sync})
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        sent = otlp_request(2).SerializeToString()
        assert client.post("/v1/traces", content=sent, headers=PROTOBUF).status_code == 503
        assert client.post("/v1/traces", content=sent, headers=PROTOBUF).status_code == 200
    assert len(server.logged()) == 2
