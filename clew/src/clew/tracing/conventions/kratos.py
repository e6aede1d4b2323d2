"""What Kratos' tracing middleware writes (v2.9 and v3: semantic conventions 1.4.0 and names of its own), from what a transport offers.

Its first versions wrote `event` and `message` on a failure, too, and so does this. What Go's types and texts are to
Kratos (`exception.type`, the message of an error), Python's are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from opentelemetry.trace import Span, StatusCode
from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.carriers import Carrier
from clew.propagation.tracecontext import TRACEPARENT
from clew.tracing.conventions.ending import Ending
from clew.tracing.outcome import type_name
from clew.transport import Call, Outcome

_CLIENT_CLOSED: Final = 499
_UNKNOWN_ERROR: Final = 500
_FIRST_FAILURE: Final = 400
# By gRPC's codes, as Kratos' transport/http/status has them.
_HTTP_CODES: Final = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


class Kratos:
    """As `Convention`."""

    __slots__ = ("_records_exception",)

    def __init__(self, *, records_exception: bool = True) -> None:
        """Exceptions are written without their stack, unless they are on the span already (`records_exception` is false)."""
        self._records_exception = records_exception

    def span_name(self, call: Call, name: str, *, server: bool) -> str:
        """Kratos' operation."""
        return span_name(call, server=server)

    def start(
        self, attributes: dict[str, AttributeValue], call: Call, offered: Mapping[str, AttributeValue], *, server: bool
    ) -> None:
        """`rpc.*`, `http.*` and `net.peer.*`."""
        attributes.update(attributes_at_start(call, offered, server=server))

    def injected(self, headers: Carrier) -> None:
        """Of the flags in `traceparent`, leave the sampled one alone.

        The Go packages that Kratos is built with know no other, and begin a new trace where there is one (fixed there
        in 2026): the flag for random ids, which level 2 of the recommendation wants to be sent on, would cut the trace.
        """
        values = headers.get(TRACEPARENT)
        if len(values) == 1 and values[0].endswith(("-02", "-03")):
            headers.set(TRACEPARENT, values[0][:-2] + ("01" if values[0].endswith("3") else "00"))

    def message(self, span: Span, message: object, *, received: bool) -> None:
        """The size of a protobuf message in bytes; other messages have none."""
        size = getattr(message, "ByteSize", None)
        if callable(size):
            span.set_attribute(semconv.KRATOS_RECV_MSG_SIZE if received else semconv.KRATOS_SEND_MSG_SIZE, size())

    def cancelled(self, span: Span, outcome: Outcome) -> None:
        """The code Kratos has for it."""
        span.set_attribute(semconv.KRATOS_RPC_STATUS_CODE, _CLIENT_CLOSED)

    def conclude(self, span: Span, ending: Ending) -> None:
        """Status, error and size; OK on success, an error for every code that is one to its caller."""
        outcome, error = ending.outcome, ending.error
        route = outcome.attributes.get(semconv.HTTP_ROUTE)
        if route is not None:
            # Known only now.
            span.set_attributes({semconv.HTTP_ROUTE: route, **_split(str(route))})
        failed, code = _failure(outcome, error)
        if not failed:
            span.set_status(StatusCode.OK)
            self.message(span, ending.reply, received=not ending.is_server)
            return
        text = ending.message or outcome.message or outcome.error_type or str(code)
        span.set_attributes(
            {
                semconv.KRATOS_RPC_STATUS_CODE: code,
                semconv.KRATOS_EVENT: "error",
                semconv.KRATOS_MESSAGE: text,
            }
        )
        if self._records_exception or error is None:
            kind = outcome.error_type or str(code) if error is None else type_name(error)
            span.add_event("exception", {"exception.type": kind, "exception.message": text})
        span.set_status(StatusCode.ERROR, text)
        # Over gRPC an empty message has a size.
        self.message(span, ending.reply, received=not ending.is_server)


