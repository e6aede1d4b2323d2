"""instrument() and uninstrument(): everything at once, once, and back."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import httpx
import pymongo
import pytest
import redis
import uvicorn
from grpc import aio
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clew.instrumentation import _patching, auto, grpc_aio, instrument, uninstrument
from clew.instrumentation.asgi import TracingMiddleware
from clew.instrumentation.httpx import TracingTransport
from clew.testing import SpanRecorder, assert_span
from clew.testing.kits.sameness import shape

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from wire_peers import MongoPeer, Peer, serving


@pytest.fixture(autouse=True)
def _cleanly() -> Iterator[None]:
    yield
    uninstrument()


async def hello(request: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


def patched() -> list[Any]:
    return [
        Starlette.__call__,
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
        aio.server,
        aio.insecure_channel,
        aio.secure_channel,
    ]


def test_what_is_taken_back_is_as_it_was() -> None:
    before = patched()
    instrument()
    once = patched()
    assert all(ours is not theirs for ours, theirs in zip(once, before, strict=True))
    instrument()
    assert patched() == once
    uninstrument()
    assert patched() == before
    uninstrument()
    assert patched() == before


def test_a_request_over_sockets_has_one_span_a_side_even_if_both_are_traced_explicitly_too(
    tracer_provider: Any,
) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = Starlette(routes=[Route("/hello", hello)])
    app.add_middleware(TracingMiddleware, tracer_provider=tracer_provider)
    instrument(tracer_provider)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/hello"
            plain = httpx.Client(transport=httpx.HTTPTransport(retries=20))
            explicit = httpx.Client(transport=TracingTransport(tracer_provider=tracer_provider))
            for client in (plain, explicit):
                with client:
                    assert client.get(url).text == "hello"
                client_span = recorder.one(kind=SpanKind.CLIENT)
                server_span = recorder.one(kind=SpanKind.SERVER)
                assert_span(server_span, name="GET /hello", parent_id=f"{client_span.context.span_id:016x}")
                recorder.clear()
            uninstrument()
            with httpx.Client() as client:
                assert client.get(url).text == "hello"
            # The middleware of the application itself stays.
            recorder.one(kind=SpanKind.SERVER)
            assert len(recorder.spans) == 1
        finally:
            server.should_exit = True
            thread.join(100)


@pytest.mark.parametrize("options", [{}, {"with_statement": True}], ids=["without", "with"])
def test_statements_of_redis_and_mongodb_are_kept_where_they_are_asked_for(
    tracer_provider: Any, options: dict[str, Any]
) -> None:
    recorder = SpanRecorder(tracer_provider)
    instrument(tracer_provider, **options)
    with serving(Peer) as store, redis.Redis(port=store.port, protocol=2) as client:
        client.set("a", "S")
    with (
        serving(MongoPeer) as store,
        pymongo.MongoClient(f"mongodb://127.0.0.1:{store.port}/?directConnection=true") as mongodb,
    ):
        mongodb.admin.command("ping", comment="S")
    uninstrument()
    kept = {span.name: span.attributes.get("db.query.text") for span in recorder.spans}
    assert (kept["SET"], kept["ping admin"]) == (
        ("SET ? ?", '{"ping": "?", "comment": "?"}') if options else (None, None)
    )


@pytest.mark.parametrize("is_explicit", [False, True])
def test_grpc_servers_and_channels_are_traced_once(tracer_provider: Any, is_explicit: bool) -> None:
    recorder = SpanRecorder(tracer_provider)
    instrument(tracer_provider)

    class Echo(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            async def echo(request: bytes, context: Any) -> bytes:
                return request

            return grpc.unary_unary_rpc_method_handler(echo)

    async def main() -> None:
        server = aio.server(
            interceptors=[grpc_aio.server_interceptor(tracer_provider=tracer_provider)] if is_explicit else None
        )
        server.add_generic_rpc_handlers((Echo(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ours = grpc_aio.client_interceptor(tracer_provider=tracer_provider) if is_explicit else None
        async with aio.insecure_channel(f"127.0.0.1:{port}", interceptors=ours) as channel:
            assert await channel.unary_unary("/a.B/C")(b"x") == b"x"
        await server.stop(None)

    asyncio.run(main())
    client_span, server_span = recorder.one(kind=SpanKind.CLIENT), recorder.one(kind=SpanKind.SERVER)
    assert_span(server_span, parent_id=f"{client_span.context.span_id:016x}")
    if not is_explicit:
        assert_span(client_span, attributes={"server.address": "127.0.0.1"})


def test_what_is_put_in_a_functions_place_looks_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and frameworks look at a function's kind and signature before they call it."""
    replaced: list[tuple[str, Any, Any]] = []

    def recording(owner: Any, name: str, make: Any) -> Any:
        original = getattr(owner, name)
        undo = _patching.replace(owner, name, make)
        replaced.append((f"{owner.__name__}.{name}", original, getattr(owner, name)))
        return undo

    modules = [import_module(target.partition(":")[0]) for _, target in auto._LIBRARIES]
    for module in modules:
        if hasattr(module, "replace"):
            monkeypatch.setattr(module, "replace", recording)
    instrument()
    assert len(replaced) > 30
    assert [name for name, before, after in replaced if shape(before) != shape(after)] == []


def same(one: list[Any], other: list[Any]) -> list[bool]:
    return [a is b for a, b in zip(one, other, strict=True)]


def test_libraries_that_are_to_be_left_alone_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    before = patched()
    instrument(without=["httpx"])
    assert same(patched(), before) == [False, True, True, False, False, False]
    uninstrument()
    monkeypatch.setenv("CLEW_DISABLED_INSTRUMENTATIONS", "HTTPX, grpc")
    instrument(without="starlette")
    assert same(patched(), before) == [True] * 6


def test_a_library_that_nobody_knows_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = patched()
    with pytest.raises(ValueError, match=r"no such library: redsi; known are aio_pika, .*redis"):
        instrument(without=["redis", "redsi"])
    assert patched() == before
    monkeypatch.setenv("CLEW_DISABLED_INSTRUMENTATIONS", "kafka-pythn,kafka-python")
    instrument()
    assert "CLEW_DISABLED_INSTRUMENTATIONS=kafka_pythn is ignored: known are" in caplog.text
    assert all(ours is not theirs for ours, theirs in zip(patched(), before, strict=True))


def test_every_name_of_a_library_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/choose-what-is-traced.md").read_text(encoding="utf-8")
    section = page[page.index("## Leave a library alone") :]
    assert [name for name in auto.libraries() if f"`{name}`" not in section] == []


IMPORTS = """
import clew
clew.instrument()
from fastapi import FastAPI
from starlette.applications import Starlette
from celery import Celery
from kafka import KafkaProducer
from django.core.wsgi import get_wsgi_application
from django.core.asgi import get_asgi_application
from gunicorn.app.base import BaseApplication
from concurrent.futures import ThreadPoolExecutor
import aio_pika, aiohttp, aiokafka, asyncpg, confluent_kafka, flask, grpc, http.client, httpx, httpx2, pika, psycopg
import pymongo, redis, requests, sqlalchemy, sqlite3, threading, urllib3, uvicorn

from clew import guard
from clew.instrumentation import auto
print(guard.failures(), hasattr(FastAPI.__call__, "__wrapped__"), sorted(auto.libraries()))
"""


def test_every_library_can_be_patched_while_its_package_is_imported() -> None:
    """Each is imported after `instrument()`, by its usual name, so that a module's hook runs before its package is done."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CLEW_", "OTEL_"))}
    ended = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, env=kept, timeout=300)
    assert "failed" not in ended.stderr
    assert ended.stdout.startswith("{} True "), ended.stderr
