"""Attribute names in use: OpenTelemetry semantic conventions 1.38 (stable HTTP and DB, RPC as released), and Kratos' of 1.4.0."""

from __future__ import annotations

from typing import Final

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

# Databases
DB_SYSTEM_NAME: Final = "db.system.name"
DB_NAMESPACE: Final = "db.namespace"
DB_COLLECTION_NAME: Final = "db.collection.name"
DB_OPERATION_NAME: Final = "db.operation.name"
DB_QUERY_TEXT: Final = "db.query.text"
DB_RESPONSE_STATUS_CODE: Final = "db.response.status_code"

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
