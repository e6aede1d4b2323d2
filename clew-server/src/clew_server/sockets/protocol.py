"""One HTTP connection: uvicorn's protocol with bounded heads, deadlines, and answers to clients that closed their half."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clew_server.sockets.http2 import PREFACE, Relays

MAX_HEAD_BYTES = 32 << 10
"""Request line and headers together, also what chunked bodies carry beside their bytes (sizes, extensions, trailers)."""
MAX_HEADERS = 100
MAX_PIPELINED = 32
"""Requests sent ahead on one connection, before the first is answered."""

KEEP_ALIVE_S = 75
"""Longer than the 5, 10 or 60 s between two sends of an exporter, so that its connection stays open."""
HEAD_WITHIN_S = 20.0
BODY_PAUSE_S = 60.0
"""Without `BODY_STEP_BYTES` in this time the connection is closed, in every handler."""
BODY_STEP_BYTES = 512
DRAIN_WITHIN_S = 30.0
"""How long the rest of a body is read and discarded after its request was refused."""
SEND_PAUSE_S = 30.0
"""A connection whose client reads nothing of its answer for this long is closed."""

_MARGIN_S = 5.0
"""After the time to keep a connection uvicorn closes those that had a request; so much later, those that never had one are closed here."""

_ANSWERED_WITHIN_S = 0.05
"""When it is looked for the first time whether an interim answer was refused; each second after that."""

# In chunks of one byte each byte of the body costs five bytes on the wire.
_CHUNK_OVERHEAD = 16


class HttpProtocol(HttpToolsProtocol):
    """What uvicorn leaves unbounded is bounded here; `sweep` is called about once a second for every connection."""

    transport: asyncio.Transport
    flow: FlowControl
    repair: Callable[[bytes], bytes] | None = None
    head_bytes = MAX_HEAD_BYTES
    asks_whether_left = False
    """As `HttpServer` says, all three."""
    http2: Relays | None = None
    """Takes a connection that turns out to be HTTP/2; None once it is known that it is not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._now_s = self.loop.time
        self._in_message = False
        self._in_head = False
        self._head_since_s = 0.0
        self._head_bytes = 0
        self._messages = 0
        self._received = 0
        self._body_bytes = 0
        self._step_since_s = 0.0
        self._step_from_bytes = 0
        self._idle_since_s = self._now_s()
        self._answered_early_s: float | None = None
        self._unsent_bytes = 0
        self._unsent_since_s = 0.0
        self._begun = b""
        self._was_asked = False

    # What arrives

    def data_received(self, data: bytes) -> None:
        if self.http2 is not None:
            data = self._without_http2(data, self.http2)
            if not data:
                return
        if self.repair is not None and not self._in_message:
            data = self.repair(data)
        self._received += len(data)
        if self._in_message and not self._in_head:
            self._check_overhead()
        # A head that begins behind another request in the same bytes is counted from the next bytes on.
        counted = -1 if self._in_message and not self._in_head else self._messages + (not self._in_head)
        super().data_received(data)
        if self._in_head and self._messages == counted:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_bytes:
                self._refuse(b"431 Request Header Fields Too Large", _too_much_head(self.head_bytes))

    def _without_http2(self, data: bytes, relays: Relays) -> bytes:
        """The first bytes of a connection, once there are so many that they are known to be a request of HTTP/1.1."""
        begun = self._begun + data
        if not PREFACE.startswith(begun[: len(PREFACE)]):
            self.http2, self._begun = None, b""
            return begun
        self._begun = begun
        if len(begun) >= len(PREFACE):
            self.connections.discard(self)
            relays.take(self.transport, begun)
        return b""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._messages += 1
        self._head_bytes = 0
        self._head_since_s = self._now_s()
        self._answered_early_s = None

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._received = self._body_bytes = 0
        self._step_since_s, self._step_from_bytes = self._now_s(), 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        app = self.app
        if size > self.head_bytes or len(self.headers) > MAX_HEADERS:
            self.app = _Answer431(_too_much_head(self.head_bytes))
            self.url = self.url[:MAX_HEAD_BYTES]  # from 64 KiB on httptools takes an address for none
        try:
            super().on_headers_complete()
        finally:
            self.app = app
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._idle_since_s = self._now_s()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._idle_since_s = self._now_s()
        if self._in_message and not self._in_head:
            self._answered_early_s = self._now_s()
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature
        """True keeps the connection for answers that are owed: the client closed its half after whole requests."""
        owed = [self.cycle, *(cycle for cycle, _ in self.pipeline)] if self.cycle is not None else []
        if self._in_message or not owed or all(cycle.response_complete for cycle in owed):
            return False
        self.cycle.keep_alive = False  # the newest: the connection ends behind its answer
        if self.asks_whether_left:
            self._ask_whether_left()
        return True

    def _ask_whether_left(self) -> None:
        """Send an interim answer: a client that closed its half reads over it, and the system of one that has gone refuses it.

        Without it the two look alike until the answer is sent, which is computed in vain for one that has gone.
        """
        cycle = self.cycle
        if self.pipeline or cycle.response_started or cycle.scope["http_version"] != "1.1":
            return
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._was_asked = True
        self.loop.call_later(_ANSWERED_WITHIN_S, self._end_if_left)

    def _end_if_left(self) -> None:
        if not self.transport.is_closing() and self.transport.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.transport.abort()

    # What does not

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being asked or answered on this connection."""
        return not self._in_message and (self.cycle is None or self.cycle.response_complete)

    @property
    def at_rest_since_s(self) -> float:
        """When the last request or answer ended, on the loop's clock."""
        return self._idle_since_s

    def sweep(self, now_s: float) -> None:
        """Close the connection when it is over one of the times above."""
        if self.transport is None:
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent_bytes or not unsent:
            self._unsent_bytes, self._unsent_since_s = unsent, now_s
        elif now_s - self._unsent_since_s > SEND_PAUSE_S:
            self.transport.abort()
            return
        if self._was_asked:
            self._end_if_left()
        if self.transport.is_closing():
            return
        if self._in_head:
            if now_s - self._head_since_s > HEAD_WITHIN_S:
                self._refuse(b"408 Request Timeout", _HEAD_TOO_SLOW)
        elif self._in_message:
            self._sweep_body(now_s)
        elif self.is_at_rest and now_s - self._idle_since_s > self.timeout_keep_alive + _MARGIN_S:
            self.transport.close()

    def _sweep_body(self, now_s: float) -> None:
        if self._answered_early_s is not None:
            if now_s - self._answered_early_s > DRAIN_WITHIN_S:
                self.transport.abort()
        elif self.flow.read_paused or self._body_bytes - self._step_from_bytes >= BODY_STEP_BYTES:
            self._step_since_s, self._step_from_bytes = now_s, self._body_bytes
        elif now_s - self._step_since_s > BODY_PAUSE_S:
            self.transport.abort()

    def _check_overhead(self) -> None:
        if self._received - self._body_bytes > (256 << 10) + MAX_HEAD_BYTES + _CHUNK_OVERHEAD * self._body_bytes:
            self.transport.abort()

    def _refuse(self, status: bytes, sentence: bytes) -> None:
        self._in_head = self._in_message = False
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                b"content-length: " + str(len(sentence)).encode() + b"\r\n\r\n" + sentence
            )
        self.transport.close()


_HEAD_TOO_SLOW = f"the head of the request was not whole within {HEAD_WITHIN_S:.0f} s".encode()


def _too_much_head(head_bytes: int) -> bytes:
    return f"the request line and its headers hold at most {head_bytes} bytes and {MAX_HEADERS} headers".encode()


class _Answer431:
    """An application that refuses what it is asked."""

    def __init__(self, sentence: bytes) -> None:
        self._sentence = sentence

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(self._sentence)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 431, "headers": headers})
        await send({"type": "http.response.body", "body": self._sentence})
