"""How often operations were called over time, how often they failed and how long they took: a question and its answer. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class RatesAsked:
    """Points `step_s` apart, the last at `to_unix_s`, the first `points` steps before it; each looks at the `window_s` before it.

    `kinds` are OTLP's numbers. With `by_operation` each operation has points of its own, else each service. `level` is the
    quantile of the durations that is wanted, above 0 and below 1; None for none.
    """

    services: tuple[str, ...]
    kinds: tuple[int, ...]
    to_unix_s: int
    points: int
    step_s: int
    window_s: int
    by_operation: bool = False
    level: float | None = None


class RatePoint(NamedTuple):
    """Spans that started in the window before a point; whole minutes, so a window has up to a minute more or less."""

    service: str
    operation: str
    """Empty where services were asked for."""
    at_unix_s: int
    calls: int
    failed: int
    """Those with status error."""
    duration_ns: int | None
    """The quantile that was asked for."""


class Rates(NamedTuple):
    """Points that have calls, by service, operation and time. `missing` says what of the store could not be read, or is None."""

    found: list[RatePoint]
    missing: str | None
