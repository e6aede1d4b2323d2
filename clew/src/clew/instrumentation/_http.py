"""A request made over HTTP as a call, for every client library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.carriers import Carrier
from clew.tracing.attributes import http_client_attributes, http_outcome, http_span_name
from clew.tracing.options import HttpOptions
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = HttpOptions
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class RequestTransport(Call):
    """One request; one that is repeated, after a redirect or a failure, is another."""

    __slots__ = ("_host", "_port", "_resend_count", "method", "url")

    kind: Final = "http"
    component: Final = "HTTP"

    def __init__(self, method: str, url: str, carrier: Carrier, *, resend_count: int = 0) -> None:
        """`url` is absolute; `resend_count` says how often the same was asked for before."""
        self.method: Final = method
        self.url: Final = url
        self.carrier: Final = carrier
        self.reply_carrier = None
        self.operation: Final = http_span_name(method, None)
        self._resend_count = resend_count
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
        if self._resend_count:
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = self._resend_count
        return attributes

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """The status is an error from 400 on; libraries call it `status`, or `status_code`."""
        if error is not None:
            return None
        status = getattr(reply, "status_code", None)
        return http_outcome(reply.status if status is None else status, server=False, reply=reply)
