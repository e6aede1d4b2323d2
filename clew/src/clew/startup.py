"""Start of tracing under `clew run`, in each process before the program begins; it must cost almost nothing.

Nothing is imported but what waits for imports. Tracing is set up when the program first imports a library that is traced
or OpenTelemetry's API, so that programs which patch the standard library (gevent) find it untouched, and those that
trace nothing, such as multiprocessing's helpers, cost nothing.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Final

from clew import guard, hooks

# Modules by which a program reaches the API itself.
_USES: Final = (
    "opentelemetry.trace",
    "opentelemetry.propagate",
    "clew.bridges.opencensus",
    "clew.bridges.opentracing",
    "clew.configure",
    "clew.decorate",
    "clew.logs",
    "clew.recorder.provider",
    "clew.tracing",
)
_is_set_up = False


def start() -> None:
    """Set up tracing from `OTEL_*` variables when it is used; the application may set up anew. Never raises."""
    try:
        from clew.instrumentation.auto import instrument

        for name in _USES:
            hooks.when_imported(name, _used)
        if os.environ.get("OTEL_PYTHON_LOG_CORRELATION", "").strip().lower() == "true":
            set_up()  # ids are wanted in the very first record
        instrument(before=set_up)
    except Exception as failure:
        guard.swallow("setting up tracing", failure)


def set_up() -> None:
    """Set the provider and the propagators, once."""
    global _is_set_up
    if _is_set_up:
        return
    _is_set_up = True
    try:
        from clew.configure import configure_replaceably

        configure_replaceably()
    except Exception as failure:
        guard.swallow("setting up tracing", failure)


def _used(module: ModuleType) -> None:
    # In the midst of an import of ours, `clew.configure` cannot be imported: that module has a hook too.
    if not any(_is_underway(name) for name in list(sys.modules) if name != module.__name__):
        set_up()


def _is_underway(name: str) -> bool:
    if name != "opentelemetry.propagate" and not name.startswith("clew."):
        return False
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
