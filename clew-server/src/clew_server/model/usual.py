"""What is usual: durations of operations that a store measured. Too few samples say nothing. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

ENOUGH: Final = 30
"""Samples below which nothing is compared."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations of one operation in the hour from `from_unix_nano` to before `to_unix_nano` and in the same hour a day earlier.

    The percentiles are None below `ENOUGH` samples, and exact to one part in a million up to some hundreds of samples a minute.
    """

    count: int
    failed: int
    """Spans with status error: what the store counts by."""
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    from_unix_nano: int
    to_unix_nano: int
    percentiles_ns: Sequence[int] = ()
    """The 1st to the 99th percentile, so that a duration can be placed among them; empty below `ENOUGH` samples."""


class Operation(NamedTuple):
    """A service and the name of one of its spans."""

    service: str
    name: str


@dataclass(frozen=True, slots=True)
class Within:
    """One operation inside the traces of one root operation: seen in `traces` of them, those without it not counted."""

    traces: int
    spans: int
    failed: int
    p50_ns: int
    p95_ns: int
    calls_p50: float
    """Spans of it in a trace that has any."""
    calls_p95: float
    delay_p50_ns: int
    """From the parent's start to its own."""
    delay_p95_ns: int


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual around one trace: the hour before it and the same hour a day earlier, the trace itself left out.

    `root`: durations of the root's operation, of spans of the root's kind. `operations`: durations of each operation of the
    trace, wherever it was called from and of any kind. `within`: of a sample of traces of the same root operation, `sampled`
    of them; see `Within`.
    """

    root: Durations | None = None
    operations: Mapping[Operation, Durations] = field(default_factory=dict)
    within: Mapping[Operation, Within] = field(default_factory=dict)
    sampled: int = 0
    missing: str | None = None
    """A sentence about what could not be asked or read, None when all could."""


NOTHING: Final = Usual()
"""Nothing is known: a store without samples."""
