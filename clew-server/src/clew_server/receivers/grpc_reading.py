"""Reads the messages of gRPC calls, each within its time, and ends all reads when the server stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import grpc.aio

from clew_server.collector.intake import Reservation
from clew_server.errors import BadInput, Unavailable

MESSAGE_WITHIN_S = 60.0
"""Time for the one message of a unary call, since gRPC does not say how much of it has arrived."""
_STOPPING = "clew is stopping; send what comes next again"
_AHEAD = 256
"""Messages of one stream that are read while those before them are handled."""
_AHEAD_BYTES = 1 << 20
"""No further message is read while so many bytes of a stream wait."""

T = TypeVar("T")
_Context = grpc.aio.ServicerContext[bytes, bytes]


class Reading:
    """The reads of one listener. Belongs to its event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self._ends_at_s = math.inf
        self._ending = asyncio.Event()

    def end_within(self, grace_s: float) -> None:
        """Calls whose client has not sent all by then end with UNAVAILABLE: reads of `next` raise."""
        self._ends_at_s = asyncio.get_running_loop().time() + grace_s
        for one in self._waiting:
            one.reschedule(self._ends_at_s)
        self._ending.set()

    async def only(self, context: _Context) -> bytes:
        """The one message of a unary call. Raises Unavailable when it takes too long, BadInput when there is none.

        Ending the call resets its stream, and grpc frees what had come.
        """
        try:
            async with asyncio.timeout(MESSAGE_WITHIN_S):
                message = await context.read()
        except TimeoutError:
            raise Unavailable(f"the message was not whole within {MESSAGE_WITHIN_S:.0f} s; send it again") from None
        if not isinstance(message, bytes):
            raise BadInput("the call ended without a message")
        return message

    async def next(self, context: _Context, idle_s: float) -> bytes | None:
        """The next message of a call, None behind the last. Raises Unavailable after `idle_s`, and when the server stops."""
        message = await self._within(idle_s, context.read())
        return message if isinstance(message, bytes) else None

    async def some(self, arriving: Arriving, idle_s: float) -> list[Arrived]:
        """The messages of a stream that have arrived and were not taken yet, at least one; none behind the last.

        Raises Unavailable after `idle_s` without one and when the server stops, and what reading raised, in each case after
        those that were read have been taken.
        """
        if asyncio.get_running_loop().time() >= self._ends_at_s:
            arriving.end(Unavailable(_STOPPING))
        elif not arriving.has_any:
            try:
                await self._within(idle_s, arriving.wait())
            except Unavailable as error:
                arriving.end(error)
        return arriving.take()

    async def _within(self, idle_s: float, reading: Awaitable[T]) -> T:
        now_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now_s + idle_s, self._ends_at_s)) as patience:
                self._waiting.add(patience)
                try:
                    return await reading
                finally:
                    self._waiting.discard(patience)
        except TimeoutError:
            if self._ending.is_set():
                raise Unavailable(_STOPPING) from None
            raise Unavailable(f"no message came within {idle_s:.0f} s; open the stream again") from None

    async def until_the_end(self) -> None:
        """Wait until the server stops; then raises Unavailable. A client that leaves cancels the wait."""
        await self._ending.wait()
        raise Unavailable(_STOPPING)


class Arrived(NamedTuple):
    """A message of a stream, and the room that it holds until it is handled."""

    body: bytes
    held: Reservation


class Arriving:
    """The messages of one stream, read by a task of its own while those before are handled: who handles them finds all at once
    that have come meanwhile. Belongs to the event loop."""

    def __init__(self, context: _Context, reserve: Callable[[int], Reservation]) -> None:
        """`reserve` is called with the size of each message; what it raises ends the reading."""
        self._context = context
        self._reserve = reserve
        self._waiting: list[Arrived] = []
        self._waiting_bytes = 0
        self._came = asyncio.Event()
        self._has_room = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def has_any(self) -> bool:
        """Whether `take` has something to give or to raise, or there will be nothing more."""
        return bool(self._waiting) or self._ended

    async def wait(self) -> None:
        """Return when `has_any`."""
        await self._came.wait()

    def take(self) -> list[Arrived]:
        """What has arrived; the caller gives its room back. None behind the last. Raises what ended the reading."""
        if not self._waiting and self._error is not None:
            raise self._error
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not self._ended:
            self._came.clear()
            self._has_room.set()
        return taken

    def end(self, why: Exception | None = None) -> None:
        """Read nothing more. What was read can be taken; behind it `take` raises `why`."""
        if not self._ended:
            self._ended, self._error = True, why
            self._reader.cancel()
            self._came.set()

    def close(self) -> None:
        """Read nothing more, and give back the bytes reserved for what was not taken."""
        self.end()
        for one in self._waiting:
            one.held.give_back()
        self._waiting.clear()

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            while True:
                while len(self._waiting) >= _AHEAD or self._waiting_bytes >= _AHEAD_BYTES:
                    self._has_room.clear()
                    await self._has_room.wait()
                message = await self._context.read()
                if not isinstance(message, bytes):
                    break
                self._waiting.append(Arrived(message, self._reserve(len(message))))
                self._waiting_bytes += len(message)
                self._came.set()
        except Exception as raised:  # whoever takes gets it
            error = raised
        finally:
            if not self._ended:
                self._ended, self._error = True, error
            self._came.set()
