"""Equal calls at once, of which one takes so long that all wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.model.words import count_text, duration_text

_FEWEST: Final = 4
_TIMES: Final = 2


def fan_out_straggler(evidence: Evidence) -> Iterator[Finding]:
    """Of four or more overlapping equal siblings, the one that ends last takes at least twice the median."""
    for parent, siblings in evidence.equal_siblings:
        if len(siblings) < _FEWEST:
            continue
        for rows in _overlapping(evidence, list(filter(evidence.is_timed, siblings))):
            if len(rows) < _FEWEST:
                continue
            last = max(rows, key=lambda row: (evidence.end_ns[row], evidence.length_ns(row), evidence.label(row)))
            median_ns = median(map(evidence.length_ns, rows))
            if evidence.length_ns(last) > 0 and evidence.length_ns(last) >= _TIMES * median_ns:
                yield _finding(evidence, parent, rows, last, round(median_ns))


def _overlapping(evidence: Evidence, rows: Sequence[int]) -> Iterator[list[int]]:
    """Runs of siblings of which each begins before one of those before it has ended."""
    run: list[int] = []
    ended_ns = 0
    for row in rows:
        if run and evidence.start_ns[row] >= ended_ns:
            yield run
            run, ended_ns = [], 0
        run.append(row)
        ended_ns = max(ended_ns, evidence.end_ns[row])
    yield run


def _finding(evidence: Evidence, parent: int, rows: Sequence[int], last: int, median_ns: int) -> Finding:
    others = [row for row in rows if row != last]
    alone_ns = evidence.end_ns[last] - max(map(evidence.end_ns.__getitem__, others))
    length_ns = evidence.length_ns(last)
    text = (
        f"{count_text(len(rows))} calls at once of {evidence.label(last)} under {evidence.label(parent)} waited for one: "
        f"it took {duration_text(length_ns)}, half of them {duration_text(median_ns)} or less"
    )
    numbers = {"calls": len(rows), "slowest_ns": length_ns, "median_ns": median_ns, "alone_ns": alone_ns}
    share = evidence.share(evidence.critical_below_ns(last))
    return Finding("fan_out_straggler", text, share, "certain", [last, *others], numbers)