def span_name(call: Call, *, server: bool) -> str:
    """Kratos' operation: `/package.Service/Method` over gRPC; over HTTP the route, which a client has only as the path."""
    operation = call.operation
    if call.kind == "grpc":
        return "/" + operation.lstrip("/")
    if call.kind == "http":
        before, _, route = operation.partition(" ")
        if route or before.startswith("/"):
            return route or before
        if not server:
            return _path(call.attributes()) or operation
    return operation


def attributes_at_start(
    call: Call, offered: Mapping[str, AttributeValue], *, server: bool
) -> dict[str, AttributeValue]:
    """`rpc.*`, `http.*` and `net.peer.*` of a call over HTTP or gRPC, from its transport and the attributes it offered."""
    kind = call.kind
    attributes: dict[str, AttributeValue] = {}
    if kind not in ("http", "grpc"):
        return attributes
    method = offered.get(semconv.HTTP_REQUEST_METHOD_ORIGINAL) or offered.get(semconv.HTTP_REQUEST_METHOD)
    path = _path(offered)
    route = offered.get(semconv.HTTP_ROUTE)
    if method is not None:
        attributes[semconv.KRATOS_HTTP_METHOD] = method
        if route is None and not server and kind == "http":
            route = path
    if route is not None:
        attributes[semconv.HTTP_ROUTE] = route
    if path is not None:
        attributes[semconv.KRATOS_HTTP_TARGET] = path
    attributes[semconv.RPC_SYSTEM] = kind
    operation = span_name(call, server=server)
    if operation.startswith("/") or kind == "grpc":
        attributes.update(_split(operation))
    peer = call.peer
    url = offered.get(semconv.URL_FULL)
    if isinstance(url, str) and urlsplit(url).port is None:
        # A host without a port is nothing that Kratos can take apart.
        peer = None
    if peer is not None and peer[1]:
        attributes[semconv.KRATOS_NET_PEER_IP] = peer[0] or "127.0.0.1"
        attributes[semconv.KRATOS_NET_PEER_PORT] = str(peer[1])
    return attributes


def _path(offered: Mapping[str, AttributeValue]) -> str | None:
    """The path asked for, without a query, decoded as Go has it."""
    path = offered.get(semconv.URL_PATH)
    if path is not None:
        return str(path)
    url = offered.get(semconv.URL_FULL)
    return unquote(urlsplit(str(url)).path) or "/" if url is not None else None


def _split(operation: str) -> dict[str, AttributeValue]:
    """Service and method, divided at the first slash after the beginning; without one the whole operation."""
    service, slash, method = operation.lstrip("/").partition("/")
    if not slash:
        return {semconv.KRATOS_RPC_OPERATION: operation}
    split: dict[str, AttributeValue] = {}
    if service:
        split[semconv.RPC_SERVICE] = service
    if method:
        split[semconv.RPC_METHOD] = method
    return split


def _failure(outcome: Outcome, error: BaseException | None) -> tuple[bool, int]:
    """Whether the call failed, and with which of HTTP's codes."""
    own: Any = getattr(error, "code", None)
    if isinstance(own, int) and not isinstance(own, bool):
        # An error that knows its code, as Kratos' have one.
        return True, own
    failed = error is not None or outcome.error_type is not None
    code = outcome.code
    if code is None:
        return failed, _UNKNOWN_ERROR
    if _is_of_grpc(outcome):
        return failed or code != 0, _HTTP_CODES[code] if 0 < code < len(_HTTP_CODES) else _UNKNOWN_ERROR
    if semconv.HTTP_RESPONSE_STATUS_CODE in outcome.attributes and code >= _FIRST_FAILURE:
        return True, code
    # An exception after a good reply, or a number of another protocol.
    return failed, _UNKNOWN_ERROR


def _is_of_grpc(outcome: Outcome) -> bool:
    return semconv.RPC_GRPC_STATUS_CODE in outcome.attributes or semconv.RPC_RESPONSE_STATUS_CODE in outcome.attributes
