"""How long the windows of a search are."""

from __future__ import annotations

import pytest

from clew_server.store.steps import NewestEnds, Steps

S = 1_000_000_000


def widths(found: list[int], wanted: int, first_ns: int) -> list[int]:
    """The lengths of the windows in s, given how much each of them finds."""
    steps, lengths = Steps(4_000), []
    for more in found:
        if steps.is_over or wanted <= 0:
            break
        lengths.append(steps.width_ns(first_ns) // S)
        steps.note(more, wanted)
        wanted -= more
    return lengths


def test_what_is_not_found_is_looked_for_in_windows_that_grow_until_all_is_looked_at() -> None:
    lengths = widths([0] * 20, 51, 20 * S)
    assert lengths[:4] == [20, 1_280, 81_920, 5_242_880]
    assert len(lengths) == 7
    assert lengths[-1] > 100 * 365 * 86_400


@pytest.mark.parametrize(
    ("found", "next_s"), [(50, 1_000), (40, 1_000), (26, 2_000), (16, 5_000), (10, 8_000), (1, 8_000)]
)
def test_a_window_after_one_that_found_most_is_as_long_as_the_rest_needs(found: int, next_s: int) -> None:
    assert widths([found, 51], 51, 1_000 * S) == [1_000, next_s]


def test_where_the_rest_is_not_where_it_was_expected_windows_grow_as_before() -> None:
    assert widths([50, 0, 0, 0], 51, 1_000 * S) == [1_000, 1_000, 64_000, 4_096_000]
    assert widths([50, 0, 1, 0], 60, 1_000 * S)[2:] == [64_000, 512_000]
    # Some in each: all there is is reached all the same.
    assert widths([1] * 40, 1_000, 10 * S)[-1] > 100 * 365 * 86_400
    assert len(widths([200, *[1] * 40], 1_000, 10 * S)) <= 14


def test_only_the_first_window_is_measured_in_traces() -> None:
    steps = Steps(4_000)
    assert steps.traces == 4_000
    steps.width_ns(S)
    assert steps.traces == 1


def test_windows_that_go_back_ask_for_their_newest_end_twice() -> None:
    asked: list[tuple[int, int]] = []
    ends = NewestEnds(0, lambda from_ns, to_ns: asked.append((from_ns, to_ns)) or to_ns + 5)  # type: ignore[func-returns-value]
    assert [ends.of(90, 100), ends.of(60, 90), ends.of(0, 60)] == [105, 95, 95]
    assert asked == [(90, 100), (0, 90)]
    # Forward, each window is asked for.
    assert [ends.of(100, 120), ends.of(120, 180)] == [125, 185]
    assert asked[2:] == [(100, 120), (120, 180)]
