"""Clients that crawl, stand still, or announce more than they send hold up nobody else, and steady ones get through."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import intake
from clew_server.receivers import grpc_reading, otlp_receivers
from clew_server.receivers import http as http_receivers

RequestOf = Callable[..., ExportTraceServiceRequest]
MIB = 1 << 20


def head(length: int, *more: str) -> bytes:
    lines = ["POST /v1/traces HTTP/1.1", "Host: localhost", "Content-Type: application/x-protobuf", *more]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {length}\r\n\r\n").encode()


def connect(server: Any) -> socket.socket:
    host, port = server.http_url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=100)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        assert part, f"the connection ended: {answer!r}"
        answer += part
    top, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in top.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(top[9:12]), body


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end, "not within 100 s"
        threading.Event().wait(0.005)


def test_what_is_announced_takes_no_room(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    server = listen()
    held = [connect(server) for _ in range(20)]
    for connection in held:
        connection.sendall(head(64 * MIB) + b"\x0a")
    wait_until(lambda: server.intake.statistics().in_flight_bytes == 20)
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        for first in range(1, 40, 2):
            answer = client.post(
                "/v1/traces",
                content=otlp_request(2, first=first).SerializeToString(),
                headers={"content-type": "application/x-protobuf"},
            )
            assert answer.status_code == 200, answer.content
    for connection in held:
        connection.close()
    assert len(server.logged()) == 40


def test_uploads_that_stand_still_give_way_to_others(
    listen: Callable[..., Any], otlp_request: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_GIVES_WAY_AFTER_S", 0.05)
    server = listen(in_flight_bytes=2 * MIB)
    held = [connect(server) for _ in range(2)]
    for connection in held:
        connection.sendall(head(MIB) + bytes(MIB - 1000))
    wait_until(lambda: server.intake.statistics().in_flight_bytes == 2 * (MIB - 1000))
    time.sleep(0.1)
    sent = otlp_request(500).SerializeToString()
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        answer = client.post("/v1/traces", content=sent, headers={"content-type": "application/x-protobuf"})
    assert answer.status_code == 200, answer.content
    told = select.select(held, [], [], 100)[0]
    assert len(told) == 1, "one of the two made room, and was told so"
    status, body = read_answer(told[0])
    assert (status, "slowest" in Status.FromString(body).message) == (503, True)
    wait_until(lambda: server.intake.statistics().in_flight_bytes == MIB - 1000)
    assert len(server.logged()) == 500
    for connection in held:
        connection.close()
    wait_until(lambda: server.intake.statistics().in_flight_bytes == 0)


def test_a_body_that_stands_still_is_503_and_its_room_is_given_back(
    listen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_receivers, "BODY_STEP_WITHIN_S", 0.3)
    server = listen()
    with connect(server) as connection:
        connection.sendall(head(10_000) + bytes(5000))
        status, body = read_answer(connection)
        assert status == 503, body
        assert "send the request again" in Status.FromString(body).message
    wait_until(lambda: server.intake.statistics().in_flight_bytes == 0)


def test_a_body_that_crawls_is_503_however_often_a_byte_comes(
    listen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_receivers, "BODY_STEP_WITHIN_S", 0.5)
    server = listen()
    with connect(server) as connection:
        connection.sendall(head(10_000))
        connection.setblocking(False)
        end = time.monotonic() + 100
        answer = b""
        while not answer and time.monotonic() < end:
            connection.send(b"\x0a")
            time.sleep(0.02)
            try:
                answer = connection.recv(65536)
            except BlockingIOError:
                pass
        assert answer.startswith(b"HTTP/1.1 503"), answer


def test_a_slow_client_that_makes_progress_gets_through(
    listen: Callable[..., Any], otlp_request: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = otlp_request(400).SerializeToString()
    step, within_s = len(sent) // 20, 1.0
    while True:
        monkeypatch.setattr(http_receivers, "BODY_STEP_WITHIN_S", within_s)
        server = listen()
        longest = 0.0
        with connect(server) as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head(len(sent)))
            began = before = time.monotonic()
            for at in range(0, len(sent), step):
                connection.sendall(sent[at : at + step])
                time.sleep(within_s / 10)
                longest, before = max(longest, time.monotonic() - before), time.monotonic()
            assert time.monotonic() - began > 1.5 * within_s
            if read_answer(connection)[0] == 200:
                break
        within_s *= 2  # a busy machine may hold up a step for as long as it may take
        assert longest > within_s / 8, "it was refused although it was never late"
        assert within_s <= 16
    assert len(server.logged()) == 400


def test_a_client_that_closed_its_half_gets_its_answer(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    server = listen()
    for number in range(20):
        sent = otlp_request(3, first=1 + 3 * number).SerializeToString()
        with connect(server) as connection:
            connection.sendall(head(len(sent)) + sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            assert answer.startswith(b"HTTP/1.1 200"), answer
    assert len(server.logged()) == 60


def test_requests_sent_ahead_are_all_answered_after_the_client_closed_its_half(
    listen: Callable[..., Any], otlp_request: RequestOf
) -> None:
    server = listen()
    with connect(server) as connection:
        for number in range(5):
            sent = otlp_request(1, first=1 + number).SerializeToString()
            connection.sendall(head(len(sent)) + sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.count(b"HTTP/1.1 200") == 5, answer
    assert len(server.logged()) == 5


@pytest.mark.parametrize("failing", ["decode", "accept"])
def test_out_of_memory_is_503_which_is_retried(
    listen: Callable[..., Any], otlp_request: RequestOf, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    server = listen()

    def full(*arguments: Any) -> Any:
        raise MemoryError

    if failing == "decode":
        monkeypatch.setattr(otlp_receivers, "decode_otlp", full)
    else:
        monkeypatch.setattr(server.intake, "accept", full)
    sent = otlp_request(1).SerializeToString()
    with httpx.Client(base_url=server.http_url, trust_env=False) as client:
        answer = client.post("/v1/traces", content=sent, headers={"content-type": "application/x-protobuf"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert Status.FromString(answer.content).code == 14


class CrawlingCall:
    """A gRPC call over bare HTTP/2 whose message announces `length` bytes and lacks the last one."""

    def __init__(self, address: str, length: int) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=100)
        self.left = length + 5 - 1
        self._start = b"\0" + length.to_bytes(4, "big")
        self._rooms = {0: 65_535, 1: 65_535}
        self._stream_starts_with = 65_535
        self._largest = 16_384
        fields = {
            ":method": "POST", ":scheme": "http", ":path": otlp_receivers.EXPORT, ":authority": "localhost",
            "content-type": "application/grpc", "te": "trailers",
        }  # fmt: skip
        block = b"".join(b"\0" + bytes([len(k)]) + k.encode() + _short(v.encode()) for k, v in fields.items())
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, block))

    def close(self) -> None:
        self._socket.close()

    def crawl(self) -> bytes:
        """Send what the server makes room for, then nothing; the headers of the answer, as they came, when the call is ended."""
        answer = b""
        while True:
            while self.left and (size := min(self.left, self._largest, *self._rooms.values())) > 0:
                self._socket.sendall(_frame(0, 0, 1, (self._start + bytes(size))[:size]))
                self._start = b""
                self.left -= size
                self._rooms = {stream: room - size for stream, room in self._rooms.items()}
            kind, flags, stream, payload = self._read_frame()
            if kind == 8:
                self._rooms[stream] += int.from_bytes(payload, "big")
            elif kind == 4 and not flags & 1:
                for at in range(0, len(payload), 6):
                    number, value = (
                        int.from_bytes(payload[at : at + 2], "big"),
                        int.from_bytes(payload[at + 2 : at + 6], "big"),
                    )
                    if number == 4:
                        # Counted from the size before: sending more than there is room for resets the stream without words.
                        self._rooms[1] += value - self._stream_starts_with
                        self._stream_starts_with = value
                self._socket.sendall(_frame(4, 1, 0, b""))
            elif kind == 6 and not flags & 1:
                self._socket.sendall(_frame(6, 1, 0, payload))
            elif kind == 1 and stream == 1:
                answer += payload
            if (kind == 1 and flags & 1) or kind == 3:
                return answer

    def _read_frame(self) -> tuple[int, int, int, bytes]:
        head = self._read(9)
        return head[3], head[4], int.from_bytes(head[5:9], "big"), self._read(int.from_bytes(head[:3], "big"))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            assert part, "the connection ended"
            data += part
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _short(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_grpc_message_that_is_never_whole_is_ended_and_its_bytes_are_freed(
    listen: Callable[..., Any], otlp_request: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = listen()
    within_s, refused, turn, before = 4.0, 0, 0, 0
    while turn < 3:
        monkeypatch.setattr(grpc_reading, "MESSAGE_WITHIN_S", within_s)
        calls = [CrawlingCall(server.grpc_address, 8 * MIB) for _ in range(4)]
        with ThreadPoolExecutor(len(calls)) as pool:
            answers = list(pool.map(CrawlingCall.crawl, calls))
        for call in calls:
            call.close()
        refused += len(calls)
        if any(call.left for call in calls):  # on a busy machine all but the last byte may take longer
            within_s *= 2
            assert within_s <= 60
            continue
        assert all(b"was not whole within" in answer for answer in answers)
        if turn == 0:
            before = resident_bytes()
        turn += 1
    # Of two turns of 32 MiB. What else runs in the process takes and gives back some.
    wait_until(lambda: resident_bytes() - before < 48 * MIB)
    wait_until(lambda: server.grpc.refused_requests == refused)
    with grpc.insecure_channel(server.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        assert channel.unary_unary(otlp_receivers.EXPORT)(otlp_request(2).SerializeToString(), timeout=100) == b""
    assert len(server.logged()) == 2


def test_a_grpc_call_without_a_message_is_told_so(listen: Callable[..., Any]) -> None:
    server = listen()
    options = [("grpc.enable_http_proxy", 0)]
    with (
        grpc.insecure_channel(server.grpc_address, options=options) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        channel.stream_unary(otlp_receivers.EXPORT)(iter(()), timeout=100)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "without a message" in str(refusal.value.details())


def test_a_grpc_call_without_the_token_is_refused_before_its_message_has_come(listen: Callable[..., Any]) -> None:
    server = listen(token="secret")
    call = CrawlingCall(server.grpc_address, 8 * MIB)
    assert b"a token is needed" in call.crawl()
    call.close()
