"""Connections at an HTTP port that begin as HTTP/2's do reach the gRPC server behind it; all others are HTTP/1.1 as before."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from clew_server.receivers.contract import Limits
from clew_server.receivers.zipkin.decoder import REPORT
from clew_server.receivers.zipkin.receiver import ZIPKIN
from clew_server.sockets.http2 import PREFACE
from clew_server.testing import ReceiverStand

sys.path.insert(0, str(Path(__file__).parents[1] / "receivers"))  # importlib mode adds no path

from zipkin_bytes import to_proto

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
REQUEST = b"POST /api/v2/spans HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
WITHIN_S = 100


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverStand]:
    with ReceiverStand(ZIPKIN, tmp_path_factory.mktemp("http2") / "wal") as running:
        yield running


def connect(stand: ReceiverStand) -> socket.socket:
    connection = socket.create_connection(stand.address, timeout=WITHIN_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_apart(connection: socket.socket, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(0.02)  # so that most pieces are read apart; the outcome is the same where they are not


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """Type and payload of the next frame of HTTP/2; type -1 at the end of the connection."""
    stream = connection.makefile("rb")
    head = stream.read(9)
    if len(head) < 9:
        return -1, b""
    return head[3], stream.read(int.from_bytes(head[:3], "big"))


def status_of(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer[:12]


@pytest.mark.parametrize("cut", [1, 3, 14, len(PREFACE)])
def test_http2_is_answered_wherever_its_first_bytes_are_cut(stand: ReceiverStand, cut: int) -> None:
    first = PREFACE + SETTINGS
    with connect(stand) as connection:
        send_apart(connection, [first[:cut], first[cut:]])
        kind, _ = read_frame(connection)
    assert kind == 4, "a gRPC server begins with SETTINGS"


@pytest.mark.parametrize("cut", [1, 2, 4, len(REQUEST) - 1])
def test_a_request_of_http_1_is_answered_wherever_it_is_cut(stand: ReceiverStand, cut: int) -> None:
    with connect(stand) as connection:
        send_apart(connection, [REQUEST[:cut], REQUEST[cut:]])
        assert status_of(connection) == b"HTTP/1.1 202"


def test_what_only_looks_like_http2_at_first_is_refused_as_http_1(stand: ReceiverStand) -> None:
    with connect(stand) as connection:
        send_apart(connection, [b"PRI", b" * HTTP/2.0\r\nHost: x\r\n\r\n"])
        assert status_of(connection) == b"HTTP/1.1 400"


def test_the_client_is_named_by_its_own_address_and_both_protocols_count_together(tmp_path: Path) -> None:
    with ReceiverStand(ZIPKIN, tmp_path / "wal") as stand:
        host, port = stand.address
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"{host}:{port}", options=options) as channel:
            assert channel.unary_unary(REPORT)(b"", timeout=WITHIN_S) == b""
            assert stand.address == (host, port)
            client = stand.state.last_client
            assert client is not None
            seen = {f"{one[0]}:{one[1]}" for one in ends_of_connections_to(port)}
            assert client in seen
            with connect(stand) as connection:
                connection.sendall(REQUEST)
                assert status_of(connection) == b"HTTP/1.1 202"
            assert stand.state.last_client != client
            assert stand.state.connections(time.time_ns()) == 2


def ends_of_connections_to(port: int) -> list[tuple[str, int]]:
    """Who is connected to a port of this machine, from the kernel."""
    established = "01"
    found = []
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, here, there, state, *_ = line.split()
        if state == established and int(here.partition(":")[2], 16) == port:
            address, _, number = there.partition(":")
            found.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(number, 16)))
    return found


def test_a_token_is_asked_of_both(tmp_path: Path) -> None:
    with ReceiverStand(ZIPKIN, tmp_path / "wal", token="secret") as stand:
        host, port = stand.address
        with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            report = channel.unary_unary(REPORT)
            with pytest.raises(grpc.RpcError) as refused:
                report(b"", timeout=WITHIN_S)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert report(b"", timeout=WITHIN_S, metadata=[("authorization", "Bearer secret")]) == b""
        with connect(stand) as connection:
            connection.sendall(REQUEST)
            assert status_of(connection) == b"HTTP/1.1 401"


def test_connections_of_http2_are_limited_and_a_client_that_leaves_gives_its_place_back(tmp_path: Path) -> None:
    spec = replace(ZIPKIN, grpc=replace(ZIPKIN.grpc, limits=Limits(connections=8)))  # a quarter of it
    with ReceiverStand(spec, tmp_path / "wal") as stand, contextlib.ExitStack() as opened:
        for _ in range(2):
            connection = opened.enter_context(connect(stand))
            connection.sendall(PREFACE + SETTINGS)
            assert read_frame(connection)[0] == 4
        with connect(stand) as one_more:
            one_more.sendall(PREFACE + SETTINGS)
            assert ends_unanswered(one_more)
        with connect(stand) as other:
            other.sendall(REQUEST)
            assert status_of(other) == b"HTTP/1.1 202"
        opened.close()
        stand.wait_until(lambda: is_answered(stand), "there is room again")


def ends_unanswered(connection: socket.socket) -> bool:
    try:
        return read_frame(connection)[0] == -1
    except ConnectionResetError:
        return True


def is_answered(stand: ReceiverStand) -> bool:
    with connect(stand) as connection:
        connection.sendall(PREFACE + SETTINGS)
        return not ends_unanswered(connection)


def test_a_large_message_passes_and_a_connection_that_sends_nothing_more_is_closed(tmp_path: Path) -> None:
    spec = replace(ZIPKIN, grpc=replace(ZIPKIN.grpc, limits=Limits(idle_s=1)))
    with ReceiverStand(spec, tmp_path / "wal") as stand:
        host, port = stand.address
        with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            spans = to_proto(
                *({"traceId": f"{n + 1:032x}", "id": f"{n + 1:016x}", "name": "n" * 1000} for n in range(3000))
            )
            assert channel.unary_unary(REPORT)(spans, timeout=WITHIN_S) == b""
            assert stand.state.spans == 3000
            stand.wait_until(lambda: not ends_of_connections_to(port), "the idle connection is closed")
