"""The `message` service: gRPC on port 9000, reads a user's messages from SQLite."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import grpc
from opentelemetry import trace

import clew
from clew_server.demo.data import create_database
from clew_server.demo.sqlite_tracing import TracedConnection

SIGNED = 3


def read_messages(database: Path, user: str) -> list[dict[str, str]]:
    """The user's messages, newest first. Raises LookupError for an unknown user, sqlite3.Error as it comes."""
    with TracedConnection(database) as connection:
        users = connection.query("SELECT users", "SELECT plan, shard FROM users WHERE name = ?", user)
        if not users:
            raise LookupError(f"no user {user}")
        [(plan, shard)] = users
        trace.get_current_span().set_attributes({"app.user": user, "app.plan": plan, "app.shard": shard})

        messages_sql = f"SELECT author, text FROM messages_{shard} WHERE reader = ? ORDER BY id DESC"
        rows = connection.query(f"SELECT messages_{shard}", messages_sql, user)
        messages = [{"author": author, "text": text} for author, text in rows]
        # One more query for each message that is signed: the newest few, and all of them where the plan promises it.
        signature_sql = "SELECT text FROM signatures WHERE author = ?"
        for message in messages if plan == "enterprise" else messages[:SIGNED]:
            [(signature,)] = connection.query("SELECT signatures", signature_sql, message["author"])
            message["signature"] = signature
        return messages


class MessageService:
    """message.v1.MessageService, with JSON where protobuf would need generated code."""

    def __init__(self, database: Path) -> None:
        self._database = database

    async def list_messages(
        self, request: dict[str, str], context: grpc.aio.ServicerContext[Any, Any]
    ) -> dict[str, list[dict[str, str]]]:
        try:
            return {"messages": await asyncio.to_thread(read_messages, self._database, request["user"])}
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except sqlite3.Error:
            context.set_code(grpc.StatusCode.INTERNAL)
            raise


async def serve(port: int, database: Path) -> None:
    """Listens on 127.0.0.1:`port` until SIGTERM or SIGINT."""
    service = MessageService(database)
    method: grpc.RpcMethodHandler[dict[str, str], dict[str, list[dict[str, str]]]] = (
        grpc.unary_unary_rpc_method_handler(
            service.list_messages,
            request_deserializer=json.loads,
            response_serializer=lambda reply: json.dumps(reply).encode(),
        )
    )
    server = grpc.aio.server(interceptors=[clew.grpc.aio.server_interceptor()])
    server.add_registered_method_handlers("message.v1.MessageService", {"ListMessages": method})
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()

    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await stop.wait()
    await server.stop(grace=1)


def main() -> None:
    """Serves until a signal. Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, else to http://localhost:4318."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=9000)
    options.add_argument("--database", type=Path, default=Path("messages.sqlite"), help="made when it is not there")
    chosen = options.parse_args()

    clew.configure(service_name="message", resource_attributes={"environment": "development", "ID": 2})
    create_database(chosen.database)
    asyncio.run(serve(chosen.port, chosen.database))


if __name__ == "__main__":
    main()
