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
    """A proxy that behaves like the wrapped object, except for what a subclass overrides."""

    __slots__ = ("__wrapped__", "_place", "_tracing")

    __wrapped__: Any
    _place: Place
    _tracing: StatementTracing

    def __init__(self, wrapped: Any, place: Place, tracing: StatementTracing) -> None:
        for name, value in (("__wrapped__", wrapped), ("_place", place), ("_tracing", tracing)):
            object.__setattr__(self, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # Applications and frameworks ask isinstance(connection, driver.Connection).
        return self.__wrapped__.__class__

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
    """A cursor whose statements are traced; everything else is the driver's own.

    Arguments are handed on exactly as they came, since drivers name them differently and some tell a missing one
    from an empty one.
    """

    __slots__ = ("_connection",)

    _connection: Any

    def __init__(self, wrapped: Any, place: Place, tracing: StatementTracing, connection: Any = None) -> None:
        super().__init__(wrapped, place, tracing)
        object.__setattr__(self, "_connection", connection)

    @property
    def connection(self) -> Any:
        """As the driver's; the stand-in of the connection where the cursor was made by that."""
        own, made_by = self.__wrapped__.connection, self._connection
        return made_by if made_by is not None and own is made_by.__wrapped__ else own

    def execute(self, *arguments: Any, **options: Any) -> Any:
        """As the driver's."""
        given = _given(arguments, options)
        return self._run(self.__wrapped__.execute, given[0] if given else "", None, arguments, options)

    def executemany(self, *arguments: Any, **options: Any) -> Any:
        """As the driver's; one span for all."""
        given = _given(arguments, options)
        statement, batch = given[0] if given else "", given[1] if len(given) > 1 else None
        return self._run(self.__wrapped__.executemany, statement, batch, arguments, options)

    def callproc(self, *arguments: Any, **options: Any) -> Any:
        """As the driver's; the span is that of `CALL procedure`."""
        given = _given(arguments, options)
        procedure = str(given[0]) if given else ""
        return self._run(self.__wrapped__.callproc, f"CALL {procedure}", None, arguments, options, procedure or None)

    def _run(
        self,
        function: Callable[..., Any],
        statement: Any,
        batch: Any,
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        procedure: str | None = None,
    ) -> Any:
        call = self._tracing.call(self._place, statement, batch, procedure)
        if call is None:
            return self._same(function(*arguments, **options))
        return self._same(traced_call(self._tracing.tracer, call, function, *arguments, **options))

    def __enter__(self) -> Any:
        return self._same(self.__wrapped__.__enter__())

    def __exit__(self, *exception: Any) -> Any:
        return self.__wrapped__.__exit__(*exception)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        return next(self.__wrapped__)


def _given(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments in their order; those given by name come in the order they were written in, which is the usual."""
    return (*arguments, *options.values())


class TracedConnection(_StandIn):
    """A connection whose cursors are traced; everything else is the driver's own."""

    __slots__ = ()

    def cursor(self, *arguments: Any, **options: Any) -> TracedCursor:
        """As the driver's."""
        return TracedCursor(self.__wrapped__.cursor(*arguments, **options), self._place, self._tracing, self)

    def __enter__(self) -> Any:
        return self._entered(self.__wrapped__.__enter__())

    def __exit__(self, *exception: Any) -> Any:
        return self.__wrapped__.__exit__(*exception)

    def _entered(self, reply: Any) -> Any:
        # Some drivers give a cursor here.
        if reply is not self.__wrapped__ and hasattr(reply, "execute") and not hasattr(reply, "cursor"):
            return TracedCursor(reply, self._place, self._tracing, self)
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
    return TracedConnection(connection, Place(system, namespace, host, port), StatementTracing(options, "clew.dbapi"))
