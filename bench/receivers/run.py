"""What a span costs the server by the protocol it comes in, against OTLP in protobuf with the same spans in the same run."""

from __future__ import annotations

import argparse
import contextlib
import queue
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.receivers import table
from clew_server.receivers.contract import Head
from harness.server import Server
from lib import measure, stand
from receivers.encoders import ENCODERS, OTLP_BY_TRACE, Encoder

_UNREAD_BYTES = 1 << 20
"""Datagrams are sent so far ahead of what the server has read."""
_MESSAGES_AHEAD = 100
_AHEAD_BYTES = 6 << 20
"""And so far ahead of what it has decoded: nothing is lost, and the rate is the server's."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=40_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--only",
        default="",
        help="names of protocols that contain this, or one of several with commas between, beside OTLP protobuf",
    )
    options.add_argument("--check", action="store_true", help="exit 1 where a protocol is over its budget")
    chosen = options.parse_args()
    requests = [ExportTraceServiceRequest.FromString(body) for body in stand.make(chosen.spans, minutes=30).bodies]
    wanted = [
        one
        for number, one in enumerate(ENCODERS)
        if number == 0 or any(name in one.name.lower() for name in chosen.only.lower().split(","))
    ]
    made = {one.name: [body for request in requests for body in one.encode(request)] for one in wanted}
    spans = sum(
        len(scope.spans) for one in requests for resource in one.resource_spans for scope in resource.scope_spans
    )
    print(f"{spans:,} spans, {chosen.rounds} rounds, load {measure.load()}; µs CPU a span, medians")
    decoding: dict[str, list[float]] = {one.name: [] for one in wanted}
    whole: dict[str, list[float]] = {one.name: [] for one in wanted}
    rates: dict[str, list[float]] = {one.name: [] for one in wanted}
    for _ in range(chosen.rounds):  # one turn of everybody, then the next: what else the machine does hits all alike
        for one in wanted:
            decoding[one.name].append(_decoding_us(one, made[one.name], spans))
            cpu_us, rate = _whole(one, made[one.name], spans)
            whole[one.name].append(cpu_us)
            rates[one.name].append(rate)
    small = measure.median(whole[OTLP_BY_TRACE]) if OTLP_BY_TRACE in whole else None
    base, base_decoding = (measure.median(found[ENCODERS[0].name]) for found in (whole, decoding))
    print(
        f"{'':22}{'wire bytes':>11}{'decoding':>10}{'× OTLP':>8}{'server':>9}{'× OTLP':>8}{'as small':>10}{'budget':>8}{'spans/s':>10}"
    )
    over = []
    for one in wanted:
        cpu_us, decode_us = measure.median(whole[one.name]), measure.median(decoding[one.name])
        ratio = cpu_us / base
        as_small = f"{cpu_us / small:.2f}" if small is not None and one.is_small else ""
        if one.budget is not None and ratio > one.budget:
            over.append(one.name)
        print(
            f"{one.name:22}{sum(map(len, made[one.name])) / spans:>11.0f}{decode_us:>10.1f}{decode_us / base_decoding:>8.1f}"
            f"{cpu_us:>9.1f}{ratio:>8.2f}{as_small:>10}{one.budget or '':>8}{measure.median(rates[one.name]):>10,.0f}"
        )
    print("as small: × OTLP in requests of a trace each, which is what the request costs whoever sends it")
    print(f"server: user and system time until all spans are searchable, merges aside; load {measure.load()}")
    if over:
        print(f"over budget: {', '.join(over)}")
    if chosen.check and over:
        raise SystemExit(1)


def _decoding_us(one: Encoder, bodies: Sequence[bytes], spans: int) -> float:
    """CPU of the decoder alone, in this process."""
    decode, head = table.BY_NAME[one.receiver].load().decode, Head(one.path, one.content_type, one.headers)
    began = time.thread_time()
    decoded = sum(decode(body, head).spans for body in bodies)
    taken_s = time.thread_time() - began
    assert decoded == spans, f"{one.name}: {decoded} of {spans} spans are decoded"
    return taken_s * 1e6 / spans


def _whole(one: Encoder, bodies: Sequence[bytes], spans: int) -> tuple[float, float]:
    """CPU of the server a span, from the first byte until all is searchable, and acknowledged (received) spans a second."""
    is_unanswered = table.BY_NAME[one.receiver].transport == "udp"
    is_always_open = table.BY_NAME[one.receiver].option != ""
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        logs = Path(folder) / "logs"
        logs.mkdir()
        place = logs if table.BY_NAME[one.receiver].transport == "file" else "127.0.0.1:0"
        receive = [] if is_always_open else ["--receive", f"{one.receiver}@{place}"]
        server = Server(Path(folder) / "data", options=receive).start()
        try:
            with _sender(one, server, logs) as send:
                before, began = measure.cpu_s(server.pid), time.monotonic()
                ahead_bytes = 0
                for number, body in enumerate(bodies):
                    send(body)
                    ahead_bytes += len(body)
                    if is_unanswered and ahead_bytes > _AHEAD_BYTES:
                        _wait_received(server, one.receiver, spans * number // len(bodies))
                        ahead_bytes = 0
            _wait_received(server, one.receiver, spans)
            wall_s = time.monotonic() - began
            server.flush(300)
            cpu_s = measure.cpu_s(server.pid) - before
            assert server.status()["stored_spans"] == spans
        finally:
            server.close()
    return cpu_s * 1e6 / spans, spans / wall_s


@contextlib.contextmanager
def _sender(one: Encoder, server: Server, logs: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that sends a request over one connection that stays open, and returns when it is acknowledged.

    What is followed is written into a file in `logs`.
    """
    transport = table.BY_NAME[one.receiver].transport
    if transport == "file":
        with (logs / one.path).open("ab", buffering=0) as lines:
            yield lambda body: lines.write(body) and None
        return
    host, _, port = server.receiver(one.receiver).removeprefix("http://").rpartition(":")
    if transport == "http":
        connection = HTTPConnection(host, int(port), timeout=120)

        def post(body: bytes) -> None:
            connection.request("POST", one.path, body, {"Content-Type": one.content_type})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status in (200, 202), (answer.status, content[:200])

        with contextlib.closing(connection):
            yield post
    elif transport == "grpc":
        with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            if one.path in table.BY_NAME[one.receiver].load().streams:
                with _one_stream(channel, one) as put:
                    yield put
                return
            call = channel.unary_unary(one.path, request_serializer=bytes, response_deserializer=bytes)
            yield lambda body: call(body, timeout=120) and None
    elif transport == "tcp":
        with socket.create_connection((host, int(port)), timeout=120) as frames:
            yield lambda body: frames.sendall(one.framed(body))
            # A close with answers unread would reset the connection, and the server loses what it has not read.
            frames.shutdown(socket.SHUT_WR)
            while frames.recv(1 << 16):
                pass
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.connect((host, int(port)))
            inode_line = f":{int(port):04X}"

            def send(body: bytes) -> None:
                datagrams.send(body)
                while _unread_bytes(inode_line) > _UNREAD_BYTES:
                    time.sleep(0.001)

            yield send


@contextlib.contextmanager
def _one_stream(channel: grpc.Channel, one: Encoder) -> Iterator[Callable[[bytes], None]]:
    """A function that puts a message into a stream that stays open, as agents hold theirs; at the end it is answered, which says
    that all of it is in the log."""
    messages: queue.Queue[bytes | None] = queue.Queue(_MESSAGES_AHEAD)
    call = channel.stream_unary(one.path, request_serializer=bytes, response_deserializer=bytes)
    answer = call.future(iter(messages.get, None), timeout=300, metadata=tuple(one.headers.items()))
    yield messages.put
    messages.put(None)
    answer.result()


def _unread_bytes(port: str) -> int:
    """What the kernel holds for the receiver: asking the server would cost it CPU that is measured."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(port):
            return int(fields[4].partition(":")[2], 16)
    return 0


def _wait_received(server: Server, receiver: str, spans: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        (found,) = (one for one in server.status()["receivers"] if one["name"] == receiver)
        if found["spans"] >= spans:
            return
        assert found["dropped_datagrams"] == 0, found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)  # asking costs the server, too


if __name__ == "__main__":
    main()
