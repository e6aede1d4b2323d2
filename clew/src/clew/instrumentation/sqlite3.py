"""sqlite3: a CLIENT span for each statement; what the application gets behaves as the library's own.

connection = clew.sqlite3.connect("shop.db")

The library's classes cannot be changed, so plain connections and cursors are of subclasses. An application's own
classes stay what they are; ours becomes a base of theirs, between them and the library's.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, Unpack

from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation import _sql
from clew.instrumentation._calls import traced_call
from clew.instrumentation._patching import Switch, Undo, replace
from clew.instrumentation._sql import Place, StatementTracing
from clew.tracing.options import DatabaseOptions

OPTIONS: Final = _sql.OPTIONS
# `connect` is `_sqlite3.connect` under three names.
_FACTORY_POSITION: Final = 5
_TRACING: Final = "_clew_tracing"
_PLACE: Final = "_clew_place"


def _run(connection: Any, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a cursor's method with exactly what the application gave it, within a span."""
    tracing: StatementTracing | None = getattr(connection, _TRACING, None)
    if tracing is None or not arguments:
        return function(*arguments, **options)
    batch = arguments[1] if len(arguments) > 1 and function.__name__ == "executemany" else None
    call = tracing.call(getattr(connection, _PLACE), arguments[0], batch)
    if call is None:
        return function(*arguments, **options)
    return traced_call(tracing.tracer, call, function, *arguments, **options)


class _Cursor(sqlite3.Cursor):
    """Traced base class between the library's cursor and the application's."""

    __slots__ = ()

    def execute(self, *arguments: Any, **options: Any) -> Any:
        return _run(self.connection, super().execute, arguments, options)

    def executemany(self, *arguments: Any, **options: Any) -> Any:
        return _run(self.connection, super().executemany, arguments, options)

    def executescript(self, *arguments: Any, **options: Any) -> Any:
        return _run(self.connection, super().executescript, arguments, options)


class _Connection(sqlite3.Connection):
    """Traced base class between the library's connection and the application's."""

    __slots__ = ()

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        if not arguments and not options:
            return super().cursor(_PlainCursor)
        factory = arguments[0] if arguments else options.get("factory")
        if factory is sqlite3.Cursor:
            return super().cursor(_PlainCursor)
        if isinstance(factory, type):
            _insert(factory, sqlite3.Cursor, _Cursor)
        made = super().cursor(*arguments, **options)
        if not isinstance(factory, type):
            _insert(type(made), sqlite3.Cursor, _Cursor)
        return made

    # In the library these three make their cursor past `cursor`, which an application may have overridden.

    def execute(self, *arguments: Any, **options: Any) -> Any:
        if options:
            return super().execute(*arguments, **options)  # which the library refuses
        return sqlite3.Connection.cursor(self, _PlainCursor).execute(*arguments)

    def executemany(self, *arguments: Any, **options: Any) -> Any:
        if options:
            return super().executemany(*arguments, **options)  # which the library refuses
        return sqlite3.Connection.cursor(self, _PlainCursor).executemany(*arguments)

    def executescript(self, *arguments: Any, **options: Any) -> Any:
        if options:
            return super().executescript(*arguments, **options)  # which the library refuses
        return sqlite3.Connection.cursor(self, _PlainCursor).executescript(*arguments)


def _stand_in(base: type, original: type, slots: tuple[str, ...] = ()) -> Any:
    """A class for plain objects that calls itself by the original's name, without a `__dict__` as the original."""
    members: dict[str, Any] = {
        "__slots__": slots,
        "__module__": original.__module__,
        "__doc__": original.__doc__,
        "__class__": property(lambda self: original),
    }
    return type(original.__name__, (base,), members)


_PlainConnection: Final = _stand_in(_Connection, sqlite3.Connection, (_TRACING, _PLACE))
_PlainCursor: Final = _stand_in(_Cursor, sqlite3.Cursor)
_inserting: Final = Lock()


def _insert(cls: type, original: type, ours: type) -> None:
    """Make `ours` the base of an application's class where `original` is; other classes stay untouched."""
    if cls is original or not issubclass(cls, original) or issubclass(cls, ours):
        return
    try:
        with _inserting:
            for one in cls.__mro__:
                if original in one.__bases__ and one is not ours:
                    one.__bases__ = tuple(ours if base is original else base for base in one.__bases__)
    except TypeError as failure:
        # Classes written in C cannot be changed; their statements have no span.
        guard.warn(f"tracing {cls.__qualname__}", "clew: statements of %s are not traced: %s", cls, failure)


def connector(**options: Unpack[DatabaseOptions]) -> Callable[..., sqlite3.Connection]:
    """`sqlite3.connect` with tracing by these options. Raises ValueError for an unknown convention."""
    return _connector(StatementTracing(options, "clew.sqlite3"), sqlite3.connect, Switch())


def _connector(
    tracing: StatementTracing, original: Callable[..., sqlite3.Connection], switch: Switch
) -> Callable[..., sqlite3.Connection]:
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if not switch.on:
            return original(*arguments, **options)
        is_positional = len(arguments) > _FACTORY_POSITION
        factory = arguments[_FACTORY_POSITION] if is_positional else options.get("factory", sqlite3.Connection)
        if factory is sqlite3.Connection:
            if is_positional:
                arguments = (*arguments[:_FACTORY_POSITION], _PlainConnection, *arguments[_FACTORY_POSITION + 1 :])
            else:
                options["factory"] = _PlainConnection
        elif factory is _PlainConnection:
            return original(*arguments, **options)  # another `connect` that traces calls this one
        elif isinstance(factory, type):
            _insert(factory, sqlite3.Connection, _Connection)
        connection = original(*arguments, **options)
        _adopt(connection, arguments[0] if arguments else options.get("database"))
        return connection

    def _adopt(connection: Any, database: Any) -> None:
        try:
            # A factory may return any object.
            if isinstance(connection, sqlite3.Connection):
                _insert(type(connection), sqlite3.Connection, _Connection)
                object.__setattr__(connection, _PLACE, Place("sqlite", os.fsdecode(database)))
                object.__setattr__(connection, _TRACING, tracing)
        except (AttributeError, TypeError):
            pass  # a class without room for attributes, or what is no path and yet was taken: not traced
        except Exception as failure:
            guard.swallow("tracing a connection of sqlite3", failure)

    return connect


connect: Final = connector()
"""As `sqlite3.connect`, with the global tracer provider."""


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace connections that `sqlite3.connect` makes from now on; returns an undo function."""
    chosen: DatabaseOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    tracing = StatementTracing(chosen, "clew.sqlite3")
    original = sqlite3.connect

    def make(_: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        return _connector(tracing, original, switch)

    undos = [replace(module, "connect", make) for module in (sqlite3, sqlite3.dbapi2)]

    def undo() -> None:
        tracing.is_on = False
        for one in undos:
            one()

    return undo
