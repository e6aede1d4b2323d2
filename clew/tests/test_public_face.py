"""`import clew`: what it offers and what it loads, each looked at in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import clew

FORBIDDEN = ("google.protobuf", "grpc", "requests", "opentelemetry.sdk", "asyncio", "clew_server")


def modules_after(code: str) -> set[str]:
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_names_are_these() -> None:
    assert clew.__all__ == [
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
    assert dir(clew) == clew.__all__


@pytest.mark.parametrize("name", clew.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(clew, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clew.nothing  # noqa: B018


def test_importing_clew_loads_nothing_heavy() -> None:
    loaded = modules_after("import clew")
    assert [name for name in loaded if name.startswith(FORBIDDEN)] == []
    assert len(loaded) <= 1.3 * len(modules_after("import opentelemetry.trace"))


def test_recording_needs_no_protobuf_library_and_no_sdk() -> None:
    loaded = modules_after(
        "import clew\n"
        "provider = clew.configure(service_name='s', endpoint='http://127.0.0.1:9')\n"
        "provider.get_tracer('t').start_span('op').end()\n"
        "clew.shutdown(0.1)"
    )
    heavy = ("google.protobuf", "grpc", "requests", "opentelemetry.sdk", "clew_server")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_configure_is_the_function_even_where_its_module_was_imported_first() -> None:
    loaded = modules_after(
        "import clew.configure\nimport clew\n"
        "provider = clew.configure(service_name='s', endpoint='http://127.0.0.1:9')\n"
        "assert type(provider).__name__ == 'TracerProvider'"
    )
    assert "clew.configure" in loaded
