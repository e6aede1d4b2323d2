"""Server-sent events, read as they come."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, Self

from harness.server import Server

Event = tuple[str, dict[str, Any]]


class Events:
    """An open `GET /api/v1/tail`. `head` is its answer; a refusal has no events."""

    def __init__(
        self, server: Server, *, headers: dict[str, str] | None = None, receive_bytes: int | None = None, **query: str
    ) -> None:
        """`receive_bytes`: of what the client's kernel takes before the program reads."""
        address = urllib.parse.urlsplit(server.http)
        self.connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=100)
        if receive_bytes is not None:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self.connection.sock.connect((address.hostname, address.port))
            self.connection.sock.settimeout(100)
        token = {} if server.token is None else {"Authorization": f"Bearer {server.token}"}
        path = "/api/v1/tail" + ("?" + urllib.parse.urlencode(query) if query else "")
        self.connection.request("GET", path, headers={**token, **(headers or {})})
        self.head = self.connection.getresponse()
        self.comments = 0
        self.last_id = ""

    def next(self) -> Event | None:
        """The next event; None at the end."""
        name, data = "", ""
        while line := self.head.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("id: "):
                self.last_id = text.removeprefix("id: ")
            elif text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                data = text.removeprefix("data: ")
            elif text == "" and name:
                return name, json.loads(data)
            elif text.startswith(":"):
                self.comments += 1
        return None

    def until(self, wanted: Callable[[str, dict[str, Any]], bool], timeout_s: float = 100) -> list[Event]:
        """All events up to one that is wanted."""
        deadline = time.monotonic() + timeout_s
        found: list[Event] = []
        while time.monotonic() < deadline:
            event = self.next()
            assert event is not None, f"it ended after {found[-3:]}"
            found.append(event)
            if wanted(*event):
                return found
        raise AssertionError(f"not within {timeout_s:.0f} s; last: {found[-3:]}")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.close()
        with contextlib.suppress(OSError):
            self.head.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
