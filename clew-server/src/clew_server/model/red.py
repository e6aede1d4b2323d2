"""Rate, failures and durations of calls over time: a question and its answer. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from clew_server.model.query_tree import SpanTerm
from clew_server.model.search import Search

MOST_SERIES: Final = 100
MOST_POINTS: Final = 2_000
_SECOND_NS: Final = 1_000_000_000
_STEPS_S: Final = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
_WANTED_POINTS: Final = 60


@dataclass(frozen=True, slots=True)
class RedAsked:
    """Of spans that start in the search's time, both ends of which are given.

    `by`: `service`, `operation` (service and name), or a kind, a status, a scope or an attribute, whose place, key and `exact` count.
    """

    search: Search
    by: SpanTerm | str
    step_ns: int


class RedFigures(NamedTuple):
    """`failed` are those with status error. Durations are the 50th, 95th and 99th percentile.

    `estimated_…`: how many there were, by the sampling probability that spans carry; as many as counted where none does.
    """

    spans: int
    failed: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    estimated_spans: int
    estimated_failed: int


class RedSeries(NamedTuple):
    """`points` by step, counted from 0; a step without spans has none."""

    service: str | None
    """Where `by` names it beside the value."""
    value: str
    whole: RedFigures
    points: Sequence[tuple[int, RedFigures]]


@dataclass(frozen=True, slots=True)
class Red:
    """Series with most spans first. Steps begin at `from_unix_nano`."""

    from_unix_nano: int
    to_unix_nano: int
    step_ns: int
    series: Sequence[RedSeries]
    complete: bool
    reason: str | None


def usual_step_ns(length_ns: int) -> int:
    """A round step with which a time has about 60 points."""
    for step_s in _STEPS_S:
        if step_s * _SECOND_NS * _WANTED_POINTS >= length_ns:
            return step_s * _SECOND_NS
    return -(-length_ns // _WANTED_POINTS // (86_400 * _SECOND_NS)) * 86_400 * _SECOND_NS


class Came(NamedTuple):
    """What all operations together did before one of them came, and since."""

    calls_before: int
    failed_before: int
    calls_since: int


class Failing(NamedTuple):
    """An operation that failed: calls and failures by step, those before the range with numbers below 0."""

    service: str
    operation: str
    steps: Sequence[tuple[int, int, int]]
    kinds: Sequence[int] = ()
    """The kinds of the spans that were counted, where the query asks for kinds; else none."""
    earlier: tuple[int, int] = (0, 0)
    """Its calls in all that is stored before the steps, and how many failed. Looked up where it has no calls at their beginning."""
    came: Came | None = None
    """Of an operation that is new, since none of its calls is stored from before the first one in the steps; else None."""


class Beside(NamedTuple):
    """An operation's durations now beside what is usual: the 50th, 90th, 95th and 99th percentile."""

    service: str
    operation: str
    spans: int
    usual_spans: int
    lengths_ns: Sequence[float]
    usual_ns: Sequence[float]
    kinds: Sequence[int] = ()
    """As in `Failing`."""
