"""Nothing the recorder does escapes into the application: what fails here is logged at most once a minute a place."""

from __future__ import annotations

import logging
import os
from time import monotonic
from typing import Final

_logger: Final = logging.getLogger("clew")
_INTERVAL_S: Final = 60.0
_last: dict[str, float] = {}


def warn(place: str, message: str, *args: object) -> None:
    """Log a warning, unless `place` has logged one within the last minute."""
    now = monotonic()
    if now - _last.get(place, -_INTERVAL_S) >= _INTERVAL_S:
        _last[place] = now
        _logger.warning(message, *args)


def swallow(place: str, error: BaseException) -> None:
    """Call in an `except` block at an edge to the application; under pytest the error goes on."""
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise error
    now = monotonic()
    if now - _last.get(place, -_INTERVAL_S) >= _INTERVAL_S:
        _last[place] = now
        _logger.warning("clew: %s failed; the application is not affected", place, exc_info=error)
