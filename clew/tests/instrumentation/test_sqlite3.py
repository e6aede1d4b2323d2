"""sqlite3 on real files: statements, batches, scripts, subclasses of the user, and the patch."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import sqlite3 as instrumentation
from clew.testing import DatabaseKit, SpanRecorder, assert_span
from clew.testing.kits.sameness import assert_same


class TestKit(DatabaseKit):
    component = "SQLite"
    span_name = "INSERT orders"
    attributes = MappingProxyType({"db.system.name": "sqlite", "db.query.summary": "INSERT orders"})
    secret = "ada"
    statement = "INSERT INTO orders VALUES (?)"
    keeps_statement = True
    failure_code = "SQLITE_CONSTRAINT_UNIQUE"
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
        connection = clew.sqlite3.connector(tracer_provider=tracer_provider, **options)(self.path, isolation_level=None)
        try:
            connection.execute("INSERT INTO orders VALUES ('ada', 2)")
        except sqlite3.Error as error:
            return error
        finally:
            connection.close()
        return None


@pytest.fixture
def connection(tracer_provider: Any, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connect = clew.sqlite3.connector(tracer_provider=tracer_provider, with_statement=True)
    made = connect(tmp_path / "shop.db")
    made.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT UNIQUE)")
    yield made
    made.close()


@pytest.fixture
def recorder(tracer_provider: Any, connection: sqlite3.Connection) -> SpanRecorder:
    return SpanRecorder(tracer_provider)


def names(recorder: SpanRecorder) -> list[str]:
    return [span.name for span in recorder.spans]


def test_a_statement_is_a_client_span_of_the_current_one(
    connection: sqlite3.Connection, tracer_provider: Any, recorder: SpanRecorder, tmp_path: Path
) -> None:
    with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
        rows = connection.execute("SELECT id FROM orders WHERE customer = 'ada' AND id > ?", (3,)).fetchall()
    assert rows == []
    assert_span(
        recorder.one(kind=SpanKind.CLIENT),
        name="SELECT orders",
        status=StatusCode.UNSET,
        parent_id=f"{request.get_span_context().span_id:016x}",
        attributes={
            "component": "SQLite",
            "db.system.name": "sqlite",
            "db.query.summary": "SELECT orders",
            "db.namespace": str(tmp_path / "shop.db"),
            "db.query.text": "SELECT id FROM orders WHERE customer = ? AND id > ?",
        },
    )


def test_cursors_batches_and_scripts_are_traced(connection: sqlite3.Connection, recorder: SpanRecorder) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO orders (customer) VALUES (?)", ("ada",))
    cursor.executemany("INSERT INTO orders (customer) VALUES (?)", [("bob",), ("eve",)])
    connection.executemany("DELETE FROM orders WHERE customer = ?", iter([("bob",)]))
    connection.executescript("DROP TABLE orders; VACUUM")
    assert names(recorder) == ["INSERT orders", "BATCH INSERT orders", "DELETE orders", "DROP TABLE orders VACUUM"]
    assert [span.attributes.get("db.operation.batch.size") for span in recorder.spans] == [None, 2, None, None]
    assert recorder.open == 0


def test_an_error_is_recorded_with_sqlites_code_and_passes_untouched(
    connection: sqlite3.Connection, recorder: SpanRecorder
) -> None:
    connection.execute("INSERT INTO orders (customer) VALUES ('ada')")
    with pytest.raises(sqlite3.IntegrityError) as raised:
        connection.execute("INSERT INTO orders (customer) VALUES ('ada')")
    span = recorder.spans[-1]
    assert_span(span, status=StatusCode.ERROR, attributes={"db.response.status_code": "SQLITE_CONSTRAINT_UNIQUE"})
    assert span.status.description == str(raised.value)
    assert [event.name for event in span.events] == ["exception"]


def test_the_connection_is_sqlites_own_to_everybody(connection: sqlite3.Connection, recorder: SpanRecorder) -> None:
    assert isinstance(connection, sqlite3.Connection)
    assert isinstance(connection.cursor(), sqlite3.Cursor)
    connection.row_factory = sqlite3.Row
    with connection:
        connection.execute("INSERT INTO orders (customer) VALUES (?)", ("ada",))
    assert connection.execute("SELECT customer FROM orders").fetchone()["customer"] == "ada"
    target = sqlite3.connect(":memory:")
    connection.backup(target)
    assert target.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    target.close()


def test_classes_of_the_user_stay_what_they_are(tracer_provider: Any) -> None:
    class MyConnection(sqlite3.Connection):
        def hello(self) -> str:
            return "hello"

    class MyCursor(sqlite3.Cursor):
        def first(self) -> Any:
            return self.fetchone()[0]

    recorder = SpanRecorder(tracer_provider)
    connect = clew.sqlite3.connector(tracer_provider=tracer_provider)
    connection = connect(":memory:", factory=MyConnection)
    cursor = connection.cursor(MyCursor)
    assert isinstance(connection, MyConnection)
    assert connection.hello() == "hello"
    assert isinstance(cursor, MyCursor)
    assert cursor.execute("SELECT 7").first() == 7
    connection.close()
    assert names(recorder) == ["SELECT"]
    assert recorder.one().attributes["db.query.text"] == "SELECT ?"


def test_patched_connections_are_traced_until_it_is_undone_and_never_twice(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    original = sqlite3.connect
    undo = instrumentation.patch(tracer_provider)
    try:
        plain = sqlite3.connect(":memory:")
        explicit = clew.sqlite3.connector(tracer_provider=tracer_provider)(":memory:")
        plain.execute("SELECT 1")
        explicit.execute("SELECT 1")
        assert len(recorder.spans) == 2
    finally:
        undo()
    assert sqlite3.connect is original
    after = sqlite3.connect(":memory:")
    after.execute("SELECT 1")
    assert len(recorder.spans) == 2
    for one in (plain, explicit, after):
        one.close()


def test_what_is_excluded_leaves_no_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    connect = clew.sqlite3.connector(
        tracer_provider=tracer_provider, exclude=[lambda call: call.operation.startswith("PRAGMA")]
    )
    connection = connect(":memory:")
    connection.execute("PRAGMA user_version")
    connection.execute("SELECT 1")
    connection.close()
    assert names(recorder) == ["SELECT"]


class OwnCursor(sqlite3.Cursor):
    """As Django's: no parameters and empty ones are not the same to it."""

    def execute(self, query: str, params: Any = None) -> Any:  # type: ignore[override]
        if params is None:
            return super().execute(query)
        return super().execute(query.replace("%s", "?"), params)


