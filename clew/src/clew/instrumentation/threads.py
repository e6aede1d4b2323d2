"""Threads and executors: what they run belongs to the span that was current where it was handed over. Makes no spans.

    executor.submit(clew.threads.carried(work), order)

Asyncio needs nothing of this: tasks, `asyncio.to_thread` and callbacks keep their context themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any, Final, ParamSpec, TypedDict, TypeVar

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import TracerProvider

from clew import guard
from clew.instrumentation._patching import Switch, Undo, replace

P = ParamSpec("P")
R = TypeVar("R")


class NoOptions(TypedDict):
    """There is nothing to choose."""


OPTIONS: Final = NoOptions


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which runs in the OpenTelemetry context of this moment, in whatever thread it is called."""
    return _in(get_current(), function)


def _in(context: Context, function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return run


def patch(tracer_provider: TracerProvider | None = None) -> Undo:
    """Every thread and every task of a `ThreadPoolExecutor` keeps its context; returns the way back."""
    undos = [replace(Thread, "start", _start), replace(ThreadPoolExecutor, "submit", _submit)]

    def undo() -> None:
        for one in undos:
            one()

    return undo


def _submit(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        # An empty context as well, as the worker may have been started for another request.
        return original(self, _in(get_current(), fn) if switch.on and callable(fn) else fn, *args, **kwargs)

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
    context = get_current()
    target = getattr(thread, "_target", None)
    # An executor's worker outlives the request that happened to start it; its tasks carry their own contexts.
    if not context or getattr(target, "__module__", None) == "concurrent.futures.thread":
        return
    # On the instance, since subclasses have a `run` of their own. It goes when the thread runs: it holds the thread.
    run = thread.run

    def run_in_context() -> None:
        vars(thread).pop("run", None)
        token = attach(context)
        try:
            run()
        finally:
            detach(token)

    thread.run = run_in_context  # type: ignore[method-assign]
