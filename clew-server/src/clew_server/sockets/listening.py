"""Sockets at an address: TCP that listens, UDP that receives. What goes wrong is said with what the user can change."""

from __future__ import annotations

import contextlib
import errno
import socket

UDP_BUFFER_BYTES = 8 << 20
"""Asked of the kernel for datagrams that arrive faster than they are read; it gives at most `net.core.rmem_max`."""


class PortTaken(Exception):
    """Another program listens where clew should; the message says which option moves it."""

    def __init__(self, host: str, port: int, option: str) -> None:
        super().__init__(
            f"port {port} on {host} is taken; stop what listens there, or choose another with {option} (0 takes a free one)"
        )


class CannotListen(Exception):
    """The address is none of this machine's, or not one at all."""


def listen(host: str, port: int, option: str, *, named_by: str = "") -> socket.socket:
    """A listening TCP socket, port 0 for a free one. Raises PortTaken, CannotListen.

    `option` is what the user can say to have another port, `named_by` what named the address (`--host HOST`).
    """
    # With the protocol named, asyncio turns Nagle off; without, every answer on a kept connection waits 40 ms for an ACK.
    listener = _bound(host, port, option, named_by, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise _refused(error, host, port, option, named_by) from None
    listener.setblocking(False)
    return listener


def receive(host: str, port: int, option: str, *, named_by: str = "") -> socket.socket:
    """A UDP socket with a large buffer, port 0 for a free one. Raises PortTaken, CannotListen."""
    datagrams = _bound(host, port, option, named_by, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    with contextlib.suppress(OSError):
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
    return datagrams


def _bound(host: str, port: int, option: str, named_by: str, kind: socket.SocketKind, protocol: int) -> socket.socket:
    named_by = named_by or f"--host {host}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"{named_by}: {error.strerror or error}; name an address of this machine") from None
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except UnicodeError:
        bound.close()
        raise CannotListen(f"--host {host[:80]!r} is no address; name one of this machine") from None
    except OSError as error:
        bound.close()
        raise _refused(error, host, port, option, named_by) from None
    return bound


def _refused(error: OSError, host: str, port: int, option: str, named_by: str) -> PortTaken | CannotListen:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(host, port, option)
    return CannotListen(
        f"{named_by or f'--host {host}'}: cannot listen on port {port}: {error.strerror or error};"
        " name an address of this machine and a port that you may use"
    )


def with_port(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"
