"""Takes a port for gRPC and serves it, within the limits that all of clew's gRPC listeners have."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import grpc
import grpc.aio

_MAX_METADATA_BYTES = 16 << 10
_MAX_STREAMS = 16
"""Concurrent calls of one connection, limited because a message is in memory before its handler is called."""


async def serve_grpc(
    handler: grpc.GenericRpcHandler, host: str, port: int, *, message_bytes: int, more: Sequence[tuple[str, int]] = ()
) -> tuple[grpc.aio.Server, str, int]:
    """The started server, its host as in an address, and its port. An IPv6 host may come without brackets.

    `message_bytes`: the largest message; `more`: further options of grpc. Raises OSError (EADDRINUSE) where the address cannot be had.
    """
    server = grpc.aio.server(
        handlers=[handler],
        options=[
            ("grpc.max_receive_message_length", message_bytes),
            ("grpc.so_reuseport", 0),  # else two servers share a port without a word
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            ("grpc.server_handshake_timeout_ms", 20_000),
            *more,
        ],
    )
    host = f"[{host.strip('[]')}]" if ":" in host else host
    try:
        port = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, f"cannot listen on {host}:{port}") from error
    await server.start()
    return server, host, port
