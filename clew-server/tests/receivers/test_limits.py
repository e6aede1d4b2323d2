"""What one listener takes at most: connections, bytes of a message, time; beyond it only the sender is refused."""

from __future__ import annotations

import dataclasses
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.receivers.contract import PROTOBUF, Limits, ReceiverSpec
from clew_server.receivers.otlp_receivers import EXPORT, OTLP_GRPC, OTLP_HTTP
from clew_server.testing import ReceiverStand

RequestOf = Callable[..., ExportTraceServiceRequest]


def limited(spec: ReceiverSpec, **limits: float) -> ReceiverSpec:
    return dataclasses.replace(spec, limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[ReceiverSpec], ReceiverStand]]:
    started: list[ReceiverStand] = []

    def start(spec: ReceiverSpec) -> ReceiverStand:
        started.append(ReceiverStand(spec, tmp_path / "wal").__enter__())
        return started[-1]

    yield start
    for stand in started:
        stand.__exit__(None, None, None)


def posted(connection: socket.socket, body: bytes, *more: str) -> bytes:
    """Status line and all else of the answer to one POST; empty where the connection was closed."""
    lines = ["POST /v1/traces HTTP/1.1", "Host: localhost", f"Content-Type: {PROTOBUF}", *more]
    try:
        connection.sendall(("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
        return connection.recv(65536)
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_connections_at_rest_give_way_to_new_ones(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_HTTP, connections=4))
    body = otlp_request(1).SerializeToString()
    resting = [socket.create_connection(stand.address, timeout=100) for _ in range(4)]
    for connection in resting:
        assert posted(connection, body).startswith(b"HTTP/1.1 200")
    with socket.create_connection(stand.address, timeout=100) as new:
        assert posted(new, otlp_request(1, first=2).SerializeToString()).startswith(b"HTTP/1.1 200")
    assert resting[0].recv(1) == b"", "the one at rest for longest was closed"
    assert posted(resting[-1], body).startswith(b"HTTP/1.1 200"), "the others were not"
    for connection in resting:
        connection.close()


def test_where_no_connection_is_at_rest_a_new_one_is_told_so_and_the_others_go_on(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_HTTP, connections=2))
    body = otlp_request(3).SerializeToString()
    head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {len(body)}\r\n\r\n"
    busy = [socket.create_connection(stand.address, timeout=100) for _ in range(2)]
    for connection in busy:
        connection.sendall(head.encode() + body[:5])
    stand.wait_until(lambda: stand.intake.statistics().in_flight_bytes == 10, "both are in the middle of a body")
    with socket.create_connection(stand.address, timeout=100) as new:
        assert posted(new, body).startswith(b"HTTP/1.1 503")
    for connection in busy:
        connection.sendall(body[5:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()


def test_a_connection_without_a_request_is_closed_after_its_time(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_HTTP, idle_s=1))
    with socket.create_connection(stand.address, timeout=100) as connection:
        assert posted(connection, otlp_request(1).SerializeToString()).startswith(b"HTTP/1.1 200")
        assert connection.recv(1) == b""


def test_a_message_over_the_receivers_own_limit_is_413_however_it_is_packed(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_HTTP, message_bytes=2000))
    large, small = otlp_request(200).SerializeToString(), otlp_request(2).SerializeToString()
    packed = gzip.compress(large)
    assert len(large) > 2000 > len(packed)
    for body, more in ((large, ()), (packed, ("Content-Encoding: gzip",))):
        with socket.create_connection(stand.address, timeout=100) as connection:
            assert posted(connection, body, *more).startswith(b"HTTP/1.1 413")
    with socket.create_connection(stand.address, timeout=100) as connection:
        assert posted(connection, small).startswith(b"HTTP/1.1 200")
    assert stand.state.refused_requests == 2
    assert len(stand.logged()) == 2


def test_grpc_refuses_a_message_and_a_connection_too_many_and_serves_the_others(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_GRPC, connections=2, message_bytes=2000))
    address = f"{stand.address[0]}:{stand.address[1]}"
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options=options) for _ in range(6)]
    calls = [channel.unary_unary(EXPORT, request_serializer=bytes, response_deserializer=bytes) for channel in channels]
    small = otlp_request(2).SerializeToString()
    assert calls[0](small, timeout=100) == b""
    with pytest.raises(grpc.RpcError) as refusal:
        calls[0](otlp_request(200).SerializeToString(), timeout=100)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert calls[1](small, timeout=100) == b""
    for call in calls[2:]:
        with pytest.raises(grpc.RpcError):
            call(small, timeout=0.5)
    assert calls[0](small, timeout=100) == calls[1](small, timeout=100) == b""
    for channel in channels:
        channel.close()


def test_a_hundred_clients_that_only_connect_keep_no_sender_waiting(
    running: Callable[[ReceiverSpec], ReceiverStand], otlp_request: RequestOf
) -> None:
    stand = running(limited(OTLP_HTTP, connections=50))
    ended = threading.Event()

    def connect(number: int) -> None:
        with socket.create_connection(stand.address, timeout=100):
            ended.wait(100)

    with ThreadPoolExecutor(100) as pool:
        for number in range(100):
            pool.submit(connect, number)
        end = time.monotonic() + 100
        answers: list[bytes] = []
        while len(answers) < 20 and time.monotonic() < end:
            with socket.create_connection(stand.address, timeout=100) as connection:
                answer = posted(connection, otlp_request(1, first=1 + len(answers)).SerializeToString())
            if answer.startswith(b"HTTP/1.1 200"):
                answers.append(answer)
        ended.set()
    assert len(answers) == 20
    assert len(stand.logged()) == 20
