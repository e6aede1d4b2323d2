"""PyMongo: a CLIENT span for each command, sync and async, through the driver's own command monitoring.

    pymongo.MongoClient(event_listeners=[clew.pymongo.CommandTracer()])

A cursor that fetches in several batches has a span for each `getMore`, since each is a command of its own. A write
that the server answers with `writeErrors` is an error here as it is for the application, although the driver calls
the command a success.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from threading import Lock
from time import time_ns
from typing import Any, Final, Unpack

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import ServerSelectionTimeoutError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from clew import guard, semconv
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import db_attributes
from clew.tracing.options import DatabaseOptions
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = DatabaseOptions
SyncTopology: Any
AsyncTopology: Any
try:
    from pymongo.asynchronous.topology import Topology as AsyncTopology
    from pymongo.synchronous.topology import Topology as SyncTopology
except ImportError:  # another version has them elsewhere: a server that is not found has no span
    SyncTopology = AsyncTopology = None

# Commands whose own value names a collection; that of others may be a user, a cursor or a number.
_OF_A_COLLECTION: Final = frozenset(
    (
        "aggregate",
        "collMod",
        "collStats",
        "compact",
        "convertToCapped",
        "count",
        "create",
        "createIndexes",
        "createSearchIndexes",
        "delete",
        "distinct",
        "drop",
        "dropIndexes",
        "dropSearchIndex",
        "find",
        "findAndModify",
        "findandmodify",
        "insert",
        "killCursors",
        "listIndexes",
        "mapReduce",
        "reIndex",
        "update",
        "updateSearchIndex",
        "validate",
    )
)
# What the driver adds to each command for itself.
_OF_THE_DRIVER: Final = frozenset(("lsid", "$clusterTime", "$db", "$readPreference", "txnNumber", "startTransaction"))
MAX_STATEMENT_CHARACTERS: Final = 4_096
_MAX_ITEMS: Final = 10
_MAX_DEPTH: Final = 12
# A command always ends, except where another listener raises; spans that are left over must not fill the memory.
_MAX_OPEN: Final = 10_000


class CommandTransport(Call):
    """A MongoDB command as a call."""

    __slots__ = ("_event", "_with_statement", "collection")

    kind: Final = "db"
    component: Final = "MongoDB"
    carrier = None
    reply_carrier = None

    def __init__(self, event: CommandStartedEvent, with_statement: bool) -> None:
        self._event = event
        self._with_statement = with_statement
        name = event.command_name
        self.collection: Final = _collection(name, event.command)
        self.operation: Final = f"{name} {self.collection or event.database_name}"

    @property
    def peer(self) -> Peer | None:
        """The server the command is sent to."""
        host, port = self._event.connection_id
        return host, port or 0

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of a database client."""
        event = self._event
        host, port = event.connection_id
        return db_attributes(
            "mongodb",
            operation=event.command_name,
            collection=self.collection,
            namespace=event.database_name,
            query_text=statement(event.command) if self._with_statement else None,
            host=host,
            port=port,
        )


class CommandTracer(CommandListener):
    """Traces the commands of each client it is given to as an event listener."""

    def __init__(self, **options: Unpack[DatabaseOptions]) -> None:
        """`with_statement` writes the command as `db.query.text`, with a `?` for each value.

        With `conventions="kratos"` a span has `queryId`, `command`, `event` and `ms` instead of OpenTelemetry's names,
        with both of them all. Raises ValueError for an unknown convention.
        """
        chosen_options: dict[str, Any] = dict(options)
        self._with_statement = bool(chosen_options.pop("with_statement", False))
        self._tracer = Tracer(SpanKind.CLIENT, scope="clew.pymongo", **chosen_options)
        chosen = options.get("conventions", "otel")
        self._kratos = "kratos" in ((chosen,) if isinstance(chosen, str) else chosen)
        self._switch = Switch()
        self._open: dict[tuple[int, Any], tuple[Span, CommandTransport]] = {}
        self._lock = Lock()

    def started(self, event: CommandStartedEvent) -> None:
        """The driver is about to send a command."""
        if not self._switch.on:
            return
        try:
            call = CommandTransport(event, self._with_statement)
            span = self._tracer.start(call.operation, None, transport=call)
            self._tracer.stays_beside(span, call)
            if self._kratos and span.is_recording():
                span.set_attributes(
                    {
                        semconv.KRATOS_QUERY_ID: event.request_id,
                        semconv.KRATOS_COMMAND: statement(event.command)
                        if self._with_statement
                        else event.command_name,
                    }
                )
            with self._lock:
                self._open[event.request_id, event.connection_id] = span, call
                oldest = next(iter(self._open)) if len(self._open) > _MAX_OPEN else None
                lost = self._open.pop(oldest, None) if oldest is not None else None
            if lost is not None:
                self._tracer.end(lost[0], reply=Outcome(cancelled=True), transport=lost[1])
        except Exception as failure:
            guard.swallow("tracing a MongoDB command", failure)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """The server has answered."""
        self._ended(event, event.reply)

    def failed(self, event: CommandFailedEvent) -> None:
        """The server has refused, or could not be asked."""
        self._ended(event, event.failure)

    def _ended(self, event: CommandSucceededEvent | CommandFailedEvent, reply: Mapping[str, Any]) -> None:
        with self._lock:
            span, call = self._open.pop((event.request_id, event.connection_id), (None, None))
        if span is None or call is None:
            return
        outcome: Outcome | None = None
        try:
            if span.is_recording():
                outcome = _outcome(reply, failed=isinstance(event, CommandFailedEvent))
                if self._kratos:
                    span.set_attribute(semconv.KRATOS_MS, event.duration_micros / 1000)
                    if outcome.error_type is None:  # the tracer says "error" itself
                        span.set_attribute(semconv.KRATOS_EVENT, "succeeded")
        except Exception as failure:
            guard.swallow("reading a MongoDB reply", failure)
        self._tracer.end(span, reply=outcome, transport=call)


