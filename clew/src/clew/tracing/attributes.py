"""Attributes of the families http, rpc and db, from plain values. No library is imported; a transport picks its family."""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.transport import Outcome

METHODS: Final = frozenset(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"))
OTHER: Final = "_OTHER"
# Query parameters that carry a signature, which the semantic conventions want removed.
_signed: Final = re.compile(r"(^|[?&])(AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-Signature)=[^&#]*").sub
_SUSPICIOUS: Final = re.compile(r"AWSAccessKeyId|[Ss]ig").search


def http_span_name(method: str, route: str | None) -> str:
    """`GET /users/{id}`, or `GET` alone without a route; `HTTP` for methods nobody knows."""
    name = method if method in METHODS else "HTTP"
    return f"{name} {route}" if route else name


def redacted(query: str) -> str:
    """A query string or URL without the signatures in it."""
    return _signed(r"\1\2=REDACTED", query) if _SUSPICIOUS(query) else query


def http_method_attributes(method: str) -> dict[str, AttributeValue]:
    """The method, known ones as they are, others as `_OTHER` with the original beside it."""
    if method in METHODS:
        return {semconv.HTTP_REQUEST_METHOD: method}
    return {semconv.HTTP_REQUEST_METHOD: OTHER, semconv.HTTP_REQUEST_METHOD_ORIGINAL: method}


def http_client_attributes(method: str, url: str, host: str, port: int | None) -> dict[str, AttributeValue]:
    """Of a request made; `url` must hold no credentials."""
    attributes = http_method_attributes(method)
    attributes[semconv.URL_FULL] = redacted(url)
    attributes[semconv.SERVER_ADDRESS] = host
    if port is not None:
        attributes[semconv.SERVER_PORT] = port
    return attributes


def http_outcome(status_code: int, *, server: bool, reply: object = None) -> Outcome:
    """A server answers for 5xx only; a client counts 4xx as its error, too."""
    failed = status_code >= (500 if server else 400)
    return Outcome(
        {semconv.HTTP_RESPONSE_STATUS_CODE: status_code},
        error_type=str(status_code) if failed else None,
        code=status_code,
        reply=reply,
    )


def rpc_attributes(system: str, full_method: str, host: str | None, port: int | None) -> dict[str, AttributeValue]:
    """Of a remote call; `full_method` is `/package.Service/Method`, host and port those of the server."""
    service, _, method = full_method.lstrip("/").rpartition("/")
    attributes: dict[str, AttributeValue] = {semconv.RPC_SYSTEM: system, semconv.RPC_METHOD: method}
    if service:
        attributes[semconv.RPC_SERVICE] = service
    if host:
        attributes[semconv.SERVER_ADDRESS] = host
        if port:
            attributes[semconv.SERVER_PORT] = port
    return attributes


GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: what a server answers for.
_SERVER_FAULTS: Final = frozenset((2, 4, 12, 13, 14, 15))


def grpc_outcome(code: int, message: str | None, *, server: bool, reply: object = None) -> Outcome:
    """A server answers for its own faults only; to a client all codes but OK are errors."""
    failed = code in _SERVER_FAULTS if server else code != 0
    return Outcome(
        {semconv.RPC_GRPC_STATUS_CODE: code},
        error_type=(GRPC_CODES[code] if 0 <= code < len(GRPC_CODES) else str(code)) if failed else None,
        message=message if failed else None,
        code=code,
        reply=reply,
    )


def db_attributes(
    system: str,
    *,
    operation: str | None = None,
    collection: str | None = None,
    namespace: str | None = None,
    query_text: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> dict[str, AttributeValue]:
    """Of a database call; `query_text` must hold no values, only their places."""
    offered: tuple[tuple[str, AttributeValue | None], ...] = (
        (semconv.DB_SYSTEM_NAME, system),
        (semconv.DB_OPERATION_NAME, operation),
        (semconv.DB_COLLECTION_NAME, collection),
        (semconv.DB_NAMESPACE, namespace),
        (semconv.DB_QUERY_TEXT, query_text),
        (semconv.SERVER_ADDRESS, host),
        (semconv.SERVER_PORT, port),
    )
    return {key: value for key, value in offered if value is not None}
