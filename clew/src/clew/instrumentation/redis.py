"""redis-py: a CLIENT span for each command, pipeline and transaction, sync and async.

    client = clew.redis.traced(redis.Redis())

Retries and reconnections of one command belong to its span. Keys and values are never recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar, Unpack, cast

import redis
import redis.asyncio
from opentelemetry.trace import SpanKind, TracerProvider, get_current_span
from opentelemetry.util.types import AttributeValue
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.asyncio.cluster import ClusterPipeline as AsyncClusterPipeline
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.client import Pipeline
from redis.cluster import ClusterPipeline, RedisCluster
from redis.commands.core import AsyncScript, Script
from redis.exceptions import NoScriptError

from clew import guard, semconv
from clew.instrumentation._calls import is_within, traced_acall, traced_call
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.attributes import db_attributes
from clew.tracing.options import DatabaseOptions
from clew.tracing.outcome import type_name
from clew.tracing.tracer import Tracer
from clew.transport import Call, Outcome, Peer

OPTIONS: Final = DatabaseOptions
_DEFAULT_PORT: Final = 6379
#: On a client that `traced` returned.
_MARK: Final = "_clew_traced"
_MAX_STATEMENT_CHARACTERS: Final = 4_096
_MAX_SHOWN_ARGUMENTS: Final = 16
# For these commands the second word is part of the name.
_WITH_SUBCOMMAND: Final = frozenset(
    (
        "ACL",
        "CLIENT",
        "CLUSTER",
        "CONFIG",
        "FUNCTION",
        "LATENCY",
        "MEMORY",
        "OBJECT",
        "PUBSUB",
        "SCRIPT",
        "XGROUP",
        "XINFO",
    )
)

Client = TypeVar("Client")


class RedisTransport(Call):
    """A command, or several in a pipeline, as a call."""

    __slots__ = ("_batch", "_pool", "_statement")

    kind: Final = "db"
    component: Final = "Redis"
    carrier = None
    reply_carrier = None

    def __init__(self, client: Any, operation: str, statement: str | None, batch: int | None = None) -> None:
        # A cluster has a pool for each node, and which one it will be is not known yet.
        self._pool = getattr(client, "connection_pool", None)
        self.operation: Final = operation
        self._statement = statement
        self._batch = batch

    @property
    def peer(self) -> Peer | None:
        """The server, or the path of its socket; None for a cluster."""
        settings = self._settings()
        if settings is None:
            return None
        if "path" in settings:
            return str(settings["path"]), 0
        return str(settings.get("host", "localhost")), int(settings.get("port", _DEFAULT_PORT))

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of a Redis client."""
        settings = self._settings()
        peer = self.peer
        attributes = db_attributes(
            "redis",
            operation=self.operation,
            namespace=None if settings is None else str(settings.get("db") or 0),
            query_text=self._statement,
            host=None if peer is None else peer[0],
            port=(peer[1] or None) if peer is not None else None,
        )
        if self._batch is not None:
            attributes[semconv.DB_OPERATION_BATCH_SIZE] = self._batch
        return attributes

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """The error's first word is Redis' code for it: `WRONGTYPE`, `MOVED`, `ERR`."""
        if error is None:
            if not isinstance(reply, list):
                return None
            # A pipeline that was told not to raise hands the errors over among the replies.
            error = next((one for one in reply if isinstance(one, redis.RedisError)), None)
            return None if error is None else Outcome(_code_of(error), type_name(error), str(error))
        if isinstance(error, redis.WatchError):
            # A watched key was changed by another client: Redis' way to ask for another try.
            return Outcome(handled=True)
        if not isinstance(error, redis.ResponseError):
            return None
        return Outcome(_code_of(error), handled=isinstance(error, NoScriptError) and _is_within_script())

    def _settings(self) -> Mapping[str, Any] | None:
        settings: Mapping[str, Any] | None = getattr(self._pool, "connection_kwargs", None)
        return settings


# The functions of redis-py that load a script where the server does not have it, and ask again.
_SCRIPTS: Final = frozenset((Script.__call__.__code__, AsyncScript.__call__.__code__))
_MAX_FRAMES: Final = 30


