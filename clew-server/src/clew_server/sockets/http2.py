"""HTTP/2 at an HTTP/1.1 port: a connection that begins as HTTP/2's do is handed on, byte for byte, to a gRPC server behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from clew_server.sockets.listening import with_port

_log = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of a client that uses HTTP/2 without negotiating it first (RFC 9113, 3.4). No HTTP/1.1 request begins so."""


class Relays:
    """The connections of one port that are handed on.

    `server` says where the gRPC server listens, on loopback, and may start it: it is asked when a connection comes.
    `most`: how many there may be at once; one more is closed.
    """

    def __init__(self, server: Callable[[], Awaitable[tuple[str, int]]], *, most: int) -> None:
        self._server = server
        self._most = most
        self._open: set[asyncio.Transport] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._clients: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def client(self, peer: str) -> str:
        """The client of a connection that the gRPC server sees as `peer`, `host:port`; `peer` itself where it is not known."""
        return self._clients.get(peer, peer)

    def take(self, transport: asyncio.Transport, first: bytes) -> None:
        """Pass on a connection of which `first` was read already. The caller must not use it any more."""
        if len(self._open) >= self._most:
            transport.abort()
            return
        transport.pause_reading()
        near = _Half(lambda: self._open.discard(transport))
        near.transport = transport
        transport.set_protocol(near)
        self._open.add(transport)
        task = asyncio.get_running_loop().create_task(self._connect(near, first))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def close(self) -> None:
        """End those that are still open."""
        for task in list(self._connecting):
            task.cancel()
        for transport in list(self._open):
            transport.abort()

    async def _connect(self, near: _Half, first: bytes) -> None:
        peer = ""
        far = _Half(lambda: self._clients.pop(peer, None))
        try:
            host, port = await self._server()
            await asyncio.get_running_loop().create_connection(lambda: far, host, port)
        except OSError as error:
            _log.warning("an HTTP/2 connection could not be passed to the gRPC server: %s", error)
            near.transport.abort()
            return
        except BaseException:
            near.transport.abort()
            raise
        if near.is_lost:
            far.transport.abort()
            return
        peer = with_port(*far.transport.get_extra_info("sockname")[:2])
        client = near.transport.get_extra_info("peername")
        self._clients[peer] = with_port(*client[:2]) if client else peer
        near.other, far.other = far.transport, near.transport
        far.transport.write(first)
        near.transport.resume_reading()


class _Half(asyncio.Protocol):
    """One side of a connection: what it reads the other side writes, as fast as that can. Where one ends, the other does: a gRPC
    server answers nothing more to a client that closed its half."""

    transport: asyncio.Transport
    other: asyncio.Transport | None = None

    def __init__(self, when_lost: Callable[[], Any]) -> None:
        self._when_lost = when_lost
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._when_lost()
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.resume_reading()
