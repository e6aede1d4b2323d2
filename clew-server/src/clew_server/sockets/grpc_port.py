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
    handler: grpc.GenericRpcHandler,
    host: str,
    port: int,
    *,
    message_bytes: int,
    more: Sequence[tuple[str, int]] = (),
    ports: int = 1,
) -> tuple[grpc.aio.Server, str, int]:
    """The started server, its host as in an address, and its (first) port. An IPv6 host may come without brackets.

    `message_bytes`: the largest message; `more`: further options of grpc; `ports`: so many in a row serve the same. Raises OSError
    (EADDRINUSE) where the address cannot be had; its `filename` is the port.
    """
    options = [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.so_reuseport", 0),  # else two servers share a port without a word
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.server_handshake_timeout_ms", 20_000),
        *more,
    ]
    host = f"[{host.strip('[]')}]" if ":" in host else host
    for left in reversed(range(_TRIES if port == 0 and ports > 1 else 1)):
        server = grpc.aio.server(handlers=[handler], options=options)
        try:
            first = _take_ports(server, host, port, ports)
        except OSError:
            await server.stop(None)
            if not left:
                raise
        else:
            await server.start()
            return server, host, first
    raise AssertionError("the last try raises")


_TRIES = 20
"""Where any ports in a row will do, and those behind a free one are taken."""


def _take_ports(server: grpc.aio.Server, host: str, port: int, ports: int) -> int:
    first = port
    for behind in range(ports):
        wanted = first + behind if first else 0
        try:
            found = server.add_insecure_port(f"{host}:{wanted}")
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, f"cannot listen on {host}:{wanted}", str(wanted)) from error
        first = first or found
    return first
