"""The same call again after it failed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.patterns.statements import has_statement, target
from clew_server.model.failed import http_code
from clew_server.model.trace import CLIENT, FAILED
from clew_server.model.words import count_text, counted, duration_text

_MIN_PAUSE_NS: Final = 5_000_000
_TRIED_AGAIN: Final = frozenset((408, 425, 429))


def retries(evidence: Evidence) -> Iterator[Finding]:
    """Two or more siblings of one operation, each but the last failed and ended before the next began.

    Calls to different addresses are likely to be attempts too where the caller waited between them.
    """
    for parent, run in runs(evidence):
        yield _finding(evidence, parent, run)


def runs(evidence: Evidence) -> Iterator[tuple[int, list[int]]]:
    """The attempts at each thing that was tried again, with their parent."""
    flags = evidence.trace.flags
    for parent, rows in evidence.equal_siblings:
        if any(flags[row] & FAILED for row in rows[:-1]):
            yield from ((parent, run) for run in _runs(evidence, rows) if len(run) > 1)


def _runs(evidence: Evidence, rows: Sequence[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for row in rows:
        if run and not _is_retry(evidence, run[-1], row):
            yield run
            run = []
        run.append(row)
    yield run


def _is_retry(evidence: Evidence, before: int, row: int) -> bool:
    trace = evidence.trace
    if not evidence.is_timed(row) or not evidence.is_timed(before):
        return False
    if not trace.flags[before] & FAILED or evidence.start_ns[row] < evidence.end_ns[before]:
        return False
    if evidence.owners[row] != evidence.owners[before]:
        return False
    return _is_same(evidence, before, row) or _is_after_a_pause(evidence, before, row)


def _is_same(evidence: Evidence, before: int, row: int) -> bool:
    asked, again = target(evidence.trace, before), target(evidence.trace, row)
    return not asked or not again or asked == again


def _is_after_a_pause(evidence: Evidence, before: int, row: int) -> bool:
    """Whether the caller waited longer than the call had taken, after a failure that another attempt may mend."""
    trace = evidence.trace
    pause_ns = evidence.start_ns[row] - evidence.end_ns[before]
    if trace.kind[row] != CLIENT or pause_ns < max(_MIN_PAUSE_NS, evidence.length_ns(before)):
        return False
    if has_statement(trace, before):
        return False
    code = http_code(trace.span(before)) or 0
    return not 400 <= code < 500 or code in _TRIED_AGAIN


def _finding(evidence: Evidence, parent: int, run: Sequence[int]) -> Finding:
    trace = evidence.trace
    pauses = [evidence.start_ns[row] - evidence.end_ns[before] for before, row in itertools.pairwise(run)]
    failed = sum(1 for row in run if trace.flags[row] & FAILED)
    pause_ns = sum(pauses)
    took_ns = evidence.end_ns[run[-1]] - evidence.start_ns[run[0]]
    # The pauses count where the parent itself is on the critical path meanwhile.
    critical_ns = sum(map(evidence.critical_below_ns, run)) + _on_path_ns(evidence, parent, run)
    end = "all failed" if failed == len(run) else "the last one succeeded"
    waited = f", {duration_text(pause_ns)} of it waiting in between" if pause_ns > 0 else ""
    is_same = all(_is_same(evidence, before, row) for before, row in itertools.pairwise(run))
    where = "" if is_same else ", at different addresses"
    text = (
        f"{count_text(len(run))} attempts at {evidence.label(run[0])}{where}, {end}: "
        f"{counted(len(run) - 1, 'retry', 'retries')}, {duration_text(took_ns)}{waited}"
    )
    numbers = {"attempts": len(run), "failed": failed, "total_ns": took_ns, "back_off_ns": pause_ns}
    return Finding("retries", text, evidence.share(critical_ns), "certain" if is_same else "likely", run, numbers)


def _on_path_ns(evidence: Evidence, parent: int, run: Sequence[int]) -> int:
    """Time of the pauses that the parent itself has on the critical path."""
    pauses = [(evidence.end_ns[before], evidence.start_ns[row]) for before, row in itertools.pairwise(run)]
    found_ns, at = 0, 0
    for _, start_ns, end_ns in evidence.sections.get(parent, ()):
        while at < len(pauses) and pauses[at][1] <= start_ns:
            at += 1
        for pause_start_ns, pause_end_ns in pauses[at:]:
            if pause_start_ns >= end_ns:
                break
            found_ns += min(end_ns, pause_end_ns) - max(start_ns, pause_start_ns)
    return found_ns
