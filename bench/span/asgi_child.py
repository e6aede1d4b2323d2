"""An ASGI application, bare or traced, called in a row or served by uvicorn; one line of JSON.

python bench/span/asgi_child.py drive|serve bare|clew|otel-asgi '{"http": …}' count=N
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from makers import Wish

_HEADERS = [
    (b"host", b"shop.example:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) bench"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]
_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
_BODY = {"type": "http.response.body", "body": b'{"id":42,"name":"Ada"}'}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


async def application(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    if scope["type"] == "http":
        await send({**_START})
        await send({**_BODY})


def traced(name: str, wish: Wish) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    """The application, how to flush its spans, how to end."""
    if name == "bare":
        return application, bool, bool
    if name == "clew":
        import clew
        from clew.recorder import _select

        wanted = os.environ.get("CLEW_RECORDER")
        if wanted and wanted != _select.selected.name:
            raise ImportError(f"{_select.selected.name} is what there is, not {wanted}: {_select.reason}")
        provider = clew.configure(service_name="bench", endpoint=wish.http)
        return clew.asgi.TracingMiddleware(application), provider.force_flush, provider.shutdown

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    sdk = TracerProvider()
    sdk.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=wish.http + "/v1/traces")))
    # Its default makes three spans of a request; one is what we make.
    middleware = OpenTelemetryMiddleware(application, tracer_provider=sdk, exclude_spans=["send", "receive"])
    return middleware, sdk.force_flush, sdk.shutdown


def drive(app: Any, flush: Callable[[], Any], count: int) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    for number in range(count):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
            "method": "GET",
            "root_path": "",
            "path": f"/users/{number}",
            "raw_path": f"/users/{number}".encode(),
            "query_string": b"",
            "headers": list(_HEADERS),
            "state": {},
        }
        # Nothing here waits, so no event loop is needed, and none is measured.
        try:
            app(scope, receive, send).send(None)
        except StopIteration:
            pass
        if number % 1_000 == 999:
            flush()
    flush()


def serve(app: Any) -> None:
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    started = server.startup

    async def startup(sockets: Any = None) -> None:
        await started(sockets)
        print(json.dumps({"port": server.servers[0].sockets[0].getsockname()[1]}), flush=True)

    server.startup = startup  # type: ignore[method-assign]
    server.run()


def main() -> None:
    task, name, wish, *words = sys.argv[1:]
    app, flush, shutdown = traced(name, Wish(**json.loads(wish)))
    if task == "serve":
        serve(app)
    else:
        drive(app, flush, int(words[0].partition("=")[2]))
    shutdown()


if __name__ == "__main__":
    main()
