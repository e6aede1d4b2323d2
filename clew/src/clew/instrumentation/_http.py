"""A request made over HTTP as a call, for every client library."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.carriers import Carrier
from clew.tracing.attributes import http_client_attributes, http_outcome, http_span_name, note_peer
from clew.tracing.options import HttpOptions
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = HttpOptions
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: Statuses whose answer is often another request: redirects, and those that ask for credentials.
ASKS_AGAIN: Final = frozenset((301, 302, 303, 307, 308, 401, 407))
# As http.client counts them.
_VERSIONS: Final = {9: "0.9", 10: "1.0", 11: "1.1", 20: "2", 30: "3"}


def network_attributes(version: object, remote: object) -> dict[str, AttributeValue]:
    """Version of the protocol and the socket's other end, as far as they are known.

    `version` is 11, (1, 1) or `HTTP/1.1`; `remote` is what `getpeername` gives: a tuple, or the path of a Unix socket.
    """
    attributes: dict[str, AttributeValue] = {}
    name: str | None = None
    if isinstance(version, int):
        name = _VERSIONS.get(version)
    elif isinstance(version, tuple):
        name = f"{version[0]}.{version[1]}"
    elif isinstance(version, str):
        name = version.removeprefix("HTTP/")
    if name:
        attributes[semconv.NETWORK_PROTOCOL_VERSION] = name.removesuffix(".0") if name in ("2.0", "3.0") else name
    if isinstance(remote, tuple) and len(remote) >= 2:
        note_peer(attributes, (str(remote[0]), int(remote[1])))
    elif remote and isinstance(remote, str):
        note_peer(attributes, (remote, 0))
    return attributes


def remote_of(socket: Any) -> object:
    """The other end of a socket; None where it has none, or is closed."""
    try:
        return socket.getpeername()
    except Exception:  # closed in the meantime, or a replacement without this method
        return None


class RequestTransport(Call):
    """One request; a repetition after a redirect or a failure is a request of its own."""

    __slots__ = ("_host", "_port", "method", "remote", "resend_count", "url", "version")

    kind: Final = "http"
    component: Final = "HTTP"

    def __init__(self, method: str, url: str, carrier: Carrier, *, resend_count: int = 0) -> None:
        """`url` is absolute; `resend_count` says how often the same was asked for before."""
        self.method: Final = method
        self.url: Final = url
        self.carrier: Final = carrier
        self.reply_carrier = None
        self.operation: Final = http_span_name(method, None)
        self.resend_count: Final = resend_count
        #: The other end of the connection, and its HTTP version, once they are known; see `network_attributes`.
        self.remote: object = None
        self.version: object = None
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        try:
            port = parts.port
        except ValueError:  # no number, or none that a port can be
            port = None
        self._port = port or DEFAULT_PORTS.get(parts.scheme)

    @property
    def path(self) -> str:
        """The path asked for, without the query."""
        return urlsplit(self.url).path or "/"

    @property
    def peer(self) -> Peer | None:
        """The host asked for."""
        return self._host, self._port or 0

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP client."""
        attributes = http_client_attributes(self.method, self.url, self._host, self._port)
        if self.resend_count:
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = self.resend_count
        return attributes

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """The status is an error from 400 on; libraries call it `status`, or `status_code`."""
        if error is not None:
            known = network_attributes(self.version, self.remote)
            return Outcome(known) if known else None
        status = getattr(reply, "status_code", None)
        outcome = http_outcome(reply.status if status is None else status, server=False, reply=reply)
        version = getattr(reply, "version", None) if self.version is None else self.version
        return dataclasses.replace(
            outcome, attributes={**outcome.attributes, **network_attributes(version, self.remote)}
        )
