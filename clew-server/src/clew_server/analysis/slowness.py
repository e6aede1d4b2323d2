"""How a request's time is divided, and whether that much is usual."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container
from typing import Literal, TypeAlias

from clew_server.analysis.answers import Share
from clew_server.analysis.evidence import Evidence
from clew_server.model.trace import CLIENT
from clew_server.model.usual import Durations

Speed: TypeAlias = Literal["slow", "usual", "unknown"]

_LAST_PERCENTILE = 99


def shares(evidence: Evidence, callers: Container[int] = ()) -> list[Share]:
    """The critical path by owner and operation, largest first. They sum to the root's duration.

    The way to another service is charged to that one, but to the caller where its service is one of these
    (`starving`).

    The usual value is the operation's usual duration times its usual number of calls. It is None where some of the spans have
    children: their part of the path is without what they waited for, their duration is with it.
    """
    trace, owners = evidence.trace, evidence.owners
    spent: dict[tuple[str, int], dict[int, int]] = {}
    for row, sections in evidence.sections.items():
        is_caller = trace.kind[row] == CLIENT and trace.service[row] in callers
        owner = trace.service_of(row) if is_caller else owners[row]
        spent.setdefault((owner, trace.name[row]), {})[row] = sum(end - start for _, start, end in sections)
    found = []
    for (owner, name), times in spent.items():
        critical_ns = sum(times.values())
        rows = sorted(times, key=lambda row: (-times[row], row))
        found.append(
            Share(owner, trace.names[name], critical_ns, evidence.share(critical_ns), _usual_ns(evidence, rows), rows)
        )
    found.sort(key=lambda share: (-share.critical_ns, share.owner, share.operation))
    return found


def _usual_ns(evidence: Evidence, rows: list[int]) -> int | None:
    if any(evidence.trace.end_row[row] > row + 1 for row in rows):
        return None
    usual = evidence.usual_duration(rows[0])
    if usual is None:
        return None
    within = evidence.within(rows[0])
    return round(usual[0] * (1.0 if within is None else within.calls_p50))


def speed(evidence: Evidence) -> Speed:
    """Slow: the root took longer than the p95 of its operation; unknown: too few samples of it."""
    root = evidence.usual.root
    if root is None or root.p95_ns is None:
        return "unknown"
    return "slow" if evidence.root_ns > root.p95_ns else "usual"


def percentile(duration_ns: int, usual: Durations | None) -> int | None:
    """How many percent of the samples were shorter, 0 to 99; None where there are too few of them."""
    if usual is None or not usual.percentiles_ns:
        return None
    return min(_LAST_PERCENTILE, bisect_right(usual.percentiles_ns, duration_ns))
