"""Any driver of Python's database API (PEP 249): a CLIENT span for each statement.

    connection = clew.dbapi.traced(pymysql.connect(…), system="mysql", namespace="shop", host="db", port=3306)

For sqlite3 and psycopg there are instrumentations that need no stand-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Unpack

from clew.instrumentation._calls import traced_call
from clew.instrumentation._sql import Place, StatementTracing
from clew.tracing.options import DatabaseOptions

__all__ = ["TracedConnection", "TracedCursor", "traced"]


class _StandIn:
    """Looks and behaves like the object it stands for, except where a subclass says otherwise."""

    __slots__ = ("__wrapped__", "_place", "_tracing")

    __wrapped__: Any
    _place: Place
    _tracing: StatementTracing

    def __init__(self, wrapped: Any, place: Place, tracing: StatementTracing) -> None:
        for name, value in (("__wrapped__", wrapped), ("_place", place), ("_tracing", tracing)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return f"<traced {self.__wrapped__!r}>"

    def _same(self, reply: Any) -> Any:
        """What returns itself returns the stand-in."""
        return self if reply is self.__wrapped__ else reply


class TracedCursor(_StandIn):
    """A cursor whose statements are traced; everything else is the driver's own."""

    __slots__ = ()

    def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """As the driver's."""
        return self._run(self.__wrapped__.execute, None, statement, *arguments, **options)

    def executemany(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """As the driver's; one span for all."""
        return self._run(
            self.__wrapped__.executemany, arguments[0] if arguments else None, statement, *arguments, **options
        )

    def callproc(self, procedure: str, *arguments: Any, **options: Any) -> Any:
        """As the driver's; the span is that of `CALL procedure`."""
        call = self._tracing.call(self._place, f"CALL {procedure}")
        if call is None:
            return self.__wrapped__.callproc(procedure, *arguments, **options)
        return traced_call(self._tracing.tracer, call, self.__wrapped__.callproc, procedure, *arguments, **options)

    def _run(self, function: Callable[..., Any], batch: Any, statement: Any, *arguments: Any, **options: Any) -> Any:
        call = self._tracing.call(self._place, statement, batch)
        if call is None:
            return self._same(function(statement, *arguments, **options))
        return self._same(traced_call(self._tracing.tracer, call, function, statement, *arguments, **options))

    def __enter__(self) -> Any:
        return self._same(self.__wrapped__.__enter__())

    def __exit__(self, *exception: Any) -> Any:
        return self.__wrapped__.__exit__(*exception)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        return next(self.__wrapped__)


class TracedConnection(_StandIn):
    """A connection whose cursors are traced; everything else is the driver's own."""

    __slots__ = ()

    def cursor(self, *arguments: Any, **options: Any) -> TracedCursor:
        """As the driver's."""
        return TracedCursor(self.__wrapped__.cursor(*arguments, **options), self._place, self._tracing)

    def __enter__(self) -> Any:
        return self._entered(self.__wrapped__.__enter__())

    def __exit__(self, *exception: Any) -> Any:
        return self.__wrapped__.__exit__(*exception)

    def _entered(self, reply: Any) -> Any:
        # Some drivers give a cursor here.
        if reply is not self.__wrapped__ and hasattr(reply, "execute") and not hasattr(reply, "cursor"):
            return TracedCursor(reply, self._place, self._tracing)
        return self._same(reply)


_DEFAULT_PORTS: Final = {
    "mysql": 3306,
    "mariadb": 3306,
    "postgresql": 5432,
    "microsoft.sql_server": 1433,
    "oracle.db": 1521,
}


def traced(
    connection: Any,
    *,
    system: str,
    namespace: str | None = None,
    host: str | None = None,
    port: int | None = None,
    **options: Unpack[DatabaseOptions],
) -> Any:
    """A stand-in for `connection` whose statements are traced; the driver's own is its `__wrapped__`.

    `system` is `db.system.name`: `mysql`, `postgresql`, `oracle.db`, … `namespace` is the database. Without a port the
    system's usual one. Raises TypeError for what is no connection, ValueError for an unknown convention.
    """
    if isinstance(connection, TracedConnection):
        return connection
    if not hasattr(connection, "cursor"):
        raise TypeError(f"not a connection: {type(connection).__name__} has no cursor()")
    if host is not None and port is None:
        port = _DEFAULT_PORTS.get(system)
    return TracedConnection(connection, Place(system, namespace, host, port), StatementTracing(options))
