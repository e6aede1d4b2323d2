"""Which span had the time: each instant is given to one span, and each span's time to the service that answers for it."""

from __future__ import annotations

from collections.abc import Sequence

from clew_server.analysis.tree import Tree
from clew_server.model.attributes import text_of
from clew_server.model.trace import ADJUSTED, CLIENT, PRODUCER, Trace

_PEER_KEYS = ("peer.service", "server.address", "db.namespace")


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
    """By row, its own time after the root's end: asynchronous work, nobody waited for it. The rule is that of `own_ns`."""
    root = tree.root if root is None else root
    if root < 0:
        return []
    return _swept(tree, root, tree.end_ns[root], max(tree.end_ns[root : tree.trace.end_row[root]]))


def owners(tree: Tree) -> list[str]:
    """By row, the service that its own time is charged to.

    The own time of a CLIENT or PRODUCER span whose child is in another service is the way there: network, queue, accepting. It
    is charged to that service (of several, to the first that was reached). A CLIENT span without a child is charged to what it calls, by `peer.service`, else
    `server.address`, else `db.namespace`: a service that is not instrumented. All others are charged to their own service.
    """
    trace = tree.trace
    services, service, kinds, parents, starts = trace.services, trace.service, trace.kind, trace.parent, trace.start_ns
    owner = [services[number] for number in service]
    callee: dict[int, int] = {}
    for row, above in enumerate(parents):
        if above >= 0 and service[row] != service[above] and kinds[above] in (CLIENT, PRODUCER):
            first = callee.setdefault(above, row)
            if starts[row] == starts[first] and services[service[row]] < services[service[first]]:
                callee[above] = row
    for row, child in callee.items():
        owner[row] = services[service[child]]
    for row, kind in enumerate(kinds):
        if kind == CLIENT and trace.end_row[row] == row + 1:
            owner[row] = _peer(trace, row) or owner[row]
    return owner


def _peer(trace: Trace, row: int) -> str:
    """What the span says it calls; empty where it does not say."""
    raw = trace.stored[row].span
    if b"peer.service" not in raw and b"server.address" not in raw and b"db.namespace" not in raw:
        return ""
    return text_of(trace.span(row).attributes, *_PEER_KEYS)


def _swept(tree: Tree, root: int, from_ns: int, to_ns: int) -> list[int]:
    """Own time between two instants.

    Spans are taken in the order in which they win: by start, then depth. So the one taken last wins while it is active, and those
    it interrupts wait below it on a stack; one that has ended meanwhile is dropped when it comes to the top.
    """
    trace = tree.trace
    own = [0] * len(trace)
    if to_ns <= from_ns:
        return own
    parents, flags = trace.parent, trace.flags
    starts, ends = list(tree.start_ns), tree.end_ns
    rows = []
    for row in range(root, trace.end_row[root]):
        if row != root:
            above = starts[parents[row]]
            if flags[row] & ADJUSTED:
                starts[row] = above
                continue
            if starts[row] < above:
                starts[row] = above
        if ends[row] > from_ns and ends[row] > starts[row] and starts[row] < to_ns:
            rows.append(row)
    depth, rank = trace.depth, _ranks(trace)
    rows.sort(key=lambda row: (starts[row], depth[row], rank[row]))
    stack: list[int] = []
    now = from_ns
    for row in rows:
        start = starts[row]
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


def _ranks(trace: Trace) -> Sequence[int]:
    """By row, the rank of its service and name among all of the trace: which of two equal spans wins must not hang on ids."""
    width = len(trace.names)
    pairs = [service * width + name for service, name in zip(trace.service, trace.name, strict=True)]
    texts = sorted(set(pairs), key=lambda pair: (trace.services[pair // width], trace.names[pair % width]))
    rank = {pair: at for at, pair in enumerate(texts)}
    return [rank[pair] for pair in pairs]
