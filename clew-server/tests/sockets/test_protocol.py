"""One connection: its head is bounded in bytes, number and time, and it does not stay open for nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clew_server.sockets import protocol, server
from clew_server.sockets.server import HttpServer

all_sent = threading.Event()


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers how long it is; /refuse answers 413 at once; /endless sends 64 MiB and sets `all_sent`."""
    size = 0
    if scope["path"] not in ("/refuse", "/endless"):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
    status = 413 if scope["path"] == "/refuse" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    if scope["path"] == "/endless":
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        all_sent.set()
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a running server, with the options of the test's parameter."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = HttpServer(echo_length, **getattr(request, "param", {}))
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    wait_until(lambda: running.started)
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join(100)
    assert not thread.is_alive()


@pytest.fixture
def connect(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port), timeout=100)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end, "not within 100 s"
        threading.Event().wait(0.005)


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    answer = b""
    try:
        while part := connection.recv(1 << 16):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def is_alive(connect: Callable[[], socket.socket]) -> bool:
    with connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
        return b" 200 OK" in answer_of(connection)


def test_a_head_at_its_limits_is_taken(connect: Callable[[], socket.socket]) -> None:
    names = "".join(f"X-{number}: {'v' * 200}\r\n" for number in range(protocol.MAX_HEADERS - 2))
    with connect() as connection:
        connection.sendall(f"GET /?{'q' * 8000} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{names}\r\n".encode())
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", id="too many"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 33_000 + b"\r\n\r\n", id="one too long"),
        pytest.param(b"GET /" + b"y" * 33_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="the path too long"),
        pytest.param(b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="the path over 64 KiB"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 400_000, id="one without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: yyyy\r\n" * 100_000, id="many without an end"),
    ],
)
def test_a_head_beyond_its_limits_is_431_and_the_connection_ends(
    connect: Callable[[], socket.socket], head: bytes
) -> None:
    with connect() as connection:
        try:
            connection.sendall(head)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = answer_of(connection)
        # A reset may overtake the answer while the client is still sending.
        assert not answer or answer.startswith(b"HTTP/1.1 431"), answer[:100]
        assert answer or len(head) > 100_000
    assert is_alive(connect)


