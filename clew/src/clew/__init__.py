"""clew: tracing middleware and recorder for applications. Imports nothing until a name is used.

Start reading at `configure.py` (how a process is set up) and `tracing/` (the middleware).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew import logs
    from clew.bridges import opencensus, opentracing
    from clew.configure import configure, shutdown
    from clew.decorate import trace
    from clew.instrumentation import (
        aio_pika,
        aiohttp,
        asgi,
        asyncpg,
        celery,
        dbapi,
        django,
        grpc,
        http_client,
        httpx,
        httpx2,
        instrument,
        kafka,
        pika,
        psycopg,
        pymongo,
        redis,
        requests,
        sqlalchemy,
        sqlite3,
        threads,
        uninstrument,
        urllib3,
        wsgi,
    )
    from clew.middleware import chain
    from clew.recorder.provider import TracerProvider
    from clew.tracing import Tracer, client, server, span_id, trace_id

__version__ = "0.1.0"

__all__ = [
    "Tracer",
    "TracerProvider",
    "__version__",
    "aio_pika",
    "aiohttp",
    "asgi",
    "asyncpg",
    "celery",
    "chain",
    "client",
    "configure",
    "dbapi",
    "django",
    "grpc",
    "http_client",
    "httpx",
    "httpx2",
    "instrument",
    "kafka",
    "logs",
    "opencensus",
    "opentracing",
    "pika",
    "psycopg",
    "pymongo",
    "redis",
    "requests",
    "server",
    "shutdown",
    "span_id",
    "sqlalchemy",
    "sqlite3",
    "threads",
    "trace",
    "trace_id",
    "uninstrument",
    "urllib3",
    "wsgi",
]

# The module that has each public name; a name without an attribute is the module itself.
_HOMES: dict[str, tuple[str, str | None]] = {
    "Tracer": ("clew.tracing", "Tracer"),
    "TracerProvider": ("clew.recorder.provider", "TracerProvider"),
    "aio_pika": ("clew.instrumentation.aio_pika", None),
    "aiohttp": ("clew.instrumentation.aiohttp", None),
    "asgi": ("clew.instrumentation.asgi", None),
    "asyncpg": ("clew.instrumentation.asyncpg", None),
    "celery": ("clew.instrumentation.celery", None),
    "chain": ("clew.middleware", "chain"),
    "client": ("clew.tracing", "client"),
    "configure": ("clew.configure", "configure"),
    "dbapi": ("clew.instrumentation.dbapi", None),
    "django": ("clew.instrumentation.django", None),
    "grpc": ("clew.instrumentation.grpc", None),
    "http_client": ("clew.instrumentation.http_client", None),
    "httpx": ("clew.instrumentation.httpx", None),
    "httpx2": ("clew.instrumentation.httpx2", None),
    "instrument": ("clew.instrumentation", "instrument"),
    "kafka": ("clew.instrumentation.kafka", None),
    "logs": ("clew.logs", None),
    "opencensus": ("clew.bridges.opencensus", None),
    "opentracing": ("clew.bridges.opentracing", None),
    "pika": ("clew.instrumentation.pika", None),
    "psycopg": ("clew.instrumentation.psycopg", None),
    "pymongo": ("clew.instrumentation.pymongo", None),
    "redis": ("clew.instrumentation.redis", None),
    "requests": ("clew.instrumentation.requests", None),
    "server": ("clew.tracing", "server"),
    "shutdown": ("clew.configure", "shutdown"),
    "span_id": ("clew.tracing", "span_id"),
    "sqlalchemy": ("clew.instrumentation.sqlalchemy", None),
    "sqlite3": ("clew.instrumentation.sqlite3", None),
    "threads": ("clew.instrumentation.threads", None),
    "trace": ("clew.decorate", "trace"),
    "trace_id": ("clew.tracing", "trace_id"),
    "uninstrument": ("clew.instrumentation", "uninstrument"),
    "urllib3": ("clew.instrumentation.urllib3", None),
    "wsgi": ("clew.instrumentation.wsgi", None),
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'clew' has no attribute {name!r}")
    module = import_module(home[0])
    value = module if home[1] is None else getattr(module, home[1])
    # The import of `clew.configure` has bound that name to the module; from now on it is the function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
