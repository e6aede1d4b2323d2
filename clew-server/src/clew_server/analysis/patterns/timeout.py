"""Failed calls that took as long as people set time-outs to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.giving_up import says_timeout
from clew_server.model.trace import FAILED
from clew_server.model.words import duration_text

_LIMITS_NS: Final = tuple(round(limit_s * 1e9) for limit_s in (0.1, 0.5, 1, 2, 3, 5, 10, 15, 30, 60))
_NEAR: Final = 0.02


def limit_of_ns(duration_ns: int) -> int | None:
    """The round limit that a duration is within 2 % of; None where there is none."""
    return next((limit for limit in _LIMITS_NS if abs(duration_ns - limit) <= limit * _NEAR), None)


def timeout(evidence: Evidence) -> Iterator[Finding]:
    """Failed spans within 2 % of a usual time-out; of a chain of them the deepest, where the limit was set.

    What failed after its caller had given up is no such limit, since it was not waited for.
    """
    trace = evidence.trace
    flags = trace.flags
    rows = range(evidence.rows.stop - 1, evidence.root - 1, -1)
    # By limit, the first row with it among those behind: it is below this span where it is before its `end_row`.
    next_row: dict[int, int] = {}
    for row in compress(rows, map(FAILED.__and__, map(flags.__getitem__, rows))):
        limit_ns = limit_of_ns(evidence.length_ns(row))
        if limit_ns is not None and evidence.is_timed(row) and row not in evidence.late:
            if next_row.get(limit_ns, trace.end_row[row]) >= trace.end_row[row]:
                yield _finding(evidence, row, limit_ns)
            next_row[limit_ns] = row


def _finding(evidence: Evidence, row: int, limit_ns: int) -> Finding:
    trace = evidence.trace
    said = says_timeout(trace, row)
    took = duration_text(evidence.length_ns(row))
    limit = duration_text(limit_ns)
    text = f"{evidence.label(row)} failed after {took}: {'the' if said else 'probably a'} time-out of {limit}"
    numbers: dict[str, float] = {"duration_ns": evidence.length_ns(row), "limit_ns": limit_ns}
    rows = [row]
    late = max(
        filter(evidence.is_timed, trace.children(row)),
        key=lambda child: (evidence.end_ns[child], evidence.label(child)),
        default=None,
    )
    if late is not None:
        over_ns = evidence.end_ns[late] - evidence.end_ns[row]
        if over_ns * 100 > evidence.length_ns(row):
            text += f"; {evidence.label(late)} went on for another {duration_text(over_ns)}"
            numbers["over_ns"] = over_ns
            rows.append(late)
    share = evidence.share(evidence.length_ns(row))
    return Finding("timeout", text, share, "certain" if said else "likely", rows, numbers)
