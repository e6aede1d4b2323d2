"""All traces that match, as figures: totals, a heatmap, facets. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

COLUMNS: Final = 120
ROWS: Final = 40
SHOWN_VALUES: Final = 10
"""Values of a facet that are given."""
_STEPS_S: Final = (1, 2, 5, 10, 15, 20, 30)
_SECOND_NS: Final = 1_000_000_000
_UNITS_S: Final = (
    (1, _STEPS_S),
    (60, (1, 2, 3, 5, 10, 15, 20, 30)),
    (3_600, (1, 2, 3, 6, 12)),
    (86_400, (1, 2, 7, 14, 30, 90, 365)),
)


class Box(NamedTuple):
    """A selection in the heatmap: traces that start in a time and last so long; the ends are not in it."""

    from_unix_nano: int
    to_unix_nano: int
    shortest_ns: int
    longest_ns: int


class Totals(NamedTuple):
    """How many traces; `failed` of them hold a failed span, `selected` lie in the box, `selected_failed` both."""

    matched: int
    failed: int
    selected: int
    selected_failed: int


class Heatmap(NamedTuple):
    """Edges, one more than there are columns and rows; cells (column, row, traces, failed ones), those with traces only.

    `estimated` is of each cell how many traces, and failed ones, there were (`Summary.estimated`); empty where nothing was sampled.
    """

    x_unix_nano: Sequence[int]
    y_ns: Sequence[int]
    cells: Sequence[tuple[int, int, int, int]]
    estimated: Sequence[tuple[int, int]] = ()


class FacetValue(NamedTuple):
    """A value, how many traces have a span with it, how many of them failed and lie in the box."""

    value: str
    traces: int
    failed: int
    selected: int


FacetPlace = Literal["language", "span", "resource"]


class Facet(NamedTuple):
    """All values of a key that has few, the most frequent first."""

    place: FacetPlace
    key: str
    values: Sequence[FacetValue]


@dataclass(frozen=True, slots=True)
class Summary:
    """`lengths_ns` are the 50th, 95th and 99th percentile of the lengths, empty where nothing matches.

    `estimated`: how many traces there were, where some carry the probability with which they were sampled, None where none does.
    Facets are counted in the traces that start from `facets_from_unix_nano` to before `facets_to_unix_nano`, which are `facets_of`.
    """

    totals: Totals
    lengths_ns: Sequence[int]
    heatmap: Heatmap
    facets: Sequence[Facet]
    facets_of: Totals
    facets_from_unix_nano: int
    facets_to_unix_nano: int
    complete: bool
    reason: str | None
    estimated: Totals | None = None


def time_edges(from_ns: int, to_ns: int) -> list[int]:
    """Multiples of a round step, the first not after `from_ns`, the last not before `to_ns`; about `COLUMNS` steps at most."""
    length_ns = max(1, to_ns - from_ns)
    step_ns = _step(length_ns)
    first_ns = from_ns // step_ns * step_ns
    count = -(-(max(to_ns, from_ns + 1) - first_ns) // step_ns)
    return [first_ns + number * step_ns for number in range(count + 1)]


def _step(length_ns: int) -> int:
    power = 1
    while power < _SECOND_NS:
        for factor in (1, 2, 5):
            if factor * power * COLUMNS >= length_ns:
                return factor * power
        power *= 10
    for unit_s, factors in _UNITS_S:
        for factor in factors:
            if factor * unit_s * _SECOND_NS * COLUMNS >= length_ns:
                return factor * unit_s * _SECOND_NS
    return -(-length_ns // COLUMNS)


def length_edges(shortest_ns: int, longest_ns: int) -> list[int]:
    """At most `ROWS` steps of equal ratio from the shortest length to just above the longest."""
    first, last = max(1, shortest_ns), longest_ns + 1
    ratio = last / first
    edges = {round(first * ratio ** (number / ROWS)) for number in range(1, ROWS)}
    return sorted({shortest_ns, last, *(edge for edge in edges if shortest_ns < edge < last)})


_STEPS_OF_AN_OCTAVE: Final = 12
FINE_LENGTHS: Final = (
    0,
    *sorted({round(2 ** (number / _STEPS_OF_AN_OCTAVE)) for number in range(63 * _STEPS_OF_AN_OCTAVE)}),
)
"""Lower edges of steps of equal ratio that hold all lengths there can be: lengths can be counted by them before it is known which there are."""


def shown_edges(counted: Sequence[int], shortest_ns: int, longest_ns: int) -> list[int] | None:
    """Edges as of `length_edges`, but of those that lengths were counted by, so that what was counted can be summed.

    All but the outermost steps are of equally many of the counted ones. None where these are too coarse.
    """
    inside = counted[bisect_right(counted, shortest_ns) : bisect_right(counted, longest_ns)]
    every = -(-(len(inside) + 1) // ROWS)
    edges = [shortest_ns, *inside[every - 1 :: every], longest_ns + 1]
    wanted = length_edges(shortest_ns, longest_ns)
    return edges if 2 * (len(edges) - 1) >= len(wanted) - 1 else None
