"""Calls to different targets, one after another, that could run at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.model.trace import CLIENT, LINKS
from clew_server.model.words import counted, duration_text, listed, shortened

_FEWEST: Final = 3
_MOST_PAUSE: Final = 0.05
_MIN_SHARE: Final = 0.10


def sequential_calls(evidence: Evidence) -> Iterator[Finding]:
    """Three or more calls that do not overlap, pauses below 5 % of their sum, each to another target, none linked to another."""
    for parent in evidence.parents_of_critical(_MIN_SHARE):
        calls = [row for row in evidence.trace.children(parent) if _is_call(evidence, row)]
        if len(calls) < _FEWEST:
            continue
        for run in _runs(evidence, sorted(calls, key=lambda row: (evidence.start_ns[row], evidence.end_ns[row]))):
            if len(run) >= _FEWEST and not _linked(evidence, run):
                yield _finding(evidence, parent, run)


def _is_call(evidence: Evidence, row: int) -> bool:
    """Out of the process: a CLIENT, or a span of another service right under its caller's."""
    trace = evidence.trace
    if not evidence.is_timed(row):
        return False
    return trace.kind[row] == CLIENT or trace.service[row] != trace.service[trace.parent[row]]


def _runs(evidence: Evidence, rows: Sequence[int]) -> Iterator[list[int]]:
    run: list[int] = []
    targets: set[str] = set()
    sum_ns = pauses_ns = 0
    for row in rows:
        pause_ns = evidence.start_ns[row] - evidence.end_ns[run[-1]] if run else 0
        length_ns = evidence.length_ns(row)
        follows = pause_ns >= 0 and pauses_ns + pause_ns < (sum_ns + length_ns) * _MOST_PAUSE
        if run and not (follows and evidence.owners[row] not in targets):
            yield run
            run, targets, sum_ns, pauses_ns, pause_ns = [], set(), 0, 0, 0
        run.append(row)
        targets.add(evidence.owners[row])
        sum_ns += length_ns
        pauses_ns += pause_ns
    yield run


def _linked(evidence: Evidence, run: Sequence[int]) -> bool:
    """Whether one names another in its links, as `follows from` does."""
    trace = evidence.trace
    ids = {trace.span_ids[row] for row in run}
    return any(link.span_id in ids for row in run if trace.flags[row] & LINKS for link in trace.span(row).links)


def _finding(evidence: Evidence, parent: int, run: Sequence[int]) -> Finding:
    lengths = [evidence.length_ns(row) for row in run]
    saving_ns = sum(lengths) - max(lengths)
    targets = listed([shortened(evidence.owners[row]) or evidence.name(row) for row in run])
    text = (
        f"{counted(len(run), 'call')} one after another under {evidence.label(parent)}, to {targets}: "
        f"at once they would take {duration_text(saving_ns)} less, if none needs the answer of another"
    )
    numbers = {"calls": len(run), "total_ns": sum(lengths), "saving_ns": saving_ns}
    share = evidence.share(sum(map(evidence.critical_below_ns, run)))
    return Finding("sequential_calls", text, share, "likely", run, numbers)
