"""Names, attributes and outcomes of the families http, rpc, db and messaging, from plain values.

No library is imported; a transport picks its family. Captured headers and clients behind proxies: `headers.py`; SQL:
`statements.py`.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import unquote

from opentelemetry.util.types import AttributeValue

from clew import environment, semconv
from clew.transport import Outcome, Peer

METHODS: Final = frozenset(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"))
OTHER: Final = "_OTHER"
REDACTED: Final = "REDACTED"
# Query parameters that carry a credential or signature; the first look is for all strings, the second for each name.
_SUSPICIOUS: Final = re.compile(r"pass|pwd|secret|tok|key|sig|cred|auth|jwt|sess|%", re.IGNORECASE).search
_secret: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signature|credential|authorization"
    r"|session[_-]?id|^(?:sig|key|auth|jwt|pass|session)$",
    re.IGNORECASE,
).search
_parameters: Final = re.compile(r"(?<![^?&;#])([^?&;#=]++)=([^&;#]*)").sub
_user_info: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@").sub


# A URL, or a path with a query, within a text.
_addresses: Final = re.compile(r"""(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^\s"'<>]+|/[^\s"'<>?]*\?[^\s"'<>]+""").sub
# As in the connection strings of databases.
_passwords: Final = re.compile(r"""\b(password|passwd|pwd)(\s*=\s*)('[^']*'|"[^"]*"|[^\s'";&]+)""", re.IGNORECASE).sub
_may_hold_secrets: Final = re.compile(r"[?@]|passw|pwd", re.IGNORECASE).search


def http_span_name(method: str, route: str | None) -> str:
    """`GET /users/{id}`, or `GET` alone without a route; `HTTP` for unknown methods."""
    name = method if method in METHODS else "HTTP"
    return f"{name} {route}" if route else name


def redacted(query: str) -> str:
    """A query string with `REDACTED` for the values of passwords, tokens, keys and signatures."""
    return _parameters(_redacted_parameter, query) if _SUSPICIOUS(query) else query


def _redacted_parameter(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}={REDACTED}" if _secret(unquote(name) if "%" in name else name) else match[0]


def redacted_url(url: str) -> str:
    """A URL without user and password, and its query `redacted`."""
    if "@" in url:
        url = _user_info(lambda match: f"{match[1] or ''}//", url)
    address, mark, query = url.partition("?")
    return address + mark + redacted(query) if mark else url


def may_hold_secrets(text: str) -> bool:
    """Whether `redacted_text` has anything to look for."""
    return _may_hold_secrets(text) is not None


def redacted_text(text: str) -> str:
    """A text with the addresses in it as `redacted_url` has them, and passwords of connection strings left out."""
    if not may_hold_secrets(text):
        return text
    return _passwords(rf"\1\2{REDACTED}", _addresses(lambda match: redacted_url(match[0]), text))


def http_method_attributes(method: str) -> dict[str, AttributeValue]:
    """The method, known ones as they are, others as `_OTHER` with the original beside it."""
    if method in METHODS:
        return {semconv.HTTP_REQUEST_METHOD: method}
    return {semconv.HTTP_REQUEST_METHOD: OTHER, semconv.HTTP_REQUEST_METHOD_ORIGINAL: method}


def note_peer(attributes: dict[str, AttributeValue], peer: Peer | None) -> None:
    """Write down the other end of the socket, where it is known; its port where it has one."""
    if peer is not None:
        address, port = peer
        attributes[semconv.NETWORK_PEER_ADDRESS] = address
        if port:
            attributes[semconv.NETWORK_PEER_PORT] = port


def http_client_attributes(method: str, url: str, host: str, port: int | None) -> dict[str, AttributeValue]:
    """Of a request made; what is secret in `url` is left out."""
    attributes = http_method_attributes(method)
    attributes[semconv.URL_FULL] = redacted_url(url)
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


# Which names RPC has: those of 1.38, or those that are to become stable, or both for a while.
_opted_in: Final = {part.strip() for part in (environment.text("OTEL_SEMCONV_STABILITY_OPT_IN") or "").split(",")}
_RPC_NEW: Final = bool(_opted_in & {"rpc", "rpc/dup"})
_RPC_OLD: Final = "rpc" not in _opted_in or "rpc/dup" in _opted_in


def rpc_attributes(system: str, full_method: str, host: str | None, port: int | None) -> dict[str, AttributeValue]:
    """Of a remote call; `full_method` is `/package.Service/Method`, host and port those of the server."""
    whole = full_method.lstrip("/")
    service, _, method = whole.rpartition("/")
    attributes: dict[str, AttributeValue] = {}
    if _RPC_OLD:
        attributes[semconv.RPC_SYSTEM] = system
        attributes[semconv.RPC_METHOD] = method
        if service:
            attributes[semconv.RPC_SERVICE] = service
    if _RPC_NEW:
        attributes[semconv.RPC_SYSTEM_NAME] = system
        # Both have this name, with different meanings.
        attributes[semconv.RPC_METHOD] = whole
    if host:
        attributes[semconv.SERVER_ADDRESS] = host
        if port:
            attributes[semconv.SERVER_PORT] = port
    return attributes


