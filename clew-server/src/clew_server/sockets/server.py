"""An HTTP port: uvicorn with our connection class, our accept loop, and a check of all connections each second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from clew_server.sockets.accept import Acceptor
from clew_server.sockets.http2 import Relays
from clew_server.sockets.protocol import KEEP_ALIVE_S, MAX_HEAD_BYTES, HttpProtocol

_SWEEP_EVERY_S = 1.0
_SAME_LINE_EVERY_S = 10.0
_GIVE_WAY_PART = 16


class HttpServer(uvicorn.Server):
    """`serve(sockets=[listener])` runs until `should_exit`. It touches no signal handler: the app stops it.

    `connections`: how many may be open at once; beyond it, those at rest for longest give way, else a new one gets a 503.
    `repair`: what the first bytes of a request are turned into before they are read, for clients that do not write HTTP.
    `http2`: takes connections that begin as HTTP/2's do; they count as connections too.
    `asks_whether_left`: a client that closes its half while its answer is computed is asked by `100 Continue` whether it is still there;
    its request is ended where it is not.
    `head_bytes`: how much a request line and its headers may have, 64 KiB at most.
    """

    def __init__(
        self,
        app: Any,
        *,
        connections: int | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
        repair: Callable[[bytes], bytes] | None = None,
        http2: Relays | None = None,
        asks_whether_left: bool = False,
        head_bytes: int = MAX_HEAD_BYTES,
    ) -> None:
        self._connections = connections
        self._repair = repair
        self._http2 = http2
        self._asks_whether_left = asks_whether_left
        self._head_bytes = head_bytes
        self._leaving = 0
        self._should_exit = False
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=max(1, int(keep_alive_s)),
                timeout_graceful_shutdown=3,
            )
        )
        _bound_log()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @property
    def should_exit(self) -> bool:
        """Set it, on any thread, to end `serve`."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, wanted: bool) -> None:
        self._should_exit = wanted
        if wanted and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._ending.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on `sockets`, which must be listening."""
        await self.lifespan.startup()

        def make_protocol() -> asyncio.Protocol:
            protocol = HttpProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
            protocol.repair = self._repair
            protocol.http2 = self._http2
            protocol.asks_whether_left = self._asks_whether_left
            protocol.head_bytes = self._head_bytes
            return protocol

        acceptors = [Acceptor(listener, make_protocol, has_room=self._has_room) for listener in sockets or ()]
        for acceptor in acceptors:
            acceptor.start()
        self.servers: list[Any] = list(acceptors)
        self.started = True

    def _has_room(self, connecting: int) -> bool:
        """Whether one more connection may be open. At the limit, a part of those at rest is closed at once."""
        limit = self._connections
        total = len(self.server_state.connections) + connecting + (len(self._http2) if self._http2 is not None else 0)
        if limit is None or total < limit:
            self._leaving = 0
            return True
        if total < limit + self._leaving:
            return True
        connections = [one for one in self.server_state.connections if isinstance(one, HttpProtocol)]
        resting = sorted(
            (one for one in connections if one.is_at_rest and not one.transport.is_closing()),
            key=lambda one: one.at_rest_since_s,
        )[: max(1, limit // _GIVE_WAY_PART)]
        for connection in resting:
            connection.transport.close()
        self._leaving = len(resting)
        return bool(resting)

    async def main_loop(self) -> None:
        """As uvicorn's, but it wakes once a second or when it shall end, not ten times a second: a server at rest costs less."""
        self._loop = asyncio.get_running_loop()
        tenths = 0
        while not await self.on_tick(tenths):
            tenths = (tenths + 10) % 864_000  # on_tick counts in uvicorn's ticks
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_EVERY_S):
                    await self._ending.wait()

    async def on_tick(self, counter: int) -> bool:
        """Each second: end connections that are past their time."""
        now_s = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpProtocol):
                connection.sweep(now_s)
        return await super().on_tick(counter)


class _Rarely(logging.Filter):
    """Lets the same line through once in ten seconds: so that clients cannot fill the disk with log lines.

    That a request was ended since the server stops is no failure of the application, and not said with all its calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return False
        now_s, line = time.monotonic(), str(record.msg)
        if now_s - self._said_s.get(line, -_SAME_LINE_EVERY_S) < _SAME_LINE_EVERY_S:
            return False
        if len(self._said_s) > 100:
            self._said_s.clear()
        self._said_s[line] = now_s
        return True


def _bound_log() -> None:
    logger = logging.getLogger("uvicorn.error")
    if not any(isinstance(existing, _Rarely) for existing in logger.filters):
        logger.addFilter(_Rarely())


async def serve(
    app: Any,
    listener: socket.socket,
    *,
    connections: int | None = None,
    keep_alive_s: float = KEEP_ALIVE_S,
    repair: Callable[[bytes], bytes] | None = None,
    http2: Relays | None = None,
    asks_whether_left: bool = False,
    head_bytes: int = MAX_HEAD_BYTES,
) -> Callable[[], Awaitable[None]]:
    """Serve `app` on a listening socket, as `HttpServer` says; return, when it accepts connections, the function that stops it."""
    server = HttpServer(
        app,
        connections=connections,
        keep_alive_s=keep_alive_s,
        repair=repair,
        http2=http2,
        asks_whether_left=asks_whether_left,
        head_bytes=head_bytes,
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.005)

    async def stop() -> None:
        server.should_exit = True
        await task

    return stop
