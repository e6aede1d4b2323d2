"""Selects the implementation that records spans: the native one if it was built, else the one in Python.

`CLEW_RECORDER` selects it too: `native` (the default) or `pure`.
"""

from __future__ import annotations

import logging
import platform
from typing import Any, Final, NamedTuple

from clew import environment
from clew.recorder import _pure, buffer

_logger: Final = logging.getLogger("clew")


class Core(NamedTuple):
    """One of the twins: its name, and the classes it consists of."""

    name: str
    Span: Any
    Tracer: Any
    Buffer: Any


PURE: Final = Core("pure", _pure.Span, _pure.Tracer, buffer.Buffer)


# The reason if the pure one was asked for.
BY_CHOICE: Final = "as CLEW_RECORDER says"


def _select() -> tuple[Core, str]:
    """The twin to use, and the reason for it."""
    wanted = (environment.text("CLEW_RECORDER") or "").strip().lower()
    if wanted == "pure":
        return PURE, BY_CHOICE
    if wanted not in ("", "native"):
        _logger.warning("clew: CLEW_RECORDER=%r is neither native nor pure; ignored", wanted)
    if platform.python_implementation() != "CPython":
        return PURE, f"for {platform.python_implementation()} has no use for the native one"
    try:
        from clew.recorder import _fast
    except Exception as error:  # whatever an incomplete or foreign build raises, the application starts
        missing = isinstance(error, ModuleNotFoundError) and error.name == "clew.recorder._fast"
        reason = (
            "for this installation has no native one" if missing else f"for the native one cannot be loaded: {error}"
        )
        if missing and wanted != "native":
            _logger.info("clew: spans are recorded in Python, several times slower, %s", reason)
        else:
            _logger.warning("clew: spans are recorded in Python, several times slower, %s", reason)
        return PURE, reason
    return Core("native", _fast.Span, _fast.Tracer, _fast.Buffer), "which was built for this interpreter"


# Read when a provider is made, so that tests may exchange it.
selected, reason = _select()
