"""Which spans of a time are looked at, and how long it is remembered how many there are."""

from __future__ import annotations

from typing import Any

from clew_server.store.spread import REMEMBERED_S, Sample, Spread

HOUR_NS = 3_600_000_000_000
BOUND = {"from_ns": str(HOUR_NS), "to_ns": str(2 * HOUR_NS)}


class Keys:
    """What the engine's keys in memory say, and how often they were asked."""

    def __init__(self, rows: int) -> None:
        self.damaged: dict[tuple[str, str], str] = {}
        self.number = rows
        self.asked = 0

    def rows(self, name: str, parameters: dict[str, str], **words: str) -> list[list[Any]]:
        self.asked += 1
        return [[self.number, self.number]]


def looked_at(spread: Spread, keys: Keys, bound: dict[str, str] = BOUND) -> tuple[int, int]:
    """How many spans were seen, and of how many one was taken."""

    def look(sample: Sample) -> tuple[int, None]:
        return keys.number // int(sample.bound.get("every", 1)), None

    _, seen, every = spread.looked_at(100, bound, keys, look)  # type: ignore[arg-type]  # it has what is used
    return seen, every


def test_of_many_rows_it_is_remembered_for_a_moment_how_many_they_are() -> None:
    now_s = 50.0
    spread, keys = Spread(clock_s=lambda: now_s), Keys(10_000)
    assert looked_at(spread, keys) == (100, 100)
    keys.number = 11_000
    assert looked_at(spread, keys) == (110, 100)
    assert keys.asked == 1
    now_s += REMEMBERED_S
    assert looked_at(spread, keys) == (100, 110)
    assert keys.asked == 2


def test_of_few_rows_nothing_is_remembered_since_one_more_may_matter() -> None:
    spread, keys = Spread(clock_s=lambda: 50.0), Keys(90)
    assert looked_at(spread, keys) == (90, 1)
    keys.number = 300
    assert looked_at(spread, keys) == (100, 3)
    assert keys.asked == 2


def test_each_time_has_rows_of_its_own_and_only_some_times_are_remembered() -> None:
    spread, keys = Spread(clock_s=lambda: 50.0), Keys(10_000)
    for hour in range(100):
        looked_at(spread, keys, {"from_ns": str(hour * HOUR_NS), "to_ns": str(200 * HOUR_NS)})
    assert keys.asked == 100
    assert len(spread._remembered) == 16


def test_where_rows_were_dropped_meanwhile_more_of_the_rest_are_looked_at() -> None:
    spread, keys = Spread(clock_s=lambda: 50.0), Keys(100_000)
    assert looked_at(spread, keys) == (100, 1_000)
    keys.number = 2_000
    seen, every = looked_at(spread, keys)
    assert keys.asked == 1
    assert seen >= 50
    assert every < 50
