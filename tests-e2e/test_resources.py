"""When the machine has too little of something: descriptors, memory. Load is shed with an answer, and the server goes on."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status

from clew.otlp.encode import delimited as field
from harness.server import PROTOBUF, Server
from harness.wire import fresh_name, request, span

pytestmark = pytest.mark.alone
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 1 << 20
MOST_MEMORY_BYTES = 1536 * MIB  # docs/reference/limits.md


def limited(limit: str) -> Sequence[str]:
    """A wrapper that sets a limit of the shell's `ulimit` and then becomes the command."""
    return ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"]


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=100)


def is_healthy(server: Server) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{server.http}/healthz", timeout=100).status_code == 200
    return False


def wait_until(condition: Callable[[], Any], timeout_s: float = 100) -> None:
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
    make_server: Callable[..., Server], count: int, best_of: Callable[..., float]
) -> None:
    server = make_server().start()
    service = fresh_name("connections")

    def asking_s() -> float:
        began = time.monotonic()
        assert is_healthy(server)
        return time.monotonic() - began

    usual_s = asking_s()
    with contextlib.ExitStack() as stack:
        for number in range(count):
            connection = stack.enter_context(connect((server.otlp_http, server.http)[number % 2]))
            if number % 3 == 0:
                connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n")
            if number % 6 == 0:
                connection.sendall(b"Content-Type: application/x-protobuf\r\n\r\n\x0a")
        best_of(1 + 10 * usual_s, asking_s)
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
            connection.sendall(head.encode() + bytes(held))
        for _ in range(20):
            server.export(request(service, [span()]))
        big = request(service, [span(values={"filling": "x" * (4 << 20)})])
        server.export(big)
    server.flush()
    assert len(server.found(service=service)) == 21


