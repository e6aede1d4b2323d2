"""What is wrong in a range of time, in two sentences at most: what fails and since when, what got slower. Significance, or nothing. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import log
from typing import Final, Literal, NamedTuple

from clew_server.analysis.difference import difference
from clew_server.model.red import Beside, Failing
from clew_server.model.usual import ENOUGH
from clew_server.model.words import counted, duration_text, name_text, percent_text

_SLOWER: Final = 1.2
_MANY: Final = 200
_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS
_DAY_NS: Final = 86_400 * _SECOND_NS


RangeFindingKind = Literal["failing", "slower"]


class SaidTime(NamedTuple):
    """A time as a sentence says it, which is in UTC, and as a number."""

    text: str
    unix_nano: int


class RangeFinding(NamedTuple):
    """A sentence about an operation. `longer_than_ns` is its usual 95th percentile, for what is slower; None for what fails.
    `kinds` are those of the spans it is about, where the query asked for kinds.

    `times` are those that the sentence says, in their order: who shows it in another zone puts others in their place.
    """

    kind: RangeFindingKind
    text: str
    times: tuple[SaidTime, ...]
    service: str
    operation: str
    longer_than_ns: int | None
    kinds: tuple[int, ...] = ()


Steps = Sequence[tuple[int, int, int]]
"""Number, calls and failures of each step with calls, in their order."""


class _Failures(NamedTuple):
    """A time in which more failed than before it."""

    risen: float
    steps: Steps
    before: Steps
    over_at: int | None
    """The step from which on it is over; None where it still fails."""


def failing_finding(
    found: Sequence[Failing], from_unix_nano: int, to_unix_nano: int, step_ns: int
) -> RangeFinding | None:
    """What fails more than before, from when on, and whether it failed before at all; None where nothing does, or it may be chance.

    What still fails comes before what is over. Of several operations the one whose share of failures rose most: those that call it fail
    less often.
    """
    tested = sum(len(one.steps) for one in found)
    all_failures = [(failures, one) for one in found if (failures := _failures(one.steps, tested)) is not None]
    still = [pair for pair in all_failures if pair[0].over_at is None]
    failing = still or all_failures
    if not failing:
        return None
    failures, worst = max(failing, key=lambda pair: (pair[0].risen, _sum(pair[0].steps)[1]))
    calls, failed = _sum(failures.steps)
    calls_before, failed_before = _sum(failures.before)
    others = len(failing) - 1
    verb = "failed" if not still else "fail" if others > 1 else "fails"
    beside = f"; {counted(others, 'more operation')} {verb} more often too" if others else ""
    begin, end = failures.steps[0][0], failures.over_at
    times = [
        _said(from_unix_nano + step * step_ns, to_unix_nano - from_unix_nano)
        for step in ([begin] if end is None else [begin, end])
    ]
    when = " to ".join(said.text for said in times)
    before = f", before that {percent_text(failed_before / calls_before)}" if failed_before else ""
    new = "" if failed_before else ", new"
    text = (
        f"{'Failing since' if end is None else 'Failed from'} {when}: {name_text(worst.service)} · {name_text(worst.operation)},"
        f" {failed:,} of {calls:,} calls ({percent_text(failed / calls)}{before}){new}{beside}."
    )
    return RangeFinding("failing", text, tuple(times), worst.service, worst.operation, None, tuple(worst.kinds))


def _failures(steps: Steps, tested: int) -> _Failures | None:
    """The last time of an operation in which more failed than before; None where there is none, or it was over before the range."""
    found: _Failures | None = None
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
        found = _Failures(risen, rest[begin:over], before, None if end is None else rest[over][0])
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
    calls, failed = _sum(steps)
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
    (calls, failed), (calls_before, failed_before) = _sum(steps), _sum(before)
    return difference(failed, calls, failed_before, calls_before, tested=tested)


def _sum(steps: Steps) -> tuple[int, int]:
    """All calls, and those that failed."""
    return sum(n for _, n, _ in steps), sum(bad for _, _, bad in steps)


def slower_finding(found: Sequence[Beside]) -> RangeFinding | None:
    """What takes longer than its usual: half of the calls longer than 95 of 100 usual ones, or of many one in ten longer than 99 of 100."""
    slower = [one for one in found if _is_slower(one)]
    if not slower:
        return None
    worst = max(slower, key=lambda one: (one.lengths_ns[0] / max(1.0, one.usual_ns[0]), one.spans))
    name = f"{name_text(worst.service)} · {name_text(worst.operation)}"
    now, usual = duration_text(worst.lengths_ns[2]), duration_text(worst.usual_ns[2])
    text = f"Slower than usual: {name}, p95 {now}, usually {usual} ({worst.spans:,} calls)."
    longer_than_ns = round(worst.usual_ns[2])
    return RangeFinding("slower", text, (), worst.service, worst.operation, longer_than_ns, tuple(worst.kinds))


def _is_slower(one: Beside) -> bool:
    if one.spans < ENOUGH or one.usual_spans < ENOUGH:
        return False
    half = one.lengths_ns[0] > max(one.usual_ns[2], _SLOWER * one.usual_ns[0])
    tenth = one.spans >= _MANY <= one.usual_spans and one.lengths_ns[1] > max(
        one.usual_ns[3], _SLOWER * one.usual_ns[1]
    )
    return half or tenth


def _said(unix_nano: int, range_ns: int) -> SaidTime:
    """The minute, as the sentence says it: a number that is more exact would be shown so."""
    minute_ns = unix_nano // _MINUTE_NS * _MINUTE_NS
    form = "%H:%M UTC" if range_ns <= _DAY_NS else "%d %b %H:%M UTC"
    return SaidTime(time.strftime(form, time.gmtime(minute_ns // _SECOND_NS)), minute_ns)