class OwnConnection(sqlite3.Connection):
    """Takes a word of its own, and makes cursors that are set up."""

    def __init__(self, database: str, *, colour: str = "red", **options: Any) -> None:
        super().__init__(database, **options)
        self.colour = colour
        self.given = options

    def cursor(self) -> Any:  # type: ignore[override]
        made = super().cursor()
        made.arraysize = 7
        return made


STATEMENTS: list[Callable[[Any], Any]] = [
    lambda c: c.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT UNIQUE)"),
    lambda c: c.execute("INSERT INTO orders (customer) VALUES (?)", ("ada",)).rowcount,
    lambda c: c.execute("INSERT INTO orders (customer) VALUES (:name)", {"name": "bob"}).lastrowid,
    lambda c: c.executemany("INSERT INTO orders (customer) VALUES (?)", iter([("eve",), ("dan",)])),
    lambda c: c.executescript("UPDATE orders SET customer = upper(customer); DELETE FROM orders WHERE id = 4"),
    lambda c: c.execute("SELECT * FROM orders").fetchall(),
    lambda c: c.execute("SELECT 1", ()).fetchone(),
    lambda c: c.execute("INSERT INTO orders (customer) VALUES ('ADA')"),
    lambda c: c.execute("SELECT ?"),
    lambda c: c.execute("SELECT 1", None),
    lambda c: c.execute(),
    lambda c: c.execute(7),
    lambda c: c.execute(sql="SELECT 1"),
    lambda c: c.executemany("SELECT 1"),
    lambda c: c.executescript("SELEC"),
    lambda c: hasattr(c, "__dict__"),
    lambda c: (type(c).__name__, type(c).__module__, c.__class__),
]
CONNECTIONS: list[Callable[[Any], Any]] = [
    lambda c: c.cursor(),
    lambda c: c.cursor(sqlite3.Cursor),
    lambda c: c.cursor(factory=sqlite3.Cursor).execute("SELECT 1").fetchall(),
    lambda c: type(c.cursor(OwnCursor)) is OwnCursor,
    lambda c: type(c.cursor(factory=lambda one: OwnCursor(one))) is OwnCursor,
    lambda c: c.cursor(OwnCursor).execute("SELECT strftime('%s','2020-01-01')").fetchall(),
    lambda c: c.cursor(OwnCursor).execute(query="SELECT %s", params=(3,)).fetchall(),
    lambda c: c.cursor(None),
    lambda c: c.cursor(lambda one: None),
    lambda c: c.cursor(1, 2),
    lambda c: c.cursor(cursorClass=OwnCursor),
    lambda c: [*c.iterdump()][:1],
]


def test_connections_and_cursors_behave_as_without_tracing(tracer_provider: Any) -> None:
    traced_connect = clew.sqlite3.connector(tracer_provider=tracer_provider)
    for arguments, options in (
        ((":memory:",), {}),
        ((), {"database": ":memory:", "factory": sqlite3.Connection}),
        ((":memory:", 5.0, 0, None, True, sqlite3.Connection), {}),
    ):
        plain, traced = sqlite3.connect(*arguments, **options), traced_connect(*arguments, **options)
        assert_same(plain, traced, STATEMENTS + CONNECTIONS)
        assert_same(plain.cursor(), traced.cursor(), STATEMENTS[3:])
        plain.close()
        traced.close()
        assert_same(plain, traced, [lambda c: c.execute("SELECT 1"), lambda c: c.cursor()])


def test_own_classes_and_factories_are_the_very_same(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    traced_connect = clew.sqlite3.connector(tracer_provider=tracer_provider)
    members = set(vars(OwnConnection)), set(vars(OwnCursor))
    for factory in (OwnConnection, lambda *given, **options: OwnConnection(*given, **options)):
        connection: Any = traced_connect(":memory:", factory=factory, colour="blue")
        assert type(connection) is OwnConnection
        assert connection.colour == "blue"
        assert connection.given == {"factory": factory}
        assert connection.cursor().arraysize == 7
        assert connection.cursor().execute("SELECT 7").fetchone() == (7,)
        assert connection.execute("SELECT 8").fetchone() == (8,)
        connection.close()
    assert (set(vars(OwnConnection)), set(vars(OwnCursor))) == members
    assert names(recorder) == ["SELECT"] * 4
    # Those the application makes itself are its own.
    OwnConnection(":memory:").cursor().execute("SELECT 1")
    assert len(recorder.spans) == 4
