"""Keeps failures of clew away from the application: they are counted, and logged at most once a minute for each place."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_INTERVAL_S: Final = 60.0
_last: Final[dict[str, float]] = {}
_counts: Final[dict[str, int]] = {}


def warn(place: str, message: str, *args: object) -> None:
    """Log a warning, unless `place` has logged one within the last minute."""
    now = monotonic()
    if now - _last.get(place, -_INTERVAL_S) >= _INTERVAL_S:
        _last[place] = now
        _log(message, *args)


def swallow(place: str, failure: BaseException) -> None:
    """Count and log a failure of ours; call it in an `except` block. Under pytest it raises the failure again."""
    _counts[place] = _counts.get(place, 0) + 1
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise failure
    now = monotonic()
    if now - _last.get(place, -_INTERVAL_S) >= _INTERVAL_S:
        _last[place] = now
        _log("clew: %s failed; the application is not affected", place, failure=failure)


def attempt(place: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `function` returns; None if it raises, which is counted and logged as `swallow` does.

    The caller continues outside of the `except` block. Within it, an exception of the application's code would get our
    failure as its `__context__`.
    """
    try:
        return function(*args, **kwargs)
    except Exception as failure:
        swallow(place, failure)
    return None


def failures() -> dict[str, int]:
    """How often each place has failed since the process started."""
    return dict(_counts)


def _log(message: str, *args: object, failure: BaseException | None = None) -> None:
    # Ignore failures of logging: the application's handler may fail, or stderr may be closed.
    try:
        # Not before there is something to say: `clew run` imports this in every process.
        import logging
        import traceback

        if failure is not None:
            # As text: a traceback's frames hold what their callers hold, and who keeps the record would keep it all. The span of
            # a message ends when nobody holds the loop over the messages.
            message, args = f"{message}\n%s", (*args, "".join(traceback.format_exception(failure)).rstrip())
        logging.getLogger("clew").warning(message, *args)
    except Exception:
        return
