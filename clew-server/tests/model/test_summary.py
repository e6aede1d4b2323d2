"""The edges of a heatmap fit the data and hold all of it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clew_server.model.summary import COLUMNS, FINE_LENGTHS, ROWS, length_edges, shown_edges, time_edges

HOUR_NS = 3_600_000_000_000


@given(st.integers(946_684_800_000_000_000, 4_000_000_000_000_000_000), st.integers(0, 10**18))
def test_columns_are_equal_round_and_hold_the_time(from_ns: int, length_ns: int) -> None:
    edges = time_edges(from_ns, from_ns + length_ns)
    steps = {after - before for before, after in pairwise(edges)}
    assert len(steps) == 1
    assert edges[0] % steps.pop() == 0
    assert edges[0] <= from_ns < edges[1]
    assert edges[-1] >= max(from_ns + length_ns, from_ns + 1)
    assert 2 <= len(edges) <= COLUMNS + 2


def test_the_last_hour_has_columns_of_half_a_minute() -> None:
    edges = time_edges(1_000_000 * HOUR_NS // 3, 1_000_000 * HOUR_NS // 3 + HOUR_NS)
    assert edges[1] - edges[0] == 30 * 10**9


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_rows_grow_from_the_shortest_length_to_the_longest(one: int, other: int) -> None:
    shortest, longest = min(one, other), max(one, other)
    edges = length_edges(shortest, longest)
    assert edges == sorted(set(edges))
    assert edges[0] == shortest
    assert edges[-2] <= longest < edges[-1]
    assert 2 <= len(edges) <= ROWS + 2


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_rows_that_are_shown_are_made_of_whole_steps_that_were_counted(one: int, other: int) -> None:
    shortest, longest = min(one, other), max(one, other)
    edges = shown_edges(FINE_LENGTHS, shortest, longest)
    if edges is None:
        assert longest < 4 * shortest
        assert shown_edges(length_edges(shortest, longest)[:-1], shortest, longest) == length_edges(shortest, longest)
        return
    assert (edges[0], edges[-1]) == (shortest, longest + 1)
    assert set(edges[1:-1]) <= set(FINE_LENGTHS)
    assert edges == sorted(set(edges))
    assert (len(length_edges(shortest, longest)) - 1) / 2 <= len(edges) - 1 <= ROWS
    steps = {
        bisect_right(FINE_LENGTHS, after) - bisect_right(FINE_LENGTHS, before)
        for before, after in pairwise(edges[1:-1])
    }
    assert len(steps) <= 1
