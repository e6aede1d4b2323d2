"""psycopg 3: a CLIENT span for each statement, sync and async, by subclasses of the connection's own cursors.

connection = clew.psycopg.traced(psycopg.connect("dbname=shop"))
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from time import time_ns
from typing import Any, Final, TypeVar, Unpack

import psycopg
from opentelemetry.trace import TracerProvider
from psycopg import sql

from clew import guard
from clew.instrumentation import _sql
from clew.instrumentation._calls import traced_acall, traced_call
from clew.instrumentation._patching import Switch, Undo, of_the_same_kind, replace
from clew.instrumentation._sql import Place, StatementTracing, StatementTransport
from clew.tracing.options import DatabaseOptions
from clew.tracing.scope import Scope
from clew.tracing.streams import traced_async_stream, traced_stream

OPTIONS: Final = _sql.OPTIONS
_MARK: Final = "_clew_tracing"
Connection = TypeVar("Connection", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")


def _call(tracing: StatementTracing, cursor: Any, query: Any, batch: Any = None) -> StatementTransport | None:
    try:
        connection = cursor.connection
        text = query.as_string(connection) if isinstance(query, sql.Composable) else query
        return tracing.call(_place(connection), text, batch)
    except Exception as failure:
        guard.swallow("reading a statement for PostgreSQL", failure)
        return None


def _place(connection: Any) -> Place:
    place: Place | None = getattr(connection, "_clew_place", None)
    if place is None:
        if connection.closed:
            return Place("postgresql")
        info = connection.info
        place = connection._clew_place = Place("postgresql", info.dbname, info.host or None, info.port)
    return place


def _finish(scope: Scope, error: BaseException | None) -> None:
    # A reader that stops early is no failure.
    scope.failed(None if isinstance(error, GeneratorExit) else error)


class _Methods:
    """Around the methods of a cursor; each is given the original, bound, and hands arguments on as they came."""

    def __init__(self, tracing: StatementTracing) -> None:
        self.tracing = tracing

    def _call(
        self, cursor: Any, arguments: tuple[Any, ...], options: dict[str, Any], *, is_batch: bool = False
    ) -> StatementTransport | None:
        # An application's own cursor may have other names for these.
        query = arguments[0] if arguments else options.get("query")
        if query is None:
            return None
        batch = None
        if is_batch:
            batch = arguments[1] if len(arguments) > 1 else options.get("params_seq")
        return _call(self.tracing, cursor, query, batch)

    # The sync twin of `aexecute`, written by scripts/sync_twins.py.
    def execute(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        call = self._call(cursor, arguments, options)
        if call is None:
            return original(*arguments, **options)
        return traced_call(self.tracing.tracer, call, original, *arguments, **options)

    # The sync twin of `aexecutemany`, written by scripts/sync_twins.py.
    def executemany(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        call = self._call(cursor, arguments, options, is_batch=True)
        if call is None:
            return original(*arguments, **options)
        return traced_call(self.tracing.tracer, call, original, *arguments, **options)

    # Not the sync twin of `astream`: `yield from` takes any iterable, and forwards what is sent or thrown in.
    def stream(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Iterator[Any]:
        # A generator, so that a call whose result is never iterated has no span.
        call = self._call(cursor, arguments, options)
        rows = original(*arguments, **options)
        if call is None:
            yield from rows
            return
        scope = self.tracing.tracer.scope(call)
        yield from traced_stream(rows, scope.context, partial(_finish, scope))

    async def astream(
        self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any
    ) -> AsyncIterator[Any]:
        call = self._call(cursor, arguments, options)
        rows = original(*arguments, **options)
        if call is not None:
            scope = self.tracing.tracer.scope(call)
            rows = traced_async_stream(rows, scope.context, partial(_finish, scope))
        async with aclosing(rows):
            async for row in rows:
                yield row

    # The sync twin of `acopy`, written by scripts/sync_twins.py.
    @contextmanager
    def copy(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Iterator[Any]:
        call = self._call(cursor, arguments, options)
        if call is None:
            with original(*arguments, **options) as copying:
                yield copying
            return
        with self.tracing.tracer.scope(call):
            around = original(*arguments, **options)
            with around as copying:
                yield copying

    @asynccontextmanager
    async def acopy(
        self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any
    ) -> AsyncIterator[Any]:
        call = self._call(cursor, arguments, options)
        if call is None:
            async with original(*arguments, **options) as copying:
                yield copying
            return
        with self.tracing.tracer.scope(call):
            around = original(*arguments, **options)
            async with around as copying:
                yield copying

    async def aexecute(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        call = self._call(cursor, arguments, options)
        if call is None:
            return await original(*arguments, **options)
        return await traced_acall(self.tracing.tracer, call, original, *arguments, **options)

    async def aexecutemany(self, cursor: Any, original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        call = self._call(cursor, arguments, options, is_batch=True)
        if call is None:
            return await original(*arguments, **options)
        return await traced_acall(self.tracing.tracer, call, original, *arguments, **options)

    def of(self, cursor_class: type) -> dict[str, Callable[..., Any]]:
        """The wrappers for a class of cursors, by the names of its methods."""
        if issubclass(cursor_class, (psycopg.AsyncCursor, psycopg.AsyncServerCursor)):
            return {
                "execute": self.aexecute,
                "executemany": self.aexecutemany,
                "stream": self.astream,
                "copy": self.acopy,
            }
        return {"execute": self.execute, "executemany": self.executemany, "stream": self.stream, "copy": self.copy}


def _traced_class(base: type, methods: _Methods) -> type:
    if getattr(base, _MARK, None) is not None:
        return base
    members: dict[str, Any] = {_MARK: methods, "__module__": base.__module__, "__doc__": base.__doc__}
    # `cursor.__class__` is the class that the cursor would have without tracing.
    members["__class__"] = property(lambda self: base)
    members["__qualname__"] = base.__qualname__
    made: type

    def overriding(name: str, around: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            return around(self, getattr(super(made, self), name), *arguments, **options)

        original = getattr(base, name)
        return functools.wraps(original)(of_the_same_kind(original, method))

    for name, around in methods.of(base).items():
        members[name] = overriding(name, around)
    made = type(base.__name__, (base,), members)
    return made


def traced(connection: Connection, **options: Unpack[DatabaseOptions]) -> Connection:
    """The same connection, whose cursors are traced from now on; those it has made already are not.

    Takes `psycopg.Connection` and `psycopg.AsyncConnection`. Raises TypeError for anything else, ValueError for an
    unknown convention.
    """
    if not isinstance(connection, (psycopg.Connection, psycopg.AsyncConnection)):
        raise TypeError(f"not a connection of psycopg: {type(connection).__name__}")
    methods = _Methods(StatementTracing(options, "clew.psycopg"))
    own: Any = connection
    own.cursor_factory = _traced_class(own.cursor_factory, methods)
    own.server_cursor_factory = _traced_class(own.server_cursor_factory, methods)
    return connection


def _patch_connect(cls: Any, tracing: StatementTracing) -> Undo:
    """Give connections of a class that are refused a span; those that are made have none."""
    original = vars(cls)["connect"]
    function: Callable[..., Any] = original.__func__

    def noted(error: BaseException, began: int, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        tracing.refused(_place_of(arguments, options), error, began)

    async def aconnect(own: Any, *arguments: Any, **options: Any) -> Any:
        began = time_ns()
        try:
            return await function(own, *arguments, **options)
        except BaseException as error:
            noted(error, began, arguments, options)
            raise

    # The sync twin of `aconnect`, written by scripts/sync_twins.py.
    def connect(own: Any, *arguments: Any, **options: Any) -> Any:
        began = time_ns()
        try:
            return function(own, *arguments, **options)
        except BaseException as error:
            noted(error, began, arguments, options)
            raise

    made = aconnect if cls is psycopg.AsyncConnection else connect
    ours: Any = classmethod(functools.wraps(function)(made))
    cls.connect = ours
    # The module keeps the method of its own.
    is_kept = cls is psycopg.Connection and psycopg.connect.__func__ is function  # type: ignore[attr-defined]
    if is_kept:
        psycopg.connect = cls.connect

    def undo() -> None:
        if vars(cls).get("connect") is ours:
            cls.connect = original
            if is_kept:
                psycopg.connect = cls.connect

    return undo


def _place_of(arguments: tuple[Any, ...], options: dict[str, Any]) -> Place:
    conninfo = arguments[0] if arguments else options.get("conninfo", "")
    known = {name: options[name] for name in ("host", "port", "dbname") if options.get(name) is not None}
    try:
        known = {**psycopg.conninfo.conninfo_to_dict(conninfo), **known}
    except Exception:
        return Place("postgresql")  # no connection string at all
    host, port, database = known.get("host"), str(known.get("port", "")), known.get("dbname")
    return Place(
        "postgresql",
        None if database is None else str(database),
        None if host is None else str(host),
        int(port) if port.isdecimal() else 5432 if host else None,
    )


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every cursor of every connection, made before or after; returns an undo function."""
    chosen: DatabaseOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    methods = _Methods(StatementTracing(chosen, "clew.psycopg"))

    def make(around: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, *arguments: Any, **choices: Any) -> Any:
                if not switch.on or getattr(type(self), _MARK, None) is not None:
                    return original(self, *arguments, **choices)
                return around(self, partial(original, self), *arguments, **choices)

            return method

        return wrap

    undos = [
        replace(cursor_class, name, make(around))
        for cursor_class in (psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor)
        for name, around in methods.of(cursor_class).items()
        if name in vars(cursor_class)
    ]

    undos += [_patch_connect(cls, methods.tracing) for cls in (psycopg.Connection, psycopg.AsyncConnection)]

    def undo() -> None:
        methods.tracing.is_on = False
        for one in undos:
            one()

    return undo
