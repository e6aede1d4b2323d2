"""Services whose calls to most others were slow at once: then it is the caller that starves, or its way out that is slow."""

from __future__ import annotations

from itertools import islice
from typing import Final

from clew_server.analysis.evidence import Evidence
from clew_server.model.trace import CLIENT

_SHARE: Final = 0.6
_LEAST: Final = 2
_MOST_CALLS: Final = 2_000
"""Calls that are looked at, the first ones below the root: enough to know whom a service calls."""


def starving(evidence: Evidence) -> dict[int, tuple[int, int]]:
    """By index of the service, how many of how many distinct services that it calls were slow: over 60 %, of two or more.

    A called service was slow where more than half of the calls to it took longer than the usual p95 of such a call. Those for which
    there are too few samples are not counted.
    """
    trace = evidence.trace
    callers = {trace.service[row] for row in evidence.sections if trace.kind[row] == CLIENT and _is_slow(evidence, row)}
    if not callers:
        return {}
    calls: dict[int, dict[str, list[bool]]] = {}
    rows = (row for row in evidence.rows if trace.kind[row] == CLIENT and trace.service[row] in callers)
    for row in islice(rows, _MOST_CALLS):
        is_slow = _is_slow(evidence, row)
        callee = evidence.owners[row]
        if is_slow is not None and callee != trace.service_of(row):
            calls.setdefault(trace.service[row], {}).setdefault(callee, []).append(is_slow)
    found = {}
    for caller, callees in calls.items():
        slow = sum(2 * sum(some) > len(some) for some in callees.values())
        if len(callees) >= _LEAST and slow > len(callees) * _SHARE:
            found[caller] = slow, len(callees)
    return found


def _is_slow(evidence: Evidence, row: int) -> bool | None:
    """Whether a call took longer than its usual p95; None where that is not known."""
    usual = evidence.usual_duration(row)
    return None if usual is None else evidence.length_ns(row) > usual[1]
