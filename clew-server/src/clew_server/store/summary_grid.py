"""What `summary_grid` says of all traces, and the heatmap that its cells are summed to. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from clew_server.model.summary import Heatmap, Totals, shown_edges, time_edges

_Figure = TypeVar("_Figure", int, float)


class Edges(NamedTuple):
    """Columns and lower edges of rows that traces are counted by."""

    x_ns: Sequence[int]
    y_ns: Sequence[int]

    @property
    def bound(self) -> dict[str, str]:
        """The parameters of the statement."""
        x_ns, y_ns = self
        listed = "[" + ",".join(map(str, y_ns)) + "]"
        return {"x0_ns": str(x_ns[0]), "step_ns": str(x_ns[1] - x_ns[0]), "y_ns": listed}


class Counted(NamedTuple):
    """The one row of the statement; `lengths_ns` are the shortest, the three percentiles and the longest."""

    matched: int
    failed: int
    selected: int
    selected_failed: int
    estimates: tuple[int, int, int, int]
    lengths_ns: Sequence[int]
    oldest_ns: int
    newest_ns: int
    end_ns: int
    is_unknown: bool
    is_estimated: bool
    cells: Sequence[Sequence[Any]]

    @staticmethod
    def of(row: Sequence[Any]) -> Counted:
        """From what the engine sent."""
        figures, (lengths, *others), cells = row[:8], row[8:13], row[13:]
        matched, failed, selected, both, *estimates = map(int, figures)
        oldest, newest, end, of_some = map(int, others)
        estimated = estimates[0], estimates[1], estimates[2], estimates[3]
        lengths_ns = [int(length) for length in lengths]
        return Counted(
            matched,
            failed,
            selected,
            both,
            estimated,
            lengths_ns,
            oldest,
            newest,
            end,
            bool(of_some & 1),
            bool(of_some & 2),
            cells,
        )

    @property
    def totals(self) -> Totals:
        return Totals(*self[:4])

    @property
    def estimated(self) -> Totals | None:
        """How many there were, where some were sampled."""
        return Totals(*self.estimates) if self.is_estimated else None

    def columns(self, from_ns: int | None, to_ns: int | None) -> list[int]:
        """Those to show, of the time that was given or else of that in which there are traces."""
        return time_edges(
            self.oldest_ns if from_ns is None else from_ns, self.newest_ns + 1 if to_ns is None else to_ns
        )

    def heatmap(self, counted_by: Edges, x_ns: list[int]) -> Heatmap | None:
        """The cells, summed to these columns and to rows that fit the lengths; None where they were counted by edges that do not allow it."""
        first_ns, step_ns = counted_by.x_ns[0], counted_by.x_ns[1] - counted_by.x_ns[0]
        if x_ns[0] < first_ns or x_ns[1] - x_ns[0] != step_ns:
            return None
        y_ns = shown_edges(counted_by.y_ns, self.lengths_ns[0], self.lengths_ns[-1])
        if y_ns is None:
            return None
        before, rows = (x_ns[0] - first_ns) // step_ns, len(y_ns)
        x, y, *figures = self.cells
        lower = list(map(int, y))
        row_of = {edge: max(0, bisect_right(y_ns, edge) - 1) for edge in set(lower)}
        places = [(int(column) - before) * rows + row_of[edge] for column, edge in zip(x, lower, strict=True)]
        counts, failed = (_sums(places, map(int, figure)) for figure in figures[:2])
        of_cells = [_sums(places, map(float, figure)) for figure in figures[2:]] if self.is_estimated else []
        order = sorted(counts)
        cells = [(*divmod(place, rows), counts[place], failed[place]) for place in order]
        return Heatmap(
            x_ns, y_ns, cells, [(round(of_cells[0][at]), round(of_cells[1][at])) for at in order if of_cells]
        )


def _sums(places: list[int], figures: Iterable[_Figure]) -> dict[int, _Figure]:
    sums: defaultdict[int, Any] = defaultdict(int)
    for place, figure in zip(places, figures, strict=True):
        sums[place] += figure
    return sums
