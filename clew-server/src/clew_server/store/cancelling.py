"""Ends queries in the engine whose clients have gone away."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_TRIES: Final = 50
_BETWEEN_TRIES_S: Final = 0.1
_numbers: Final = itertools.count(1)


def new_mark() -> str:
    """What stands beside each statement of one question in the engine's list of what runs."""
    return f"clew-{os.getpid()}-{next(_numbers)}"


class Cancellation:
    """Whether a client still waits for the answers of some questions. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Callable[[str], None]] = {}
        self.is_cancelled = False

    @contextmanager
    def running(self, mark: str, kill: Callable[[str], None]) -> Iterator[None]:
        """While a statement with this mark runs, which `kill` ends."""
        with self._lock:
            self._running[mark] = kill
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(mark, None)

    def cancel(self) -> None:
        """End what runs; no more statements begin. Blocks until they have ended, a few seconds at most.

        A statement that is on its way to the engine is not in its list yet, so this is tried until it has ended.
        """
        self.is_cancelled = True
        for _ in range(_TRIES):
            with self._lock:
                running = list(self._running.items())
            if not running:
                return
            for mark, kill in running:
                kill(mark)
            time.sleep(_BETWEEN_TRIES_S)


CURRENT: Final[ContextVar[Cancellation | None]] = ContextVar("cancellation", default=None)
"""That of the questions which are made in this context; None where they are not cancelled."""
