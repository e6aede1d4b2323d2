"""Sends what is left when a process ends without running `atexit`, within the exit's time limit.

Python runs `atexit` when the main thread ends. It does not when a process kills itself by a signal whose default action
is to end (uvicorn does so after its graceful stop), and not in the children of billiard, Celery's multiprocessing, which
leave by `os._exit`. The signals' own handlers and actions stay what the application made them.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from clew import guard, hooks

# Signals that do not end a process by default; and SIGKILL, which must not be delayed.
_HARMLESS: Final = frozenset(
    number
    for name in (
        "SIGCHLD",
        "SIGCONT",
        "SIGURG",
        "SIGWINCH",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGINFO",
        "SIGKILL",
    )
    if (number := getattr(signal, name, None)) is not None
)
_send_what_is_left: Callable[[], None] | None = None


def watch(send_what_is_left: Callable[[], None]) -> None:
    """Call `send_what_is_left` before this process, or one forked from it, ends so. The first call counts."""
    global _send_what_is_left
    if _send_what_is_left is not None:
        return
    _send_what_is_left = send_what_is_left
    _before(signal, "raise_signal", _is_deadly_here)
    if hasattr(signal, "pthread_kill"):
        _before(signal, "pthread_kill", lambda _, number: _is_deadly(number))
    if hasattr(os, "getpgrp"):
        _before(os, "kill", lambda pid, number: pid in (os.getpid(), 0) and _is_deadly(number))
        _before(os, "killpg", lambda group, number: group in (0, os.getpgrp()) and _is_deadly(number))
    hooks.when_imported("billiard.process", _watch_processes)
    hooks.when_imported("billiard.pool", _watch_pool)


def _is_deadly_here(number: int) -> bool:
    return _is_deadly(number)


def _is_deadly(number: int) -> bool:
    """Whether the signal, as it is handled now, ends the process without running any Python code."""
    return bool(number) and number not in _HARMLESS and signal.getsignal(number) is signal.SIG_DFL


def _before(owner: ModuleType, name: str, ends: Callable[..., bool]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def function(*arguments: Any, **options: Any) -> Any:
        try:
            is_the_end = ends(*arguments, **options)
        except Exception:
            is_the_end = False  # not what the function takes: it says so itself
        if is_the_end:
            _end()
        return original(*arguments, **options)

    setattr(owner, name, function)


def _end() -> None:
    try:
        if _send_what_is_left is not None:
            _send_what_is_left()
    except Exception as failure:
        guard.swallow("sending what is left", failure)


# -- billiard -----------------------------------------------------------------------------------------------------------


def _watch_processes(module: ModuleType) -> None:
    original = module.BaseProcess._bootstrap

    @functools.wraps(original)
    def _bootstrap(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return original(self, *arguments, **options)
        finally:
            _end()

    module.BaseProcess._bootstrap = _bootstrap


def _watch_pool(module: ModuleType) -> None:
    original = module.Worker._do_exit

    @functools.wraps(original)
    def _do_exit(self: Any, *arguments: Any, **options: Any) -> Any:
        # After the application's own handlers (`worker_process_shutdown` in Celery), and before the parent is told.
        on_exit = self.on_exit

        def then_send(*ending: Any) -> None:
            try:
                if on_exit is not None:
                    on_exit(*ending)
            finally:
                _end()

        self.on_exit = then_send
        return original(self, *arguments, **options)

    module.Worker._do_exit = _do_exit
