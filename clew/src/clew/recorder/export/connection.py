"""HTTP connections with one deadline from the name look-up to the last byte, direct or through a proxy."""

from __future__ import annotations

import io
import socket
from base64 import b64encode
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from clew import environment, guard

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Deadline:
    """When a request has to be done; shared by its connection and its response."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = 0.0

    def set(self, timeout_s: float) -> None:
        """A deadline this many seconds from now."""
        self._at = monotonic() + timeout_s

    def left_s(self) -> float:
        """The seconds left. Raises TimeoutError when there are none."""
        left = self._at - monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return left


class _Reader(io.RawIOBase):
    """A socket's bytes; each wait is limited by the deadline, however slowly bytes arrive."""

    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._socket = sock
        self._deadline = deadline
        # The socket counts its readers, and closes with the last of them.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left_s())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Readable:
    """What HTTPResponse wants of a socket."""

    __slots__ = ("_deadline", "_socket")

    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._socket = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._deadline))


class Proxy:
    """The proxy for an address."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, parts: SplitResult) -> None:
        self.host = parts.hostname or ""
        self.port = parts.port or 80
        self.authorization = basic_authorization(parts)


def basic_authorization(parts: SplitResult) -> str | None:
    """The Authorization that an address' user and password make; None without them."""
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode("ascii")


def proxy_for(parts: SplitResult) -> Proxy | None:
    """The proxy that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` want for an address, as curl and urllib read them."""
    if not environment.proxies():
        return None
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    proxies = getproxies_environment()
    found = proxies.get(parts.scheme) or proxies.get("all")
    host = f"{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"
    if not found or proxy_bypass_environment(host, proxies):
        return None
    try:
        proxy = urlsplit(found if "://" in found else "http://" + found)
        if proxy.scheme == "http" and proxy.hostname:
            return Proxy(proxy)
    except ValueError:
        pass
    guard.warn("proxy", "clew: the proxy for %s is no http:// address and is ignored", parts.hostname or "")
    return None


def open_connection(parts: SplitResult, tls: Any, proxy: Proxy | None, deadline: Deadline) -> HTTPConnection:
    """A connection, not yet connected; `tls` is an SSLContext for `https`."""
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    at, through = (host, port) if proxy is None else (proxy.host, proxy.port)
    made: Any = HTTPConnection(at, through) if tls is None else HTTPSConnection(at, through, context=tls)
    if proxy is not None and tls is not None:
        made.set_tunnel(host, port, {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization})
    made.response_class = lambda sock, *args, **kwargs: HTTPResponse(_Readable(sock, deadline), *args, **kwargs)  # type: ignore[arg-type]
    made._create_connection = lambda address, *_: _connected(address, deadline)
    connection: HTTPConnection = made
    return connection


def _connected(address: tuple[str, int], deadline: Deadline) -> socket.socket:
    """As `socket.create_connection`, all addresses of a name together within the deadline."""
    error: OSError | None = None
    for family, kind, protocol, _, where in socket.getaddrinfo(*address, 0, socket.SOCK_STREAM):
        made: socket.socket | None = None
        try:
            made = socket.socket(family, kind, protocol)
            made.settimeout(deadline.left_s())
            made.connect(where)
            return made
        except OSError as failure:
            error = failure
            if made is not None:
                made.close()
    raise error or OSError(f"{address[0]} has no address")
