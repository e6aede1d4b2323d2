"""The same answers, worked out slowly and straight from the rules: instant by instant, by walking up for every span."""

from __future__ import annotations

import itertools

from clew_server.analysis.tree import Tree
from clew_server.model.trace import ADJUSTED, CLIENT, CONSUMER, FAILED, MISSING, ROOT, SERVER


def ancestors(tree: Tree, row: int) -> list[int]:
    """Rows above, the nearest first."""
    found = []
    while (row := tree.trace.parent[row]) >= 0:
        found.append(row)
    return found


def within(tree: Tree, root: int) -> list[int]:
    """The root and all below it."""
    return [row for row in range(len(tree.trace)) if row == root or root in ancestors(tree, row)]


def is_timed(tree: Tree, row: int) -> bool:
    """Whether the span's start is known."""
    return not tree.trace.flags[row] & ADJUSTED


def words(tree: Tree, row: int) -> tuple[str, str]:
    return tree.trace.service_of(row), tree.trace.name_of(row)


def own_ns(tree: Tree, root: int, from_ns: int, to_ns: int) -> list[int]:
    """Own time of each row, by asking at each instant which of the active spans started last."""
    own = [0] * len(tree.trace)
    rows = [row for row in within(tree, root) if row == root or is_timed(tree, row)]

    def start(row: int) -> int:
        line = [row, *(above for above in ancestors(tree, row) if root in (above, *ancestors(tree, above)))]
        return max(tree.start_ns[one] for one in line if one == root or is_timed(tree, one))

    starts = {row: start(row) for row in rows}
    for instant in range(from_ns, to_ns):
        active = [row for row in rows if starts[row] <= instant < tree.end_ns[row]]
        if active:
            own[max(active, key=lambda row: (starts[row], tree.trace.depth[row], words(tree, row), row))] += 1
    return own


def self_ns(tree: Tree) -> list[int]:
    """Self time of each row: its instants at which no child of it runs."""
    return [
        sum(
            not any(tree.start_ns[child] <= instant < tree.end_ns[child] for child in tree.trace.children(row))
            for instant in range(tree.start_ns[row], tree.end_ns[row])
        )
        for row in range(len(tree.trace))
    ]


def critical_path(tree: Tree, root: int, tick_ns: int) -> list[int]:
    """The row on the path at each instant of the root's interval."""
    zero, end = tree.start_ns[root], tree.end_ns[root]
    path = [root] * (end - zero)

    def children(row: int) -> list[int]:
        found = []
        for child in tree.trace.children(row):
            if tree.trace.kind[child] == CONSUMER:
                continue
            found += [child] if is_timed(tree, child) else children(child)
        return found

    def walk(row: int, start_ns: int, end_ns: int) -> None:
        path[start_ns - zero : end_ns - zero] = [row] * (end_ns - start_ns)
        clipped = [
            (child, max(start_ns, tree.start_ns[child]), min(end_ns, tree.end_ns[child])) for child in children(row)
        ]
        cursor = end_ns
        while True:
            before = []
            for child, start, stop in clipped:
                small = (stop - cursor) * 100 < end_ns - start_ns or stop - cursor <= tick_ns
                if (stop <= cursor or small) and start < min(stop, cursor):
                    before.append((child, start, stop))
            if not before:
                return
            last = max(stop for _, _, stop in before)
            child, start, stop = min(
                (one for one in before if one[2] == last), key=lambda one: (one[1], words(tree, one[0]), one[0])
            )
            walk(child, start, min(stop, cursor))
            cursor = start
            clipped = [one for one in clipped if one[0] != child]

    walk(root, zero, end)
    return path


def end_ns(tree: Tree, row: int) -> int:
    """When the span ended, later by as much as a server began before its client."""
    above = tree.trace.parent[row]
    is_call = above >= 0 and tree.trace.kind[row] == SERVER and tree.trace.kind[above] == CLIENT
    return tree.end_ns[row] + (max(0, tree.start_ns[above] - tree.start_ns[row]) if is_call else 0)


def is_cut(tree: Tree, row: int) -> bool:
    """Whether the failed span says that it gave up."""
    return bool(tree.trace.span(row).status.message)


