"""What is stored and merged gives way to what is asked, where both want the processor.

The engine's threads that merge do nothing else and become nicer; an insert is nicer for as long as it lasts, which the engine sees to
(`os_threads_nice_value_query`). A thread that one of these starts is as nice as it, and answers questions later: it is put right.
That takes the capability CAP_SYS_NICE, without which nothing is done.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STEP: Final = 10
"""So much nicer is what gives way: a tenth of what a question gets of a processor that both want, all of one that nobody else wants."""

_TASKS: Final = Path("/proc/self/task")
_STATUS: Final = Path("/proc/self/status")
_CAP_SYS_NICE: Final = 23
_MERGING: Final = "MergeMutate"
"""What the engine calls the threads that merge. They are there once a table is."""


def may_take_back(status: Path = _STATUS) -> bool:
    """Whether this process may make a thread less nice again. False where the system does not say (it is not Linux)."""
    try:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return False
    return found is not None and bool(int(found[1], 16) >> _CAP_SYS_NICE & 1)


class Priorities:
    """Nice values of the engine's threads. Safe for several threads."""

    def __init__(self, *, allowed: bool | None = None) -> None:
        """What is usual is the nice value of the thread that makes this. `allowed`: for tests; else `may_take_back()`."""
        self._allowed = may_take_back() if allowed is None else allowed
        self._usual = os.getpriority(os.PRIO_PROCESS, 0)
        self._lock = threading.Lock()
        self._inserts = 0
        self.nicer = min(19, self._usual + STEP) if self._allowed else self._usual
        """The nice value of what gives way."""

    def let_merges_give_way(self) -> None:
        """Make the threads that merge nicer. To be called once there is a table."""
        if self._allowed:
            for thread in _threads():
                if _name(thread) == _MERGING:
                    _set(thread, self.nicer)

    @contextlib.contextmanager
    def inserting(self) -> Iterator[None]:
        """While an insert lasts. When the last of them ends, threads that it or a merge started are put right."""
        with self._lock:
            self._inserts += 1
        try:
            yield
        finally:
            with self._lock:
                self._inserts -= 1
                if self._allowed and not self._inserts:
                    self._put_right()

    def _put_right(self) -> None:
        for thread in _threads():
            with contextlib.suppress(OSError):  # it has just ended
                if os.getpriority(os.PRIO_PROCESS, thread) > self._usual and _name(thread) != _MERGING:
                    _set(thread, self._usual)


def _threads() -> list[int]:
    try:
        return [int(task.name) for task in _TASKS.iterdir()]
    except OSError:
        return []


def _name(thread: int) -> str:
    try:
        return (_TASKS / str(thread) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _set(thread: int, nice: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, nice)
