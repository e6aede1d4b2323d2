"""asyncpg: a CLIENT span for each statement, by a subclass of its connection.

    pool = await asyncpg.create_pool(dsn, connection_class=clew.asyncpg.TracedConnection)

What a cursor fetches piece by piece is not traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import time_ns
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

import asyncpg
import asyncpg.connection
from asyncpg.prepared_stmt import PreparedStatement
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _sql
from clew.instrumentation._calls import traced_acall
from clew.instrumentation._patching import Switch, Undo, replace
from clew.instrumentation._sql import Place, StatementTracing, StatementTransport
from clew.tracing.options import DatabaseOptions

OPTIONS: Final = _sql.OPTIONS
# Methods of a connection, and how the statement is read from their arguments.
_OF_STATEMENTS: Final = ("execute", "fetch", "fetchval", "fetchrow")
_OF_BATCHES: Final = ("executemany", "fetchmany")
_OF_TABLES: Final = {
    "copy_from_table": "COPY {}",
    "copy_to_table": "COPY {}",
    "copy_records_to_table": "COPY {}",
    "copy_from_query": "COPY",
}
_NAMES: Final = ("query", "command", "table_name", "args")
_OF_PREPARED: Final = ("fetch", "fetchval", "fetchrow", "fetchmany", "executemany")


def _place(connection: Any) -> Place:
    address = connection._addr
    database = getattr(connection._params, "database", None)
    if isinstance(address, tuple):
        return Place("postgresql", database, str(address[0]), int(address[1]))
    return Place("postgresql", database, None if address is None else str(address))


def _place_of(arguments: tuple[Any, ...], options: dict[str, Any]) -> Place:
    """Of `connect`'s arguments."""
    host, port, database = options.get("host"), options.get("port"), options.get("database")
    try:
        parts = urlsplit(str(arguments[0] if arguments else options.get("dsn") or ""))
        host, port, database = host or parts.hostname, port or parts.port, database or parts.path.strip("/")
    except ValueError:
        pass  # several hosts
    is_one = isinstance(host, str) and isinstance(port, int | None)
    return Place("postgresql", database or None, host if is_one else None, (port or 5432) if is_one and host else None)


class _Methods:
    """Around the methods of connections and prepared statements; each is given the original, bound."""

    def __init__(self, tracing: StatementTracing) -> None:
        self.tracing = self._tracing = tracing

    def _call(self, connection: Any, statement: Any, batch: Any = None) -> StatementTransport | None:
        try:
            return self._tracing.call(_place(connection), statement, batch)
        except Exception as failure:
            guard.swallow("reading a statement for PostgreSQL", failure)
            return None

    async def _run(
        self, call: StatementTransport | None, original: Callable[..., Any], /, *arguments: Any, **options: Any
    ) -> Any:
        if call is None:
            return await original(*arguments, **options)
        return await traced_acall(self._tracing.tracer, call, original, *arguments, **options)

    async def statement(self, own: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        statement, _ = _first_two(arguments, options)
        return await self._run(self._call(own, statement), original, *arguments, **options)

    async def batch(self, own: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        statement, batch = _first_two(arguments, options)
        return await self._run(self._call(own, statement, batch), original, *arguments, **options)

    async def table(self, text: str, own: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        name, _ = _first_two(arguments, options)
        return await self._run(self._call(own, text.format(name)), original, *arguments, **options)

    async def prepared(self, own: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        batch = _first_two(arguments, options)[0] if getattr(original, "__name__", "") in _OF_BATCHES else None
        return await self._run(self._call(own._connection, own.get_query(), batch), original, *arguments, **options)

    def of_connections(self) -> dict[str, Callable[..., Any]]:
        around: dict[str, Callable[..., Any]] = dict.fromkeys(_OF_STATEMENTS, self.statement)
        around |= dict.fromkeys(_OF_BATCHES, self.batch)
        around |= {name: partial(self.table, text) for name, text in _OF_TABLES.items()}
        return {name: function for name, function in around.items() if hasattr(asyncpg.Connection, name)}

    def of_prepared(self) -> dict[str, Callable[..., Any]]:
        return {name: self.prepared for name in _OF_PREPARED if hasattr(PreparedStatement, name)}


def _first_two(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
    """The statement or table, and what follows it. asyncpg has several names for these: they come first, named or not."""
    given = [*arguments, *(value for name, value in options.items() if name in _NAMES)]
    return given[0] if given else "", given[1] if len(given) > 1 else None


class _Traced:
    """Base class of the classes that this module traces."""

    __slots__ = ()


def connection_class(**options: Unpack[DatabaseOptions]) -> type[asyncpg.Connection]:
    """A class for `asyncpg.connect(connection_class=…)` and `asyncpg.create_pool(connection_class=…)`.

    Raises ValueError for an unknown convention.
    """
    methods = _Methods(StatementTracing(options, "clew.asyncpg"))
    prepared: type = _subclass(PreparedStatement, methods.of_prepared())

    async def prepare(self: Any, *arguments: Any, **choices: Any) -> Any:
        statement = await super(made, self).prepare(*arguments, **choices)
        statement.__class__ = prepared
        return statement

    made: type[asyncpg.Connection] = _subclass(asyncpg.Connection, methods.of_connections(), prepare=prepare)
    return made


def _subclass(base: Any, around: dict[str, Callable[..., Any]], **members: Any) -> Any:
    made: Any

    def overriding(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def method(self: Any, *arguments: Any, **options: Any) -> Any:
            return await function(self, getattr(super(made, self), name), *arguments, **options)

        method.__name__ = name
        method.__doc__ = getattr(base, name).__doc__
        return method

    for name, function in around.items():
        members[name] = overriding(name, function)
    made = type(base)(base.__name__, (_Traced, base), {"__slots__": (), "__module__": base.__module__, **members})
    return made


TracedConnection: Final = connection_class()
"""The class with the global tracer provider and no options."""


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every connection and prepared statement, made before or after; returns an undo function."""
    chosen: DatabaseOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    methods = _Methods(StatementTracing(chosen, "clew.asyncpg"))

    def make(around: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            async def method(self: Any, *arguments: Any, **choices: Any) -> Any:
                if not switch.on or isinstance(self, _Traced):
                    return await original(self, *arguments, **choices)
                bound = partial(original, self)
                bound.__name__ = original.__name__  # type: ignore[attr-defined]
                return await around(self, bound, *arguments, **choices)

            return method

        return wrap

    undos = [replace(asyncpg.Connection, name, make(around)) for name, around in methods.of_connections().items()]

    def make_connect(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        async def connect(*arguments: Any, **choices: Any) -> Any:
            began = time_ns()
            try:
                return await original(*arguments, **choices)
            except BaseException as error:
                if switch.on:
                    methods.tracing.refused(_place_of(arguments, choices), error, began)
                raise

        return connect

    # A pool uses the one of the module.
    undos += [replace(module, "connect", make_connect) for module in (asyncpg.connection, asyncpg)]
    undos += [replace(PreparedStatement, name, make(around)) for name, around in methods.of_prepared().items()]

    def undo() -> None:
        for one in undos:
            one()

    return undo
