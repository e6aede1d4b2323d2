"""Ports for the demo: the usual one, or a free one where that is taken."""

from __future__ import annotations

import contextlib
import secrets
import socket

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 32_767
"""Below the ports that Linux hands out by itself: a connection of another program would take one before the child listens on it."""


def is_free(port: int) -> bool:
    """Whether a server could listen on loopback at `port` now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A port on which no process listens, and not one of `taken`."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST + 1)
        if port not in taken and is_free(port):
            return port


def is_listening(port: int) -> bool:
    """Whether a process accepts connections on loopback at `port`."""
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
