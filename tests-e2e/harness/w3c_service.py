"""The service that the W3C's trace-context test suite asks: it calls whom it is told to, traced by clew.

python tests-e2e/harness/w3c_service.py 5000 [wsgi|aiohttp]   # ASGI + httpx, WSGI + requests, aiohttp's server + client
SPEC_LEVEL=2 STRICT_LEVEL=2 SERVICE_ENDPOINT=http://127.0.0.1:5000/test python test.py   # in the suite's folder
"""

from __future__ import annotations

import json
import sys
from typing import Any

import aiohttp
import httpx
import requests
import uvicorn
import waitress
from aiohttp import web

import clew
from clew.instrumentation.requests import TracingAdapter
from clew.instrumentation.wsgi import TracingMiddleware
from clew.recorder.provider import TracerProvider


def application(provider: TracerProvider) -> Any:
    """An ASGI application behind clew's middleware that calls through clew's httpx transport."""
    client = httpx.AsyncClient(transport=clew.httpx.AsyncTracingTransport(tracer_provider=provider))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await client.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        for call in json.loads(body):
            await client.post(call["url"], json=call["arguments"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return clew.asgi.TracingMiddleware(app, tracer_provider=provider)


def wsgi_application(provider: TracerProvider) -> Any:
    """A WSGI application behind clew's middleware that calls through requests with clew's adapter."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        with requests.Session() as session:
            session.mount("http://", TracingAdapter(tracer_provider=provider))
            for call in json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))):
                session.post(call["url"], json=call["arguments"], timeout=100)
        start_response("200 OK", [("content-length", "0")])
        return [b""]

    return TracingMiddleware(app, tracer_provider=provider)


def aiohttp_application(provider: TracerProvider) -> web.Application:
    """An application of aiohttp with clew's middleware that calls through a traced session of aiohttp."""

    async def call_all(request: web.Request) -> web.Response:
        config = clew.aiohttp.trace_config(tracer_provider=provider)
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            for call in await request.json():
                async with session.post(call["url"], json=call["arguments"]):
                    pass
        return web.Response()

    app = web.Application(middlewares=[clew.aiohttp.middleware(tracer_provider=provider)])
    app.router.add_post("/{path:.*}", call_all)
    return app


if __name__ == "__main__":
    if sys.argv[2:] == ["aiohttp"]:
        web.run_app(
            aiohttp_application(TracerProvider()), host="127.0.0.1", port=int(sys.argv[1]), print=lambda *_: None
        )
    elif sys.argv[2:] == ["wsgi"]:
        waitress.serve(wsgi_application(TracerProvider()), port=int(sys.argv[1]), host="127.0.0.1", threads=8)
    else:
        uvicorn.run(application(TracerProvider()), port=int(sys.argv[1]), log_level="warning")