def _is_within_script() -> bool:
    """Whether redis-py itself waits for the command, and handles that the server does not know the script."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return False
        if frame.f_code in _SCRIPTS:
            return True
        frame = frame.f_back
    return False


# kombu's transport, by which Celery keeps its queues in Redis, and what runs in Celery's workers.
_KOMBU: Final = "kombu.transport.redis"
_WORKER: Final = "celery.worker."
# Between kombu and here: redis-py, clew, and generators that are context managers.
_BETWEEN: Final = ("redis.", "clew.", "contextlib", "functools")
#: The commands by which kombu sends a message to a queue, or to all subscribers.
_SENDING: Final = frozenset(("LPUSH", "PUBLISH"))


def _is_housekeeping(operation: str) -> bool:
    """Whether the command is kombu's own and not made by the program: a heartbeat, an acknowledgement, a declaration.

    Each would be a trace of its own, every two seconds in a worker that does nothing. What a program sends by kombu is
    none of that, nor what is within a trace.
    """
    if _KOMBU not in sys.modules or get_current_span().get_span_context().is_valid:
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") != _KOMBU:
        return False
    if operation not in _SENDING:
        return True
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__")).startswith(_WORKER):
            return True
    return False


def _code_of(error: BaseException) -> dict[str, AttributeValue]:
    # redis-py cuts the prefix it knows and keeps it beside the message.
    status = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    return {semconv.DB_RESPONSE_STATUS_CODE: str(status)} if str(status).isupper() else {}


def _name(arguments: Sequence[Any]) -> str:
    """The command's name: `GET`, `CONFIG SET`."""
    words = _text(arguments[0]).split() if arguments else []
    if len(words) == 1 and words[0].upper() in _WITH_SUBCOMMAND and len(arguments) > 1:
        words.append(_text(arguments[1]))
    return " ".join(words[:2]).upper()


def _text(word: Any) -> str:
    return word.decode("latin-1") if isinstance(word, bytes) else str(word)


def _statement(arguments: Sequence[Any]) -> str:
    """The command with a `?` for each argument: `SET ? ? ?`."""
    name = _name(arguments)
    count = max(len(arguments) - (1 if " " not in name or " " in _text(arguments[0]) else 2), 0)
    shown = " ".join([name] + ["?"] * min(count, _MAX_SHOWN_ARGUMENTS))
    return f"{shown} …" if count > _MAX_SHOWN_ARGUMENTS else shown


class _Tracing:
    """Makes the calls of one set of options."""

    def __init__(self, **options: Unpack[DatabaseOptions]) -> None:
        given: dict[str, Any] = dict(options)
        self.with_statements = bool(given.pop("with_statement", False))
        self.tracer = Tracer(SpanKind.CLIENT, scope="clew.redis", **given)

    def of_command(self, client: Any, arguments: Sequence[Any]) -> RedisTransport | None:
        try:
            name = _name(arguments)
            if _is_housekeeping(name):
                return None
            return RedisTransport(client, name, _statement(arguments) if self.with_statements else None)
        except Exception as failure:
            guard.swallow("reading a Redis command", failure)
            return None

    def of_pipeline(self, pipeline: Any) -> RedisTransport | None:
        try:
            commands = [_arguments_of(command) for command in _stack_of(pipeline)]
            if not commands or _is_housekeeping("MULTI"):
                return None
            kind = "MULTI" if _is_transaction(pipeline) else "PIPELINE"
            names = {_name(command) for command in commands}
            statement = None
            if self.with_statements:
                statement = "; ".join(map(_statement, commands))[:_MAX_STATEMENT_CHARACTERS]
            operation = f"{kind} {names.pop()}" if len(names) == 1 else kind
            # The conventions want the size only where it is a batch.
            return RedisTransport(pipeline, operation, statement, len(commands) if len(commands) > 1 else None)
        except Exception as failure:
            guard.swallow("reading a Redis pipeline", failure)
            return None

    # -- around a method, given unbound or bound ------------------------------------------------------------------------

    # The sync twin of `acommand`, written by scripts/sync_twins.py.
    def command(self, original: Callable[..., Any], client: Any, /, *arguments: Any, **options: Any) -> Any:
        call = None if is_within("db") else self.of_command(client, arguments)
        if call is None:
            return original(*arguments, **options)
        return traced_call(self.tracer, call, original, *arguments, **options)

    async def acommand(self, original: Callable[..., Any], client: Any, /, *arguments: Any, **options: Any) -> Any:
        call = None if is_within("db") else self.of_command(client, arguments)
        if call is None:
            return await original(*arguments, **options)
        return await traced_acall(self.tracer, call, original, *arguments, **options)

    # The sync twin of `aexecute`, written by scripts/sync_twins.py.
    def execute(self, original: Callable[..., Any], pipeline: Any, /, *arguments: Any, **options: Any) -> Any:
        call = None if is_within("db") else self.of_pipeline(pipeline)
        if call is None:
            return original(*arguments, **options)
        return traced_call(self.tracer, call, original, *arguments, **options)

    async def aexecute(self, original: Callable[..., Any], pipeline: Any, /, *arguments: Any, **options: Any) -> Any:
        call = None if is_within("db") else self.of_pipeline(pipeline)
        if call is None:
            return await original(*arguments, **options)
        return await traced_acall(self.tracer, call, original, *arguments, **options)


