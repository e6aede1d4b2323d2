"""The columns of a trace: the bits of its flags, the parents that are no row, kinds, depth.

Declared here once: `web/src/api/flags.ts` and the OpenAPI document are made from it, and the terminal reads columns with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

FAILED, ORIGIN, EVENTS, LINKS, MISPLACED, SAME_ID, ADJUSTED, HANDLED = 1, 2, 4, 8, 16, 32, 64, 128

CLOCK_NOISE_NS: Final = 1_000_000
"""A span so far outside its parent, or 1 % of the parent's length, is not MISPLACED."""

ROOT, MISSING = -1, -2
"""In `parent`: the span has none, or names one that is not there."""

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
"""OTLP's kinds; 0 is none given."""


class Flag(NamedTuple):
    """A bit of `flags`, its name in the UI's code and what it says of a span."""

    bit: int
    name: str
    meaning: str


FLAGS: Final = (
    Flag(FAILED, "failed", "failed"),
    Flag(ORIGIN, "origin", "failed, and not because of a descendant"),
    Flag(EVENTS, "events", "has events"),
    Flag(LINKS, "links", "has links"),
    Flag(MISPLACED, "outside", "outside its parent, or ends before it begins"),
    Flag(SAME_ID, "duplicate", "another span has this id"),
    Flag(ADJUSTED, "adjusted", "no usable start time: placed at its arrival"),
    Flag(
        HANDLED,
        "handled",
        "an origin whose failure was handled: the root succeeded, or the call was sent again and did",
    ),
)
"""Every bit. `ORIGIN` and `HANDLED` are not in `Trace.flags`: they are answers of `analysis.failure`."""


def depths(parent: Sequence[int]) -> list[int]:
    """Depth of each row, 0 for a row without a parent here. Rows are depth first, so a parent stands before its children."""
    found: list[int] = []
    for above in parent:
        found.append(found[above] + 1 if above >= 0 else 0)
    return found
