"""psycopg 3, asyncpg and SQLAlchemy over both, against a PostgreSQL server."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from types import MappingProxyType
from typing import Any

import asyncpg
import psycopg
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import clew
from clew.instrumentation import asyncpg as asyncpg_instrumentation
from clew.instrumentation import psycopg as psycopg_instrumentation
from clew.testing import DatabaseKit, SpanRecorder, assert_span
from clew.testing.kits.sameness import aoutcome, outcome
from harness.backends import Backend


@pytest.fixture
def address(postgresql: Backend) -> str:
    address = f"postgresql://postgres@{postgresql.address}/postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute("CREATE TABLE orders (id serial PRIMARY KEY, customer text UNIQUE)")
    return address


class _Kit(DatabaseKit):
    component = "PostgreSQL"
    span_name = "INSERT orders"
    attributes = MappingProxyType({"db.system.name": "postgresql", "db.query.summary": "INSERT orders"})
    secret = "ada"
    statement = "INSERT INTO orders (id, customer) VALUES (?)"
    keeps_statement = True
    failure_code = "23505"
    takes_options = True
    text = "INSERT INTO orders (id, customer) VALUES (7, 'ada')"

    @pytest.fixture(autouse=True)
    def connect(self, address: str) -> Iterator[None]:
        self.address = address
        with psycopg.connect(address, autocommit=True) as self.untraced:
            yield

    def prepare(self, fails: bool) -> None:
        self.untraced.execute("DELETE FROM orders")
        if fails:
            self.untraced.execute("INSERT INTO orders (id) VALUES (7)")


class TestPsycopg(_Kit):
    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        self.prepare(fails)
        with psycopg.connect(self.address, autocommit=True) as connection:
            clew.psycopg.traced(connection, tracer_provider=tracer_provider, **options)
            try:
                connection.execute(self.text)
            except psycopg.Error as error:
                return error
        return None


class TestAsyncPsycopg(_Kit):
    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        async def run() -> BaseException | None:
            async with await psycopg.AsyncConnection.connect(self.address, autocommit=True) as connection:
                clew.psycopg.traced(connection, tracer_provider=tracer_provider, **options)
                try:
                    await connection.execute(self.text)
                except psycopg.Error as error:
                    return error
            return None

        self.prepare(fails)
        return asyncio.run(run())


class TestAsyncpg(_Kit):
    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        async def run() -> BaseException | None:
            traced = clew.asyncpg.connection_class(tracer_provider=tracer_provider, **options)
            connection = await asyncpg.connect(self.address, connection_class=traced)
            try:
                await connection.execute(self.text)
            except asyncpg.PostgresError as error:
                return error
            finally:
                await connection.close()
            return None

        self.prepare(fails)
        return asyncio.run(run())


def names(spans: SpanRecorder) -> list[str]:
    return [span.name for span in spans.spans if span.kind is SpanKind.CLIENT]


def test_a_statement_of_psycopg_is_a_client_span(
    postgresql: Backend, address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with psycopg.connect(address) as connection:
        assert clew.psycopg.traced(connection, tracer_provider=tracer_provider, with_statement=True) is connection
        with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
            connection.execute("INSERT INTO orders (customer) VALUES ('ada'), (%s)", ("bob",))
    assert_span(
        spans.one(kind=SpanKind.CLIENT),
        name="INSERT orders",
        status=StatusCode.UNSET,
        parent_id=f"{request.get_span_context().span_id:016x}",
        attributes={
            "component": "PostgreSQL",
            "db.system.name": "postgresql",
            "db.query.summary": "INSERT orders",
            "db.namespace": "postgres",
            "db.query.text": "INSERT INTO orders (customer) VALUES (?), (%s)",
            "server.address": postgresql.host,
            "server.port": postgresql.port,
        },
    )


def test_every_way_to_send_a_statement_with_psycopg_is_traced(
    address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with psycopg.connect(address) as connection:
        clew.psycopg.traced(connection, tracer_provider=tracer_provider)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO orders (customer) VALUES (%s)", [("ada",), ("bob",), ("eve",)])
            assert [row[0] for row in cursor.stream("SELECT customer FROM orders ORDER BY id")] == ["ada", "bob", "eve"]
            with cursor.copy("COPY orders (customer) FROM STDIN") as copying:
                copying.write_row(["dan"])
            cursor.execute(sql.SQL("DELETE FROM {} WHERE customer = {}").format(sql.Identifier("orders"), "dan"))
            cursor.stream("SELECT 'nobody reads this'")
        with connection.cursor("server_side") as cursor:
            cursor.execute("SELECT id FROM orders")
            assert len(cursor.fetchall()) == 3
        with connection.pipeline():
            connection.execute("UPDATE orders SET customer = 'zoe' WHERE customer = 'eve'")
    assert names(spans) == [
        "BATCH INSERT orders",
        "SELECT orders",
        "COPY orders",
        "DELETE orders",
        "SELECT orders",
        "UPDATE orders",
    ]
    assert spans.spans[0].attributes["db.operation.batch.size"] == 3
    assert spans.open == 0


def test_an_error_of_postgresql_has_its_code(address: str, tracer_provider: Any, spans: SpanRecorder) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        clew.psycopg.traced(connection, tracer_provider=tracer_provider)
        connection.execute("INSERT INTO orders (customer) VALUES ('ada')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO orders (customer) VALUES ('ada')")
    span = spans.spans[-1]
    assert_span(span, status=StatusCode.ERROR, attributes={"db.response.status_code": "23505"})
    assert span.attributes["error.type"] == "psycopg.errors.UniqueViolation"


def test_async_connections_of_psycopg_are_traced(address: str, tracer_provider: Any, spans: SpanRecorder) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(address) as connection:
            clew.psycopg.traced(connection, tracer_provider=tracer_provider)
            await connection.execute("INSERT INTO orders (customer) VALUES ('ada')")
            async with connection.cursor() as cursor:
                await cursor.executemany("INSERT INTO orders (customer) VALUES (%s)", [("bob",)])
                assert [row async for row in cursor.stream("SELECT customer FROM orders")] == [("ada",), ("bob",)]
                async with cursor.copy("COPY orders TO STDOUT") as copying:
                    assert len([row async for row in copying.rows()]) == 2
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("SELECT * FROM gone")

    asyncio.run(work())
    assert names(spans) == ["INSERT orders", "INSERT orders", "SELECT orders", "COPY orders", "SELECT gone"]
    assert_span(spans.spans[-1], status=StatusCode.ERROR, attributes={"db.response.status_code": "42P01"})
    assert spans.open == 0


def test_a_patched_psycopg_is_traced_until_it_is_undone_and_never_twice(
    address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with psycopg.connect(address) as before, psycopg.connect(address) as explicit:
        clew.psycopg.traced(explicit, tracer_provider=tracer_provider)
        undo = psycopg_instrumentation.patch(tracer_provider)
        try:
            before.execute("SELECT 1")
            explicit.execute("SELECT 1")
            assert list(before.cursor().stream("SELECT 2")) == [(2,)]
            assert names(spans) == ["SELECT"] * 3
        finally:
            undo()
        before.execute("SELECT 1")
    assert names(spans) == ["SELECT"] * 3


def test_every_way_to_send_a_statement_with_asyncpg_is_traced(
    postgresql: Backend, address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def work() -> None:
        connection_class = clew.asyncpg.connection_class(tracer_provider=tracer_provider, with_statement=True)
        async with asyncpg.create_pool(address, min_size=1, max_size=1, connection_class=connection_class) as pool:
            await pool.execute("INSERT INTO orders (customer) VALUES ($1)", "ada")
            await pool.executemany("INSERT INTO orders (customer) VALUES ($1)", [("bob",), ("eve",)])
            assert await pool.fetchval("SELECT count(*) FROM orders WHERE customer <> 'x'") == 3
            async with pool.acquire() as connection:
                statement = await connection.prepare("SELECT customer FROM orders WHERE id = $1")
                assert await statement.fetchval(1) == "ada"
                await connection.copy_records_to_table("orders", records=[("dan",)], columns=["customer"])
                with pytest.raises(asyncpg.UniqueViolationError):
                    await connection.execute("INSERT INTO orders (customer) VALUES ('dan')")

    asyncio.run(work())
    made = [span for span in spans.spans if span.kind is SpanKind.CLIENT]
    # The pool resets connections by statements of its own.
    ours = [span for span in made if "orders" in span.attributes.get("db.query.summary", "")]
    assert [span.name for span in ours] == [
        "INSERT orders",
        "BATCH INSERT orders",
        "SELECT orders",
        "SELECT orders",
        "COPY orders",
        "INSERT orders",
    ]
    assert_span(
        ours[2],
        status=StatusCode.UNSET,
        attributes={
            "component": "PostgreSQL",
            "db.namespace": "postgres",
            "db.query.text": "SELECT count(*) FROM orders WHERE customer <> ?",
            "server.address": postgresql.host,
            "server.port": postgresql.port,
        },
    )
    assert ours[1].attributes["db.operation.batch.size"] == 2
    assert_span(ours[-1], status=StatusCode.ERROR, attributes={"db.response.status_code": "23505"})
    assert spans.open == 0


def test_a_patched_asyncpg_is_traced_until_it_is_undone_and_never_twice(
    address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    async def work() -> None:
        explicit_class = clew.asyncpg.connection_class(tracer_provider=tracer_provider)
        plain, explicit = (
            await asyncpg.connect(address),
            await asyncpg.connect(address, connection_class=explicit_class),
        )
        undo = asyncpg_instrumentation.patch(tracer_provider)
        try:
            await plain.fetch("SELECT 1")
            await explicit.fetch("SELECT 1")
            assert names(spans) == ["SELECT"] * 2
        finally:
            undo()
        await plain.fetch("SELECT 1")
        await plain.close()
        await explicit.close()

    asyncio.run(work())
    assert names(spans) == ["SELECT"] * 2


def test_sqlalchemy_over_traced_drivers_has_one_span_a_statement(
    address: str, tracer_provider: Any, spans: SpanRecorder
) -> None:
    undos = [psycopg_instrumentation.patch(tracer_provider), asyncpg_instrumentation.patch(tracer_provider)]

    async def work() -> None:
        engine = clew.sqlalchemy.traced(
            create_async_engine(address.replace("postgresql:", "postgresql+asyncpg:")), tracer_provider=tracer_provider
        )
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE orders SET customer = 'bob'"))
        await engine.dispose()

    try:
        engine = clew.sqlalchemy.traced(
            create_engine(address.replace("postgresql:", "postgresql+psycopg:")), tracer_provider=tracer_provider
        )
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO orders (customer) VALUES ('ada')"))
        engine.dispose()
        asyncio.run(work())
    finally:
        for undo in undos:
            undo()
    assert names(spans).count("INSERT orders") == 1
    assert names(spans).count("UPDATE orders") == 1
    assert spans.open == 0


class OwnCursor(psycopg.Cursor[Any]):
    """Has names of its own for what it is given."""

    def execute(self, statement: Any, values: Any = None, **options: Any) -> Any:  # type: ignore[override]
        if values is None:
            return super().execute(statement, **options)
        return super().execute(statement, values, **options)


PSYCOPG: list[Callable[[Any], Any]] = [
    lambda c: c.execute("SELECT to_char(now(), '%') <> ''").fetchall(),
    lambda c: c.execute("SELECT '%'", ()).fetchall(),
    lambda c: c.rollback(),
    lambda c: c.execute(query="SELECT %s::int", params=(1,)).fetchall(),
    lambda c: c.execute("SELECT 1", None, prepare=True, binary=True).fetchall(),
    lambda c: c.execute(),
    lambda c: c.execute(7),
    lambda c: c.rollback(),
    lambda c: c.execute(statement="SELECT 1"),
    lambda c: c.cursor().executemany(query="SELECT %s", params_seq=[(1,)], returning=True),
    lambda c: c.cursor().executemany("SELECT 1"),
    lambda c: list(c.cursor().stream(query="SELECT %s::int", params=[2])),
    lambda c: c.rollback(),
    lambda c: OwnCursor(c).execute(statement="SELECT %s::int", values=(1,)).fetchall(),
    lambda c: c.cursor(),
    lambda c: c.cursor("named").close(),
]
ASYNCPG: list[Callable[[Any], Awaitable[Any]]] = [
    lambda c: c.execute("SELECT 1"),
    lambda c: c.execute(query="SELECT 1", timeout=100),
    lambda c: c.executemany(command="INSERT INTO orders (customer) VALUES ($1)", args=[("ada",)]),
    lambda c: c.executemany("INSERT INTO orders (customer) VALUES ($1)", iter([("bob",)])),
    lambda c: c.copy_records_to_table(table_name="orders", records=[("eve",)], columns=["customer"]),
    lambda c: c.copy_from_table(table_name="orders", output="/dev/null"),
    lambda c: c.copy_from_query(query="SELECT 1", output="/dev/null"),
    lambda c: c.fetchval(query="SELECT $1::int", timeout=100),
    lambda c: c.fetchval("SELECT $1::int", 3, column=0),
    lambda c: c.fetch(),
    lambda c: c.fetch(7),
]


def test_psycopg_behaves_as_without_tracing(address: str, tracer_provider: Any) -> None:
    kinds = [psycopg.Cursor.execute, psycopg.Cursor.stream, psycopg.AsyncCursor.execute, psycopg.AsyncCursor.stream]
    shapes = [(inspect.iscoroutinefunction(one), inspect.isasyncgenfunction(one)) for one in kinds]
    for patched in (False, True):
        undo = psycopg_instrumentation.patch(tracer_provider) if patched else None
        try:
            with psycopg.connect(address) as traced:
                if not patched:
                    clew.psycopg.traced(traced, tracer_provider=tracer_provider)
                now = [psycopg.Cursor.execute, psycopg.Cursor.stream]
                now += [psycopg.AsyncCursor.execute, psycopg.AsyncCursor.stream]  # type: ignore[list-item]
                assert [(inspect.iscoroutinefunction(one), inspect.isasyncgenfunction(one)) for one in now] == shapes
                got = [outcome(call, traced) for call in PSYCOPG]
        finally:
            if undo is not None:
                undo()
        with psycopg.connect(address) as plain:
            for call, one in zip(PSYCOPG, got, strict=True):
                assert one == outcome(call, plain), inspect.getsource(call)


def test_asyncpg_behaves_as_without_tracing(address: str, tracer_provider: Any) -> None:
    async def work(patched: bool) -> None:
        undo = asyncpg_instrumentation.patch(tracer_provider) if patched else None
        of_ours = clew.asyncpg.connection_class(tracer_provider=tracer_provider)
        traced = await asyncpg.connect(address, connection_class=asyncpg.Connection if patched else of_ours)
        got = [await aoutcome(call, traced) for call in ASYNCPG]
        await traced.execute("DELETE FROM orders")
        await traced.close()
        if undo is not None:
            undo()
        plain = await asyncpg.connect(address)
        for call, one in zip(ASYNCPG, got, strict=True):
            assert one == await aoutcome(call, plain), inspect.getsource(call)
        await plain.execute("DELETE FROM orders")
        await plain.close()

    for patched in (False, True):
        asyncio.run(work(patched))
