"""Any PEP 249 driver behind stand-ins, with sqlite3 as the driver."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.testing import SpanRecorder, assert_span


def test_statements_of_any_driver_are_traced(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    connection = clew.dbapi.traced(
        sqlite3.connect(":memory:"), system="mysql", namespace="shop", host="db", tracer_provider=tracer_provider
    )
    with connection as same:
        assert same is connection
        cursor = connection.cursor()
        assert cursor.execute("CREATE TABLE orders (id)") is cursor
        cursor.executemany("INSERT INTO orders VALUES (?)", [(1,), (2,)])
        assert list(cursor.execute("SELECT id FROM orders")) == [(1,), (2,)]
        assert cursor.description[0][0] == "id"
    cursor.arraysize = 7
    assert cursor.__wrapped__.arraysize == 7
    connection.commit()
    connection.close()
    assert [span.name for span in recorder.spans] == ["CREATE orders", "INSERT orders", "SELECT orders"]
    assert_span(
        recorder.spans[1],
        kind=SpanKind.CLIENT,
        attributes={
            "component": "MySQL",
            "db.system.name": "mysql",
            "db.namespace": "shop",
            "db.operation.batch.size": 2,
            "server.address": "db",
            "server.port": 3306,
        },
    )


def test_an_error_passes_untouched(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    connection = clew.dbapi.traced(sqlite3.connect(":memory:"), system="sqlite", tracer_provider=tracer_provider)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.cursor().execute("SELECT * FROM gone")
    connection.close()
    assert_span(recorder.one(), name="SELECT gone", status=StatusCode.ERROR)


def test_what_is_no_connection_is_refused() -> None:
    with pytest.raises(TypeError, match="str has no cursor"):
        clew.dbapi.traced("shop", system="mysql")


def test_a_connection_is_traced_once() -> None:
    connection = clew.dbapi.traced(sqlite3.connect(":memory:"), system="sqlite")
    assert clew.dbapi.traced(connection, system="sqlite") is connection
    connection.close()
