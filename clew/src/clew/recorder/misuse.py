"""Warns of wrong uses of spans and tracers, once a minute for each line of the application."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

_logger: Final = logging.getLogger("clew")
_INTERVAL_S: Final = 60.0
# When so many lines are known the table is cleared.
_MAX_LINES: Final = 1024


class _Nobody:
    """The owner for warnings that have none."""


_NOBODY: Final = _Nobody()
# Weakly by owner: an id is given to the next object when one is gone.
_last: Final[WeakKeyDictionary[object, dict[tuple[str, int, str], float]]] = WeakKeyDictionary()


def misuse(message: str, *args: object, owner: object = _NOBODY, level: int = logging.WARNING) -> None:
    """Log `message` with the application's file and line, unless it was logged for that line and `owner` just now."""
    file, line = _application_line()
    now = monotonic()
    known = _last.setdefault(owner, {})
    key = (file, line, message)
    if now - known.get(key, -_INTERVAL_S) >= _INTERVAL_S:
        if len(known) >= _MAX_LINES:
            known.clear()
        known[key] = now
        # The application's own handler may fail, and so may the repr of what it passed.
        with suppress(Exception):
            _logger.log(level, "clew: " + message + " (%s:%d)", *args, file, line)


def _application_line() -> tuple[str, int]:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("clew.recorder", "opentelemetry.trace")
    ):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
