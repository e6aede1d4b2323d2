"""SQLAlchemy on SQLite: statements, errors, an ORM session, and drivers that are traced as well."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import String, create_engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import clew
from clew.instrumentation import sqlalchemy as instrumentation
from clew.instrumentation import sqlite3 as sqlite3_instrumentation
from clew.testing import DatabaseKit, SpanRecorder, assert_span


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String, unique=True)


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
    def prepare(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/kit.db"

    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        engine = create_engine(self.url)
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            if fails:
                connection.execute(text("INSERT INTO orders VALUES (1, 'ada')"))
        clew.sqlalchemy.traced(engine, tracer_provider=tracer_provider, **options)
        try:
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO orders VALUES (2, 'ada')"))
        except IntegrityError as error:
            return error
        finally:
            engine.dispose()
        return None


def names(recorder: SpanRecorder) -> list[str]:
    return [span.name for span in recorder.spans if span.kind is SpanKind.CLIENT]


def test_statements_of_a_session_are_children_of_the_current_span(tracer_provider: Any) -> None:
    engine = clew.sqlalchemy.traced(create_engine("sqlite://"), tracer_provider=tracer_provider, with_statement=True)
    Base.metadata.create_all(engine)
    recorder = SpanRecorder(tracer_provider)
    with tracer_provider.get_tracer("app").start_as_current_span("request") as request, Session(engine) as session:
        session.add_all([Order(customer="ada"), Order(customer="bob")])
        session.commit()
        assert session.scalars(select(Order.customer).where(Order.customer == "ada")).all() == ["ada"]
    engine.dispose()
    *inserts, found = (span for span in recorder.spans if span.kind is SpanKind.CLIENT)
    assert {insert.name for insert in inserts} == {"INSERT orders"}
    assert_span(
        found,
        name="SELECT orders",
        status=StatusCode.UNSET,
        parent_id=f"{request.get_span_context().span_id:016x}",
        attributes={"component": "SQLite", "db.system.name": "sqlite", "db.query.summary": "SELECT orders"},
    )
    assert "ada" not in found.attributes["db.query.text"]
    assert recorder.open == 0


def test_an_error_is_recorded_once_with_its_code(tracer_provider: Any) -> None:
    engine = clew.sqlalchemy.traced(create_engine("sqlite://"), tracer_provider=tracer_provider)
    Base.metadata.create_all(engine)
    recorder = SpanRecorder(tracer_provider)
    with Session(engine) as session, pytest.raises(IntegrityError):
        session.execute(text("INSERT INTO orders VALUES (1, 'ada'), (2, 'ada')"))
    engine.dispose()
    span = recorder.one(name="INSERT orders")
    assert_span(span, status=StatusCode.ERROR, attributes={"db.response.status_code": "SQLITE_CONSTRAINT_UNIQUE"})
    assert [event.name for event in span.events] == ["exception"]
    assert recorder.open == 0


def test_a_driver_that_is_traced_as_well_makes_no_second_span(tracer_provider: Any) -> None:
    undo_driver = sqlite3_instrumentation.patch(tracer_provider)
    undo = instrumentation.patch(tracer_provider)
    recorder = SpanRecorder(tracer_provider)
    try:
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            connection.execute(text("SELECT 42"))
        traced = clew.sqlalchemy.traced(create_engine("sqlite://"), tracer_provider=tracer_provider)
        with clew.sqlalchemy.traced(traced).connect() as connection:
            connection.execute(text("SELECT 43"))
        assert names(recorder).count("SELECT") == 2
    finally:
        undo()
        undo_driver()
    with engine.connect() as connection:
        connection.execute(text("SELECT 44"))
    assert names(recorder).count("SELECT") == 2
    traced.dispose()
    engine.dispose()


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(TypeError, match="not an engine"):
        clew.sqlalchemy.traced("sqlite://")
