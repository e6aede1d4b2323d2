"""Receivers over UDP: a thread that only reads, one that decodes what has come and writes it to the log in one piece.

Nobody is told anything here, so nothing is promised: what cannot be kept is counted. Datagrams that the kernel had to drop
because nobody read them in time are counted by it, in `/proc/net/udp`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from pathlib import Path

from clew_server.collector.intake import Intake
from clew_server.errors import BadInput, Unavailable
from clew_server.receivers.canonical import joined
from clew_server.receivers.contract import Head, OtlpBatch, ReceiverSpec, ReceiverState
from clew_server.receivers.memory import memory_errors

logger = logging.getLogger(__name__)

_LARGEST_DATAGRAM_BYTES = 65_535
_AT_ONCE_BYTES = 1 << 20
"""Datagrams that are decoded together and become one record of the log."""
_AN_EMPTY_ONE_COUNTS_BYTES = 64
_LOG_EVERY_S = 60.0
_NO_HEAD = Head()


class UdpReceiver:
    """One UDP listener. `start` and `stop` belong to the event loop whose intake is asked; the socket is the receiver's own."""

    def __init__(self, spec: ReceiverSpec, intake: Intake, state: ReceiverState, datagrams: socket.socket) -> None:
        self._spec = spec
        self._intake = intake
        self._socket = datagrams
        self._inode = os.fstat(datagrams.fileno()).st_ino
        self._waiting: deque[tuple[bytes, str]] = deque()
        self._waiting_bytes = 0
        self._dropped_here = 0
        self._dropped_by_kernel = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []
        self._logged_s = -_LOG_EVERY_S
        self.state = state

    def start(self) -> None:
        """Read from now on."""
        self._loop = asyncio.get_running_loop()
        self.state.lost = self.dropped_datagrams
        self._threads = [
            threading.Thread(target=self._read, name=f"clew-read-{self._spec.name}", daemon=True),
            threading.Thread(target=self._work, name=f"clew-decode-{self._spec.name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def stop(self, within_s: float = 2.0) -> None:
        """Read nothing more, and write what was read, as far as `within_s` allows."""
        self._dropped_by_kernel = self._kernel_drops()
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)  # wakes the reading thread; an unconnected socket says it is none
        with self._changed:
            self._changed.notify_all()
        end_s = time.monotonic() + within_s
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, end_s - time.monotonic()))
        self._socket.close()

    def dropped_datagrams(self) -> int:
        """Datagrams lost since the start: by the kernel, whose buffer was full, and here, where the queue was."""
        if not self._stopping.is_set():
            self._dropped_by_kernel = max(self._dropped_by_kernel, self._kernel_drops())
        return self._dropped_by_kernel + self._dropped_here

    def _kernel_drops(self) -> int:
        return kernel_drops(self._inode, is_ipv6=self._socket.family == socket.AF_INET6)

    # The thread that reads

    def _read(self) -> None:
        buffer = bytearray(_LARGEST_DATAGRAM_BYTES)
        view = memoryview(buffer)
        while not self._stopping.is_set():
            try:
                size, peer = self._socket.recvfrom_into(buffer)
            except OSError as error:
                if self._stopping.is_set():
                    return
                logger.warning("%s: a datagram could not be read: %s", self._spec.name, error.strerror or error)
                self._stopping.wait(0.1)
                continue
            if peer is not None and not self._stopping.is_set():  # none: the socket was shut down
                self._queue(bytes(view[:size]), f"{peer[0]}:{peer[1]}")

    def _queue(self, datagram: bytes, peer: str) -> None:
        with self._changed:
            if self._waiting_bytes >= self._spec.limits.queue_bytes:
                self._dropped_here += 1
                return
            self._waiting.append((datagram, peer))
            self._waiting_bytes += len(datagram) + _AN_EMPTY_ONE_COUNTS_BYTES
            if len(self._waiting) == 1:
                self._changed.notify()

    # The thread that decodes

    def _work(self) -> None:
        while datagrams := self._next():
            batches = [batch for datagram, peer in datagrams if (batch := self._decoded(datagram, peer)) is not None]
            if batches:
                self._accept(joined(batches))

    def _next(self) -> list[tuple[bytes, str]]:
        """What has come, as much as is decoded together; waits for it. Nothing: the receiver stops."""
        taken: list[tuple[bytes, str]] = []
        size = 0
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
            while self._waiting and size < _AT_ONCE_BYTES:
                datagram, peer = self._waiting.popleft()
                taken.append((datagram, peer))
                size += len(datagram)
            self._waiting_bytes -= size + _AN_EMPTY_ONE_COUNTS_BYTES * len(taken)
        return taken

    def _decoded(self, datagram: bytes, peer: str) -> OtlpBatch | None:
        self.state.saw(peer, time.time_ns())
        try:
            with memory_errors():
                return self._spec.decode(datagram, _NO_HEAD)
        except (BadInput, MemoryError) as error:
            self._refuse(str(error) or "this machine is out of memory")
        except Exception:
            if time.monotonic() - self._logged_s > _LOG_EVERY_S:
                self._logged_s = time.monotonic()
                logger.exception("a datagram to %s failed unexpectedly", self._spec.name)
            self._refuse("clew failed over this datagram; its log says more")
        return None

    def _accept(self, batch: OtlpBatch) -> None:
        """Hand the batch to the intake; while that has no room, wait: the queue fills up meanwhile, and then drops."""
        assert self._loop is not None
        while True:
            try:
                asyncio.run_coroutine_threadsafe(self._intake.accept(batch), self._loop).result()
            except Unavailable as error:
                self.state.last_error = str(error)
                if self._stopping.wait(min(error.retry_after_s, 1.0)):
                    self._refuse(str(error))
                    return
            except Exception as error:
                self._refuse(f"{type(error).__name__}: {error}")
                return
            else:
                self.state.took(batch)
                return

    def _refuse(self, why: str) -> None:
        self.state.refused(why)
        self._intake.note_refused()


def kernel_drops(inode: int, *, is_ipv6: bool) -> int:
    """Datagrams that the kernel dropped at the socket with this inode; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/net/udp6" if is_ipv6 else "/proc/self/net/udp").read_text().splitlines()[1:]
    except OSError:
        return 0
    for line in lines:
        fields = line.split()
        if len(fields) >= 13 and fields[9] == str(inode):
            return int(fields[12])
    return 0
