"""Frames over TCP: cut anywhere they arrive whole, a bad one costs itself only, and no sender harms another."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers import tcp
from clew_server.receivers.contract import PROTOBUF, Frame, Head, Limits, OtlpBatch, ReceiverSpec
from clew_server.receivers.otlp import decode_otlp
from clew_server.testing import ReceiverStand

RequestOf = Callable[..., ExportTraceServiceRequest]
HELLO = b"hello\n"


class Letters:
    """A letter and four bytes of length. `s` spans, `n` asks for a number, `m` is not kept, `q` nothing; others are refused."""

    head_bytes = 5

    def greeting(self, now_unix_nano: int) -> bytes:
        return HELLO

    def length(self, head: bytes) -> int:
        if head[:1] == b"!":
            raise BadInput("no frame begins with !")
        return int.from_bytes(head[1:], "big")

    def frame(self, head: bytes, body: bytes, number: int) -> Frame:
        match head[:1]:
            case b"s":
                return Frame(spans=body)
            case b"n":
                return Frame(answer=b"%d\n" % number)
            case b"m":
                return Frame(dropped="metric")
            case b"q":
                return Frame()
        raise BadInput("an unknown letter")


def frame(letter: bytes, body: bytes = b"") -> bytes:
    return letter + struct.pack(">I", len(body)) + body


class Gate:
    """A decoder that can be held up."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def __call__(self, body: bytes, head: Head) -> OtlpBatch:
        self.entered.set()
        assert self.open.wait(100)
        if body == b"bug":
            raise ZeroDivisionError
        return decode_otlp(body, PROTOBUF)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def stand(gate: Gate, tmp_path: Path) -> Iterator[ReceiverStand]:
    limits = Limits(message_bytes=1 << 20, connections=4, idle_s=60)
    spec = ReceiverSpec("tcp", "tcp", 0, gate, limits=limits, framing=Letters(), is_quick=lambda body, head: False)
    with ReceiverStand(spec, tmp_path / "wal") as running:
        yield running
        gate.open.set()


@contextlib.contextmanager
def connected(stand: ReceiverStand, *, greeted: bool = True) -> Iterator[socket.socket]:
    with socket.create_connection(stand.address, timeout=100) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if greeted:
            assert read(connection, len(HELLO)) == HELLO
        yield connection


def read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (part := connection.recv(size - len(found))):
        found += part
    return found


def is_closed(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_frames_that_are_cut_anywhere_arrive_whole_and_once(stand: ReceiverStand, otlp_request: RequestOf) -> None:
    with connected(stand) as connection:
        sent = b"".join(frame(b"s", otlp_request(2, first=2 * n + 1).SerializeToString()) for n in range(20))
        for at in range(0, len(sent), 7):
            connection.sendall(sent[at : at + 7])
        stand.wait_until(lambda: stand.state.spans == 40, "all spans are in the log")
    assert sorted(one.span_id for one in stand.logged()) == [n.to_bytes(8, "big") for n in range(1, 41)]
    assert stand.state.refused_requests == 0
    assert stand.state.last_client is not None
    assert stand.state.last_client.startswith("127.0.0.1:")


def test_frames_that_came_together_become_one_record_of_the_log(stand: ReceiverStand, otlp_request: RequestOf) -> None:
    with connected(stand) as connection:
        connection.sendall(b"".join(frame(b"s", otlp_request(1, first=n).SerializeToString()) for n in range(1, 101)))
        stand.wait_until(lambda: stand.state.spans == 100, "all spans are in the log")
    assert stand.intake.statistics().accepted_requests < 20


def test_a_number_is_answered_and_greater_each_time_also_after_a_restart(stand: ReceiverStand) -> None:
    numbers: list[int] = []
    for _ in range(2):
        with connected(stand) as connection:
            connection.sendall(frame(b"n") * 3)
            with connection.makefile("rb") as lines:
                numbers += [int(lines.readline()) for _ in range(3)]
        stand.restart()
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6


def test_a_bad_frame_is_counted_and_costs_its_connection_nothing_else(
    stand: ReceiverStand, otlp_request: RequestOf
) -> None:
    with connected(stand) as connection:
        connection.sendall(
            frame(b"s", b"\xff\xff") + frame(b"s", b"bug") + frame(b"x", b"?") + frame(b"m") + frame(b"q")
        )
        connection.sendall(frame(b"s", otlp_request(1).SerializeToString()))
        stand.wait_until(lambda: stand.state.spans == 1, "the good one is in the log")
    assert stand.state.refused_requests == stand.intake.statistics().refused_requests == 3
    assert stand.intake.statistics().dropped_signals == {"metric": 1}
    assert stand.state.dropped == {"metric": 1}


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"s\xff\xff\xff\xff", "4294967295 bytes: a frame holds at most 1048576"),
        (b"!\0\0\0\0", "no frame begins with !"),
    ],
)
def test_a_head_that_is_none_ends_its_connection_after_what_came_before_it(
    stand: ReceiverStand, otlp_request: RequestOf, sent: bytes, why: str
) -> None:
    with connected(stand) as other, connected(stand) as connection:
        connection.sendall(frame(b"s", otlp_request(1).SerializeToString()) + sent)
        assert is_closed(connection)
        assert stand.state.last_error == why
        other.sendall(frame(b"s", otlp_request(1, first=2).SerializeToString()))
        stand.wait_until(lambda: stand.state.spans == 2, "both are in the log")


