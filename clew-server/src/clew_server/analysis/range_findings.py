"""What is wrong in a range of time, in two sentences at most: what fails and since when, what got slower. Significance, or nothing. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from clew_server.analysis.failing_times import calls_and_failed, failures_of
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


def failing_finding(
    found: Sequence[Failing], from_unix_nano: int, to_unix_nano: int, step_ns: int
) -> RangeFinding | None:
    """What fails more than before, from when on, and whether it failed before at all; None where nothing does, or it may be chance.

    What still fails comes before what is over. Of several operations the one whose share of failures rose most: those that call it fail
    less often.
    """
    tested = sum(len(one.steps) for one in found)
    all_failures = [(failures, one) for one in found if (failures := failures_of(one, tested)) is not None]
    still = [pair for pair in all_failures if pair[0].over_at is None]
    failing = still or all_failures
    if not failing:
        return None
    failures, worst = max(failing, key=lambda pair: (pair[0].risen, calls_and_failed(pair[0].steps)[1]))
    calls, failed = calls_and_failed(failures.steps)
    calls_before, failed_before = calls_and_failed(failures.before)
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
    since = f"{'Failing since' if end is None else 'Failed from'} {'its first call at ' if failures.is_from_first_call else ''}{when}"
    text = (
        f"{since}: {name_text(worst.service)} · {name_text(worst.operation)},"
        f" {failed:,} of {calls:,} calls ({percent_text(failed / calls)}{before}){new}{beside}."
    )
    return RangeFinding("failing", text, tuple(times), worst.service, worst.operation, None, tuple(worst.kinds))


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
