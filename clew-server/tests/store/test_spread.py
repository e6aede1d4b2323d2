"""Which spans of a time are looked at, and how long it is remembered how many there are."""

from __future__ import annotations

import itertools
from typing import Any

from clew_server.store.spread import ONE_OF, REMEMBERED_S, Rows, Sample, Spread, _one_of

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
        return [["part", self.number, self.number]]


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


def test_where_rows_were_dropped_meanwhile_it_is_asked_again_how_many_they_are() -> None:
    spread, keys = Spread(clock_s=lambda: 50.0), Keys(100_000)
    assert looked_at(spread, keys) == (100, 1_000)
    keys.number = 2_000
    assert looked_at(spread, keys) == (100, 20)
    assert keys.asked == 2


def test_only_parts_in_which_blocks_are_taken_are_looked_into() -> None:
    parts = {"20260102_5_9_1": 700_000, "20260101_10_10_0": 3_000, "20260101_2_8_1": 500_000, "20260101_9_9_0": 900}
    rows = Rows({part: (all_, all_) for part, all_ in parts.items()})
    sample = _one_of(200, rows)
    chosen = [int(number) for number in sample.bound["chosen"][1:-1].split(",")]
    first, expected = 0, set()
    for part in ("20260101_2_8_1", "20260101_9_9_0", "20260101_10_10_0", "20260102_5_9_1"):  # as the engine has them
        if any(number * 1_024 < first + parts[part] and (number + 1) * 1_024 > first for number in chosen):
            expected.add(part)
        first += parts[part]
    assert {one.strip("'") for one in sample.bound["parts"][1:-1].split(",")} == expected != set(parts)
    other_hours = Rows({part: (all_, all_ if part.startswith("20260102") else 0) for part, all_ in parts.items()})
    assert _one_of(200, other_hours).bound == sample.bound | {"parts": "['20260102_5_9_1']"}


def test_the_parts_of_blocks_are_those_that_the_engine_finds_them_in(opened: Any) -> None:
    for day in range(3):
        for _ in range(3):
            opened.put_spans(1_500, arrival_unix_nano=(1_764_374_400 + day * 86_400) * 1_000_000_000)
    by_part = {
        part: (int(rows), int(rows)) for part, rows in opened.ask("SELECT _part, count() FROM spans GROUP BY _part")
    }
    sample = _one_of(3, Rows(by_part))
    numbers = sample.bound["chosen"][1:-1]
    found = opened.ask(
        f"SELECT DISTINCT _part FROM spans WHERE intDiv(_part_starting_offset+_part_offset,1024) IN ({numbers})"
    )
    assert {part for (part,) in found} == {one.strip("'") for one in sample.bound["parts"][1:-1].split(",")}


def test_blocks_are_not_in_step_with_hours_that_are_equally_long() -> None:
    """Of 24 hours of 25 blocks, with services in the same order in each: each tenth of an hour has its share."""
    hours, of_an_hour = 24, 25
    keys = Keys(hours * of_an_hour * 1_024)
    chosen: list[int] = []

    def look(sample: Sample) -> tuple[int, None]:
        chosen.extend(int(number) for number in sample.bound["chosen"][1:-1].split(","))
        return wanted, None

    wanted = keys.number // of_an_hour
    Spread().looked_at(wanted, BOUND, keys, look)  # type: ignore[arg-type]  # it has what is used
    assert len(chosen) == hours
    assert [number // of_an_hour for number in chosen] == list(range(hours))
    places = sorted(number % of_an_hour for number in chosen)
    assert places[0] < 3
    assert places[-1] > 21
    assert max(after - before for before, after in itertools.pairwise(places)) <= 3


def test_which_block_of_a_run_is_taken_is_the_same_in_the_engine(opened: Any) -> None:
    """Where blocks are too many to be listed, each row of the time is asked for its own."""
    rows, every = 3_000_000, 7
    block = "intDiv(number,1024)"
    condition = ONE_OF.replace("intDiv(_part_starting_offset+_part_offset,1024)", block).replace(
        "{every:UInt64}", f"toUInt64({every})"
    )
    found = [
        int(one)
        for (one,) in opened.ask(f"SELECT DISTINCT {block} AS b FROM numbers({rows}) WHERE {condition} ORDER BY b")
    ]
    listed = [
        int(one) for one in _one_of(every, Rows({"20260101_1_1_0": (rows, rows)})).bound["chosen"][1:-1].split(",")
    ]
    assert found == [one for one in listed if one <= rows // 1_024]
    assert len(found) > 400
