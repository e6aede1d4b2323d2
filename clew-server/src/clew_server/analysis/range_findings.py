"""What is wrong in a range of time, in two sentences at most: what fails and since when, what got slower. Significance, or nothing. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
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


class _Onset(NamedTuple):
    risen: float
    step: int
    calls: int
    failed: int
    calls_before: int
    failed_before: int


def failing_finding(
    found: Sequence[Failing], from_unix_nano: int, to_unix_nano: int, step_ns: int
) -> RangeFinding | None:
    """What fails more than before, from when on, and whether it failed before at all; None where nothing does, or it may be chance.

    Of several operations the one whose share of failures rose most: those that call it fail less often.
    """
    tested = sum(len(one.steps) for one in found)
    onsets = [(onset, one) for one in found if (onset := _onset(one, tested)) is not None]
    if not onsets:
        return None
    onset, worst = max(onsets, key=lambda pair: (pair[0].risen, pair[0].failed))
    share = percent_text(onset.failed / onset.calls)
    others = len(onsets) - 1
    beside = (
        f"; {counted(others, 'more operation')} {'fail' if others > 1 else 'fails'} more often too" if others else ""
    )
    since = _said(from_unix_nano + onset.step * step_ns, to_unix_nano - from_unix_nano)
    before = ""
    if onset.failed_before:
        before = f", before that {percent_text(onset.failed_before / onset.calls_before)}"
    new = "" if onset.failed_before else ", new"
    name = f"{name_text(worst.service)} · {name_text(worst.operation)}"
    text = (
        f"Failing since {since.text}: {name}, {onset.failed:,} of {onset.calls:,} calls ({share}{before}){new}{beside}."
    )
    return RangeFinding("failing", text, (since,), worst.service, worst.operation, None, tuple(worst.kinds))


def _onset(one: Failing, tested: int) -> _Onset | None:
    """The step from which on most more fail than before it."""
    calls, failed = sum(n for _, n, _ in one.steps), sum(bad for _, _, bad in one.steps)
    best: _Onset | None = None
    before_calls = before_failed = 0
    for step, n, bad in one.steps:
        after_calls, after_failed = calls - before_calls, failed - before_failed
        risen = difference(after_failed, after_calls, before_failed, before_calls, tested=tested)
        if risen and (best is None or risen > best.risen):
            best = _Onset(risen, step, after_calls, after_failed, before_calls, before_failed)
        before_calls, before_failed = before_calls + n, before_failed + bad
    return best


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
