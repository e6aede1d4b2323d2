"""Standard attribute names for what other systems call otherwise: a table, old name to names of OpenTelemetry's conventions. No I/O.

The original attribute is never taken away; the standard one stands beside it, with its standard type, unless the sender wrote it
too. Where two old names mean one standard name, the first that the sender wrote counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from clew.semconv import GRPC_CODES

Value = str | bool | int | float | bytes | tuple[str, ...]
"""What an attribute may hold here. Values are hashable, so that what is written for them can be kept."""

INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

_Pairs = tuple[tuple[str, Value], ...]
_Rule = Callable[[Value, int], Iterable[tuple[str, Value]]]

_LONGEST_KEPT = 128
_MOST_DIGITS = 19


def beside(tags: Mapping[str, Value], kind: int) -> dict[str, Value]:
    """Attributes to add to a span with these tags; none of the tags' own keys is among them. `kind` as OTLP counts."""
    if RULES.isdisjoint(tags):  # as in most spans of today
        return {}
    found: dict[str, Value] = {}
    for key, value in tags.items():
        if key in _RULES:
            for name, standard in _implied(key, value, kind):
                if name not in tags and name not in found:
                    found[name] = standard
    return found


def names_beside(key: str) -> frozenset[str]:
    """The names that may stand beside a tag with this older name, whatever its value and its span's kind are."""
    return _NAMES[key]


def beside_event(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes to add to an event with these fields: OpenTracing's names of an exception."""
    found: dict[str, Value] = {}
    if "error.kind" in fields or "error.object" in fields or fields.get("event") == "error":
        for key, name in _EVENT_NAMES:
            if key in fields and name not in fields and name not in found:
                found[name] = fields[key]
    return found


def typed(key: str, text: str) -> Value:
    """The number that `text` is, where the conventions have a number under this key; else the text."""
    if key in _INTEGERS:
        number = _integer(text)
        if number is not None and str(number) == text:
            return number
    return text


def resource_of(tags: Mapping[str, Value]) -> dict[str, Value]:
    """The tags that an OpenTelemetry SDK copied from its resource to each span, in their order; none where none is seen.

    They are recognized by the SDK's own mark, `telemetry.sdk.language` or `telemetry.sdk.name`.
    """
    if "telemetry.sdk.language" not in tags and "telemetry.sdk.name" not in tags:
        return {}
    return {key: value for key, value in tags.items() if key.startswith(_OF_RESOURCES)}


def peer(kind: int, service: str, address: str, port: int) -> dict[str, Value]:
    """The other side of a span: empty text and 0 where it is not known."""
    found: dict[str, Value] = {}
    if service:
        found["peer.service"] = service
    side = _PEER_SIDE.get(kind)
    if address:
        found["network.peer.address"] = address
        if side:
            found[f"{side}.address"] = address
    if port:
        found["network.peer.port"] = port
        if side:
            found[f"{side}.port"] = port
    return found


_PEER_SIDE: Final = {CLIENT: "server", PRODUCER: "server", SERVER: "client", CONSUMER: "server"}
"""A consumer is a client of its broker."""

_EVENT_NAMES: Final = (
    ("error.kind", "exception.type"),
    ("message", "exception.message"),
    ("stack", "exception.stacktrace"),
)

_OF_RESOURCES: Final = (
    "service.",
    "telemetry.sdk.",
    "telemetry.distro.",
    "telemetry.auto.",
    "deployment.",
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.",
    "cloud.",
    "faas.",
    "device.",
    "webengine.",
)

_INTEGERS: Final = frozenset(
    (
        "client.port",
        "code.line.number",
        "db.operation.batch.size",
        "db.response.returned_rows",
        "http.request.body.size",
        "http.request.resend_count",
        "http.response.body.size",
        "http.response.status_code",
        "messaging.batch.message_count",
        "messaging.kafka.offset",
        "messaging.message.body.size",
        "network.local.port",
        "network.peer.port",
        "process.pid",
        "rpc.grpc.status_code",
        "server.port",
        "thread.id",
        "url.port",
    )
)


def _implied(key: str, value: Value, kind: int) -> _Pairs:
    if isinstance(value, bytes | tuple) or (isinstance(value, str) and len(value) > _LONGEST_KEPT):
        return _compute(key, value, kind)
    return _kept(key, value, kind)


def _compute(key: str, value: Value, kind: int) -> _Pairs:
    return tuple((name, standard) for name, standard in _RULES[key](value, kind) if standard != "")


_kept = lru_cache(maxsize=8192, typed=True)(_compute)


def _integer(value: Value) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):  # JavaScript's clients have no other numbers
        return int(value) if abs(value) < 1 << 53 and value.is_integer() else None
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.isdecimal():
        number = int(value)
        return number if number < 1 << 63 else None
    return None


