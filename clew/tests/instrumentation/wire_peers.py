"""Small servers on loopback that answer what clients of HTTP, Redis and MongoDB need, and remember what was asked."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson


class Peer(socketserver.BaseRequestHandler):
    """Answers every HTTP request with 200, and every Redis command with OK; remembers what was asked."""

    def handle(self) -> None:
        while True:
            data = self.request.recv(65_536)
            if not data:
                return
            self.server.asked.append(data)  # type: ignore[attr-defined]
            if data.startswith(b"*"):
                self.request.sendall(b"+OK\r\n" * sum(line.startswith(b"*") for line in data.split(b"\r\n")))
            else:
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class MongoPeer(socketserver.BaseRequestHandler):
    """Answers each MongoDB command with `ok`, and `find` with an error."""

    def handle(self) -> None:
        stream = self.request.makefile("rb")
        while head := stream.read(16):
            size, number, _, _ = struct.unpack("<4i", head)
            stream.read(4)  # flags
            stream.read(1)  # a section that is one document
            command = bson.decode(stream.read(size - 21))
            answer: dict[str, Any] = {"ok": 1, "isWritablePrimary": True, "maxWireVersion": 21, "minWireVersion": 0}
            if "find" in command:
                answer = {"ok": 0, "errmsg": "refused", "code": 13}
            body = struct.pack("<ib", 0, 0) + bson.encode(answer)
            self.request.sendall(struct.pack("<4i", 16 + len(body), 1, number, 2013) + body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[Server]:
    """A server on a port of its own that answers by `handler`."""
    with Server(handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
