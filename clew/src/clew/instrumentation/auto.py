"""Everything that is installed, traced at once, and the way back."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Final

from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation._patching import Undo

# The library that must be installed, and the module here whose `patch` traces it.
_LIBRARIES: Final = (
    ("starlette", "clew.instrumentation.starlette"),
    ("httpx", "clew.instrumentation.httpx"),
    ("grpc", "clew.instrumentation.grpc_aio"),
    ("pymongo", "clew.instrumentation.pymongo"),
)
_lock: Final = Lock()
_undos: Final[list[Undo]] = []


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Trace servers and clients of every library that is installed; a second call changes nothing.

    Starlette and FastAPI applications and httpx clients are traced even if they were made before, grpc.aio
    servers and channels if they are made after. What is traced explicitly is not traced twice. A library
    that cannot be traced is logged and left alone.
    """
    with _lock:
        if _undos:
            return
        # Once called, it stays called, even where nothing is installed.
        _undos.append(lambda: None)
        for library, module in _LIBRARIES:
            if find_spec(library) is None:
                continue
            try:
                _undos.append(import_module(module).patch(tracer_provider))
            except Exception as failure:
                guard.swallow(f"instrumenting {library}", failure)


def uninstrument() -> None:
    """Take back what `instrument` did; without it, nothing. Servers and channels already made stay traced."""
    with _lock:
        while _undos:
            _undos.pop()()
