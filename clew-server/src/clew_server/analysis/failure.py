"""Where a trace failed: the failed spans without a failed descendant."""

from __future__ import annotations

from clew_server.model.trace import FAILED, Trace


def origins(trace: Trace) -> list[int]:
    """Rows of the failed spans with no failed span anywhere below them, in the order of the rows."""
    failed_below = bytearray(len(trace))
    found = []
    for row in range(len(trace) - 1, -1, -1):
        failed = trace.flags[row] & FAILED
        if failed and not failed_below[row]:
            found.append(row)
        above = trace.parent[row]
        if above >= 0 and (failed or failed_below[row]):
            failed_below[above] = 1
    return found[::-1]
