"""Which hot path records spans: the native one where it was built, else the one in Python.

`CLEW_RECORDER=pure` chooses the one in Python.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clew.recorder import _pure
from clew.recorder.buffer import Buffer


class Core(NamedTuple):
    """One of the twins: its name, and the classes it consists of."""

    name: str
    Span: Any
    Tracer: Any
    Buffer: Any


PURE: Final = Core("pure", _pure.Span, _pure.Tracer, Buffer)

# Read when a provider is made, so that tests may exchange it.
selected: Core = PURE
