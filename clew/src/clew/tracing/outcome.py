"""What exceptions mean for a span."""

from __future__ import annotations

from typing import Final

# By name, so that neither asyncio nor trio is imported to recognise what it raises.
_CANCELLATIONS: Final = frozenset(
    (
        ("asyncio.exceptions", "CancelledError"),
        ("concurrent.futures._base", "CancelledError"),
        ("trio", "Cancelled"),
        ("trio._core._exceptions", "Cancelled"),
    )
)


def is_cancellation(error: BaseException) -> bool:
    """Whether the caller gave up: cancelled tasks and futures, generators closed before their end."""
    if isinstance(error, GeneratorExit):
        return True
    return any((cls.__module__, cls.__name__) in _CANCELLATIONS for cls in type(error).__mro__)


# What frameworks and servers raise when the other side has gone, by the package it comes from.
_DISCONNECTS: Final = frozenset(
    (
        ("starlette", "ClientDisconnect"),
        ("starlette", "WebSocketDisconnect"),
        ("litestar", "ClientDisconnect"),
        ("litestar", "WebSocketDisconnect"),
        ("uvicorn", "ClientDisconnected"),
        ("werkzeug", "ClientDisconnected"),
        ("django", "RequestAborted"),
        ("django", "UnreadablePostError"),
        ("gunicorn", "NoMoreData"),
        ("aiohttp", "ClientConnectionResetError"),
    )
)
# Litestar has no class for an upload that is cut.
_LITESTAR_DISCONNECT: Final = "client disconnected prematurely"
# Normal closure, going away, no status: RFC 6455, 7.4.1.
_NORMAL_CLOSES: Final = frozenset((1000, 1001, 1005))


def client_has_left(error: BaseException) -> bool:
    """Whether a server's handler was left because its client went away, which is no fault of the server's.

    A WebSocket has gone so when it was closed in a normal way; one that broke is an error.
    """
    for cls in type(error).__mro__:
        if (cls.__module__.partition(".")[0], cls.__name__) in _DISCONNECTS:
            return cls.__name__ != "WebSocketDisconnect" or getattr(error, "code", 1006) in _NORMAL_CLOSES
    return type(error).__name__ == "InternalServerException" and getattr(error, "detail", "") == _LITESTAR_DISCONNECT


def type_name(error: BaseException) -> str:
    """The exception's class as `error.type` wants it: qualified, without `builtins`."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
