"""Reads the messages of gRPC calls, each within its time, and ends all reads when the server stops."""

from __future__ import annotations

import asyncio
import math

import grpc.aio

from clew_server.errors import BadInput, Unavailable

MESSAGE_WITHIN_S = 60.0
"""Time for the one message of a unary call, since gRPC does not say how much of it has arrived."""
_STOPPING = "clew is stopping; send what comes next again"

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
        now_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now_s + idle_s, self._ends_at_s)) as patience:
                self._waiting.add(patience)
                try:
                    message = await context.read()
                finally:
                    self._waiting.discard(patience)
        except TimeoutError:
            if self._ending.is_set():
                raise Unavailable(_STOPPING) from None
            raise Unavailable(f"no message came within {idle_s:.0f} s; open the stream again") from None
        return message if isinstance(message, bytes) else None

    async def until_the_end(self) -> None:
        """Wait until the server stops; then raises Unavailable. A client that leaves cancels the wait."""
        await self._ending.wait()
        raise Unavailable(_STOPPING)
