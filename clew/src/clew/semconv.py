"""Attribute names in use: OpenTelemetry semantic conventions 1.44.0, and Kratos' of 1.4.0.

HTTP, databases, errors, network and code are stable there and used as they are. RPC and messaging are not yet: RPC keeps
the names of 1.38, which existing tools read (`rpc.system`, `rpc.grpc.status_code`) unless `OTEL_SEMCONV_STABILITY_OPT_IN` says
`rpc` or `rpc/dup`; messaging has those of 1.44.0.
"""

from __future__ import annotations

from typing import Final

#: The version these names are taken from.
VERSION: Final = "1.44.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"

# Ours
COMPONENT: Final = "component"
CANCELLED: Final = "clew.cancelled"

# General
CODE_FUNCTION_NAME: Final = "code.function.name"
ERROR_TYPE: Final = "error.type"
PEER_SERVICE: Final = "peer.service"
SERVICE_NAME: Final = "service.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLIENT_ADDRESS: Final = "client.address"
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
NETWORK_PEER_PORT: Final = "network.peer.port"
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
USER_AGENT_ORIGINAL: Final = "user_agent.original"

# HTTP
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL: Final = "http.request.method_original"
HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_ROUTE: Final = "http.route"
URL_FULL: Final = "url.full"
URL_PATH: Final = "url.path"
URL_QUERY: Final = "url.query"
URL_SCHEME: Final = "url.scheme"

# RPC
RPC_SYSTEM: Final = "rpc.system"
RPC_SERVICE: Final = "rpc.service"
RPC_METHOD: Final = "rpc.method"
RPC_GRPC_STATUS_CODE: Final = "rpc.grpc.status_code"
RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"

# Databases
DB_SYSTEM_NAME: Final = "db.system.name"
DB_NAMESPACE: Final = "db.namespace"
DB_COLLECTION_NAME: Final = "db.collection.name"
DB_OPERATION_BATCH_SIZE: Final = "db.operation.batch.size"
DB_OPERATION_NAME: Final = "db.operation.name"
DB_QUERY_SUMMARY: Final = "db.query.summary"
DB_QUERY_TEXT: Final = "db.query.text"
DB_STORED_PROCEDURE_NAME: Final = "db.stored_procedure.name"
DB_RESPONSE_STATUS_CODE: Final = "db.response.status_code"

# Messaging
MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"
MESSAGING_CLIENT_ID: Final = "messaging.client.id"
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_PARTITION_ID: Final = "messaging.destination.partition.id"
MESSAGING_KAFKA_MESSAGE_KEY: Final = "messaging.kafka.message.key"
MESSAGING_KAFKA_MESSAGE_TOMBSTONE: Final = "messaging.kafka.message.tombstone"
MESSAGING_KAFKA_OFFSET: Final = "messaging.kafka.offset"
MESSAGING_MESSAGE_BODY_SIZE: Final = "messaging.message.body.size"
MESSAGING_MESSAGE_CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_RABBITMQ_DELIVERY_TAG: Final = "messaging.rabbitmq.message.delivery_tag"
MESSAGING_RABBITMQ_ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"
MESSAGING_SYSTEM: Final = "messaging.system"

# Kratos: semantic conventions 1.4.0 and its own
KRATOS_EVENT: Final = "event"
KRATOS_MESSAGE: Final = "message"
KRATOS_RPC_OPERATION: Final = "rpc.operation"
KRATOS_RPC_STATUS_CODE: Final = "rpc.status_code"
KRATOS_HTTP_METHOD: Final = "http.method"
KRATOS_HTTP_TARGET: Final = "http.target"
KRATOS_NET_PEER_IP: Final = "net.peer.ip"
KRATOS_NET_PEER_PORT: Final = "net.peer.port"
KRATOS_QUERY_ID: Final = "queryId"
KRATOS_COMMAND: Final = "command"
KRATOS_MS: Final = "ms"
KRATOS_RECV_MSG_SIZE: Final = "recv_msg.size"
KRATOS_SEND_MSG_SIZE: Final = "send_msg.size"

# Values
#: Names of gRPC's status codes, by number.
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
#: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: what a server answers for.
GRPC_SERVER_FAULTS: Final = frozenset((2, 4, 12, 13, 14, 15))
