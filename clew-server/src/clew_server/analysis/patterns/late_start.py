"""A child that began late in its parent, and what took the time before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from clew_server.analysis.answers import Certainty, Finding
from clew_server.analysis.evidence import Evidence
from clew_server.model.trace import FAILED
from clew_server.model.words import count_text, duration_text

_LATE: Final = 0.5
_MOST: Final = 20


class Before(NamedTuple):
    """The operation that had most of the critical path before something began; `rows` of it, the longest first."""

    rows: Sequence[int]
    critical_ns: int


def late_start(evidence: Evidence) -> Iterator[Finding]:
    """A child on the critical path, or failed, that starts after half of its parent and over its usual p95 delay."""
    if not evidence.usual.within:
        return
    trace = evidence.trace
    late: dict[int, int] = {}
    starts, ends, parents = evidence.start_ns, evidence.end_ns, trace.parent
    for row in range(evidence.root + 1, evidence.rows.stop):
        parent = parents[row]
        begin_ns = starts[parent]
        if starts[row] - begin_ns <= (ends[parent] - begin_ns) * _LATE:  # not `is_late`, for the time of a call
            continue
        if not evidence.is_timed(row) or not evidence.is_timed(parent):
            continue
        within = evidence.within(row)
        if within is None or evidence.start_ns[row] - evidence.start_ns[parent] <= within.delay_p95_ns:
            continue
        failed = trace.flags[row] & FAILED
        if not failed and evidence.critical_below_ns(row) == 0:
            continue
        first = late.get(parent)
        if first is None or _order(evidence, row) < _order(evidence, first):
            late[parent] = row
    longest = sorted(late.items(), key=lambda pair: (starts[pair[0]] - starts[pair[1]], evidence.label(pair[1])))
    for parent, row in longest[:_MOST]:
        finding = finding_about(evidence, row, parent)
        if finding is not None:
            yield finding


def _order(evidence: Evidence, row: int) -> tuple[bool, int, str]:
    """Failed ones first, then as they started; where those are equal ids must not decide."""
    return not evidence.trace.flags[row] & FAILED, evidence.start_ns[row], evidence.label(row)


def is_late(evidence: Evidence, row: int, parent: int) -> bool:
    """Whether the span starts after more than half of its parent."""
    delay_ns = evidence.start_ns[row] - evidence.start_ns[parent]
    return delay_ns > evidence.length_ns(parent) * _LATE


def finding_about(evidence: Evidence, row: int, parent: int) -> Finding | None:
    """Says how late the span began and what took the time before; None where that was more of the same operation."""
    before = _before(evidence, row, parent)
    if before is None or evidence.operation(before.rows[0]) == evidence.operation(row):
        return None
    trace = evidence.trace
    delay_ns = evidence.start_ns[row] - evidence.start_ns[parent]
    numbers: dict[str, float] = {"delay_ns": delay_ns, "before_ns": before.critical_ns}
    within = evidence.within(row)
    usually = ""
    if within is not None:
        numbers["usual_delay_p50_ns"] = within.delay_p50_ns
        numbers["usual_delay_p95_ns"] = within.delay_p95_ns
        usually = f" (usually {duration_text(within.delay_p50_ns)})"
    calls = f" ({count_text(len(before.rows))} calls)" if len(before.rows) > 1 else ""
    went_to = f"{evidence.name(parent)} itself" if before.rows[0] == parent else evidence.name(before.rows[0]) + calls
    # Of a failed span this stands right under its failure, which names it.
    who = "Started" if trace.flags[row] & FAILED else f"{evidence.label(row)} started"
    text = (
        f"{who} late, {duration_text(delay_ns)} into {evidence.name(parent)}{usually}: "
        f"{duration_text(before.critical_ns)} went to {went_to}"
    )
    certainty: Certainty = "certain" if within is not None and delay_ns > within.delay_p95_ns else "likely"
    return Finding("late_start", text, evidence.share(delay_ns), certainty, [row, *before.rows], numbers)


def _before(evidence: Evidence, row: int, parent: int) -> Before | None:
    """What had most of the critical path between the start of the parent and that of the span."""
    trace = evidence.trace
    begin_ns, until_ns = evidence.start_ns[parent], evidence.start_ns[row]
    end_row = trace.end_row[parent]
    spent: dict[tuple[str, int], dict[int, int]] = {}
    first = max(0, bisect_right(evidence.path, begin_ns, key=lambda section: section.start_ns) - 1)
    for section in evidence.path[first:]:
        if section.start_ns >= until_ns:
            break
        if parent <= section.row < end_row:
            length_ns = min(section.end_ns, until_ns) - max(section.start_ns, begin_ns)
            if length_ns > 0:
                rows = spent.setdefault((evidence.owners[section.row], trace.name[section.row]), {})
                rows[section.row] = rows.get(section.row, 0) + length_ns
    if not spent:
        return None
    most = max(spent.values(), key=lambda rows: sum(rows.values()))
    return Before(sorted(most, key=lambda one: -most[one]), sum(most.values()))
