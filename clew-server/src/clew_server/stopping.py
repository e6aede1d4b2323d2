"""How the server is told to stop, at any moment of its life, and what ends it where something hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterator
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
STDERR: Final = 2


@contextlib.contextmanager
def told_to_stop(within_s: float) -> Iterator[asyncio.Event]:
    """An event of the running loop that SIGTERM and SIGINT set; more of them change nothing, until the process has ended.

    The process ends `within_s` after the first, with exit code 0, whatever it is about: starting, writing to an output that nobody
    reads, waiting for an engine or a disk. Only in the main thread. The handlers are Python's own and not the loop's: those wait for the
    loop to turn, and are gone when it is closed, while the process still ends.
    """
    loop, wanted = asyncio.get_running_loop(), asyncio.Event()
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            return
        asked = True
        signal.signal(signal.SIGALRM, lambda *_: _leave(within_s))
        signal.setitimer(signal.ITIMER_REAL, within_s)
        loop.call_soon_threadsafe(wanted.set)

    for number in STOPPING:
        signal.signal(number, stop)
    try:
        yield wanted
    finally:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN if asked else signal.SIG_DFL)


def _leave(within_s: float) -> None:
    """Everything acknowledged is in the log already, and the kernel frees what is held."""
    with contextlib.suppress(OSError):
        if select.select([], [STDERR], [], 0)[1]:  # else nobody reads, and this would hang too
            os.write(STDERR, f"not all had ended {within_s:g} s after the signal; left as it was\n".encode())
    os._exit(0)
