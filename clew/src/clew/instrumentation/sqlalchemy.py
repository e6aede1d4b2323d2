"""SQLAlchemy: a CLIENT span for each statement an engine sends, sync and async, through its own events.

    engine = clew.sqlalchemy.traced(create_engine("postgresql+psycopg://…"))

A driver that is traced as well makes no second span.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from opentelemetry.trace import TracerProvider
from sqlalchemy import event
from sqlalchemy.engine import Engine

from clew import guard
from clew.instrumentation import _sql
from clew.instrumentation._patching import Undo
from clew.instrumentation._sql import Place, StatementTracing
from clew.tracing.options import DatabaseOptions
from clew.tracing.scope import Scope

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

OPTIONS: Final = _sql.OPTIONS
_SYSTEMS: Final = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_DEFAULT_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_MARK: Final = "_clew_traced"
_OPEN: Final = "_clew_open"
_connecting_since: Final[ContextVar[int | None]] = ContextVar("clew_connecting_since", default=None)
AnyEngine = TypeVar("AnyEngine", bound="Engine | AsyncEngine")


class _Listener:
    """Handlers of an engine's events. The open scope is kept on the execution context."""

    def __init__(self, tracing: StatementTracing, is_explicit: bool) -> None:
        self._tracing = tracing
        self._is_explicit = is_explicit
        self.is_on = True

    def before(self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not self.is_on or context is None or (not self._is_explicit and getattr(connection.engine, _MARK, False)):
            return
        try:
            call = self._tracing.call(_place(connection.engine), statement, parameters if many else None)
            if call is None:
                return
            scope = self._tracing.tracer.scope(call)
            scope.enter()
            setattr(context, _OPEN, (self, scope))
        except Exception as failure:
            guard.swallow("tracing a statement of SQLAlchemy", failure)

    def after(self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        self._end(context, None)

    def connecting(self, dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        _connecting_since.set(time_ns())

    def failed(self, failure: Any) -> None:
        if failure.execution_context is None and failure.connection is None and failure.engine is not None:
            engine, began = failure.engine, _connecting_since.get()
            if self.is_on and began is not None and (self._is_explicit or not getattr(engine, _MARK, False)):
                self._tracing.refused(_place(engine), failure.original_exception, began)
            return
        self._end(failure.execution_context, failure.original_exception)

    def _end(self, context: Any, error: BaseException | None) -> None:
        opened = getattr(context, _OPEN, None)
        if opened is None or opened[0] is not self:
            return
        try:
            setattr(context, _OPEN, None)
            scope: Scope = opened[1]
            scope.leave()
            scope.finish(None, error)
        except Exception as failure:
            guard.swallow("ending a statement of SQLAlchemy", failure)

    def listen(self, target: Any) -> Undo:
        """Listen to the events of one engine or of all; returns an undo function."""
        heard: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("do_connect", self.connecting),
            ("before_cursor_execute", self.before),
            ("after_cursor_execute", self.after),
            ("handle_error", self.failed),
        )
        for name, function in heard:
            event.listen(target, name, function)

        def undo() -> None:
            self.is_on = False
            for name, function in heard:
                event.remove(target, name, function)

        return undo


def _place(engine: Any) -> Place:
    place: Place | None = getattr(engine, "_clew_place", None)
    if place is None:
        url = engine.url
        system = _SYSTEMS.get(engine.dialect.name, engine.dialect.name)
        port = url.port or (_DEFAULT_PORTS.get(system) if url.host else None)
        place = engine._clew_place = Place(system, url.database or None, url.host or None, port)
    return place


def traced(engine: AnyEngine, **options: Unpack[DatabaseOptions]) -> AnyEngine:
    """Trace the statements of an engine from now on, and return it. A second call does nothing.

    Takes an `Engine` and an `AsyncEngine`. Raises TypeError for anything else, ValueError for an unknown convention.
    """
    # An AsyncEngine has a sync one inside.
    target: Any = getattr(engine, "sync_engine", engine)
    if not isinstance(target, Engine):
        raise TypeError(f"not an engine of SQLAlchemy: {type(engine).__name__}")
    if not getattr(target, _MARK, False):
        _Listener(StatementTracing(options, "clew.sqlalchemy"), is_explicit=True).listen(target)
        setattr(target, _MARK, True)
    return engine


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace all engines, existing and future ones; returns an undo function."""
    chosen: DatabaseOptions = {"tracer_provider": tracer_provider, **options}  # type: ignore[typeddict-item]
    return _Listener(StatementTracing(chosen, "clew.sqlalchemy"), is_explicit=False).listen(Engine)
