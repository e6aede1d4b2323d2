"""Shared by all drivers of SQL databases: the `Call` for a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Final, NamedTuple

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.instrumentation._calls import is_within
from clew.tracing.attributes import db_attributes, db_span_name
from clew.tracing.options import DatabaseOptions
from clew.tracing.statements import described
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = DatabaseOptions


class Place(NamedTuple):
    """Where statements go."""

    system: str
    """`db.system.name`: `postgresql`, `mysql`, `sqlite`, …"""
    namespace: str | None = None
    host: str | None = None
    port: int | None = None


class _DatabaseCall(Call):
    """Something asked of a database at one place."""

    __slots__ = ("_place",)

    kind: Final = "db"
    carrier = None
    reply_carrier = None

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def component(self) -> str:
        """The system's usual name: `PostgreSQL`."""
        return _COMPONENTS.get(self._place.system, self._place.system)

    @property
    def peer(self) -> Peer | None:
        """The server; None for a file."""
        place = self._place
        return None if place.host is None else (place.host, place.port or 0)

    @property
    def _shown_namespace(self) -> str | None:
        # The name of a file is of no use in a span's name.
        return None if self._place.system == "sqlite" else self._place.namespace

    def _described(self, **details: Any) -> Mapping[str, AttributeValue]:
        place = self._place
        return db_attributes(place.system, namespace=place.namespace, host=place.host, port=place.port, **details)

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """The database's own code of an error."""
        code = None if error is None else status_code(error)
        return None if code is None else Outcome({semconv.DB_RESPONSE_STATUS_CODE: code})


class StatementTransport(_DatabaseCall):
    """A statement as a call.

    Names are not taken out of SQL for `db.operation.name` and `db.collection.name`, as the semantic conventions
    advise: what can be made out is the summary, which names the span.
    """

    __slots__ = ("_batch_size", "_procedure", "_summary", "_text")

    def __init__(
        self,
        place: Place,
        statement: str,
        batch_size: int | None,
        with_statement: bool,
        procedure: str | None = None,
    ) -> None:
        super().__init__(place)
        self._batch_size = batch_size
        self._procedure = procedure
        summary, text = described(statement, place.system)
        if batch_size is not None and batch_size > 1:
            summary = f"BATCH {summary}".rstrip()
        self._summary = summary or None
        self._text = text if with_statement else None
        self.operation: Final = summary or self._shown_namespace or place.system

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of a database client."""
        return self._described(
            query_text=self._text,
            query_summary=self._summary,
            batch_size=self._batch_size,
            stored_procedure=self._procedure,
        )


class _ConnectTransport(_DatabaseCall):
    """A connection that could not be made."""

    __slots__ = ()

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.operation: Final = db_span_name("CONNECT", self._shown_namespace, place.system)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of a database client."""
        return self._described(operation="CONNECT")


_COMPONENTS: Final = {
    "mariadb": "MariaDB",
    "microsoft.sql_server": "SQL Server",
    "mysql": "MySQL",
    "oracle.db": "Oracle",
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
}


def status_code(error: BaseException) -> str | None:
    """`23505`, `SQLITE_CONSTRAINT_UNIQUE`, `1062`: the drivers' different ways of giving it."""
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str) and code:
            return code
    first = error.args[0] if error.args else None
    return str(first) if isinstance(first, int) and not isinstance(first, bool) else None


class StatementTracing:
    """Makes the calls of one set of options."""

    __slots__ = ("_with_statements", "is_on", "tracer")

    def __init__(self, options: DatabaseOptions, scope: str) -> None:
        """`scope` is the name of the instrumentation scope. Raises ValueError for an unknown convention."""
        given: dict[str, Any] = dict(options)
        self._with_statements = bool(given.pop("with_statement", True))
        self.tracer: Final = Tracer(SpanKind.CLIENT, scope=scope, **given)
        #: Off once what was patched is taken back: objects made meanwhile keep this one.
        self.is_on = True

    def call(
        self, place: Place, statement: object, batch: object = None, procedure: str | None = None
    ) -> StatementTransport | None:
        """The call that `statement` is; None when a library above traces it, or it cannot be read.

        `batch` is what `executemany` was given, `procedure` the name of a stored procedure that is called by name.
        """
        if not self.is_on or is_within("db"):
            return None
        try:
            text = statement if isinstance(statement, str) else _as_text(statement)
            size = len(batch) if isinstance(batch, Sized) else None
            return StatementTransport(place, text, size, self._with_statements, procedure)
        except Exception as failure:
            guard.swallow("reading a statement", failure)
            return None

    def refused(self, place: Place, error: BaseException, start_time_unix_nano: int | None) -> None:
        """A span for a connection that could not be made, `CONNECT shop`; one span for each exception, however many layers see it."""
        try:
            if not self.is_on or not isinstance(error, Exception) or is_within("db") or _is_noted(error):
                return
            vars(error)[_NOTED] = True
            call = _ConnectTransport(place)
            self.tracer.note_failure(
                call.operation,
                error,
                transport=call,
                start_time_unix_nano=start_time_unix_nano,
                reply=call.outcome(None, error),
            )
        except Exception as failure:
            guard.swallow("noting a connection that failed", failure)


# On an exception that has its span: SQLAlchemy sees what its driver has raised. An id would serve for the next one too.
_NOTED: Final = "_clew_noted"
_MAX_CAUSES: Final = 10


def _is_noted(error: BaseException) -> bool:
    one = error
    for _ in range(_MAX_CAUSES):
        if _NOTED in vars(one):
            return True
        before = one.__cause__ or one.__context__
        if before is None:
            return False
        one = before
    return False


def _as_text(statement: object) -> str:
    return statement.decode("utf-8", "replace") if isinstance(statement, bytes) else str(statement)
