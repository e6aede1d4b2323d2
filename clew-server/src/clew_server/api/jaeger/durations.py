"""Lengths of time as Go writes them, which Jaeger's parameters are in: `1.5s`, `300ms`, `1h30m`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from clew_server.errors import BadInput

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"(\d{1,19}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MOST_NS: Final = (1 << 63) - 1


def duration_ns(name: str, text: str) -> int:
    """Nanoseconds of a length of time. Raises BadInput, which names the parameter."""
    rest = text.strip()
    if rest == "0":
        return 0
    total, at = Decimal(0), 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            break
        total += Decimal(part.group(1)) * _UNITS_NS[part.group(2)]
        at = part.end()
    if not rest or at < len(rest) or total > _MOST_NS:
        raise BadInput(f"unable to parse param '{name}': {text[:60]!r} is no length of time like 300ms or 1h30m")
    return int(total)
