"""Lengths of time as texts say them: `300ms`, `1.5s`, `1h30m`, as Go writes them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
MAX_NS: Final = (1 << 63) - 1
_PART: Final = re.compile(r"(\d{1,19}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def length_ns(text: str) -> int | None:
    """Nanoseconds of one or more numbers with a unit, exact; None for any other text, and for more than `MAX_NS`."""
    total, at = Decimal(0), 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        total += Decimal(part.group(1)) * UNITS_NS[part.group(2)]
        at = part.end()
    return int(total) if text and total <= MAX_NS else None