def test_a_connection_that_ends_within_a_frame_is_counted(stand: ReceiverStand, otlp_request: RequestOf) -> None:
    with connected(stand) as connection:
        connection.sendall(frame(b"s", otlp_request(1).SerializeToString()) + b"s\0\0\0\x09half")
    stand.wait_until(lambda: stand.state.refused_requests == 1, "the half frame is counted")
    assert stand.state.spans == 1
    assert stand.state.last_error == "the connection ended in the middle of a frame"


def test_a_connection_that_sends_nothing_is_closed_and_counts_as_no_refusal(gate: Gate, tmp_path: Path) -> None:
    spec = ReceiverSpec("tcp", "tcp", 0, gate, limits=Limits(idle_s=0.05), framing=Letters())
    with ReceiverStand(spec, tmp_path / "wal") as stand:
        with connected(stand) as connection:
            assert is_closed(connection)
        assert stand.state.refused_requests == 0


def test_a_frame_that_crawls_ends_its_connection(stand: ReceiverStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STEP_WITHIN_S", 0.1)
    with connected(stand) as connection:
        connection.sendall(b"s\0\0\xff\xff" + b"x" * 100)
        assert is_closed(connection)
    assert "bytes of a frame came in" in (stand.state.last_error or "")


def test_one_connection_too_many_is_closed_and_there_is_room_again_when_one_leaves(stand: ReceiverStand) -> None:
    def greeted(stack: contextlib.ExitStack) -> bool:
        another = stack.enter_context(connected(stand, greeted=False))
        return read(another, len(HELLO)) == HELLO

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stand.wait_until(lambda: greeted(stack), "a connection is greeted")
        assert not greeted(stack)
        assert stand.state.last_error == "4 connections are open already"
    with contextlib.ExitStack() as stack:
        stand.wait_until(lambda: greeted(stack), "a new connection is greeted")


def test_many_connections_at_once_are_served(gate: Gate, tmp_path: Path, otlp_request: RequestOf) -> None:
    spec = ReceiverSpec("tcp", "tcp", 0, gate, framing=Letters())
    with ReceiverStand(spec, tmp_path / "wal") as stand, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(stand)) for _ in range(200)]
        for number, connection in enumerate(connections, start=1):
            connection.sendall(frame(b"s", otlp_request(1, first=number).SerializeToString()))
        stand.wait_until(lambda: stand.state.spans == 200, "all spans are in the log")


def test_a_full_disk_makes_a_connection_wait_and_not_be_read(stand: ReceiverStand, otlp_request: RequestOf) -> None:
    stand.is_full = True
    with connected(stand) as connection:
        connection.settimeout(0.2)
        body = frame(b"s", otlp_request(50).SerializeToString())
        with pytest.raises(TimeoutError):  # the kernel's buffers are full: nobody reads
            connection.sendall(body * ((64 << 20) // len(body)))
        assert stand.intake.statistics().in_flight_bytes <= 256 << 10
        stand.wait_until(lambda: "reserve" in (stand.state.last_error or ""), "the reason is told")
        assert stand.logged() == []
        stand.is_full = False
        stand.wait_until(lambda: stand.state.spans > 0, "it is written")
    assert stand.state.spans % 50 == 0


def test_a_full_disk_holds_no_connection_up_for_longer_than_the_server_runs(
    stand: ReceiverStand, otlp_request: RequestOf
) -> None:
    stand.is_full = True
    with connected(stand) as connection:
        connection.sendall(frame(b"s", otlp_request(1).SerializeToString()))
        stand.wait_until(lambda: stand.state.last_error is not None, "it waits")
        stand.restart()
        assert is_closed(connection)
    assert stand.logged() == []


def test_what_was_read_is_written_when_the_server_stops(
    stand: ReceiverStand, gate: Gate, otlp_request: RequestOf
) -> None:
    gate.open.clear()
    with connected(stand) as connection:
        connection.sendall(frame(b"s", otlp_request(3).SerializeToString()))
        assert gate.entered.wait(100)
        threading.Timer(0.1, gate.open.set).start()
        stand.restart()
        assert is_closed(connection)
    assert len(stand.logged()) == 3
