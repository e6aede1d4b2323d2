"""Any PEP 249 driver behind stand-ins, with sqlite3 as the driver."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.testing import DatabaseKit, SpanRecorder, assert_span
from clew.testing.kits.sameness import assert_same


class TestKit(DatabaseKit):
    """sqlite3 as any other driver."""

    component = "SQLite"
    span_name = "INSERT orders"
    attributes = MappingProxyType({"db.system.name": "sqlite", "db.query.summary": "INSERT orders"})
    secret = "ada"
    statement = "INSERT INTO orders VALUES (?)"
    keeps_statement = True
    takes_options = True

    @pytest.fixture(autouse=True)
    def prepare(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path / "kit.db"
        self.untraced = sqlite3.connect(self.path, isolation_level=None)
        self.untraced.execute("CREATE TABLE orders (customer TEXT UNIQUE, n INTEGER)")
        yield
        self.untraced.close()

    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        self.untraced.execute("DELETE FROM orders")
        if fails:
            self.untraced.execute("INSERT INTO orders VALUES ('ada', 1)")
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            traced = clew.dbapi.traced(connection, system="sqlite", tracer_provider=tracer_provider, **options)
            try:
                traced.cursor().execute("INSERT INTO orders VALUES ('ada', 2)")
            except sqlite3.Error as error:
                return error
        return None


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
    assert [span.name for span in recorder.spans] == ["CREATE TABLE orders", "BATCH INSERT orders", "SELECT orders"]
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


class _Named:
    """A driver that names its arguments otherwise than others do, and tells a missing one from an empty one."""

    rowcount = -1

    def __init__(self) -> None:
        self.connection = self

    def cursor(self, factory: type | None = None) -> _Named:
        return self

    def execute(self, query: str, args: Any = None) -> Any:
        return query, args

    def executemany(self, query: str, args: Any) -> Any:
        return query, args

    def callproc(self, procname: str, args: Any = ()) -> Any:
        return procname, args


def test_arguments_reach_the_driver_exactly_as_they_were_given(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    traced = clew.dbapi.traced(_Named(), system="mysql", tracer_provider=tracer_provider)
    calls: list[Callable[[Any], Any]] = [
        lambda c: c.execute("SELECT 1"),
        lambda c: c.execute("SELECT 1", None),
        lambda c: c.execute("SELECT 1", ()),
        lambda c: c.execute(query="SELECT 1", args=[2]),
        lambda c: c.executemany(query="INSERT INTO orders VALUES (%s)", args=[(1,), (2,)]),
        lambda c: c.callproc(procname="settle", args=(1,)),
        lambda c: c.rowcount,
        lambda c: isinstance(c, _Named),
    ]
    assert_same(_Named().cursor(), traced.cursor(), calls)
    for wrong in (lambda c: c.execute(), lambda c: c.execute(statement="SELECT 1"), lambda c: c.gone):
        with pytest.raises((TypeError, AttributeError)) as plainly:
            wrong(_Named())
        with pytest.raises(type(plainly.value), match=re.escape(str(plainly.value))):
            wrong(traced.cursor())
    assert traced.cursor().connection is traced
    assert recorder.spans[4].attributes["db.operation.batch.size"] == 2
    assert recorder.spans[5].name == "CALL settle"