def _same(name: str) -> _Rule:
    return lambda value, kind: ((name, value),)


def _number(name: str) -> _Rule:
    def rule(value: Value, kind: int) -> _Pairs:
        number = _integer(value)
        return () if number is None else ((name, number),)

    return rule


def _text(name: str) -> _Rule:
    """Numbers become text, as the standard name wants it."""
    return lambda value, kind: () if isinstance(value, bool | bytes | tuple) else ((name, str(value)),)


def _other_side(what: str, *, number: bool = False) -> _Rule:
    """The server for a client, the client for a server."""

    def rule(value: Value, kind: int) -> _Pairs:
        name = f"{'client' if kind == SERVER else 'server'}.{what}"
        if not number:
            return ((name, value),)
        port = _integer(value)
        return () if not port else ((name, port),)

    return rule


def _own_side(what: str, *, number: bool = False) -> _Rule:
    """What a server says of itself; of a client nothing that has a standard name."""

    def rule(value: Value, kind: int) -> _Pairs:
        found = _integer(value) if number else value
        return ((f"server.{what}", found),) if kind == SERVER and found else ()

    return rule


def _method(value: Value, kind: int) -> _Pairs:
    return (("http.request.method", value.upper()),) if isinstance(value, str) else ()


def _target(value: Value, kind: int) -> _Pairs:
    if not isinstance(value, str):
        return ()
    path, _, query = value.partition("?")
    return (("url.path", path), ("url.query", query)) if query else (("url.path", path),)


def _url(value: Value, kind: int) -> _Pairs:
    if not isinstance(value, str):
        return ()
    if "://" not in value:
        return _target(value, kind)
    try:
        parts = urlsplit(value)
    except ValueError:
        return (("url.full", value),)
    found: list[tuple[str, Value]] = [("url.full", value), ("url.scheme", parts.scheme), ("url.path", parts.path)]
    if parts.query:
        found.append(("url.query", parts.query))
    return tuple(found)


def _host(value: Value, kind: int) -> _Pairs:
    """`name`, `name:port` or `[address]:port`."""
    if not isinstance(value, str):
        return ()
    if value.startswith("["):
        name, _, port = value[1:].partition("]")
        port = port.removeprefix(":")
    elif value.count(":") == 1:
        name, _, port = value.partition(":")
    else:
        name, port = value, ""
    number = _integer(port)
    return (("server.address", name), ("server.port", number)) if number else (("server.address", name),)


def _ipv4(value: Value, kind: int) -> _Pairs:
    """OpenTracing has addresses as text and as numbers of 32 bits."""
    number = _integer(value)
    if number is None:
        return (("network.peer.address", value),) if isinstance(value, str) else ()
    if not 0 < number < 1 << 32:
        return ()
    return (("network.peer.address", ".".join(str(byte) for byte in number.to_bytes(4, "big"))),)


def _transport(value: Value, kind: int) -> _Pairs:
    return (("network.transport", value.removeprefix("ip_")),) if isinstance(value, str) else ()


def _flavor(value: Value, kind: int) -> _Pairs:
    text = str(value)
    return (("network.protocol.version", text),) if text[:1].isdigit() else (("network.protocol.name", text.lower()),)


_DATABASES: Final = {
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "db2": "ibm.db2",
    "cosmosdb": "azure.cosmosdb",
    "dynamodb": "aws.dynamodb",
    "redshift": "aws.redshift",
    "spanner": "gcp.spanner",
    "hanadb": "sap.hana",
    "adabas": "softwareag.adabas",
    "maxdb": "sap.maxdb",
    "informix": "ibm.informix",
    "mongo": "mongodb",
    "postgres": "postgresql",
    "sql": "other_sql",
}


def _database(value: Value, kind: int) -> _Pairs:
    if not isinstance(value, str):
        return ()
    return (("db.system.name", _DATABASES.get(value.lower(), value.lower())),)


def _kafka(value: Value, kind: int) -> _Pairs:
    return (("messaging.system", "kafka"), ("messaging.destination.name", value))


def _rabbit(value: Value, kind: int) -> _Pairs:
    return (("messaging.system", "rabbitmq"), ("messaging.destination.name", value))


def _grpc(value: Value, kind: int) -> _Pairs:
    """The number of a status that is a number or a name."""
    number = _integer(value)
    if number is None and isinstance(value, str):
        name = value.upper()
        number = GRPC_CODES.index(name) if name in GRPC_CODES else None
    return () if number is None else (("rpc.system", "grpc"), ("rpc.grpc.status_code", number))


