"""Patches each supported library when the program imports it, and undoes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from clew import guard, hooks
from clew.instrumentation._patching import Undo

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

# The module that is waited for, and the function here that patches it: `module:function(tracer_provider, **options)`, of
# which the function is `patch` unless it is named. Of the options it is given those of its module's `OPTIONS`, a
# TypedDict of `clew.tracing.options`; without that, of TracerOptions.
_LIBRARIES: Final = (
    ("starlette.applications", "clew.instrumentation.starlette"),
    ("fastapi.applications", "clew.instrumentation.starlette:patch_fastapi"),
    ("uvicorn.config", "clew.instrumentation.uvicorn"),
    ("gunicorn.workers.base", "clew.instrumentation.gunicorn"),
    ("aiohttp", "clew.instrumentation.aiohttp"),
    ("flask", "clew.instrumentation.flask"),
    ("django.core.handlers.wsgi", "clew.instrumentation.django:patch_wsgi"),
    ("django.core.handlers.asgi", "clew.instrumentation.django:patch_asgi"),
    ("httpx", "clew.instrumentation.httpx"),
    ("httpx2", "clew.instrumentation.httpx2"),
    ("requests", "clew.instrumentation.requests"),
    ("urllib3", "clew.instrumentation.urllib3"),
    ("http.client", "clew.instrumentation.http_client"),
    ("grpc", "clew.instrumentation.grpc"),
    ("grpc", "clew.instrumentation.grpc_aio"),
    ("pymongo", "clew.instrumentation.pymongo"),
    ("redis", "clew.instrumentation.redis"),
    ("celery.app.base", "clew.instrumentation.celery"),
    ("pika", "clew.instrumentation.pika"),
    ("aio_pika", "clew.instrumentation.aio_pika"),
    ("confluent_kafka", "clew.instrumentation.confluent_kafka"),
    ("kafka.producer.kafka", "clew.instrumentation.kafka_python"),
    ("aiokafka", "clew.instrumentation.aiokafka"),
    ("sqlalchemy", "clew.instrumentation.sqlalchemy"),
    ("psycopg", "clew.instrumentation.psycopg"),
    ("asyncpg", "clew.instrumentation.asyncpg"),
    ("sqlite3", "clew.instrumentation.sqlite3"),
    ("threading", "clew.instrumentation.threads:patch_threads"),
    ("concurrent.futures.thread", "clew.instrumentation.threads:patch_executors"),
)
# These make no spans, so tracing is not set up for them.
_WITHOUT_SPANS: Final = frozenset(("threading", "concurrent.futures.thread"))
_DISABLED: Final = "CLEW_DISABLED_INSTRUMENTATIONS"
_lock: Final = Lock()
_undos: Final[list[Undo]] = []


def instrument(
    tracer_provider: TracerProvider | None = None,
    *,
    without: Iterable[str] = (),
    before: Callable[[], None] | None = None,
    **options: Any,
) -> None:
    """Trace servers and clients of every library the program imports, or has imported; a second call changes nothing.

    Nothing is imported for it: each library is patched when its import is done. Starlette and FastAPI applications and
    httpx clients are traced even if they were made before, gRPC servers and channels if they are made after. What is
    traced explicitly is not traced twice. A library that cannot be traced is logged and left alone. `without` names
    libraries to leave alone (`libraries()`), besides those of `CLEW_DISABLED_INSTRUMENTATIONS`. `options` are those of
    `clew.tracing.options`; each library gets those it has a use for. `before` is called before a library is patched whose
    spans are to go somewhere. Raises TypeError for an unknown option, ValueError for an unknown library.
    """
    if options:
        _refuse_unknown(options)
    left_alone = _left_alone(without)
    with _lock:
        if _undos:
            return
        # Once called, it stays called, even where nothing is installed.
        _undos.append(lambda: None)
    run = _Run(tracer_provider, before, options)
    for awaited, target in _LIBRARIES:
        if _library(target) not in left_alone:
            run.wait_for(awaited, target)
    with _lock:
        _undos.append(run.undo)


def libraries() -> list[str]:
    """The names by which `instrument(without=…)` knows what it traces."""
    return sorted({_library(target) for _, target in _LIBRARIES})


def _library(target: str) -> str:
    if target.endswith(":patch_fastapi"):
        return "fastapi"
    name = target.partition(":")[0].rpartition(".")[2]
    return "grpc" if name == "grpc_aio" else name


def _left_alone(without: Iterable[str]) -> set[str]:
    """Names of libraries that are not to be traced. Raises ValueError for an unknown one of `without`."""
    known = libraries()
    asked = {name.strip().lower().replace("-", "_") for name in ([without] if isinstance(without, str) else without)}
    if unknown := sorted(asked.difference(known)):
        raise ValueError(f"no such library: {', '.join(unknown)}; known are {', '.join(known)}")
    if not os.environ.get(_DISABLED):
        return asked
    from clew import environment  # a fifth of what `clew run` costs a program that traces nothing

    disabled = {name.replace("-", "_") for name in environment.read(_DISABLED) or ()}
    if unknown := sorted(disabled.difference(known)):
        environment.ignore(_DISABLED, ",".join(unknown), f"known are {', '.join(known)}")
    return asked | disabled


class _Run:
    """One call of `instrument`, until it is undone."""

    def __init__(
        self, tracer_provider: TracerProvider | None, before: Callable[[], None] | None, options: dict[str, Any]
    ) -> None:
        self._tracer_provider = tracer_provider
        self._before = before
        self._options = options
        self._is_on = True
        self._forget: list[Undo] = []
        self._undos: list[Undo] = []

    def wait_for(self, awaited: str, target: str) -> None:
        def patch(_: ModuleType) -> None:
            self._patch(awaited, target)

        self._forget.append(hooks.when_imported(awaited, patch))

    def _patch(self, awaited: str, target: str) -> None:
        # Without a lock: imports have theirs, and two threads may import two libraries.
        try:
            if self._before is not None and awaited not in _WITHOUT_SPANS:
                self._before()
            name, _, function = target.partition(":")
            instrumentation = import_module(name)
            chosen = _chosen(instrumentation, self._options) if self._options else {}
            self._undos.append(getattr(instrumentation, function or "patch")(self._tracer_provider, **chosen))
            if not self._is_on:  # taken back meanwhile
                self.undo()
        except Exception as failure:
            guard.swallow(f"instrumenting {awaited}", failure)

    def undo(self) -> None:
        self._is_on = False
        while self._forget:
            self._forget.pop()()
        while self._undos:
            self._undos.pop()()


def _chosen(instrumentation: ModuleType, options: dict[str, Any]) -> dict[str, Any]:
    from clew.tracing.options import TracerOptions

    words = getattr(instrumentation, "OPTIONS", TracerOptions).__optional_keys__
    return {word: value for word, value in options.items() if word in words}


def _refuse_unknown(options: dict[str, Any]) -> None:
    from clew.tracing.options import DatabaseOptions, HttpOptions, MessagingOptions

    known = HttpOptions.__optional_keys__ | DatabaseOptions.__optional_keys__ | MessagingOptions.__optional_keys__
    known -= {"tracer_provider"}
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(f"no such option: {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def uninstrument() -> None:
    """Take back what `instrument` did; without it, nothing. Servers and channels already made stay traced."""
    while True:
        with _lock:
            if not _undos:
                return
            undo = _undos.pop()
        undo()
