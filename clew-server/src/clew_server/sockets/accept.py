"""Accepting connections: while descriptors are short, new connections get a 503 at once and the log one line now and then."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

_AT_ONCE = 128
_PAUSE_S = 0.2
_LOG_EVERY_S = 10.0
_OUT_OF_SYSTEM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SENTENCE = b"too many connections are open; try again in a moment"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_SENTENCE), _SENTENCE)
)


def raise_descriptor_limit() -> None:
    """Let this process hold as many files and sockets as it may: the soft limit of a shell is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connection_descriptor() -> int:
    """The highest descriptor a connection may have: the log and the store open files too, and must not run out of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    return int(soft) - max(32, min(soft // 4, 1024))


_LISTENER_IS_FULL = "this port has as many connections as it may have, and none of them is at rest"


def _out_of_descriptors() -> str:
    return f"this process may hold {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} files and sockets (ulimit -n)"


class Acceptor:
    """Takes connections of one listening socket; `close` and `wait_closed` are those of asyncio's servers."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        has_room: Callable[[int], bool] = lambda connecting: True,
        busy: bytes = _BUSY,
    ) -> None:
        """`has_room(connecting)` is asked before each connection, with the number of those that were accepted and have no
        protocol yet; where it says no, the connection gets `busy`, a 503, and is closed.
        """
        self._busy = busy
        self._has_room = has_room
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._most_descriptor = most_connection_descriptor()
        self._spare: int | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._connecting: set[socket.socket] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._is_open = False
        self._shed_count = 0
        self._logged_s = -_LOG_EVERY_S

    def start(self) -> None:
        self._is_open = True
        self._listener.setblocking(False)
        self._take_spare()
        self._loop.add_reader(self._listener, self._on_ready)

    def close(self) -> None:
        """Accept nothing more; connections that are open stay."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._listener)
        if self._resume is not None:
            self._resume.cancel()
        self._drop_spare()

    async def wait_closed(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_ready(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._on_failure(error)
                return
            if connection.fileno() > self._most_descriptor:
                self._shed(connection, _out_of_descriptors())
                continue
            if not self._has_room(len(self._connecting)):
                self._shed(connection, _LISTENER_IS_FULL)
                continue
            connection.setblocking(False)
            self._connecting.add(connection)
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        def make() -> asyncio.Protocol:
            # asyncio calls `connection_made` right behind this, where the protocol's owner counts it: at no time is it counted
            # twice or not at all.
            self._loop.call_soon(self._connecting.discard, connection)
            return self._make_protocol()

        try:
            await self._loop.connect_accepted_socket(make, connection)
        except OSError:  # already closed
            connection.close()
        finally:
            self._connecting.discard(connection)

    def _on_failure(self, error: OSError) -> None:
        if error.errno in _OUT_OF_SYSTEM:
            # One descriptor is kept for this: clients in the queue are refused instead of waiting without an answer.
            self._drop_spare()
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                self._shed(connection, _out_of_descriptors())
            self._take_spare()
        self._say(f"a connection could not be accepted: {error.strerror or error}")
        self._loop.remove_reader(self._listener)
        self._resume = self._loop.call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener, self._on_ready)

    def _shed(self, connection: socket.socket, why: str) -> None:
        """Answer whatever was asked with the refusal, and close without a reset that would overtake the answer."""
        self._shed_count += 1
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(self._busy)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(64 << 10)
        connection.close()
        self._say(f"connections are refused: {why}")

    def _say(self, sentence: str) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            _log.warning("%s; %d were refused so far", sentence, self._shed_count)

    def _take_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _drop_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
