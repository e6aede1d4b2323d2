"""The same answers, worked out slowly and straight from the rules: instant by instant, by walking up for every span."""

from __future__ import annotations

from clew_server.analysis.tree import Tree
from clew_server.model.trace import ADJUSTED, CONSUMER, FAILED, MISSING, ROOT


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


def roles(tree: Tree) -> dict[int, str]:
    """Role of each row that failed or is above one that did."""
    trace = tree.trace
    failed = [row for row in range(len(trace)) if trace.flags[row] & FAILED]
    found = {}
    for row in range(len(trace)):
        has_failed_below = any(row in ancestors(tree, other) for other in failed)
        if row not in failed:
            if has_failed_below:
                found[row] = "absorbed"
            continue
        if has_failed_below:
            found[row] = "propagated"
            continue
        above = []
        at = row
        while trace.parent[at] >= 0 and trace.kind[at] != CONSUMER:
            at = trace.parent[at]
            above.append(at)
        seen = trace.parent[at] == ROOT or trace.kind[at] == CONSUMER
        assert seen or trace.parent[at] == MISSING
        found[row] = "handled" if above and seen and not any(one in failed for one in above) else "origin"
    return found