def is_too_late(tree: Tree, row: int, above: int) -> bool:
    """Whether the failed span above cannot have failed because of one below it, or of what went through that."""
    length, ended_ns = tree.duration_ns(above), end_ns(tree, row)
    if is_cut(tree, above):
        return ended_ns > tree.end_ns[above] + max(length // 100, 10**6)
    # Along the way down, by how much a clock may be ahead of the one of the span above.
    line = [above, *reversed(ancestors(tree, row)[: ancestors(tree, row).index(above)]), row]
    ahead = 0
    for parent, child in itertools.pairwise(line):
        if tree.trace.host[child] == tree.trace.host[above]:
            ahead = 0
        elif may_be_ahead(tree, child, parent):
            ahead += max(0, tree.end_ns[child] - tree.end_ns[parent])
    return ended_ns - ahead > tree.end_ns[above] + max(length // 10, 10**7) and ended_ns > tree.end_ns[above] + max(
        length // 100, 10**6
    )


def may_be_ahead(tree: Tree, row: int, parent: int) -> bool:
    """Whether the row could be within its parent, on another host, whose clock no call tells."""
    trace = tree.trace
    if not is_timed(tree, row) or not is_timed(tree, parent) or trace.host[row] == trace.host[parent]:
        return False
    is_call = trace.kind[parent] == CLIENT and trace.kind[row] == SERVER
    fits = 100 * tree.duration_ns(row) <= 101 * tree.duration_ns(parent)
    return fits and not is_call and trace.kind[row] != CONSUMER


def way(tree: Tree, row: int) -> tuple[int | None, bool, bool, bool]:
    """The next failed span above; whether the failure reached it; whether it came too late; whether a consumer is between."""
    trace = tree.trace
    between = [row]
    for above in ancestors(tree, row):
        if trace.flags[above] & FAILED:
            break
        between.append(above)
    else:
        return None, False, False, False
    asynchronous = any(trace.kind[one] == CONSUMER for one in between)
    if not (is_timed(tree, row) and is_timed(tree, above)):
        return above, True, False, asynchronous
    late = is_too_late(tree, row, above) or (
        trace.kind[above] == CLIENT
        and trace.service[above] != trace.service[row]
        and is_cut(tree, above)
        and (
            trace.span(row).status.message == "cancelled"
            or (
                trace.span(row).status.message == "deadline"
                and not any(trace.flags[one] & FAILED for one in range(len(trace)) if row in ancestors(tree, one))
            )
        )
        and end_ns(tree, row) >= tree.end_ns[above] - max(tree.duration_ns(above) // 100, 10**6)
    )
    reached = not late and not any(is_too_late(tree, one, above) for one in between[1:] if is_timed(tree, one))
    return above, reached, late, asynchronous


def roles(tree: Tree) -> dict[int, str]:
    """Role of each row that failed or is above one that did."""
    trace = tree.trace
    failed = [row for row in range(len(trace)) if trace.flags[row] & FAILED]
    ways = {row: way(tree, row) for row in failed}
    found = {}
    for row in range(len(trace)):
        if row not in failed:
            if any(row in ancestors(tree, other) for other in failed):
                found[row] = "absorbed"
        elif any(above == row and reached for above, reached, _, _ in ways.values()):
            found[row] = "propagated"
        else:
            found[row] = outcome(tree, row, ways)
    return found


def outcome(tree: Tree, row: int, ways: dict[int, tuple[int | None, bool, bool, bool]]) -> str:
    """Of a span that no failure below it reached."""
    trace = tree.trace
    last = row
    while ways[last][1]:
        last = ways[last][0]  # type: ignore[assignment]
    above, _, late, asynchronous = ways[last]
    if above is not None and not asynchronous:
        return "abandoned" if late else "handled"
    tops = []
    at = last
    while trace.parent[at] >= 0 and trace.kind[at] != CONSUMER:
        at = trace.parent[at]
        tops.append(at)
    seen = trace.parent[at] == ROOT or trace.kind[at] == CONSUMER
    assert seen or trace.parent[at] == MISSING
    if not tops or not seen or any(trace.flags[one] & FAILED for one in tops):
        return "origin"
    root = tops[-1]
    if last != row:
        return "origin"  # no span of these trees says that it succeeded
    if is_timed(tree, last) and tree.end_ns[last] > tree.end_ns[root] + max(tree.duration_ns(root) // 10, 10**7):
        return "abandoned"
    return "handled"