def _is_transaction(pipeline: Any) -> bool:
    strategy = getattr(pipeline, "_execution_strategy", None)
    if strategy is not None:
        return type(strategy).__name__ == "TransactionStrategy"
    # The attribute's name differs between the two kinds of pipeline; on the async one `transaction` is a method.
    wanted = getattr(pipeline, "is_transaction", None)
    if wanted is None:
        wanted = getattr(pipeline, "transaction", False)
    return wanted is True or getattr(pipeline, "explicit_transaction", False) is True


def _stack_of(pipeline: Any) -> Sequence[Any]:
    # Of a cluster, the way in which a pipeline is sent keeps its commands.
    strategy = getattr(pipeline, "_execution_strategy", None)
    return cast("Sequence[Any]", pipeline.command_stack if strategy is None else strategy._command_queue)


def _arguments_of(command: Any) -> Sequence[Any]:
    """Pipelines keep `(arguments, options)`, clusters an object with `args`."""
    return cast("Sequence[Any]", command.args if hasattr(command, "args") else command[0])


def traced(client: Client, **options: Unpack[DatabaseOptions]) -> Client:
    """Trace the commands and pipelines of a client from now on, and return it.

    Takes `redis.Redis`, `redis.RedisCluster` and those of `redis.asyncio`. Raises TypeError for anything else,
    ValueError for an unknown convention. A client that is traced already stays as it is.
    """
    if isinstance(client, (redis.asyncio.Redis, redis.asyncio.RedisCluster)):
        is_async = True
    elif isinstance(client, (redis.Redis, redis.RedisCluster)):
        is_async = False
    else:
        raise TypeError(f"not a Redis client: {type(client).__name__}")
    own: Any = client
    if getattr(own, _MARK, False):
        return client
    tracing = _Tracing(**options)
    setattr(own, _MARK, True)
    own.execute_command = partial(tracing.acommand if is_async else tracing.command, own.execute_command, own)
    make_pipeline = own.pipeline
    cluster_pipeline: Any = _cluster_pipeline(tracing)

    def pipeline(*arguments: Any, **choices: Any) -> Any:
        made: Any = make_pipeline(*arguments, **choices)
        if isinstance(made, AsyncClusterPipeline):
            made.__class__ = cluster_pipeline  # which has no room for attributes
        elif isinstance(made, ClusterPipeline):
            vars(made).update({_MARK: True, "execute": partial(tracing.execute, made.execute, made)})
        elif not getattr(made, _MARK, False):
            setattr(made, _MARK, True)
            run = tracing.aexecute if is_async else tracing.execute
            made.execute = partial(run, made.execute, made)
            at_once = tracing.acommand if is_async else tracing.command
            made.immediate_execute_command = partial(at_once, made.immediate_execute_command, made)
        return made

    own.pipeline = pipeline
    return client


def _cluster_pipeline(tracing: _Tracing) -> type:
    async def execute(self: Any, *arguments: Any, **choices: Any) -> Any:
        return await tracing.aexecute(partial(AsyncClusterPipeline.execute, self), self, *arguments, **choices)

    members = {"__slots__": (), "__module__": AsyncClusterPipeline.__module__, _MARK: True, "execute": execute}
    return type(AsyncClusterPipeline.__name__, (AsyncClusterPipeline,), members)


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every client, those of a cluster too, made before or after; returns an undo function."""
    tracing = _Tracing(tracer_provider=tracer_provider, **options)

    # The sync twin of `asynchronous`, written by scripts/sync_twins.py.
    def sync(run: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, *arguments: Any, **choices: Any) -> Any:
                if not switch.on or getattr(self, _MARK, False):
                    return original(self, *arguments, **choices)
                return run(partial(original, self), self, *arguments, **choices)

            return method

        return make

    def asynchronous(run: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            async def method(self: Any, *arguments: Any, **choices: Any) -> Any:
                if not switch.on or getattr(self, _MARK, False):
                    return await original(self, *arguments, **choices)
                return await run(partial(original, self), self, *arguments, **choices)

            return method

        return make

    undos = [
        replace(redis.Redis, "execute_command", sync(tracing.command)),
        replace(Pipeline, "immediate_execute_command", sync(tracing.command)),
        replace(Pipeline, "execute", sync(tracing.execute)),
        replace(RedisCluster, "execute_command", sync(tracing.command)),
        replace(ClusterPipeline, "execute", sync(tracing.execute)),
        replace(redis.asyncio.Redis, "execute_command", asynchronous(tracing.acommand)),
        replace(AsyncPipeline, "immediate_execute_command", asynchronous(tracing.acommand)),
        replace(AsyncPipeline, "execute", asynchronous(tracing.aexecute)),
        replace(AsyncRedisCluster, "execute_command", asynchronous(tracing.acommand)),
        replace(AsyncClusterPipeline, "execute", asynchronous(tracing.aexecute)),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo
