"""Connections that are refused: the failure people look for is a span, one, whoever sees it."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pymongo
import pytest
import sqlalchemy
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.ext.asyncio import create_async_engine

import clew
from clew.instrumentation import instrument, uninstrument
from clew.testing import SpanRecorder, assert_span

# PyMongo's monitors leave sockets that were refused to the garbage collector, without tracing too.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left to the garbage collector is collected here, not in the middle of another test."""
    yield
    deadline_s = time.monotonic() + 100
    while any("pymongo" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    gc.collect()


ADDRESS = "postgresql://ada:pw4711@127.0.0.1:9/shop"


async def by_asyncpg() -> None:
    await asyncpg.connect(ADDRESS)


async def by_pool_of_asyncpg() -> None:
    async with asyncpg.create_pool(host="127.0.0.1", port=9, database="shop", user="ada", password="pw4711"):
        pass


async def by_async_psycopg() -> None:
    await psycopg.AsyncConnection.connect(ADDRESS)


async def by_async_sqlalchemy() -> None:
    engine = create_async_engine(ADDRESS.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect():
        pass


def by_sqlalchemy() -> None:
    sqlalchemy.create_engine(ADDRESS.replace("postgresql:", "postgresql+psycopg:")).connect()


WAYS: dict[str, Any] = {
    "psycopg": lambda: psycopg.connect(ADDRESS),
    "psycopg's class": lambda: psycopg.Connection.connect("host=127.0.0.1", port=9, dbname="shop", user="ada"),
    "psycopg, async": lambda: asyncio.run(by_async_psycopg()),
    "asyncpg": lambda: asyncio.run(by_asyncpg()),
    "asyncpg's pool": lambda: asyncio.run(by_pool_of_asyncpg()),
    "SQLAlchemy": by_sqlalchemy,
    "SQLAlchemy, async": lambda: asyncio.run(by_async_sqlalchemy()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_is_refused_is_one_span(tracer_provider: Any, way: str) -> None:
    with pytest.raises(Exception) as plain:  # noqa: PT011  # each driver's own
        WAYS[way]()
    recorder = SpanRecorder(tracer_provider)
    instrument(tracer_provider)
    try:
        with pytest.raises(type(plain.value)):
            WAYS[way]()
    finally:
        uninstrument()
    span = recorder.one()
    assert_span(
        span,
        name="CONNECT shop",
        kind=SpanKind.CLIENT,
        status=StatusCode.ERROR,
        attributes={
            "db.system.name": "postgresql",
            "db.namespace": "shop",
            "server.address": "127.0.0.1",
            "server.port": 9,
        },
    )
    assert span.end_time > span.start_time
    assert "pw4711" not in str(span.status.description) + str([event.attributes for event in span.events])
    with pytest.raises(type(plain.value)):
        WAYS[way]()
    assert len(recorder.spans) == 1


def test_an_engine_traced_by_hand_shows_a_refused_connection(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    engine = sqlalchemy.create_engine(ADDRESS.replace("postgresql:", "postgresql+psycopg:"))
    clew.sqlalchemy.traced(engine, tracer_provider=tracer_provider)
    with pytest.raises(sqlalchemy.exc.OperationalError):
        engine.connect()
    assert_span(recorder.one(), name="CONNECT shop", status=StatusCode.ERROR)


def test_a_mongodb_server_that_is_not_found_is_one_span(tracer_provider: Any) -> None:
    async def find() -> None:
        async with pymongo.AsyncMongoClient("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=100) as client:
            await client.shop.orders.find_one()

    recorder = SpanRecorder(tracer_provider)
    instrument(tracer_provider)
    try:
        with (
            pymongo.MongoClient("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=100) as client,
            pytest.raises(pymongo.errors.ServerSelectionTimeoutError),
        ):
            client.shop.orders.find_one()
        with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
            asyncio.run(find())
    finally:
        uninstrument()
    assert [(span.name, span.status.status_code) for span in recorder.spans] == [("find", StatusCode.ERROR)] * 2
    for span in recorder.spans:
        assert_span(
            span,
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "mongodb", "server.address": "127.0.0.1", "server.port": 9},
        )
        assert span.end_time - span.start_time >= 90_000_000
