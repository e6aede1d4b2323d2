"""Own times: each instant belongs to one span, and each span's time is charged to the service responsible for it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import islice
from typing import Final, overload

from clew_server.analysis.peers import peer
from clew_server.analysis.tree import Tree
from clew_server.model.trace import ADJUSTED, CLIENT, PRODUCER, Trace

_EXACT_IN_A_FLOAT: Final = 2**53


def own_ns(tree: Tree, root: int | None = None) -> list[int]:
    """By row, the time of the root's interval in which it was the active span that started last; of several, the deepest.

    In code that waits for what it calls this is the self time; spans that overlap are counted once. The sum is exactly the root's
    duration. Counted are the root (by default `tree.root`) and what is below it. A span that starts before its parent counts
    as starting with it; one whose start is not known (ADJUSTED) has none.
    """
    root = tree.root if root is None else root
    if root < 0:
        return []
    return _swept(tree, root, tree.start_ns[root], tree.end_ns[root])


def after_root_ns(tree: Tree, root: int | None = None) -> list[int]:
    """By row, its own time after the root's end: asynchronous work that nothing waited for. The rule is that of `own_ns`."""
    root = tree.root if root is None else root
    if root < 0:
        return []
    return _swept(tree, root, tree.end_ns[root], max(tree.end_ns[root : tree.trace.end_row[root]]))


def self_ns(tree: Tree) -> list[int]:
    """By row, its length less the time in which a child of it ran: what the row of a span says, and not what is added up.

    Children that overlap are counted once for their parent; two spans that ran at the same time both have their whole self time.
    What is summed up and compared is `own_ns`.
    """
    starts, ends = tree.start_ns, tree.end_ns
    self_times = list(map(operator.sub, ends, starts))
    reached = list(starts)
    # Rows have the children of a span by their start, until clocks were aligned.
    rows: Sequence[int] = (
        range(len(starts)) if not tree.shift_ns else sorted(range(len(starts)), key=starts.__getitem__)
    )
    parents = tree.trace.parent
    for row in rows:
        above = parents[row]
        if above < 0:
            continue
        start, end = starts[row], ends[row]
        if start < reached[above]:
            start = reached[above]
        if end > ends[above]:
            end = ends[above]
        if end > start:
            self_times[above] -= end - start
            reached[above] = end
    return self_times


def owners(tree: Tree) -> Sequence[str]:
    """By row, the service that its own time is charged to, found when it is asked for.

    The own time of a CLIENT or PRODUCER span whose child is in another service is the way there: network, queue, accepting. It
    is charged to that service (of several, to the first that was reached). A CLIENT span without a child is charged to what it
    calls (`peers.peer`): a service that is not instrumented. All others are
    charged to their own service.
    """
    return _Owners(tree.trace)


class _Owners(Sequence[str]):
    """Most rows are never asked for, and what a span calls costs parsing it."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._known: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._trace)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        owner = self._known.get(row)
        if owner is None:
            owner = self._known[row] = _owner(self._trace, row if row >= 0 else row + len(self))
        return owner


def _owner(trace: Trace, row: int) -> str:
    if trace.kind[row] in (CLIENT, PRODUCER):
        if trace.end_row[row] > row + 1:
            service = trace.service[row]
            elsewhere = (child for child in trace.children(row) if trace.service[child] != service)
            first = min(elsewhere, key=lambda child: (trace.start_ns[child], trace.service_of(child)), default=row)
            return trace.service_of(first)
        if trace.kind[row] == CLIENT:
            return peer(trace, row) or trace.service_of(row)
    return trace.service_of(row)


def _swept(tree: Tree, root: int, from_ns: int, to_ns: int) -> list[int]:
    """Own time between two instants.

    Spans are taken in the order in which they win: by start, then depth. So the one taken last wins while it is active, and those
    it interrupts wait below it on a stack; one that has ended meanwhile is dropped when it comes to the top.
    """
    trace = tree.trace
    own = [0] * len(trace)
    if to_ns <= from_ns:
        return own
    starts, ends = _starts(tree, root), tree.end_ns
    begin, stop = root + 1, trace.end_row[root]
    rows = [root]
    rows += [
        row
        for row, start, end, flag in zip(
            range(begin, stop), starts[begin:stop], ends[begin:stop], trace.flags[begin:stop], strict=True
        )
        if end > from_ns and start < to_ns and end > start and not flag & ADJUSTED
    ]
    keys: Sequence[float] = starts
    if max(starts) < _EXACT_IN_A_FLOAT and min(starts) > -_EXACT_IN_A_FLOAT:
        keys = list(map(float, starts))  # compared in half the time
    rows.sort(key=keys.__getitem__)
    begins = list(map(starts.__getitem__, rows))
    if any(map(operator.eq, begins, islice(begins, 1, None))):
        _sort_ties(trace, rows, begins)
    stack: list[int] = []
    now = from_ns
    for row, start in zip(rows, begins, strict=True):
        while now < start and stack:
            top = stack[-1]
            end = ends[top]
            if end <= now:
                stack.pop()
                continue
            if end > start:
                end = start
            own[top] += end - now
            now = end
        if now < start:
            now = start
        stack.append(row)
    while now < to_ns and stack:
        top = stack.pop()
        end = min(ends[top], to_ns)
        if end > now:
            own[top] += end - now
            now = end
    return own


def _starts(tree: Tree, root: int) -> Sequence[int]:
    """Starts of all rows, those below the root as they count: none before its parent's, one that is not known (ADJUSTED) as its parent's."""
    trace, starts = tree.trace, tree.start_ns
    begin, stop = root + 1, trace.end_row[root]
    parents = trace.parent[begin:stop]
    if not any(map(operator.gt, map(starts.__getitem__, parents), islice(starts, begin, stop))) and not any(
        map(ADJUSTED.__and__, islice(trace.flags, begin, stop))
    ):
        return starts
    moved = list(starts)
    for row, above, flag in zip(range(begin, stop), parents, trace.flags[begin:stop], strict=True):
        if flag & ADJUSTED or moved[row] < moved[above]:
            moved[row] = moved[above]
    return moved


def _sort_ties(trace: Trace, rows: list[int], begins: Sequence[int]) -> None:
    """Sort those that start together: by depth, then service and name, as which of two wins must not depend on their ids."""

    def key(row: int) -> tuple[int, str, str]:
        return trace.depth[row], trace.service_of(row), trace.name_of(row)

    first, count = 0, len(rows)
    for at in range(1, count + 1):
        if at == count or begins[at] != begins[first]:
            if at - first > 1:
                rows[first:at] = sorted(rows[first:at], key=key)
            first = at
