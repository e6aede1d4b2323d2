"""In which time an operation failed more than before it, or from its first call on. By significance, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

from clew_server.analysis.difference import difference, none_by_chance
from clew_server.model.red import Came, Failing

Steps = Sequence[tuple[int, int, int]]
"""Number, calls and failures of each step with calls, in their order."""


class Failures(NamedTuple):
    """A time in which more failed than before it."""

    risen: float
    steps: Steps
    before: Steps
    over_at: int | None
    """The step from which on it is over; None where it still fails."""
    is_from_first_call: bool = False


def failures_of(one: Failing, tested: int) -> Failures | None:
    """The last time of an operation in which more failed than before; None where there is none, or it was over before the range.

    Where nothing changed in the steps, an operation that was not called at their beginning is compared with its calls of any time before,
    and one without such calls, which is new, with all that was called before it.
    """
    found = _failures(one.steps, tested)
    if found is not None:
        return found
    if one.earlier[0]:
        return _failures([(one.steps[0][0] - 1, *one.earlier), *one.steps], tested)
    return None if one.came is None else _from_first_call(one.steps, one.came, tested)


def _from_first_call(steps: Steps, came: Came, tested: int) -> Failures | None:
    calls, _ = calls_and_failed(steps)
    # Its first call says when it came; the others might all have come after it by chance.
    if not none_by_chance(calls - 1, came.calls_since, came.calls_before, tested=tested):
        return None
    others = [(0, came.calls_before, came.failed_before)]
    end = _change(steps, tested, rises=False)
    if end is not None and _risen(steps[end:], others, tested):  # less often than at first, but more than others
        end = None
    risen = _risen(steps[:end], others, tested)
    over_at = None if end is None else steps[end][0]
    if not risen or (over_at is not None and over_at <= 0):
        return None
    return Failures(risen, steps[:end], [], over_at, is_from_first_call=True)


def _failures(steps: Steps, tested: int) -> Failures | None:
    """The last time of an operation in which more failed than before; None where there is none, or it was over before the range."""
    found: Failures | None = None
    rest, usual = steps, steps
    while (begin := _change(rest, tested, rises=True)) is not None:
        end = _change(rest[begin:], tested, rises=False)
        if end is not None:
            # What came after it is in no comparison any more.
            begin = _change(rest[: begin + end], tested, rises=True) or begin
            end = _change(rest[begin:], tested, rises=False)
        over = len(rest) if end is None else begin + end
        risen = _risen(rest[begin:over], rest[:begin], tested)
        before = steps[: len(steps) - len(rest) + begin]
        found = Failures(risen, rest[begin:over], before, None if end is None else rest[over][0])
        if end is None:
            return found
        usual, rest = rest[:begin], rest[over:]
    if found is None or found.over_at is None:
        return found
    if _risen(rest, usual, tested):  # less often than at first, but more than before
        return found._replace(steps=[*found.steps, *rest], over_at=None)
    return found if found.over_at > 0 else None


def _change(steps: Steps, tested: int, *, rises: bool) -> int | None:
    """Where the share of failures changes, by significance: the place that explains the failures best; None where it does not."""
    calls, failed = calls_and_failed(steps)
    best: tuple[float, int] | None = None
    n = bad = 0
    for at, (_, more, more_bad) in enumerate(steps):
        before, after = (bad, n), (failed - bad, calls - n)
        (high, of_high), (low, of_low) = (after, before) if rises else (before, after)
        if difference(high, of_high, low, of_low, tested=tested):
            likely = _likelihood(*before) + _likelihood(*after)
            if best is None or likely > best[0]:
                best = likely, at
        n, bad = n + more, bad + more_bad
    return None if best is None else best[1]


def _likelihood(failed: int, calls: int) -> float:
    """The logarithm of how likely so many failures are by their own share."""
    if not 0 < failed < calls:
        return 0.0
    return failed * log(failed / calls) + (calls - failed) * log(1 - failed / calls)


def _risen(steps: Steps, before: Steps, tested: int) -> float:
    (calls, failed), (calls_before, failed_before) = calls_and_failed(steps), calls_and_failed(before)
    return difference(failed, calls, failed_before, calls_before, tested=tested)


def calls_and_failed(steps: Steps) -> tuple[int, int]:
    """All calls, and those that failed."""
    return sum(n for _, n, _ in steps), sum(bad for _, _, bad in steps)
