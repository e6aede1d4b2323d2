"""Everything that is installed, traced at once, and the way back."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final

from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation._patching import Undo
from clew.tracing.options import DatabaseOptions, HttpOptions, MessagingOptions, TracerOptions

# The library that must be installed, and the module here whose `patch(tracer_provider, **options)` traces it. Of the
# options it is given those of its `OPTIONS`, a TypedDict of `clew.tracing.options`; without that, of TracerOptions.
_LIBRARIES: Final = (
    ("starlette", "clew.instrumentation.starlette"),
    ("aiohttp", "clew.instrumentation.aiohttp"),
    ("flask", "clew.instrumentation.flask"),
    ("django", "clew.instrumentation.django"),
    ("httpx", "clew.instrumentation.httpx"),
    ("requests", "clew.instrumentation.requests"),
    ("urllib3", "clew.instrumentation.urllib3"),
    ("http", "clew.instrumentation.http_client"),
    ("grpc", "clew.instrumentation.grpc"),
    ("grpc", "clew.instrumentation.grpc_aio"),
    ("pymongo", "clew.instrumentation.pymongo"),
    ("redis", "clew.instrumentation.redis"),
    ("celery", "clew.instrumentation.celery"),
    ("pika", "clew.instrumentation.pika"),
    ("sqlalchemy", "clew.instrumentation.sqlalchemy"),
    ("psycopg", "clew.instrumentation.psycopg"),
    ("asyncpg", "clew.instrumentation.asyncpg"),
    ("sqlite3", "clew.instrumentation.sqlite3"),
    ("threading", "clew.instrumentation.threads"),
)
_WORDS: Final = (
    HttpOptions.__optional_keys__ | DatabaseOptions.__optional_keys__ | MessagingOptions.__optional_keys__
) - {"tracer_provider"}
_lock: Final = Lock()
_undos: Final[list[Undo]] = []


def instrument(tracer_provider: TracerProvider | None = None, **options: Any) -> None:
    """Trace servers and clients of every library that is installed; a second call changes nothing.

    Starlette and FastAPI applications and httpx clients are traced even if they were made before, gRPC
    servers and channels if they are made after. What is traced explicitly is not traced twice. A library
    that cannot be traced is logged and left alone. `options` are those of `clew.tracing.options`; each library
    gets those it has a use for. Raises TypeError for an unknown one.
    """
    unknown = sorted(options.keys() - _WORDS)
    if unknown:
        raise TypeError(f"no such option: {', '.join(unknown)}; known are {', '.join(sorted(_WORDS))}")
    with _lock:
        if _undos:
            return
        # Once called, it stays called, even where nothing is installed.
        _undos.append(lambda: None)
        for library, module in _LIBRARIES:
            if not _is_installed(library):
                continue
            try:
                instrumentation = import_module(module)
                words = getattr(instrumentation, "OPTIONS", TracerOptions).__optional_keys__
                chosen = {word: value for word, value in options.items() if word in words}
                _undos.append(instrumentation.patch(tracer_provider, **chosen))
            except Exception as failure:
                guard.swallow(f"instrumenting {library}", failure)


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        # The package above it is missing, or a module of that name was made by hand.
        return False


def uninstrument() -> None:
    """Take back what `instrument` did; without it, nothing. Servers and channels already made stay traced."""
    with _lock:
        while _undos:
            _undos.pop()()
