"""The critical path: of each instant of a root, the span that everything waited for."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from clew_server.analysis.answers import Section
from clew_server.analysis.tree import Tree, resolution_ns
from clew_server.model.trace import ADJUSTED, CONSUMER


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The path, and how sure it is."""

    sections: Sequence[Section]
    """In time order. They touch, and sum to the root's duration."""
    uncertain: bool
    """Siblings overlapped: the path is one of several."""
    slack_ns: Mapping[int, int]
    """Of the siblings that overlapped one on the path, by row: how much later each could have ended without being on it."""


def critical_path(tree: Tree, root: int | None = None) -> CriticalPath:
    """The path of a root, by default `tree.root`, found backwards from its end.

    Of a span's children, clipped to the span as it was clipped itself, the last that ended at or before the cursor is on the
    path, the cursor moves to its start, and so on; what no child has is the span's own. A child that overlaps the cursor by less than
    1 % of the span, or by no more than a tick of the clocks, is clipped too. A consumer below another span is not followed: nothing
    waits for it. A span whose start is not known (ADJUSTED) is passed over, not its children.
    """
    root = tree.root if root is None else root
    if root < 0:
        return CriticalPath((), False, {})
    tick = resolution_ns(tree.trace)
    end_row = tree.trace.end_row
    backwards: list[Section] = []
    slack: dict[int, int] = {}

    def add(row: int, start_ns: int, end_ns: int) -> None:
        if backwards and backwards[-1].row == row:
            backwards[-1] = Section(row, start_ns, backwards[-1].end_ns)
        elif end_ns > start_ns:
            backwards.append(Section(row, start_ns, end_ns))

    walk = [_Walk(tree, root, tree.start_ns[root], tree.end_ns[root], tick)]
    while walk:
        at = walk[-1]
        child = at.step(slack)
        if child is None:
            add(at.row, at.start_ns, at.cursor)
            walk.pop()
            continue
        add(at.row, child.end_ns, at.cursor)
        at.cursor = child.start_ns
        if end_row[child.row] == child.row + 1:
            add(*child)
        else:
            walk.append(_Walk(tree, child.row, child.start_ns, child.end_ns, tick))
    if not backwards:
        backwards.append(Section(root, tree.start_ns[root], tree.end_ns[root]))
    return CriticalPath(backwards[::-1], bool(slack), slack)


class Folded(NamedTuple):
    """A section of a path, or several of them that touch."""

    row: int
    """Of several, the row of the longest; of equal ones that of the first."""
    start_ns: int
    end_ns: int
    sections: int


def folded(sections: Sequence[Section], most: int) -> list[Folded]:
    """The path in at most 2 × `most` + 1 parts, which touch and sum to it: the longest sections, and between them those that are left, as one.

    A path of no more than `most` sections is given as it is.
    """
    if len(sections) <= most:
        return [Folded(*section, 1) for section in sections]
    lengths = [end_ns - start_ns for _, start_ns, end_ns in sections]
    longest = sorted(heapq.nlargest(most, range(len(sections)), key=lengths.__getitem__))
    found: list[Folded] = []
    begin = 0
    for at in (*longest, len(sections)):
        if begin < at:
            row = sections[max(range(begin, at), key=lengths.__getitem__)].row
            found.append(Folded(row, sections[begin].start_ns, sections[at - 1].end_ns, at - begin))
        if at < len(sections):
            found.append(Folded(*sections[at], 1))
        begin = at + 1
    return found


class _Walk:
    """One span on the path, walked from its end to its start."""

    __slots__ = ("_children", "_last", "_length_ns", "_tick_ns", "cursor", "row", "start_ns")

    def __init__(self, tree: Tree, row: int, start_ns: int, end_ns: int, tick_ns: int) -> None:
        self.row = row
        self.start_ns = start_ns
        self.cursor = end_ns
        self._length_ns = end_ns - start_ns
        self._tick_ns = tick_ns
        self._children = iter(_last_first(tree, row, start_ns, end_ns))
        self._last = end_ns

    def step(self, slack: dict[int, int]) -> Section | None:
        """The child before the cursor, clipped to it; None when there is no more. Those that overlap get their slack."""
        for child, start, end in self._children:
            over = end - self.cursor
            if over > self._tick_ns and over * 100 >= self._length_ns:
                slack[child] = max(self._last - end, 0)
                continue
            end = min(end, self.cursor)
            if end > start:
                self._last = end
                return Section(child, start, end)
        return None


def _last_first(tree: Tree, row: int, start_ns: int, end_ns: int) -> list[tuple[int, int, int]]:
    """The children that count, clipped, the last to end first; of those that end together, the longest."""
    trace, starts, ends = tree.trace, tree.start_ns, tree.end_ns
    end_row, kinds, flags = trace.end_row, trace.kind, trace.flags
    found = []
    below, stop = row + 1, end_row[row]
    while below < stop:
        if kinds[below] == CONSUMER:
            below = end_row[below]  # asynchronous: it is not waited for
            continue
        if flags[below] & ADJUSTED:
            below += 1  # its children come next
            continue
        start, end = starts[below], ends[below]
        if start < start_ns:
            start = start_ns
        if end > end_ns:
            end = end_ns
        if end > start:
            found.append((below, start, end))
        below = end_row[below]
    if len(found) > 1:
        # Equal ones by service and name: the choice must not depend on their ids.
        if len({end for _, _, end in found}) < len(found):
            found.sort(key=lambda one: (one[1], trace.service_of(one[0]), trace.name_of(one[0])))
        found.sort(key=itemgetter(2), reverse=True)
    return found
