"""Ctrl+C where nothing may be left half done: it comes before such a block or after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_held = 0
_is_due = False


def interrupt() -> None:
    """For handlers of signals, in the main thread: raises KeyboardInterrupt, or has it raised where the `held` block ends."""
    global _is_due
    if _held:
        _is_due = True
        return
    raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """No `interrupt` raises within the block. For the main thread.

    Blocking the signals would not do: where another thread takes the signal, Python calls the handler in the main thread all the same.
    """
    global _held, _is_due
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if _is_due and not _held:
            _is_due = False
            raise KeyboardInterrupt
