"""sqlite3: a CLIENT span for each statement; connections and cursors are subclasses of the library's own.

connection = clew.sqlite3.connect("shop.db")
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, Final, Unpack

from opentelemetry.trace import TracerProvider

from clew.instrumentation import _sql
from clew.instrumentation._calls import traced_call
from clew.instrumentation._patching import Switch, Undo, replace
from clew.instrumentation._sql import Place, StatementTracing
from clew.tracing.options import DatabaseOptions

OPTIONS: Final = _sql.OPTIONS
# `connect` is `_sqlite3.connect` under three names.
_FACTORY_POSITION: Final = 5


def _run(connection: Any, function: Callable[..., Any], statement: str, batch: Any, *arguments: Any) -> Any:
    tracing: StatementTracing | None = getattr(connection, "_clew_tracing", None)
    call = None if tracing is None else tracing.call(connection._clew_place, statement, batch)
    if call is None or tracing is None:
        return function(statement, *arguments)
    return traced_call(tracing.tracer, call, function, statement, *arguments)


class _CursorMixin:
    """In front of a cursor class."""

    connection: Any

    def execute(self, statement: str, parameters: Any = (), /) -> Any:
        function = super().execute  # type: ignore[misc]
        return _run(self.connection, function, statement, None, parameters)

    def executemany(self, statement: str, parameters: Iterable[Any], /) -> Any:
        function = super().executemany  # type: ignore[misc]
        return _run(self.connection, function, statement, parameters, parameters)

    def executescript(self, script: str, /) -> Any:
        return _run(self.connection, super().executescript, script, None)  # type: ignore[misc]


class _ConnectionMixin:
    """In front of a connection class. Its own `execute` and the like make cursors in C, past `cursor`."""

    _clew_tracing: StatementTracing
    _clew_place: Place

    def __init__(self, database: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(database, *arguments, **options)  # type: ignore[call-arg]
        self._clew_place = Place("sqlite", str(database))

    def cursor(self, factory: Any = None) -> Any:
        make: Any = super()
        if factory is None:
            return make.cursor(_TracedCursor)
        # A class is put behind ours; any other callable makes what its author wants.
        return make.cursor(_behind(_CursorMixin, factory) if isinstance(factory, type) else factory)

    def execute(self, statement: str, /, *parameters: Any) -> Any:
        return self.cursor().execute(statement, *parameters)

    def executemany(self, statement: str, parameters: Iterable[Any], /) -> Any:
        return self.cursor().executemany(statement, parameters)

    def executescript(self, script: str, /) -> Any:
        return self.cursor().executescript(script)


class _TracedCursor(_CursorMixin, sqlite3.Cursor):
    """sqlite3's cursor, traced."""


_made: Final[dict[tuple[type, type], type]] = {}


def _behind(mixin: type, base: type) -> type:
    if issubclass(base, mixin):
        return base
    made = _made.get((mixin, base))
    if made is None:
        made = _made[mixin, base] = type(base.__name__, (mixin, base), {"__module__": base.__module__})
    return made


def connector(**options: Unpack[DatabaseOptions]) -> Callable[..., sqlite3.Connection]:
    """`sqlite3.connect` with tracing by these options. Raises ValueError for an unknown convention."""
    return _connector(StatementTracing(options), sqlite3.connect, Switch())


def _connector(
    tracing: StatementTracing, original: Callable[..., sqlite3.Connection], switch: Switch
) -> Callable[..., sqlite3.Connection]:
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if not switch.on:
            return original(*arguments, **options)
        given = list(arguments)
        base = (
            given[_FACTORY_POSITION] if len(given) > _FACTORY_POSITION else options.get("factory", sqlite3.Connection)
        )
        # Whoever makes connections by a function of their own, or traced ones, gets those.
        if not isinstance(base, type) or issubclass(base, _ConnectionMixin):
            return original(*arguments, **options)
        factory = _behind(_ConnectionMixin, base)
        if len(given) > _FACTORY_POSITION:
            given[_FACTORY_POSITION] = factory
        else:
            options["factory"] = factory
        connection = original(*given, **options)
        vars(connection)["_clew_tracing"] = tracing
        return connection

    return connect


connect: Final = connector()
"""As `sqlite3.connect`, with the global tracer provider."""


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace connections that `sqlite3.connect` makes from now on; returns the way back."""
    chosen: DatabaseOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    tracing = StatementTracing(chosen)
    original = sqlite3.connect

    def make(_: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        return _connector(tracing, original, switch)

    undos = [replace(module, "connect", make) for module in (sqlite3, sqlite3.dbapi2)]

    def undo() -> None:
        tracing.is_on = False
        for one in undos:
            one()

    return undo
