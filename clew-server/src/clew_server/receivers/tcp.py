"""Receivers over TCP: frames of a declared length over connections that stay open, with a greeting and answers where a protocol has them.

Senders are told nothing of a frame's fate, so nothing is promised: what a connection sent is written to the log as soon as it is
there, and while the log has no room the connection is not read, so that the sender's own buffer fills and not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Sequence

from clew_server.collector.intake import GAVE_WAY, Intake, Reservation
from clew_server.errors import BadInput, TooLarge, Unavailable
from clew_server.receivers.canonical import joined
from clew_server.receivers.contract import Frame, Framing, Head, OtlpBatch, ReceiverSpec, ReceiverState
from clew_server.receivers.decoding import NO_MEMORY, UNFORESEEN, Decoding
from clew_server.sockets.accept import Acceptor

logger = logging.getLogger(__name__)

STEP_BYTES, STEP_WITHIN_S = 512, 10.0
"""A frame may arrive slowly, but at least this much of it within this time."""
_AHEAD_BYTES = 128 << 10
"""So much is read of a connection while the frames before it are written."""
_LOG_EVERY_S = 60.0
_NO_HEAD = Head()
_NOTHING = OtlpBatch(b"", b"", 0, None, {})


class TcpReceiver:
    """One TCP listener. All of it belongs to one event loop."""

    def __init__(self, spec: ReceiverSpec, intake: Intake, state: ReceiverState, listener: socket.socket) -> None:
        assert spec.framing is not None
        self.spec = spec
        self.framing: Framing = spec.framing
        self.intake = intake
        self.state = state
        self.decoding = Decoding(spec)
        self.is_stopping = False
        self.connections: set[_Connection] = set()
        self._listener = listener
        self._acceptor: Acceptor | None = None
        self._last_number = 0
        self._logged_s = -_LOG_EVERY_S

    def start(self) -> None:
        """Take connections from now on."""
        self._acceptor = Acceptor(self._listener, lambda: _Connection(self), has_room=self._has_room, busy=b"")
        self._acceptor.start()

    async def stop(self, within_s: float = 2.0) -> None:
        """Take nothing new, and write what was read, as far as `within_s` allows."""
        self.is_stopping = True
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        tasks = [connection.end() for connection in list(self.connections)]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self.decoding.close()

    def number(self) -> int:
        """A number that is greater than all before it, also than those before a restart."""
        self._last_number = max(self._last_number + 1, time.time_ns() // 1000)
        return self._last_number

    def refuse(self, why: str) -> None:
        """Count what was not taken."""
        self.state.refused(why)
        self.intake.note_refused()

    def foresaw_not(self, what: str) -> None:
        """Write an unexpected exception to the log, now and then, so that a sender cannot fill the disk with it."""
        if time.monotonic() - self._logged_s > _LOG_EVERY_S:
            self._logged_s = time.monotonic()
            logger.exception("%s of %s failed unexpectedly", what, self.spec.name)

    def _has_room(self, connecting: int) -> bool:
        if len(self.connections) + connecting < self.spec.limits.connections:
            return True
        self.refuse(f"{self.spec.limits.connections} connections are open already")
        return False


class _Over(Exception):
    """The connection ends now. With a sentence when something of it was not taken."""


class _Connection(asyncio.Protocol):
    """One connection: bytes come in by asyncio's callbacks, a task of its own cuts and handles the frames."""

    def __init__(self, receiver: TcpReceiver) -> None:
        self._receiver = receiver
        self._limits = receiver.spec.limits
        self._buffer = bytearray()
        self._came = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._ended = False
        self._gave_way = False
        self._is_paused = False
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else "unix"
        self._receiver.connections.add(self)
        if greeting := self._receiver.framing.greeting(time.time_ns()):
            transport.write(greeting)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _AHEAD_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._came.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._came.set()
        return True  # what it asked for can still be answered

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._came.set()
        self._can_write.set()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    # What the receiver calls

    def end(self) -> asyncio.Task[None]:
        """Read nothing more. The task that is returned ends when what was read is handled."""
        self._is_paused = True  # for good
        with contextlib.suppress(RuntimeError):
            self._transport.pause_reading()
        self._ended = True
        self._came.set()
        return self._task

    # The task

    async def _run(self) -> None:
        receiver = self._receiver
        try:
            await self._converse()
        except _Over as error:
            if str(error) and not receiver.is_stopping:
                receiver.refuse(str(error))
        except MemoryError:
            receiver.refuse(NO_MEMORY)
        except Exception:
            receiver.foresaw_not("a connection")
            receiver.refuse(UNFORESEEN)
        finally:
            receiver.connections.discard(self)
            self._transport.close()

    async def _converse(self) -> None:
        while True:
            if not self._buffer:
                if self._ended:
                    return
                await self._more(self._limits.idle_s, "")
                continue
            await self._room()
            try:
                with self._receiver.intake.reserve(on_gone=self._give_way) as reservation:
                    frames = await self._whole_frames(reservation)
                    reservation.whole()
                    await self._take(frames, reservation)
            except Unavailable as error:
                raise _Over(str(error)) from error

    def _give_way(self) -> None:
        """Called from any thread."""
        self._gave_way = True
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._task.get_loop().call_soon_threadsafe(self._came.set)

    async def _room(self) -> None:
        """Wait until the log takes something again. Nothing is read meanwhile."""
        while True:
            try:
                self._receiver.intake.check_room()
            except Unavailable as error:
                self._receiver.state.last_error = str(error)
                if self._receiver.is_stopping:
                    raise _Over(str(error)) from error
                await asyncio.sleep(min(error.retry_after_s, 0.2))
            else:
                return

    async def _more(self, within_s: float, or_else: str) -> None:
        """Wait for bytes, or for the end of the connection. Raises _Over with the sentence when the time is over."""
        self._came.clear()
        if self._is_paused and not self._ended:
            self._is_paused = False
            self._transport.resume_reading()
        try:
            async with asyncio.timeout(within_s):
                await self._came.wait()
        except TimeoutError:
            raise _Over(or_else) from None

    async def _whole_frames(self, reservation: Reservation) -> list[tuple[bytes, bytes]]:
        """Heads and bodies of the frames that are whole, at least one."""
        loop = asyncio.get_running_loop()
        step, until_s = len(self._buffer), loop.time() + STEP_WITHIN_S
        while True:
            reservation.grow_to(len(self._buffer))
            frames = self._cut()
            if frames:
                return frames
            if self._ended:
                raise _Over("the connection ended in the middle of a frame")
            await self._more(
                until_s - loop.time(),
                f"less than {STEP_BYTES} bytes of a frame came in {STEP_WITHIN_S:.0f} s",
            )
            if self._gave_way:
                raise _Over(GAVE_WAY)
            if len(self._buffer) - step >= STEP_BYTES:
                step, until_s = len(self._buffer), loop.time() + STEP_WITHIN_S

    def _cut(self) -> list[tuple[bytes, bytes]]:
        framing, buffer = self._receiver.framing, self._buffer
        frames: list[tuple[bytes, bytes]] = []
        at = 0
        why_over = ""
        while len(buffer) - at >= framing.head_bytes:
            body = at + framing.head_bytes
            head = bytes(buffer[at:body])
            try:
                length = framing.length(head)
            except BadInput as error:
                why_over = str(error)
                break
            if length > self._limits.message_bytes:
                why_over = f"{length} bytes: a frame holds at most {self._limits.message_bytes}"
                break
            if len(buffer) - body < length:
                break
            at = body + length
            frames.append((head, bytes(buffer[body:at])))
        if why_over and not frames:
            raise _Over(why_over)
        del buffer[:at]
        return frames

    async def _take(self, frames: Sequence[tuple[bytes, bytes]], reservation: Reservation) -> None:
        """Write the spans of these frames to the log in one piece, then answer."""
        receiver = self._receiver
        receiver.state.saw(self._peer, time.time_ns())
        batches: list[OtlpBatch] = []
        answers: list[bytes] = []
        for head, body in frames:
            try:
                frame = receiver.framing.frame(head, body, receiver.number())
                answers.append(frame.answer)
                batch = await self._decoded(frame, reservation)
            except MemoryError:
                receiver.refuse(NO_MEMORY)
            except TooLarge as error:
                receiver.refuse(str(error))
            except BadInput as error:
                receiver.refuse(str(error))
            except Exception:
                receiver.foresaw_not("a frame")
                receiver.refuse(UNFORESEEN)
            else:
                if batch is not None:
                    batches.append(batch)
        if batches:
            await self._accept(joined(batches))
        if any(answers) and not self._transport.is_closing():
            self._transport.write(b"".join(answers))
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    await self._can_write.wait()
            except TimeoutError:
                raise _Over("the sender does not read what it asked for") from None

    async def _decoded(self, frame: Frame, reservation: Reservation) -> OtlpBatch | None:
        if frame.spans is not None:
            return await self._receiver.decoding.run(frame.spans, _NO_HEAD, reservation)
        return _NOTHING._replace(dropped={frame.dropped: 1}) if frame.dropped else None

    async def _accept(self, batch: OtlpBatch) -> None:
        """Hand the batch to the intake; while that has no room, wait, and read nothing."""
        receiver = self._receiver
        while True:
            try:
                await receiver.intake.accept(batch)
            except Unavailable as error:
                receiver.state.last_error = str(error)
                if receiver.is_stopping:
                    raise _Over(str(error)) from error
                await asyncio.sleep(min(error.retry_after_s, 0.2))
            else:
                receiver.state.took(batch)
                return
