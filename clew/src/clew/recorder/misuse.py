"""What the application does wrong with a span or tracer, said once a minute for each line of it that does."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from time import monotonic
from typing import Final

_logger: Final = logging.getLogger("clew")
_INTERVAL_S: Final = 60.0
# More lines than an application does wrong; then all are forgotten.
_MAX_LINES: Final = 1024
_last: Final[dict[tuple[int, str, int, str], float]] = {}


def misuse(message: str, *args: object, owner: object = None, level: int = logging.WARNING) -> None:
    """Log `message` with the application's file and line, unless it was logged for that line and `owner` just now."""
    file, line = _application_line()
    now = monotonic()
    key = (id(owner), file, line, message)
    if now - _last.get(key, -_INTERVAL_S) >= _INTERVAL_S:
        if len(_last) >= _MAX_LINES:
            _last.clear()
        _last[key] = now
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