def statement(command: Mapping[str, Any]) -> str:
    """A command as JSON without its values, cut at 4,096 characters: `{"find": "items", "filter": {"n": "?"}}`."""
    shown: dict[str, Any] = {}
    for key, value in command.items():
        if key not in _OF_THE_DRIVER:
            # The first value is the collection, which is no secret.
            shown[key] = value if not shown and isinstance(value, str) and key in _OF_A_COLLECTION else _hidden(value)
    return json.dumps(shown)[:MAX_STATEMENT_CHARACTERS]


def _hidden(value: Any, depth: int = 0) -> Any:
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _hidden(held, depth + 1) for key, held in value.items()}
        if isinstance(value, list):
            return [_hidden(held, depth + 1) for held in value[:_MAX_ITEMS]]
    return "?"


def _collection(name: str, command: Mapping[str, Any]) -> str | None:
    value = command.get("collection") if name == "getMore" else command.get(name) if name in _OF_A_COLLECTION else None
    return value if isinstance(value, str) else None


def _outcome(reply: Mapping[str, Any], *, failed: bool) -> Outcome:
    problem: Mapping[str, Any] = reply
    if not failed:
        errors = reply.get("writeErrors") or ([reply["writeConcernError"]] if reply.get("writeConcernError") else [])
        if not errors:
            return Outcome(reply=reply)
        problem = errors[0]
    code = problem.get("code")
    message = problem.get("errmsg")
    return Outcome(
        {} if code is None else {semconv.DB_RESPONSE_STATUS_CODE: str(code)},
        # Without an answer of a server, the driver gives the class of its exception.
        error_type=str(code if code is not None else problem.get("errtype") or "_OTHER"),
        message=None if message is None else str(message),
        code=code if isinstance(code, int) else None,
        reply=reply,
    )


class _SelectionTransport(Call):
    """The choice of a server for an operation, which failed: no command was sent, so the driver calls no listener."""

    __slots__ = ("_topology",)

    kind: Final = "db"
    component: Final = "MongoDB"
    carrier = None
    reply_carrier = None

    def __init__(self, topology: Any, operation: str) -> None:
        self._topology = topology
        self.operation: Final = operation

    @property
    def peer(self) -> Peer | None:
        """The first of the servers that were asked for."""
        seeds = sorted(getattr(getattr(self._topology, "_settings", None), "seeds", ()))
        return (seeds[0][0], seeds[0][1] or 0) if seeds else None

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of a database client."""
        host, port = self.peer or (None, None)
        return db_attributes("mongodb", operation=self.operation, host=host, port=port)


def _selecting(tracer: CommandTracer, original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def note(error: BaseException, began: int, topology: Any, arguments: tuple[Any, ...], options: Any) -> None:
        if not switch.on:
            return
        try:
            # `select_servers(selector, operation, …)`
            operation = arguments[1] if len(arguments) > 1 else options.get("operation")
            call = _SelectionTransport(topology, str(operation or "connect"))
            tracer._tracer.note_failure(call.operation, error, transport=call, start_time_unix_nano=began)
        except Exception as failure:
            guard.swallow("noting a MongoDB server that was not found", failure)

    if iscoroutinefunction(original):

        async def aselect_servers(self: Any, *arguments: Any, **options: Any) -> Any:
            began = time_ns()
            try:
                return await original(self, *arguments, **options)
            except ServerSelectionTimeoutError as error:
                note(error, began, self, arguments, options)
                raise

        return aselect_servers

    def select_servers(self: Any, *arguments: Any, **options: Any) -> Any:
        began = time_ns()
        try:
            return original(self, *arguments, **options)
        except ServerSelectionTimeoutError as error:
            note(error, began, self, arguments, options)
            raise

    return select_servers


def patch(tracer_provider: Any = None, **options: Any) -> Undo:
    """Trace every client made from now on, unless it has a `CommandTracer` of its own; returns an undo function."""
    tracer = CommandTracer(tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., None], switch: Switch) -> Callable[..., None]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            listeners = kwargs.get("event_listeners") or ()
            # What is no list is left to the driver, which refuses it.
            is_list = isinstance(listeners, (list, tuple))
            if switch.on and is_list and not any(isinstance(listener, CommandTracer) for listener in listeners):
                kwargs["event_listeners"] = [*listeners, tracer]
            original(self, *args, **kwargs)

        return __init__

    undos = [replace(client, "__init__", make) for client in (MongoClient, AsyncMongoClient)]
    undos += [
        replace(topology, "select_servers", partial(_selecting, tracer))
        for topology in (SyncTopology, AsyncTopology)
        if topology is not None
    ]

    def undo() -> None:
        tracer._switch.on = False
        for one in undos:
            one()

    return undo
