"""Names of one attribute in the versions of the semantic conventions: a query for one of them finds the others too.

Source: the tables of renamed attributes in OpenTelemetry's semantic conventions (HTTP 1.23, RPC 1.39, database 1.28, messaging
1.17 to 1.27, network 1.21, resource attributes since 1.0). Only names whose values mean the same in the same form are here.
"""

from __future__ import annotations

from typing import Final

FAMILIES: Final[tuple[tuple[str, ...], ...]] = (
    ("http.request.method", "http.method"),
    ("http.response.status_code", "http.status_code"),
    ("url.full", "http.url"),
    ("url.scheme", "http.scheme"),
    ("user_agent.original", "http.user_agent"),
    ("http.request.body.size", "http.request_content_length"),
    ("http.response.body.size", "http.response_content_length"),
    ("http.request.resend_count", "http.resend_count"),
    ("client.address", "http.client_ip"),
    ("network.protocol.version", "http.flavor"),
    ("network.peer.address", "net.sock.peer.addr", "net.peer.ip"),
    ("network.peer.port", "net.sock.peer.port"),
    ("server.address", "net.peer.name", "net.host.name"),
    ("server.port", "net.peer.port", "net.host.port"),
    ("network.transport", "net.transport"),
    ("db.system.name", "db.system"),
    ("db.query.text", "db.statement"),
    ("db.operation.name", "db.operation"),
    ("db.namespace", "db.name", "db.redis.database_index"),
    ("db.collection.name", "db.sql.table", "db.mongodb.collection", "db.cassandra.table"),
    ("rpc.system.name", "rpc.system"),
    ("rpc.response.status_code", "rpc.grpc.status_code", "rpc.status_code"),
    ("messaging.operation.type", "messaging.operation"),
    ("messaging.message.body.size", "messaging.message.payload_size_bytes"),
    ("messaging.client.id", "messaging.client_id", "messaging.consumer_id"),
    ("messaging.destination.partition.id", "messaging.kafka.destination.partition"),
    ("messaging.kafka.offset", "messaging.kafka.message.offset"),
    ("messaging.consumer.group.name", "messaging.kafka.consumer.group"),
    ("deployment.environment.name", "deployment.environment"),
    ("code.function.name", "code.function"),
    ("code.file.path", "code.filepath"),
    ("code.line.number", "code.lineno"),
    ("gen_ai.provider.name", "gen_ai.system"),
    ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
)
"""The present name first."""

_BY_NAME: Final = {name: family for family in FAMILIES for name in family}


def family(key: str) -> tuple[str, ...]:
    """All names of the attribute, `key` first."""
    found = _BY_NAME.get(key, (key,))
    return (key, *(name for name in found if name != key))


def newest_first(key: str) -> tuple[str, ...]:
    """All names of the attribute, the present one first."""
    return _BY_NAME.get(key, (key,))
