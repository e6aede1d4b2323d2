"""Time inside a span in which none of its children ran: work that is not instrumented."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from clew_server.analysis.answers import Certainty, Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.patterns.retries import runs
from clew_server.analysis.tree import is_asynchronous
from clew_server.model.trace import CLIENT, CONSUMER, FAILED, PRODUCER
from clew_server.model.words import duration_text, listed

_MIN_SHARE: Final = 0.10
_MIN_NS: Final = 5_000_000


def gap(evidence: Evidence) -> Iterator[Finding]:
    """A stretch of the critical path, a tenth of the root and 5 ms long, in a span that has children and none at that time.

    A span without any child, but consumers of what it sent, is no gap: it is itself what was instrumented. Nor is the time between attempts (`retries`).
    """
    pauses: dict[int, set[tuple[int, int]]] = {}
    for parent, run in runs(evidence):
        between = ((evidence.end_ns[before], evidence.start_ns[row]) for before, row in itertools.pairwise(run))
        pauses.setdefault(parent, set()).update(between)
    least_ns = max(_MIN_NS, evidence.root_ns * _MIN_SHARE)
    for row, sections in evidence.sections.items():
        if all(is_asynchronous(evidence.trace, child) for child in evidence.trace.children(row)):
            continue
        for section in sections:
            if section.end_ns - section.start_ns < least_ns:
                continue
            for start_ns, end_ns in _without_child(evidence, row, section.start_ns, section.end_ns):
                if end_ns - start_ns >= least_ns and (start_ns, end_ns) not in pauses.get(row, ()):
                    certainty = _certainty(evidence, row, end_ns - start_ns)
                    if certainty is not None:
                        yield _finding(evidence, row, start_ns, end_ns, certainty)


def _without_child(evidence: Evidence, row: int, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """The stretches between the two instants in which no child runs."""
    at_ns = start_ns
    children = filter(evidence.is_timed, evidence.trace.children(row))
    for begin_ns, ended_ns in sorted((evidence.start_ns[child], evidence.end_ns[child]) for child in children):
        if begin_ns >= end_ns:
            break
        if begin_ns > at_ns:
            yield at_ns, begin_ns
        at_ns = max(at_ns, ended_ns)
    if at_ns < end_ns:
        yield at_ns, end_ns


def _certainty(evidence: Evidence, row: int, gap_ns: int) -> Certainty | None:
    """None if the span takes its usual time, since then its uninstrumented work does too."""
    usual = evidence.usual_duration(row)
    if usual is None:
        return "likely"
    _, p95_ns = usual
    if gap_ns > p95_ns:
        return "certain"
    return "likely" if evidence.length_ns(row) > p95_ns else None


def _finding(evidence: Evidence, row: int, start_ns: int, end_ns: int, certainty: Certainty) -> Finding:
    trace = evidence.trace
    starts, ends = evidence.start_ns, evidence.end_ns
    children = list(filter(evidence.is_timed, trace.children(row)))
    before = max(
        (child for child in children if ends[child] <= start_ns),
        key=lambda child: (ends[child], evidence.label(child)),
        default=None,
    )
    after = min(
        (child for child in children if starts[child] >= end_ns),
        key=lambda child: (starts[child], evidence.label(child)),
        default=None,
    )
    gap_ns = end_ns - start_ns
    callee = _callee(evidence, row)
    rows = [row, *(child for child in (before, after) if child is not None)]
    if callee is None:
        where, why = _where(evidence, before, after), "work there is not instrumented"
        meanwhile = _meanwhile(evidence, row, start_ns, end_ns)
        if meanwhile:
            labels = listed([f"{label} ({duration_text(ns)})" for label, ns in meanwhile.items()])
            why = f"meanwhile {labels} ran, for which it may have waited"
            rows += _consumers(evidence, row, start_ns, end_ns)
        elif trace.kind[row] == PRODUCER:
            why = "connecting, or handing the message over"
        elif _failed(evidence, before, after):
            why = "waiting after the failure, or work that is not instrumented"
        text = f"{duration_text(gap_ns)} in {evidence.label(row)} without a child span, {where}: {why}"
    else:
        why = (
            "before it began: network, or waiting to be accepted"
            if before is None
            else "after it had ended: network, or a busy caller"
        )
        text = f"{duration_text(gap_ns)} of {evidence.label(row)} were spent outside {callee}, {why}"
    numbers = {"gap_ns": gap_ns, "start_ns": start_ns, "end_ns": end_ns}
    return Finding("gap", text, evidence.share(gap_ns), certainty, rows, numbers)


def _consumers(evidence: Evidence, row: int, start_ns: int, end_ns: int) -> list[int]:
    """Consumers below the span that ran between the two instants, those that ran longest first."""
    trace, starts, ends = evidence.trace, evidence.start_ns, evidence.end_ns
    found = [
        one
        for one in range(row + 1, trace.end_row[row])
        if trace.kind[one] == CONSUMER
        and evidence.is_timed(one)
        and min(ends[one], end_ns) > max(starts[one], start_ns)
    ]
    return sorted(found, key=lambda one: (max(starts[one], start_ns) - min(ends[one], end_ns), evidence.label(one)))


def _meanwhile(evidence: Evidence, row: int, start_ns: int, end_ns: int) -> dict[str, int]:
    """What consumers below the span did meanwhile and for how long, where that is half of the time or more; else nothing."""
    consumers = _consumers(evidence, row, start_ns, end_ns)
    covered_ns, at_ns = 0, start_ns
    spent: dict[str, int] = {}
    for one in sorted(consumers, key=evidence.start_ns.__getitem__):
        first_ns, last_ns = max(evidence.start_ns[one], start_ns), min(evidence.end_ns[one], end_ns)
        covered_ns += max(0, last_ns - max(first_ns, at_ns))
        at_ns = max(at_ns, last_ns)
        spent[evidence.label(one)] = spent.get(evidence.label(one), 0) + last_ns - first_ns
    if covered_ns * 2 < end_ns - start_ns:
        return {}
    return dict(sorted(spent.items(), key=lambda pair: (-pair[1], pair[0])))


def _failed(evidence: Evidence, before: int | None, after: int | None) -> bool:
    """Whether a call follows one that failed: its caller may have waited before it tried something else."""
    trace = evidence.trace
    return (
        before is not None
        and after is not None
        and bool(trace.flags[before] & FAILED)
        and trace.kind[before] == trace.kind[after] == CLIENT
    )


def _where(evidence: Evidence, before: int | None, after: int | None) -> str:
    if before is not None and after is not None:
        return f"between {evidence.name(before)} and {evidence.name(after)}"
    if before is not None:
        return f"after {evidence.name(before)}"
    return f"before {evidence.name(after)}" if after is not None else "beside its children"


def _callee(evidence: Evidence, row: int) -> str | None:
    """The service that a CLIENT span called; None for other spans, and for a message: its sender does not wait for its turn."""
    trace = evidence.trace
    if trace.kind[row] not in (CLIENT, PRODUCER):
        return None
    others = (
        trace.service_of(child)
        for child in trace.children(row)
        if trace.service[child] != trace.service[row] and trace.kind[child] != CONSUMER
    )
    return next(others, None)
