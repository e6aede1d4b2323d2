"""Equal calls under one parent, one after another: N+1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.patterns.statements import by_statement
from clew_server.model.usual import ENOUGH
from clew_server.model.words import count_text

_FEWEST: Final = 5
_MIN_SHARE: Final = 0.10


def repeated_calls(evidence: Evidence) -> Iterator[Finding]:
    """Five or more siblings with equal service, name and masked statement, over half of them after the one before it ended."""
    largest: dict[tuple[int, int], Finding] = {}
    trace = evidence.trace
    for parent, siblings in evidence.equal_siblings:
        if len(siblings) < _FEWEST or evidence.share(sum(map(evidence.critical_below_ns, siblings))) < _MIN_SHARE:
            continue
        for rows in by_statement(trace, siblings):
            if len(rows) < _FEWEST:
                continue
            in_a_row = _in_a_row(evidence, rows)
            if in_a_row * 2 <= len(rows):
                continue
            finding = _finding(evidence, parent, rows)
            operation = trace.service[rows[0]], trace.name[rows[0]]
            if operation not in largest or largest[operation].share < finding.share:
                largest[operation] = finding
    yield from largest.values()


def _in_a_row(evidence: Evidence, rows: Sequence[int]) -> int:
    """How many begin when all before them have ended; the first one does where the second one follows it."""
    count, ended_ns = 0, evidence.end_ns[rows[0]]
    for row in rows[1:]:
        count += evidence.start_ns[row] >= ended_ns
        ended_ns = max(ended_ns, evidence.end_ns[row])
    return count + (evidence.start_ns[rows[1]] >= evidence.end_ns[rows[0]])


def _finding(evidence: Evidence, parent: int, rows: Sequence[int]) -> Finding:
    critical_ns = sum(map(evidence.critical_below_ns, rows))
    total_ns = sum(map(evidence.length_ns, rows))
    numbers: dict[str, float] = {"calls": len(rows), "total_ns": total_ns, "critical_ns": critical_ns}
    usually = ""
    within = evidence.within(rows[0])
    if within is not None:
        numbers["usual_calls"] = within.calls_p50
        usually = f", usually {count_text(within.calls_p50)}"
    elif evidence.usual.sampled >= ENOUGH and _seen_in(evidence, rows[0]) * 2 < evidence.usual.sampled:
        numbers["usual_calls"] = 0
        usually = ", usually none"
    calls = f"{count_text(len(rows))} equal calls in a row{usually}"
    text = f"{calls}: {evidence.name(rows[0])} under {evidence.label(parent)}"
    return Finding("repeated_calls", text, evidence.share(critical_ns), "certain", rows, numbers)


def _seen_in(evidence: Evidence, row: int) -> int:
    within = evidence.usual.within.get(evidence.operation(row))
    return 0 if within is None else within.traces
