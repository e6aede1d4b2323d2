"""How long a segment waits for more spans."""

from __future__ import annotations

import pytest

from clew_server.collector.pace import Pace


def after(*took_s: float) -> float:
    pace = Pace(2.5, 2.9)
    for one in took_s:
        pace.stored(one)
    return pace.sealed_after_s()


def test_nothing_waits_longer_before_something_was_stored() -> None:
    assert after() == 2.5


@pytest.mark.parametrize(
    ("usually_s", "sealed_after_s"), [(0.01, 2.75), (0.2, 2.7), (0.3, 2.6), (0.5, 2.5), (9.0, 2.5)]
)
def test_a_segment_waits_as_long_as_it_is_still_stored_in_time(usually_s: float, sealed_after_s: float) -> None:
    assert after(*[usually_s] * 40) == pytest.approx(sealed_after_s)


def test_one_that_takes_long_counts_at_once_and_is_forgotten_after_some() -> None:
    quick = [0.2] * 40
    assert after(*quick, 1.0) == 2.5
    assert after(*quick, 1.0, *quick) == pytest.approx(2.7)


@pytest.mark.parametrize("flush_after_s", [0.05, 60.0])
def test_a_time_of_another_length_is_at_most_a_tenth_longer(flush_after_s: float) -> None:
    pace = Pace(flush_after_s, 2.9)
    for _ in range(40):
        pace.stored(0.01)
    assert flush_after_s <= pace.sealed_after_s() <= flush_after_s * 1.1
