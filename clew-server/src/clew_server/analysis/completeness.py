"""Findings and notes on what is missing from a trace and so from its analysis; what a finding says, no note repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

from clew_server.analysis.answers import Completeness, Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.own_time import after_root_ns
from clew_server.analysis.tree import Tree
from clew_server.model.trace import ADJUSTED, MISSING, SAME_ID, Trace
from clew_server.model.usual import ENOUGH, Usual
from clew_server.model.words import count_text, counted, duration_text, listed, name_text, percent_text, shortened

YOUNG_NS: Final = 30_000_000_000
"""After the last arrival, how long more spans are expected."""

_NEARLY_ALL: Final = 0.95


def completeness(tree: Tree, usual: Usual, now_unix_nano: int) -> Completeness:
    """What is missing and what that means for the result, one sentence each."""
    trace = tree.trace
    missing_parents = len({trace.parent_ids[row] for row in _orphans(trace)})
    young = _is_young(trace, now_unix_nano)
    return Completeness(missing_parents, len(trace.roots()), young, list(_notes(tree, usual, young)))


def missing(evidence: Evidence, now_unix_nano: int) -> Iterator[Finding]:
    """Spans that others name as their parent and that did not come; services that nearly all such traces have."""
    trace = evidence.trace
    orphans = sorted(_orphans(trace), key=lambda row: (evidence.start_ns[row], evidence.label(row)))
    if orphans:
        parents = len({trace.parent_ids[row] for row in orphans})
        what = "1 parent span was" if parents == 1 else f"{count_text(parents)} parent spans were"
        why = "lost, sampled away or still on the way" if _is_young(trace, now_unix_nano) else "lost or sampled away"
        labels = listed(list(dict.fromkeys(map(evidence.label, orphans))))
        yield Finding(
            "missing",
            f"{what} not received ({why}): who called {labels}, and what else ran there, cannot be seen",
            0.0,
            "certain",
            orphans,
            {"parents": parents, "spans": len(orphans)},
        )
    usual = evidence.usual
    if usual.sampled < ENOUGH:
        return
    here = set(trace.services)
    absent: dict[str, int] = {}
    for operation, within in usual.within.items():
        if operation.service not in here and within.traces >= usual.sampled * _NEARLY_ALL:
            absent[operation.service] = max(absent.get(operation.service, 0), within.traces)
    for service, traces in absent.items():
        yield Finding(
            "missing",
            f"No span came from {shortened(service)}, which {percent_text(traces / usual.sampled)} of these traces have: "
            "it was not called, or its spans were sampled away or lost",
            0.0,
            "uncertain",
            [evidence.root],
            {"traces": traces, "sampled": usual.sampled},
        )


def _orphans(trace: Trace) -> list[int]:
    """Rows of the spans whose parent is missing."""
    return list(compress(range(len(trace)), map(MISSING.__eq__, trace.parent)))


def _is_young(trace: Trace, now_unix_nano: int) -> bool:
    arrived_unix_nano = max(trace.stored.received_unix_nano, default=0)
    return now_unix_nano - arrived_unix_nano < YOUNG_NS


def _notes(tree: Tree, usual: Usual, young: bool) -> Iterator[str]:
    trace = tree.trace
    if trace.unreadable is not None:
        yield f"Not all of the trace can be read: {trace.unreadable}."
    if trace.awaited:
        what = (
            "1 event that came as a log record belongs to a span that was"
            if trace.awaited == 1
            else (f"{count_text(trace.awaited)} events that came as log records belong to spans that were")
        )
        yield f"{what} not received{', and may still come' if young else ''}."
    if young:
        yield f"The last spans came less than {duration_text(YOUNG_NS)} ago: more may follow."
    roots = trace.roots()
    if len(roots) > 1:
        first = name_text(trace.name_of(tree.root))
        yield f"The trace has {count_text(len(roots))} roots: time is told of the first, {first}, failures of all."
    late = after_root_ns(tree)
    late_rows = list(compress(range(len(late)), late))
    if late_rows:
        longest_ns = max(tree.end_ns[row] for row in late_rows) - tree.end_ns[tree.root]
        yield (
            f"{counted(len(late_rows), 'span')} went on after {name_text(trace.name_of(tree.root))} had ended, for up to "
            f"{duration_text(longest_ns)}: nobody waited for that, and it is in no share. Most of it was {_most_of(tree, late)}."
        )
    for shift in tree.shifts:
        way = "forward" if shift.shift_ns > 0 else "back"
        yield f"The clock of {shortened(shift.host)} differs: its spans were moved {way} by {duration_text(abs(shift.shift_ns))}."
    adjusted = sum(map(bool, map(ADJUSTED.__and__, trace.flags)))
    if adjusted:
        yield f"{counted(adjusted, 'span')} without a usable start time: placed at the arrival, not counted in any time."
    same = sum(map(bool, map(SAME_ID.__and__, trace.flags)))
    if same:
        yield f"{counted(same, 'span')} share an id with another one."
    yield from _about_usual(tree, usual)


def _most_of(tree: Tree, time_ns: Sequence[int]) -> str:
    """The operations that have most of these times, with how much."""
    trace = tree.trace
    spent: dict[tuple[str, str], int] = {}
    for row in compress(range(len(time_ns)), time_ns):
        operation = shortened(trace.service_of(row)), name_text(trace.name_of(row))
        spent[operation] = spent.get(operation, 0) + time_ns[row]
    most = sorted(spent.items(), key=lambda pair: (-pair[1], pair[0]))
    return listed([f"{' · '.join(filter(None, operation))} ({duration_text(ns)})" for operation, ns in most])


def _about_usual(tree: Tree, usual: Usual) -> Iterator[str]:
    if usual.missing is not None:
        yield f"Comparing was not possible, or not with everything: {usual.missing}."
    count = 0 if usual.root is None else usual.root.count
    if count < ENOUGH and not (usual.missing is not None and count == 0):
        yield (
            f"Too few samples to say what is usual for {name_text(tree.trace.name_of(tree.root))}: {count_text(count)} in the hour before and "
            f"the same hour a day earlier, {ENOUGH} are needed."
        )
