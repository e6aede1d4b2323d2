"""The `Call` for a request that a server answers: shared by ASGI, WSGI and aiohttp."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.tracing.attributes import METHODS, http_method_attributes, http_span_name, redacted
from clew.tracing.options import HttpOptions
from clew.tracing.outcome import client_has_left
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = HttpOptions
DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
#: The name of the span for a failure after the response was sent.
AFTERWARDS: Final = "after the response"
_FIRST_FAULT: Final = 500
_COMPONENT: Final = "HTTP"


class ServerCall(Call):
    """One request. The route is known only at the end for most frameworks; it renames the span then."""

    __slots__ = ("error", "method", "route", "status")

    kind: Final = "http"
    component: Final = _COMPONENT

    def __init__(self, method: str, carrier: Any, route: str | None = None) -> None:
        own: Any = self
        own.carrier = carrier
        self.reply_carrier = None
        self.method: Final = method
        #: The framework's own template, with its leading slash and where the application is mounted.
        self.route: str | None = route
        #: The method alone; with the route when that is known.
        own.operation = method if route is None and method in METHODS else http_span_name(method, route)
        #: The response's status; 0 before it is known.
        self.status = 0
        #: The exception for which a framework has sent an error response.
        self.error: BaseException | None = None

    def failed_with(self, error: BaseException) -> None:
        """Note the status that servers send for an exception; none if the client has closed the connection."""
        if not self.status and isinstance(error, Exception) and not client_has_left(error):
            self.status = _FIRST_FAULT

    def routed(self, route: str) -> None:
        """Note the route, and name the operation by it."""
        own: Any = self
        self.route = route
        own.operation = http_span_name(self.method, route)

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """Status and route. If there is an exception, `error.type` is its class and not the status."""
        known = OUTCOMES.get((self.status, self.route)) or server_outcome(self.status, self.route)
        if error is not None and known.error_type is not None:
            return Outcome(known.attributes, code=known.code)
        return known


def server_attributes(
    method: str,
    scheme: str | None,
    version: str | None,
    host: bytes | str | tuple[Any, ...],
    path: str,
    query: str | None,
    client: str | None,
    agent: str | None,
    peer: Peer | None = None,
) -> dict[str, AttributeValue]:
    """What the semantic conventions ask of an HTTP server.

    `host` is the `Host` header, else the server's own address and port as a tuple; `version` is `1.1`; `query` is
    encoded, without its question mark; `client` is an address, `agent` the user agent, `peer` the other end of the
    socket, its port 0 where that is not known.
    """
    key = (method, scheme, version, host, 0 if peer is None else 2 if peer[1] else 1)
    known = _templates.get(key)
    attributes = known.copy() if known is not None else _template(key)
    attributes[semconv.URL_PATH] = path
    if query:
        attributes[semconv.URL_QUERY] = redacted(query)
    if client:
        attributes[semconv.CLIENT_ADDRESS] = client
    if agent:
        attributes[semconv.USER_AGENT_ORIGINAL] = agent
    if peer is not None:
        attributes[semconv.NETWORK_PEER_ADDRESS] = peer[0]
        if peer[1]:
            attributes[semconv.NETWORK_PEER_PORT] = peer[1]
    return attributes


# Method, scheme, version, host; 0 without a peer, 1 with its address, 2 with address and port.
_Key = tuple[str, str | None, str | None, bytes | str | tuple[Any, ...], int]
# Attributes that are the same for all requests to one host, made once for each. Capped, so that forged Host headers
# cannot fill the memory.
_templates: Final[dict[_Key, dict[str, AttributeValue]]] = {}
_MAX_TEMPLATES: Final = 1_000
# A dictionary that has held so many entries has room for 21, and so have its copies.
_GROWN: Final = 11


def _template(key: _Key) -> dict[str, AttributeValue]:
    method, scheme, version, host, peer = key
    # Includes the component, so that the tracer does not have to copy the dictionary to add it.
    attributes: dict[str, AttributeValue] = {semconv.COMPONENT: _COMPONENT, **http_method_attributes(method)}
    attributes[semconv.URL_SCHEME] = scheme = scheme or "http"
    if version:
        attributes[semconv.NETWORK_PROTOCOL_VERSION] = version
    if isinstance(host, bytes):
        host = host.decode("latin-1")
    name, port = _host_and_port(host, scheme) if isinstance(host, str) else (host or (None, None))
    if name:
        attributes[semconv.SERVER_ADDRESS] = name
        if port is not None:
            attributes[semconv.SERVER_PORT] = port
    # Replaced for each request. It is here so that copies have room for it and need not grow.
    attributes[semconv.URL_PATH] = ""
    if peer:
        attributes[semconv.NETWORK_PEER_ADDRESS] = ""
        if peer > 1:
            attributes[semconv.NETWORK_PEER_PORT] = 0
        # Client, user agent, query, route and status are added to these: more than the table would hold.
        fillers = [str(number) for number in range(_GROWN - len(attributes))]
        for filler in fillers:
            attributes[filler] = ""
        for filler in fillers:
            del attributes[filler]
    if len(_templates) < _MAX_TEMPLATES:
        _templates[key] = attributes.copy()
    return attributes


def _host_and_port(host: str, scheme: str) -> tuple[str, int | None]:
    host = host.rpartition("@")[2]  # some clients send user and password, which do not belong there
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal():
        return name.strip("[]"), int(port)
    return host.strip("[]"), DEFAULT_PORTS.get(scheme)


#: Status and route to the outcome. Each is read only, and the same for all requests that end so.
OUTCOMES: Final[dict[tuple[int, str | None], Outcome]] = {}


def server_outcome(status: int, route: str | None) -> Outcome:
    """How a request was answered; `status` is 0 where there was no answer."""
    attributes: dict[str, AttributeValue] = {}
    if status:
        attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = status
    if route:
        attributes[semconv.HTTP_ROUTE] = route
    outcome = Outcome(attributes, str(status) if status >= _FIRST_FAULT else None, None, status or None)
    if len(OUTCOMES) < _MAX_TEMPLATES:
        OUTCOMES[status, route] = outcome
    return outcome