def memory_bytes(server: Server, what: str) -> int:
    """A line of the process' status: VmRSS, VmHWM (the most there was), VmSize (address space)."""
    with open(f"/proc/{server.pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what + ":"))


def ids() -> bytes:
    return b"\x0a\x10" + os.urandom(16) + b"\x12\x08" + os.urandom(8)


NEARLY_ALL = 32 * MIB - 100
"""Parts of two bytes in a body of the largest size."""
BOMBS: dict[str, Callable[[], bytes]] = {
    "3 million scopes": lambda: field(1, b"\x12\x00" * 3_000_000),
    "scopes": lambda: field(1, b"\x12\x00" * NEARLY_ALL),
    "resources": lambda: b"\x0a\x00" * NEARLY_ALL,
    "spans": lambda: field(1, field(2, b"\x12\x00" * NEARLY_ALL)),
    "attributes of one span": lambda: field(1, field(2, field(2, ids() + b"\x4a\x00" * NEARLY_ALL))),
    "attributes of many spans": lambda: field(
        1, field(2, b"".join(field(2, ids() + b"\x4a\x00" * 65_000) for _ in range(500)))
    ),
    "attributes of many events": lambda: field(
        1, field(2, b"".join(field(2, ids() + field(11, b"\x1a\x00" * 65_000)) for _ in range(500)))
    ),
    "unknown fields": lambda: field(1, b"\x08\x05" * NEARLY_ALL),
    "attributes of a resource": lambda: field(1, field(1, b"\x0a\x00" * NEARLY_ALL) + field(2, field(2, ids()))),
}


@contextlib.contextmanager
def watching(server: Server) -> Iterator[list[float]]:
    """How long each /healthz took meanwhile, in seconds; at least one."""
    took: list[float] = []
    done = threading.Event()

    def watch() -> None:
        with httpx.Client() as client:
            while not took or not done.wait(0.02):
                began = time.monotonic()
                assert client.get(f"{server.otlp_http}/healthz", timeout=100).status_code == 200
                took.append(time.monotonic() - began)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield took
    finally:
        done.set()
        thread.join()


def test_small_bodies_that_unfold_to_very_much_are_413_block_nobody_and_cost_little_memory(
    make_server: Callable[..., Server], best_of: Callable[..., float]
) -> None:
    server = make_server().start()
    server.export(request("warm", [span()]))
    server.flush()
    before, service = memory_bytes(server, "VmHWM"), fresh_name("good")
    for name, bomb in BOMBS.items():
        packed = gzip.compress(bomb(), 1)

        def longest_wait_s(name: str = name, packed: bytes = packed) -> float:
            with watching(server) as took:
                answer = server.post(packed, headers={"Content-Encoding": "gzip"})
            assert answer.status_code == 413, (name, answer.status_code, answer.content[:200])
            assert "more than" in Status.FromString(answer.content).message, name
            return max(took)

        print(f"{name}: /healthz took {best_of(0.5, longest_wait_s):.3f} s at most")
        server.export(request(service, [span()]))
    server.flush()
    assert len(server.found(service=service)) == len(BOMBS)
    assert memory_bytes(server, "VmHWM") - before < 400 * MIB
    assert server.stop() == 0


def test_a_grpc_message_that_unfolds_beyond_the_limit_costs_little_memory(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    server.export(request("warm", [span()]))
    server.flush()  # or storing it is measured too
    before = memory_bytes(server, "VmHWM")
    settings = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.otlp_grpc, options=settings) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(EXPORT)(bytes(300 * MIB), compression=grpc.Compression.Gzip, timeout=100)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in dict(refused.value.trailing_metadata() or ())
    assert memory_bytes(server, "VmHWM") - before < 250 * MIB


@pytest.mark.parametrize("size_bytes", [17_000, 200_000])
def test_grpc_metadata_beyond_the_limit_are_refused(server: Server, size_bytes: int) -> None:
    settings = [("grpc.max_metadata_size", MIB)]
    with grpc.insecure_channel(server.otlp_grpc, options=settings) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(EXPORT)(b"", metadata=[("x-long", "y" * size_bytes)], timeout=100)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert channel.unary_unary(EXPORT)(b"", metadata=[("x-long", "y" * 8_000)], timeout=100) == b""


def test_full_requests_are_taken_within_the_stated_memory_which_is_given_back(
    make_server: Callable[..., Server], best_of: Callable[..., float]
) -> None:
    """64 MiB and 200,000 spans, twice at once, one of them gzipped."""
    server = make_server().start()
    server.export(request("warm", [span()]))
    server.flush()
    rest = span(values={f"http.attribute.{number}": f"some value {number}" for number in range(7)}).SerializeToString()
    sent: list[int] = []

    def full() -> bytes:
        spans = b"".join(field(2, ids() + rest[28:]) for _ in range(200_000))
        return field(1, field(1, field(1, b"\x0a\x0cservice.name\x12\x06\x0a\x04full")) + field(2, spans))

    def send(body: bytes, headers: dict[str, str]) -> None:
        answer = httpx.post(
            f"{server.otlp_http}/v1/traces", content=body, headers={"Content-Type": PROTOBUF, **headers}, timeout=120
        )
        assert answer.status_code == 200, answer.content
        sent.append(200_000)

    def usual_wait_s() -> float:
        bodies = [full(), full()]
        assert 50 * MIB < len(bodies[0]) <= 64 * MIB
        packed = gzip.compress(bodies[1], 1)
        with ThreadPoolExecutor(2) as threads, watching(server) as took:
            both = [
                threads.submit(send, bodies[0], {}),
                threads.submit(send, packed, {"Content-Encoding": "gzip"}),
            ]
            for one in both:
                one.result(200)
        server.flush(110)
        return sorted(took)[len(took) * 95 // 100]

    print(f"/healthz took {best_of(0.5, usual_wait_s):.3f} s in 95 of 100 cases")
    assert server.status()["stored_spans"] == sum(sent) + 1
    print(f"at most {memory_bytes(server, 'VmHWM') >> 20} MiB, {memory_bytes(server, 'VmRSS') >> 20} after that")
    assert memory_bytes(server, "VmHWM") < MOST_MEMORY_BYTES
    wait_until(lambda: memory_bytes(server, "VmRSS") < 900 * MIB)


def test_when_memory_runs_out_large_requests_are_503_and_the_server_lives(make_server: Callable[..., Server]) -> None:
    """The engine maps 2 GiB of addresses by itself, so the limit is set on the running server: little more than it has.

    What it has may become less (the engine gives back what a merge took), and then a request has room after all: it is
    answered with 200 and must be stored, and the next has half the room.
    """
    server = make_server().start()
    server.export(request("warm", [span()]))
    server.flush()
    acknowledged = 1
    refused = 0

    def large() -> bytes:
        return field(1, field(2, b"".join(field(2, ids() + field(5, b"n" * 300_000)) for _ in range(200))))

    with httpx.Client(base_url=server.otlp_http, timeout=100) as client:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_AS)
        room = 64 * MIB
        try:
            while refused < 6:
                resource.prlimit(server.pid, resource.RLIMIT_AS, (memory_bytes(server, "VmSize") + room, hard))
                for content, spans in ((large(), 200), (request("small", [span()]), 1)):
                    answer = client.post("/v1/traces", content=content, headers={"Content-Type": PROTOBUF})
                    if answer.status_code == 200:
                        acknowledged += spans
                        room = room // 2 if spans > 1 else room
                        continue
                    assert answer.status_code == 503, answer.content
                    assert int(answer.headers["retry-after"]) >= 1, answer.content
                    assert Status.FromString(answer.content).code == 14
                    refused += spans > 1
        finally:
            resource.prlimit(server.pid, resource.RLIMIT_AS, (soft, hard))
    server.export(large())
    service = fresh_name("after")
    server.export(request(service, [span()]))
    server.flush(110)
    assert len(server.found(service=service)) == 1
    assert server.status()["stored_spans"] == acknowledged + 201
    assert "Traceback" not in server.log_file.read_text(errors="replace")
