"""The results of the analysis of a trace as values, named as in docs/reference/api.md. Rows are those of `model.trace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["origin", "propagated", "absorbed", "handled", "abandoned"]
Certainty: TypeAlias = Literal["certain", "likely", "uncertain"]
Word: TypeAlias = Literal["failed", "slow", "usual", "unknown"]
FindingKind: TypeAlias = Literal[
    "failure",
    "abandoned_failure",
    "handled_failure",
    "repeated_calls",
    "sequential_calls",
    "retries",
    "gap",
    "late_start",
    "queue_wait",
    "timeout",
    "slow_call",
    "fan_out_straggler",
    "missing",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed span, or one below which something failed. `type` and `message` as they came, empty where there is none."""

    row: int
    role: Role
    type: str
    message: str
    because: int = -1
    """The row of the span that decides it. Abandoned: the caller that had given up, or had ended. Handled: the call that succeeded
    when it was sent again, or the failed span above that it did not come to; -1 where the root succeeded."""


class Section(NamedTuple):
    """A section of the critical path that belongs to one span; ns from the trace's `t0_unix_nano`."""

    row: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the critical path that one operation of one owner has. `usual_ns` None: too few samples."""

    owner: str
    operation: str
    critical_ns: int
    share: float
    usual_ns: int | None
    rows: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a trace, with its evidence. `text` is what UI, CLI and API all show."""

    kind: FindingKind
    text: str
    share: float
    """Of the root's duration, 0 to 1."""
    certainty: Certainty
    rows: Sequence[int]
    """The spans that show it, the most telling first."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClockShift:
    """By how much the spans of a host were moved before anything was computed."""

    host: str
    shift_ns: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the analysis could not see, a sentence each in `notes`. `young`: spans may still come."""

    missing_parents: int
    roots: int
    young: bool
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer about one trace."""

    word: Word
    summary: str
    origin: Sequence[int]
    """Rows where the failure began, the cause first; handled failures are not among them."""
    failures: Sequence[Failure]
    critical_path: Sequence[Section]
    path_is_uncertain: bool
    shares: Sequence[Share]
    findings: Sequence[Finding]
    completeness: Completeness
    clock_shifts: Sequence[ClockShift]
