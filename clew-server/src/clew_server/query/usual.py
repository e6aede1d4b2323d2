"""What is usual around one trace, asked of the store in a fixed number of statements however many operations the trace has."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.trace import ROOT, Trace
from clew_server.model.usual import ENOUGH, Operation, Usual
from clew_server.store.contract import StoreFailed, TracesLike, TraceUsual

_log = logging.getLogger(__name__)

MAX_OPERATIONS: Final = 200
"""Operations of a trace that are asked for: those that took most time."""


def usual_for(trace: Trace, store: TraceUsual) -> Usual:
    """What is usual for the operations of a trace that has spans. Blocking.

    Where the store does not answer nothing is known: that is said in `Usual.missing`, and the trace can still be shown.
    """
    root = trace.first_root()
    of_root, kind = Operation(trace.service_of(root), trace.name_of(root)), trace.kind[root]
    at_unix_nano = trace.t0_unix_nano + trace.start_ns[root]
    operations = _operations(trace, of_root)
    try:
        found, unread = store.durations(operations, at_unix_nano)
    except (Unavailable, StoreFailed) as error:
        return Usual(missing=_unknown(error))
    known = Usual(
        root=found.get((of_root, kind)),
        operations={operation: durations for (operation, of), durations in found.items() if of is None},
        missing=unread,
    )
    if known.root is None or known.root.count < ENOUGH:
        return known
    like = TracesLike(of_root, kind, trace.parent[root] == ROOT, trace.span(root).trace_id, known.root.count)
    try:
        within, sampled, unread = store.within(like, operations, at_unix_nano)
    except (Unavailable, StoreFailed) as error:
        return replace(known, missing=known.missing or _unknown(error))
    return replace(known, within=within, sampled=sampled, missing=known.missing or unread)


def _unknown(error: Exception) -> str:
    _log.warning("what is usual around a trace cannot be told: %s", error)
    return "the store did not say what is usual"


def _operations(trace: Trace, first: Operation) -> list[Operation]:
    """`first` and the other operations of the trace, those with most time, `MAX_OPERATIONS` at most."""
    time_ns: dict[tuple[int, int], int] = {}
    for service, name, duration_ns in zip(trace.service, trace.name, trace.duration_ns, strict=True):
        key = service, name
        time_ns[key] = time_ns.get(key, 0) + duration_ns
    longest = sorted(time_ns, key=lambda key: -time_ns[key])
    others = (Operation(trace.services[service], trace.names[name]) for service, name in longest)
    return [first, *(operation for operation in others if operation != first)][:MAX_OPERATIONS]
