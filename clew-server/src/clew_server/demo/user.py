"""The `user` service: HTTP on port 8000, asks `message` over gRPC for a user's messages."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

import clew

TIMEOUT_S = 10  # a slow machine is to show a slow request, not one that was cut off


def create_app(message_target: str) -> ASGIApp:
    """The service as an ASGI application; `message_target` is host:port of `message`."""

    @contextlib.asynccontextmanager
    async def channel(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        interceptors = clew.grpc.aio.client_interceptor(target=message_target)
        async with grpc.aio.insecure_channel(message_target, interceptors=interceptors) as channel:
            yield {
                "list_messages": channel.unary_unary(
                    "/message.v1.MessageService/ListMessages",
                    request_serializer=lambda request: json.dumps(request).encode(),
                    response_deserializer=json.loads,
                )
            }
        clew.shutdown()  # uvicorn ends the process by signal, past Python's own exit hooks

    async def my_messages(request: Request) -> JSONResponse:
        try:
            reply = await request.state.list_messages({"user": request.path_params["name"]}, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            status = 404 if error.code() == grpc.StatusCode.NOT_FOUND else 502
            return JSONResponse({"error": error.details()}, status_code=status)
        return JSONResponse(reply)

    app = Starlette(routes=[Route("/users/{name}/messages", my_messages)], lifespan=channel)
    return clew.asgi.TracingMiddleware(app)


def main() -> None:
    """Serves until a signal. Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, else to http://localhost:4318."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--message", default="127.0.0.1:9000", metavar="HOST:PORT")
    chosen = options.parse_args()

    clew.configure(service_name="user", resource_attributes={"environment": "development", "ID": 1})
    uvicorn.run(create_app(chosen.message), host="127.0.0.1", port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
