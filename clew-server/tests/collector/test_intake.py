"""The one door: durable before acknowledged, once however often it comes, and bounded."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from clew_server.collector.intake import DiskRoom, Intake, default_reserve_bytes
from clew_server.collector.wal import Wal
from clew_server.errors import Unavailable


@dataclass
class Batch:
    received: bytes
    spans: int = 1
    heads: bytes | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    fragments: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    signal: str = "traces"

    @property
    def request(self) -> bytes:
        return self.received


def test_the_same_body_again_is_acknowledged_and_not_written(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    async def story() -> None:
        wal = open_wal()
        intake = Intake(wal)
        assert await intake.accept(Batch(request_of(1))) == (1, False)
        assert await intake.accept(Batch(request_of(1))) == (1, True)
        assert wal.statistics().backlog_spans == 1
        figures = intake.statistics()
        assert (figures.accepted_spans, figures.duplicate_requests) == (1, 1)

    asyncio.run(story())


def test_of_two_equal_bodies_at_once_the_second_waits_for_the_first(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    go_on = threading.Event()

    def slow(fd: int) -> None:
        assert go_on.wait(100)
        os.fdatasync(fd)

    async def story() -> None:
        wal = open_wal(fdatasync=slow)
        intake = Intake(wal)
        first = asyncio.create_task(intake.accept(Batch(request_of(1))))
        second = asyncio.create_task(intake.accept(Batch(request_of(1))))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        go_on.set()
        assert await asyncio.gather(first, second) == [(1, False), (1, True)]
        assert wal.statistics().backlog_spans == 1

    asyncio.run(story())


def test_equal_bodies_share_a_refusal_and_a_retry_is_written(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    failures = [OSError(5, "broken")]

    def sync(fd: int) -> None:
        if failures:
            raise failures.pop()

    async def story() -> None:
        wal = open_wal(fdatasync=sync)
        intake = Intake(wal)
        both = await asyncio.gather(*(intake.accept(Batch(request_of(1))) for _ in range(2)), return_exceptions=True)
        assert [type(outcome) for outcome in both] == [Unavailable, Unavailable]
        assert await intake.accept(Batch(request_of(1))) == (1, False)
        assert intake.statistics().accepted_spans == 1

    asyncio.run(story())


def test_a_sender_who_left_does_not_undo_the_second_one(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    go_on = threading.Event()

    def slow(fd: int) -> None:
        assert go_on.wait(100)

    async def story() -> None:
        intake = Intake(open_wal(fdatasync=slow))
        first = asyncio.create_task(intake.accept(Batch(request_of(1))))
        second = asyncio.create_task(intake.accept(Batch(request_of(1))))
        await asyncio.sleep(0)
        first.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == (1, True)
        assert intake.statistics().accepted_spans == 1

    asyncio.run(story())


def test_a_batch_without_spans_is_acknowledged_and_never_logged(open_wal: Callable[..., Wal]) -> None:
    async def story() -> None:
        wal = open_wal()
        intake = Intake(wal)
        assert await intake.accept(Batch(b"", spans=0, rejected={"span_id": 3})) == (0, False)
        assert wal.segments() == []
        assert intake.statistics().rejected_spans == {"span_id": 3}

    asyncio.run(story())


def test_a_full_disk_refuses_until_there_is_room_again(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    room = DiskRoom(10, 1000)

    async def story() -> None:
        nonlocal room
        intake = Intake(open_wal(), disk_room=lambda: room)
        with pytest.raises(Unavailable, match="below its reserve") as refusal:
            intake.reserve(10)
        assert refusal.value.retry_after_s > 0
        with pytest.raises(Unavailable, match="below its reserve"):
            await intake.accept(Batch(request_of(1)))
        room = DiskRoom(900, 1000)
        async with asyncio.timeout(100):
            while True:
                try:
                    await intake.accept(Batch(request_of(1)))
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_the_reserve_is_a_gigabyte_or_a_twentieth_of_a_small_disk() -> None:
    assert default_reserve_bytes(10**12) == 10**9
    assert default_reserve_bytes(10**9) == 5 * 10**7


def test_a_full_backlog_refuses(open_wal: Callable[..., Wal], request_of: Callable[..., bytes]) -> None:
    async def story() -> None:
        wal = open_wal()
        await Intake(wal).accept(Batch(request_of(1)))
        intake = Intake(wal, max_backlog_bytes=10)
        with pytest.raises(Unavailable, match="backlog is full"):
            await intake.accept(Batch(request_of(2)))

    asyncio.run(story())


def test_bytes_in_flight_are_bounded_and_given_back(open_wal: Callable[..., Wal]) -> None:
    intake = Intake(open_wal(), in_flight_bytes=100)
    with intake.reserve(60) as first:
        with pytest.raises(Unavailable, match="in flight"):
            intake.reserve(41)
        with intake.reserve(40), pytest.raises(Unavailable):
            first.grow_to(61)
        first.grow_to(100)
        first.grow_to(50)
        assert intake.statistics().in_flight_bytes == 100
    assert intake.statistics().in_flight_bytes == 0
