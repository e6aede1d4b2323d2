"""`GET /info`, by which Datadog's tracers ask what their agent can do. An ASGI app beside the listener."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from clew_server.receivers.contract import JSON
from clew_server.receivers.datadog.decoder import TRACES

INFO: Final = json.dumps(
    {
        "version": "7.60.0",
        "endpoints": [*TRACES, "/telemetry/proxy/", "/v0.7/config"],
        "client_drop_p0s": False,
        "span_meta_structs": True,
        "span_events": True,
        "long_running_spans": False,
    }
).encode()
"""What the agent can do. Nothing is said of statistics: a tracer that computes them drops spans."""


_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def info_app(scope: _Scope, receive: _Receive, send: _Send) -> None:
    """The ASGI app beside the listener: `GET /info`."""
    if scope["type"] != "http":
        return
    status, body = 404, b"{}"
    if scope["path"] == "/info":
        status, body = (200, INFO) if scope["method"] in ("GET", "HEAD") else (405, b"{}")
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
