"""When the machine has too little of something: descriptors, memory. Load is shed with an answer, and the server goes on."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from harness.server import Server
from harness.wire import fresh_name, request, span


def limited(limit: str) -> Sequence[str]:
    """A wrapper that sets a limit of the shell's `ulimit` and then becomes the command."""
    return ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"]


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def is_healthy(server: Server) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{server.http}/healthz", timeout=10).status_code == 200
    return False


def wait_until(condition: Callable[[], Any], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:.0f} s"
        time.sleep(0.05)


def test_at_the_limit_of_descriptors_load_is_shed_with_503_and_few_lines_of_log(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(wrapper=limited("-n 400")).start()
    service = fresh_name("descriptors")
    before = len(server.printed())
    with contextlib.ExitStack() as stack:
        shed = 0
        end = time.monotonic() + 3
        while time.monotonic() < end or not shed:
            for address in (server.otlp_http, server.http):
                connection = stack.enter_context(connect(address))
                connection.settimeout(0.01)
                with contextlib.suppress(TimeoutError, ConnectionResetError):
                    answer = connection.recv(4096)
                    assert answer.startswith(b"HTTP/1.1 503"), answer
                    assert b"retry-after: 1" in answer
                    shed += 1
                    connection.close()
        # Whoever was connected before goes on, and so does the log, which opens files of its own.
        server_log = server.log_file.read_text(errors="replace")[before:]
        assert "files and sockets" in server_log
        assert len(server_log) < 10_000, server_log[:2000]
        assert shed
    wait_until(lambda: is_healthy(server))
    server.export(request(service, [span()]))
    server.flush()
    assert len(server.found(service=service)) == 1
    assert "Traceback" not in server.log_file.read_text(errors="replace")
    assert server.stop() == 0


@pytest.mark.parametrize("count", [2000])
def test_thousands_of_open_connections_do_not_hold_up_ingest_and_reading(
    make_server: Callable[..., Server], count: int
) -> None:
    server = make_server().start()
    service = fresh_name("connections")
    with contextlib.ExitStack() as stack:
        for number in range(count):
            connection = stack.enter_context(connect((server.otlp_http, server.http)[number % 2]))
            if number % 3 == 0:
                connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n")
            if number % 6 == 0:
                connection.sendall(b"Content-Type: application/x-protobuf\r\n\r\n\x0a")
        began = time.monotonic()
        assert is_healthy(server)
        assert time.monotonic() - began < 5
        server.export(request(service, [span()]))
        server.flush()
        assert len(server.found(service=service)) == 1
    assert server.stop() == 0


def test_two_held_uploads_do_not_stop_ingest(make_server: Callable[..., Server]) -> None:
    """Each announces 64 MiB; one sends a byte, the other nearly all of it."""
    server = make_server().start()
    service = fresh_name("held")
    length = 64 << 20
    head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {length}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for held in (1, length - 1, length - 1, 1, 1):
            connection = stack.enter_context(connect(server.otlp_http))
            connection.settimeout(30)
            connection.sendall(head.encode() + bytes(held))
        for _ in range(20):
            server.export(request(service, [span()]), timeout_s=20)
        big = request(service, [span(values={"filling": "x" * (4 << 20)})])
        server.export(big, timeout_s=20)
    server.flush()
    assert len(server.found(service=service)) == 21
