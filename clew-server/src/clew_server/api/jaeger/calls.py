"""Which services call which, as Jaeger counts it: one number for each pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from clew_server.model.dependency import Dependency


def call_counts(found: Iterable[Dependency], service: str = "") -> list[tuple[str, str, int]]:
    """Caller, callee and calls of each pair, of all kinds together; only those of `service` where one is named."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in found:
        if not service or service in (one.caller, one.callee):
            counts[one.caller, one.callee] += one.calls
    return [(caller, callee, calls) for (caller, callee), calls in sorted(counts.items())]