def grpc_outcome(code: int, message: str | None, *, server: bool, reply: object = None) -> Outcome:
    """A server answers for its own faults only; to a client all codes but OK are errors."""
    failed = code in semconv.GRPC_SERVER_FAULTS if server else code != 0
    name = semconv.GRPC_CODES[code] if 0 <= code < len(semconv.GRPC_CODES) else str(code)
    attributes: dict[str, AttributeValue] = {semconv.RPC_GRPC_STATUS_CODE: code} if _RPC_OLD else {}
    if _RPC_NEW:
        attributes[semconv.RPC_RESPONSE_STATUS_CODE] = name
    return Outcome(
        attributes,
        error_type=name if failed else None,
        message=message if failed else None,
        code=code,
        reply=reply,
    )


def db_span_name(operation: str | None, target: str | None, system: str) -> str:
    """`SELECT users`; the operation or the target alone where the other is not known, the system without both."""
    return f"{operation} {target}" if operation and target else operation or target or system


def db_attributes(
    system: str,
    *,
    operation: str | None = None,
    collection: str | None = None,
    namespace: str | None = None,
    query_text: str | None = None,
    query_summary: str | None = None,
    batch_size: int | None = None,
    stored_procedure: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> dict[str, AttributeValue]:
    """Of a database call; `query_text` must hold no values, only their places. A batch of one is none."""
    return _known(
        (semconv.DB_SYSTEM_NAME, system),
        (semconv.DB_OPERATION_NAME, operation),
        (semconv.DB_COLLECTION_NAME, collection),
        (semconv.DB_NAMESPACE, namespace),
        (semconv.DB_QUERY_TEXT, query_text),
        (semconv.DB_QUERY_SUMMARY, query_summary),
        (semconv.DB_OPERATION_BATCH_SIZE, batch_size if batch_size is not None and batch_size > 1 else None),
        (semconv.DB_STORED_PROCEDURE_NAME, stored_procedure),
        (semconv.SERVER_ADDRESS, host),
        (semconv.SERVER_PORT, port or None),
    )


def db_outcome(
    status_code: str | int | None = None,
    *,
    message: str | None = None,
    failed: bool | None = None,
    reply: object = None,
) -> Outcome:
    """How a database answered; `status_code` is its own (`23505`, `11000`), and an error unless `failed` says not."""
    code = None if status_code is None else str(status_code)
    if failed is None:
        failed = code is not None
    return Outcome(
        {} if code is None else {semconv.DB_RESPONSE_STATUS_CODE: code},
        error_type=code if failed else None,
        message=message if failed else None,
        code=status_code if isinstance(status_code, int) else None,
        reply=reply,
    )


#: What is done with messages, as the semantic conventions tell the ways apart.
MessagingOperation = Literal["create", "send", "receive", "process", "settle"]


def messaging_span_name(operation_name: str, destination: str | None) -> str:
    """`send orders`; `operation_name` is the system's own word. Leave out a destination of high cardinality, such as a reply queue."""
    return f"{operation_name} {destination}" if destination else operation_name


def messaging_attributes(
    system: str,
    operation_type: MessagingOperation,
    *,
    operation_name: str | None = None,
    destination: str | None = None,
    message_id: str | None = None,
    conversation_id: str | None = None,
    body_size_bytes: int | None = None,
    batch_count: int | None = None,
    consumer_group: str | None = None,
    client_id: str | None = None,
    partition: int | str | None = None,
    kafka_offset: int | None = None,
    kafka_key: str | None = None,
    kafka_is_tombstone: bool = False,
    rabbitmq_routing_key: str | None = None,
    rabbitmq_delivery_tag: int | None = None,
    host: str | None = None,
    port: int | None = None,
) -> dict[str, AttributeValue]:
    """Of messages sent or received; `operation_name` is `operation_type` unless given, host and port the broker's.

    `batch_count` only where the library sends or receives several together.
    """
    return _known(
        (semconv.MESSAGING_SYSTEM, system),
        (semconv.MESSAGING_OPERATION_TYPE, operation_type),
        (semconv.MESSAGING_OPERATION_NAME, operation_name or operation_type),
        (semconv.MESSAGING_DESTINATION_NAME, destination),
        (semconv.MESSAGING_DESTINATION_PARTITION_ID, None if partition is None else str(partition)),
        (semconv.MESSAGING_MESSAGE_ID, message_id),
        (semconv.MESSAGING_MESSAGE_CONVERSATION_ID, conversation_id),
        (semconv.MESSAGING_MESSAGE_BODY_SIZE, body_size_bytes),
        (semconv.MESSAGING_BATCH_MESSAGE_COUNT, batch_count),
        (semconv.MESSAGING_CONSUMER_GROUP_NAME, consumer_group),
        (semconv.MESSAGING_CLIENT_ID, client_id),
        (semconv.MESSAGING_KAFKA_OFFSET, kafka_offset),
        (semconv.MESSAGING_KAFKA_MESSAGE_KEY, kafka_key),
        (semconv.MESSAGING_KAFKA_MESSAGE_TOMBSTONE, kafka_is_tombstone or None),
        (semconv.MESSAGING_RABBITMQ_ROUTING_KEY, rabbitmq_routing_key or None),
        (semconv.MESSAGING_RABBITMQ_DELIVERY_TAG, rabbitmq_delivery_tag),
        (semconv.SERVER_ADDRESS, host),
        (semconv.SERVER_PORT, port or None),
    )


def _known(*offered: tuple[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {key: value for key, value in offered if value is not None}
