"""Datagrams: none is lost while somebody can keep it, what is lost is counted, and one bad one costs itself only."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.config import Listening
from clew_server.receivers.contract import PROTOBUF, Head, Limits, OtlpBatch, ReceiverSpec, ReceiverState
from clew_server.receivers.listeners import open_listener
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.udp import kernel_drops
from clew_server.sockets.listening import PortTaken
from clew_server.testing import ReceiverStand

RequestOf = Callable[..., ExportTraceServiceRequest]


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
    spec = ReceiverSpec("udp", "udp", 0, gate, limits=Limits(queue_bytes=16 << 10))
    with ReceiverStand(spec, tmp_path / "wal") as running:
        yield running
        gate.open.set()


@pytest.fixture
def sender(stand: ReceiverStand) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(stand.address)
        yield sending


def _wait_until_read(stand: ReceiverStand) -> None:
    """Until the kernel holds no datagram for the receiver any more: its receive queue in /proc/net/udp."""
    port = f":{stand.address[1]:04X}"

    def unread() -> int:
        lines = Path("/proc/self/net/udp").read_text().splitlines()[1:]
        (found,) = (line.split() for line in lines if line.split()[1].endswith(port))
        return int(found[4].partition(":")[2], 16)

    stand.wait_until(lambda: unread() == 0, "all datagrams are read")


def test_datagrams_that_wait_become_one_record_of_the_log(
    stand: ReceiverStand, sender: socket.socket, gate: Gate, otlp_request: RequestOf
) -> None:
    gate.open.clear()
    sender.send(otlp_request(1).SerializeToString())
    assert gate.entered.wait(100)
    for first in range(2, 22):
        sender.send(otlp_request(1, first=first).SerializeToString())
    _wait_until_read(stand)
    gate.open.set()
    stand.wait_until(lambda: stand.state.spans == 21, "all spans are in the log")
    assert {one.span_id for one in stand.logged()} == {number.to_bytes(8, "big") for number in range(1, 22)}
    assert stand.intake.statistics().accepted_requests < 10
    assert stand.state.lost() == 0


def test_a_bad_datagram_is_counted_with_its_error_and_client_and_costs_the_others_nothing(
    stand: ReceiverStand, sender: socket.socket, gate: Gate, otlp_request: RequestOf
) -> None:
    gate.open.clear()
    for body in (
        otlp_request(1).SerializeToString(),
        b"\xff\xff\xff",
        b"bug",
        otlp_request(1, first=2).SerializeToString(),
    ):
        sender.send(body)
    gate.open.set()
    stand.wait_until(lambda: stand.state.spans == 2, "the good ones are in the log")
    assert stand.state.refused_requests == stand.intake.statistics().refused_requests == 2
    assert stand.state.last_error == "clew failed over this datagram; its log says more"
    assert stand.state.last_client == f"127.0.0.1:{sender.getsockname()[1]}"


def test_what_the_queue_cannot_hold_is_dropped_and_counted(
    stand: ReceiverStand, sender: socket.socket, gate: Gate, otlp_request: RequestOf
) -> None:
    gate.open.clear()
    sender.send(otlp_request(1).SerializeToString())
    assert gate.entered.wait(100)
    sent = 1
    while not stand.state.lost():  # 16 KiB
        sent += 1
        sender.send(otlp_request(10, first=100 * sent).SerializeToString())
        assert sent < 10_000
    gate.open.set()
    stand.wait_until(lambda: stand.state.spans == 1 + 10 * (sent - 1 - stand.state.lost()), "the rest is in the log")
    assert stand.state.as_dict()["dropped_datagrams"] == stand.state.lost() > 0


def test_datagrams_wait_while_the_disk_is_full(
    stand: ReceiverStand, sender: socket.socket, otlp_request: RequestOf
) -> None:
    stand.is_full = True
    sender.send(otlp_request(1).SerializeToString())
    stand.wait_until(lambda: "reserve" in (stand.state.last_error or ""), "the reason is told")
    assert stand.logged() == []
    stand.is_full = False
    stand.wait_until(lambda: len(stand.logged()) == 1, "it is in the log")
    assert stand.state.refused_requests == 0


def test_what_was_read_is_written_when_the_server_stops(
    stand: ReceiverStand, sender: socket.socket, gate: Gate, otlp_request: RequestOf
) -> None:
    gate.open.clear()
    for first in range(1, 50):
        sender.send(otlp_request(1, first=first).SerializeToString())
    assert gate.entered.wait(100)
    _wait_until_read(stand)
    threading.Timer(0.2, gate.open.set).start()
    stand.restart()
    assert len(stand.logged()) == 49


def test_the_kernel_is_asked_for_what_it_dropped(gate: Gate, otlp_request: RequestOf) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.bind(("127.0.0.1", 0))
        inode = os.fstat(unread.fileno()).st_ino
        assert kernel_drops(inode, is_ipv6=False) == 0
        for _ in range(50):
            sender.sendto(bytes(1000), unread.getsockname())
        dropped = kernel_drops(inode, is_ipv6=False)
        unread.setblocking(False)
        received = 0
        with contextlib.suppress(BlockingIOError):
            while unread.recv(2000):
                received += 1
        assert received + dropped == 50
        assert dropped
    assert kernel_drops(inode, is_ipv6=True) == 0


def test_a_taken_port_of_datagrams_is_a_taken_port(stand: ReceiverStand) -> None:
    second = open_listener(stand.spec, ReceiverState("udp", "udp"), Listening("udp", "127.0.0.1", stand.address[1]))
    with pytest.raises(PortTaken, match="--receive udp@HOST:PORT"):
        second.bind()
    second.close()


def test_the_state_can_be_asked_for_while_datagrams_of_new_clients_come() -> None:
    state = ReceiverState("udp", "udp")
    ended = threading.Event()

    def come() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            state.saw(f"10.0.0.1:{number % 3000}", number)

    thread = threading.Thread(target=come)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            assert state.connections(0) <= 1025
    finally:
        sys.setswitchinterval(before)
        ended.set()
        thread.join()
