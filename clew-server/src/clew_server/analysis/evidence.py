"""What the patterns look at: a trace, when its spans ran, whose time was whose, and what is usual."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, compress, islice

from clew_server.analysis.answers import Section
from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.giving_up import ways
from clew_server.analysis.own_time import own_ns, owners
from clew_server.analysis.tree import Tree
from clew_server.model.trace import ADJUSTED, FAILED
from clew_server.model.usual import ENOUGH, Operation, Usual, Within
from clew_server.model.words import name_text, shortened


class Evidence:
    """One request of a trace: the root's row and all below it. Times in ns from the trace's `t0_unix_nano`, clocks aligned.

    `own_ns` and `owners` have an entry a row; `path` is the critical path of the root, in time order.
    """

    def __init__(self, tree: Tree, usual: Usual) -> None:
        """Of a tree that has a root."""
        found = critical_path(tree)
        self.tree = tree
        self.trace = tree.trace
        self.root = tree.root
        self.start_ns = tree.start_ns
        self.end_ns = tree.end_ns
        self.own_ns = own_ns(tree)
        self.owners = owners(tree)
        self.path = found.sections
        self.path_is_uncertain = found.uncertain
        self.usual = usual
        self.rows = range(tree.root, tree.trace.end_row[tree.root])
        self.root_ns = tree.duration_ns(tree.root)

    @cached_property
    def critical_ns(self) -> Sequence[int]:
        """Time on the critical path, a row."""
        found = [0] * len(self.trace)
        for row, start_ns, end_ns in self.path:
            found[row] += end_ns - start_ns
        return found

    @cached_property
    def _critical_before(self) -> list[int]:
        return list(accumulate(self.critical_ns, initial=0))

    @cached_property
    def sections(self) -> Mapping[int, Sequence[Section]]:
        """The sections of the critical path, by row; in time order."""
        found: dict[int, list[Section]] = {}
        for section in self.path:
            found.setdefault(section.row, []).append(section)
        return found

    def parents_of_critical(self, share: float) -> list[int]:
        """Rows with children that have, with all below them, at least this share of the critical path."""
        before, end_row, least_ns = self._critical_before, self.trace.end_row, max(1.0, self.root_ns * share)
        found = []
        row = self.root
        while row < self.rows.stop:
            if before[end_row[row]] - before[row] < least_ns:
                row = end_row[row]  # nothing below it has more
                continue
            if end_row[row] > row + 1:
                found.append(row)
            row += 1
        return found

    def critical_below_ns(self, row: int) -> int:
        """Time on the critical path of the span and all its descendants."""
        return self._critical_before[self.trace.end_row[row]] - self._critical_before[row]

    def share(self, duration_ns: float) -> float:
        """The part of the root's duration, 0 to 1."""
        return min(1.0, max(0.0, duration_ns / self.root_ns)) if self.root_ns > 0 else 0.0

    def length_ns(self, row: int) -> int:
        """The span's duration."""
        return self.end_ns[row] - self.start_ns[row]

    def is_timed(self, row: int) -> bool:
        """Whether its start is known; one that is placed at its arrival takes no part in any time."""
        return not self.trace.flags[row] & ADJUSTED

    def operation(self, row: int) -> Operation:
        """The service and the name of the span."""
        return Operation(self.trace.service_of(row), self.trace.name_of(row))

    def within(self, row: int) -> Within | None:
        """What is usual for the operation under this root; None where it was seen in too few traces."""
        found = self.usual.within.get(self.operation(row))
        return found if found is not None and found.traces >= ENOUGH else None

    def usual_duration(self, row: int) -> tuple[int, int] | None:
        """The usual duration of the operation, p50 and p95: under this root, else wherever it is called; None: too few."""
        within = self.usual.within.get(self.operation(row))
        if within is not None and within.spans >= ENOUGH:
            return within.p50_ns, within.p95_ns
        found = self.usual.operations.get(self.operation(row))
        if found is None or found.count < ENOUGH or found.p50_ns is None or found.p95_ns is None:
            return None
        return found.p50_ns, found.p95_ns

    def name(self, row: int) -> str:
        """The operation for a sentence: of a very long name the beginning, `(no name)` for a blank one."""
        return name_text(self.trace.name_of(row))

    def label(self, row: int) -> str:
        """`service · operation`, as a heading has it."""
        service = shortened(self.trace.service_of(row))
        return f"{service} · {self.name(row)}" if service else self.name(row)

    @cached_property
    def late(self) -> set[int]:
        """Failed spans whose failure came after their caller had given up, and those below that led to it."""
        flags = self.trace.flags
        way = ways(self.tree, compress(range(len(flags)), map(FAILED.__and__, flags)))
        found: set[int] = set()
        for row, one in way.items():
            if one.ended_late or (one.reached and one.above in found):
                found.add(row)
        return found

    @cached_property
    def equal_siblings(self) -> list[tuple[int, list[int]]]:
        """(parent, rows) of the spans that have service, name and parent in common, two or more, by start."""
        trace = self.trace
        services, names = len(trace.services), len(trace.names)
        first, stop = self.root + 1, self.rows.stop
        above = map((services * names).__mul__, islice(trace.parent, first, stop))
        service = map(names.__mul__, islice(trace.service, first, stop))
        keys = list(map(operator.add, map(operator.add, above, service), islice(trace.name, first, stop)))
        # Most have no sibling that is equal: no list is made for those.
        several = {key for key, count in Counter(keys).items() if count > 1}
        groups: dict[int, list[int]] = {}
        for row in compress(range(first, stop), map(several.__contains__, keys)):
            groups.setdefault(keys[row - first], []).append(row)
        if self.tree.shift_ns:  # else rows have the children of a span by their start
            for rows in groups.values():
                rows.sort(key=self.start_ns.__getitem__)
        return [(trace.parent[rows[0]], rows) for rows in groups.values()]
