"""gRPC by its name: `clew.grpc.aio` is `clew.instrumentation.grpc_aio`, loaded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.instrumentation import grpc_aio as aio

__all__ = ["aio"]


def __getattr__(name: str) -> Any:
    if name == "aio":
        from clew.instrumentation import grpc_aio

        globals()["aio"] = grpc_aio
        return grpc_aio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