_RULES: Final[dict[str, _Rule]] = {
    # OpenTelemetry before its stable names, OpenTracing, Zipkin's Brave
    "http.method": _method,
    "http.status_code": _number("http.response.status_code"),
    "http.url": _url,
    "http.target": _target,
    "http.path": _target,
    "http.scheme": _same("url.scheme"),
    "http.host": _host,
    "http.server_name": _same("server.address"),
    "http.user_agent": _same("user_agent.original"),
    "http.client_ip": _same("client.address"),
    "http.flavor": _flavor,
    "http.request_content_length": _number("http.request.body.size"),
    "http.response_content_length": _number("http.response.body.size"),
    "http.request.size": _number("http.request.body.size"),
    "http.response.size": _number("http.response.body.size"),
    "http.resend_count": _number("http.request.resend_count"),
    "net.peer.name": _other_side("address"),
    "net.peer.port": _other_side("port", number=True),
    "net.peer.ip": _same("network.peer.address"),
    "net.sock.peer.addr": _same("network.peer.address"),
    "net.sock.peer.port": _number("network.peer.port"),
    "net.sock.peer.name": _other_side("address"),
    "net.host.name": _own_side("address"),
    "net.host.port": _own_side("port", number=True),
    "net.host.ip": _same("network.local.address"),
    "net.sock.host.addr": _same("network.local.address"),
    "net.sock.host.port": _number("network.local.port"),
    "net.transport": _transport,
    "net.protocol.name": _same("network.protocol.name"),
    "net.protocol.version": _same("network.protocol.version"),
    "peer.hostname": _other_side("address"),
    "peer.ipv4": _ipv4,
    "peer.ipv6": _same("network.peer.address"),
    "peer.port": _number("network.peer.port"),
    "db.system": _database,
    "db.type": _database,
    "db.name": _same("db.namespace"),
    "db.instance": _same("db.namespace"),
    "db.redis.database_index": _text("db.namespace"),
    "db.statement": _same("db.query.text"),
    "sql.query": _same("db.query.text"),
    "db.operation": _same("db.operation.name"),
    "db.sql.table": _same("db.collection.name"),
    "db.mongodb.collection": _same("db.collection.name"),
    "db.cassandra.table": _same("db.collection.name"),
    "cassandra.query": _same("db.query.text"),
    "cassandra.keyspace": _same("db.namespace"),
    "mongodb.collection": _same("db.collection.name"),
    "messaging.destination": _same("messaging.destination.name"),
    "message_bus.destination": _same("messaging.destination.name"),
    "messaging.operation": _same("messaging.operation.type"),
    "messaging.message_id": _same("messaging.message.id"),
    "messaging.conversation_id": _same("messaging.message.conversation_id"),
    "messaging.message_payload_size_bytes": _number("messaging.message.body.size"),
    "messaging.kafka.partition": _text("messaging.destination.partition.id"),
    "messaging.kafka.consumer_group": _same("messaging.consumer.group.name"),
    "messaging.kafka.message_key": _same("messaging.kafka.message.key"),
    "messaging.kafka.message.offset": _number("messaging.kafka.offset"),
    "kafka.topic": _kafka,
    "kafka.key": _same("messaging.kafka.message.key"),
    "rabbit.exchange": _rabbit,
    "rabbit.routing_key": _same("messaging.rabbitmq.destination.routing_key"),
    "grpc.status_code": _grpc,
    # Google's trace API, which OpenCensus' first exporters wrote
    "/http/method": _method,
    "/http/status_code": _number("http.response.status_code"),
    "/http/url": _url,
    "/http/path": _target,
    "/http/host": _host,
    "/http/route": _same("http.route"),
    "/http/user_agent": _same("user_agent.original"),
    # Datadog
    "http.useragent": _same("user_agent.original"),
    "http.query.string": _same("url.query"),
    "out.host": _other_side("address"),
    "network.destination.name": _other_side("address"),
    "network.destination.ip": _same("network.peer.address"),
    "network.destination.port": _other_side("port", number=True),
    "db.row_count": _number("db.response.returned_rows"),
    "redis.raw_command": _same("db.query.text"),
    "grpc.status.code": _grpc,
    "error.kind": _same("error.type"),
    "code.filepath": _same("code.file.path"),
    "code.lineno": _number("code.line.number"),
}

_EXAMPLES: Final = ("a", "1", "h://a/b?c", "/a?b", "a:1", "[::1]:1", "http", "1.1", "OK", 1)
_NAMES: Final = {
    key: frozenset(name for value in _EXAMPLES for kind in range(6) for name, _ in rule(value, kind))
    for key, rule in _RULES.items()
}

RULES: Final = frozenset(_RULES)
"""The older names that `beside` knows."""
