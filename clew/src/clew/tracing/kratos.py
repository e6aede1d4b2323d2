"""What Kratos' middleware writes (semantic conventions 1.4.0 and its own), derived from what a transport offers."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.transport import Outcome, Transport

_UNKNOWN_ERROR = 500
# Its transports; in other scenarios Kratos' tracer writes what its caller says and nothing of its own.
_KINDS = ("http", "grpc")


def attributes_at_start(transport: Transport, offered: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """`rpc.*`, `http.*` and `net.peer.*` of a call, from its transport and the attributes it offered."""
    if transport.kind not in _KINDS:
        return {}
    attributes: dict[str, AttributeValue] = {semconv.RPC_SYSTEM: transport.kind}
    operation = transport.operation
    service, slash, method = operation.lstrip("/").rpartition("/")
    if slash and "." in service and " " not in service and method:
        attributes[semconv.RPC_SERVICE] = service
        attributes[semconv.RPC_METHOD] = method
    else:
        attributes[semconv.KRATOS_RPC_OPERATION] = operation
    for ours, theirs in (
        (semconv.HTTP_REQUEST_METHOD, semconv.KRATOS_HTTP_METHOD),
        (semconv.HTTP_ROUTE, semconv.HTTP_ROUTE),
        (semconv.URL_PATH, semconv.KRATOS_HTTP_TARGET),
    ):
        if ours in offered:
            attributes[theirs] = offered[ours]
    peer = transport.peer
    if peer is not None:
        host, port = peer
        attributes[semconv.KRATOS_NET_PEER_IP] = host or "127.0.0.1"
        attributes[semconv.KRATOS_NET_PEER_PORT] = str(port)
    return attributes


def attributes_at_end(
    outcome: Outcome, error: BaseException | None, message: str | None, *, failed: bool
) -> dict[str, AttributeValue]:
    """The error's code, and `event` and `message` as the first versions wrote them; nothing on success."""
    attributes: dict[str, AttributeValue] = {}
    if semconv.HTTP_ROUTE in outcome.attributes:
        attributes[semconv.HTTP_ROUTE] = outcome.attributes[semconv.HTTP_ROUTE]
    if failed:
        code = outcome.code if outcome.code is not None else getattr(error, "code", None)
        attributes[semconv.KRATOS_RPC_STATUS_CODE] = code if isinstance(code, int) else _UNKNOWN_ERROR
        attributes[semconv.KRATOS_EVENT] = "error"
        attributes[semconv.KRATOS_MESSAGE] = message or outcome.error_type or ""
    return attributes


def note_size(span: Span, message: object, *, received: bool) -> None:
    """The size of a protobuf message in bytes; other messages have none."""
    size = getattr(message, "ByteSize", None)
    if callable(size):
        span.set_attribute(semconv.KRATOS_RECV_MSG_SIZE if received else semconv.KRATOS_SEND_MSG_SIZE, size())