@pytest.mark.parametrize("port", [{"head_bytes": 64 << 10}], indirect=True)
@pytest.mark.parametrize(("size", "status"), [(50_000, b"200"), (65_400, b"200"), (66_000, b"431")])
def test_a_server_may_take_longer_addresses(connect: Callable[[], socket.socket], size: int, status: bytes) -> None:
    with connect() as connection:
        connection.sendall(b"GET /?" + b"q" * size + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 " + status)


def test_200_mib_of_headers_are_not_kept(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        sent = 0
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            for _ in range(200):
                connection.sendall(b"y" * (1 << 20))
                sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 50, "the server left early"


def test_trailers_and_chunk_extensions_are_bounded_too(connect: Callable[[], socket.socket]) -> None:
    for endless in (b"0\r\nX: ", b"5;x="):
        with connect() as connection:
            sent = 0
            try:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + endless)
                for _ in range(100):
                    connection.sendall(b"y" * (1 << 20))
                    sent += 1
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert sent < 50, endless
    assert is_alive(connect)


def test_a_body_in_chunks_of_one_byte_is_read(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head + b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n")
        assert b"200000" in answer_of(connection)


def test_a_large_body_and_the_head_behind_it_in_the_same_bytes(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000)
        last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"
        connection.sendall(first + last[:10_000])
        time.sleep(0.05)
        connection.sendall(last[10_000:])
        assert answer_of(connection).count(b"HTTP/1.1 200") == 2


def test_a_head_that_crawls_is_408(connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.3)
    monkeypatch.setattr(server, "_SWEEP_EVERY_S", 0.1)

    def is_refused() -> bool:
        with connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            return answer_of(connection).startswith(b"HTTP/1.1 408")

    # A busy machine may bring a head later than that, or none of it.
    wait_until(is_refused)
    wait_until(lambda: is_alive(connect))


@pytest.mark.parametrize(
    ("path", "constant"), [("/", "BODY_PAUSE_S"), ("/refuse", "DRAIN_WITHIN_S")], ids=["awaited", "refused"]
)
def test_a_body_that_never_ends_does_not_keep_its_connection(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, path: str, constant: str
) -> None:
    monkeypatch.setattr(protocol, constant, 0.3)
    monkeypatch.setattr(server, "_SWEEP_EVERY_S", 0.1)
    with connect() as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx".encode())
        answer = answer_of(connection)
        assert answer.startswith(b"HTTP/1.1 413") if path == "/refuse" else not answer


def test_a_client_that_takes_nothing_of_its_answer_is_left(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SEND_PAUSE_S", 0.3)
    monkeypatch.setattr(server, "_SWEEP_EVERY_S", 0.1)
    all_sent.clear()
    with connect() as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert all_sent.wait(100), "to a client that has been left nothing waits to be sent"
        assert len(answer_of(connection)) < 60 << 20


def test_an_idle_connection_is_kept_longer_than_an_exporters_pause_and_not_for_ever(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert protocol.KEEP_ALIVE_S > 60
    monkeypatch.setattr(protocol, "_MARGIN_S", 0.5 - protocol.KEEP_ALIVE_S)
    monkeypatch.setattr(server, "_SWEEP_EVERY_S", 0.1)
    with connect() as silent, connect() as teasing:
        teasing.sendall(b"\r\n")
        assert answer_of(silent) == b""
        assert answer_of(teasing) == b""


def test_more_requests_ahead_than_anyone_sends_end_the_connection(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
        assert answer_of(connection).count(b"HTTP/1.1 200") < 5000
    assert is_alive(connect)


def test_a_stranger_does_not_fill_the_log(
    connect: Callable[[], socket.socket], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SAME_LINE_EVERY_S", 1000.0)  # the machine may take more than the usual 10 s
    for _ in range(50):
        with connect() as connection:
            connection.sendall(b"no http at all\r\n\r\n")
            assert answer_of(connection).startswith(b"HTTP/1.1 400")
    assert len([record for record in caplog.records if "Invalid HTTP" in record.getMessage()]) <= 1


class Slow:
    """Answers when it is told to; says when it was asked, and that its asker has gone."""

    def __init__(self) -> None:
        self.asked, self.may_answer, self.gone = threading.Event(), threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        leaving = asyncio.ensure_future(receive())
        self.asked.set()
        while not self.may_answer.is_set():
            if leaving.done():
                self.gone.set()
                return
            await asyncio.sleep(0.005)
        leaving.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})


@pytest.fixture
def slow() -> Iterator[tuple[Slow, Callable[[], socket.socket]]]:
    app = Slow()
    listener = socket.create_server(("127.0.0.1", 0))
    running = HttpServer(app, asks_whether_left=True)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    wait_until(lambda: running.started)
    yield app, lambda: socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=100)
    app.may_answer.set()
    running.should_exit = True
    thread.join(100)
    assert not thread.is_alive()


def test_a_request_is_ended_whose_client_has_closed_its_connection(
    slow: tuple[Slow, Callable[[], socket.socket]],
) -> None:
    app, connect = slow
    with connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.asked.wait(100)
    assert app.gone.wait(100)


@pytest.mark.parametrize(
    ("version", "begin"), [("1.1", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), ("1.0", b"HTTP/1.1 200")]
)
def test_one_that_has_closed_its_half_only_has_its_answer(
    slow: tuple[Slow, Callable[[], socket.socket]], version: str, begin: bytes
) -> None:
    app, connect = slow
    with connect() as connection:
        connection.sendall(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        assert app.asked.wait(100)
        connection.shutdown(socket.SHUT_WR)
        if version == "1.1":
            assert connection.recv(25, socket.MSG_WAITALL | socket.MSG_PEEK) == begin[:25]
        app.may_answer.set()
        answer = answer_of(connection)
    assert answer.startswith(begin), answer
    assert b"late" in answer
    assert not app.gone.is_set()


def test_a_request_that_is_ended_by_the_stop_is_no_failure_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = Slow()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = HttpServer(app)
        running.config.timeout_graceful_shutdown = 0
        thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
        thread.start()
        wait_until(lambda: running.started)
        with socket.create_connection(listener.getsockname(), timeout=100) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert app.asked.wait(100)
            running.should_exit = True
            thread.join(100)
            assert not thread.is_alive()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
