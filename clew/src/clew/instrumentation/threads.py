"""Threads and executors: their functions run with the span that was current where they were submitted. Makes no spans.

    executor.submit(clew.threads.carried(work), order)

Asyncio needs nothing of this: tasks, `asyncio.to_thread` and callbacks keep their context themselves.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypedDict, TypeVar

from clew import guard
from clew.instrumentation._patching import Switch, Undo, replace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

P = ParamSpec("P")
R = TypeVar("R")


class NoOptions(TypedDict):
    """No options."""


OPTIONS: Final = NoOptions


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which runs in the OpenTelemetry context of this moment, in whatever thread it is called."""
    from opentelemetry.context import get_current

    return _in(get_current(), function)


def _in(context: Context, function: Callable[P, R]) -> Callable[P, R]:
    from opentelemetry.context import attach, detach

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return run


def _current() -> Context | None:
    """The current context; None as long as OpenTelemetry's is not imported, since it is empty until then."""
    module = sys.modules.get("opentelemetry.context")
    get_current: Callable[[], Context] | None = getattr(module, "get_current", None)
    return None if get_current is None else get_current()


def patch(tracer_provider: TracerProvider | None = None) -> Undo:
    """Carry the context into every thread and every task of a `ThreadPoolExecutor`; returns an undo function."""
    undos = [patch_threads(), patch_executors()]

    def undo() -> None:
        for one in undos:
            one()

    return undo


def patch_threads(tracer_provider: TracerProvider | None = None) -> Undo:
    """Run every thread in the context that it was started in; returns an undo function."""
    return replace(Thread, "start", _start)


def patch_executors(tracer_provider: TracerProvider | None = None) -> Undo:
    """Run every task of a `ThreadPoolExecutor` in the context it was submitted in; returns an undo function."""
    from concurrent.futures.thread import ThreadPoolExecutor

    return replace(ThreadPoolExecutor, "submit", _submit)


def _submit(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        # An empty context as well, as the worker may have been started for another request.
        context = _current() if switch.on and callable(fn) else None
        return original(self, fn if context is None else _in(context, fn), *args, **kwargs)

    return submit


def _start(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def start(self: Thread) -> None:
        if switch.on:
            try:
                _keep(self)
            except Exception as failure:
                guard.swallow("handing a context to a thread", failure)
        original(self)

    return start


def _keep(thread: Thread) -> None:
    context = _current()
    target = getattr(thread, "_target", None)
    # An executor's worker outlives the request that happened to start it; its tasks carry their own contexts.
    if not context or getattr(target, "__module__", None) == "concurrent.futures.thread":
        return
    # On the instance, since subclasses have a `run` of their own. It goes when the thread runs: it holds the thread.
    within = _in(context, thread.run)

    def run_in_context() -> None:
        vars(thread).pop("run", None)
        within()

    thread.run = run_in_context  # type: ignore[method-assign]
