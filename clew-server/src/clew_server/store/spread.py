"""Some of the spans of a time, spread evenly over the store's rows, chosen without looking at the others.

Rows are counted through all parts of the table, and blocks of them are taken at equal distances. They are sorted by hour, service and
operation, so each of these gives about its share. Merges and new parts leave the place of a row as it is, so that the statements of one question
look at the same spans.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from clew_server.store.asking import Question
from clew_server.store.connections import EngineError

_BLOCK: Final = 1_024
"""Rows that are taken together: what the engine reads together (`index_granularity` of `spans`)."""
_MOST_BLOCKS: Final = 4_096
"""Blocks that are listed; of more, each row of the time is asked for its block."""
_OF_BLOCK: Final = f"intDiv(_part_starting_offset+_part_offset,{_BLOCK})"
ONE_OF: Final = f"{_OF_BLOCK}%{{every:UInt64}}=0"
"""One of so many blocks; asks each row of the time."""
_LISTED: Final = f"{_OF_BLOCK} IN range({{first:UInt64}},{{blocks:UInt64}},{{every:UInt64}})"
"""The same, whose blocks the engine finds by their numbers."""
_NONE_FOUND: Final = 32
"""How many times as many spans are looked at where none was found."""
_HOUR_S: Final = 3_600
_HOUR_NS: Final = 3_600_000_000_000


class Sample(NamedTuple):
    """Some of the spans of a time: a condition to read by, its parameters, and `every`, of how many spans one is taken."""

    condition: str
    bound: dict[str, str]
    every: int


ALL: Final = Sample("1", {}, 1)


def about(wanted: int, window: str, bound: dict[str, str], question: Question) -> tuple[Sample, int]:
    """About so many of the spans of a window, and how many were found; all of them (and 0) where there are no more.

    `window` is a condition on spans that start from the parameter `from_ns` to before `to_ns`. Raises as `Question.rows`.
    """
    hours = {name: str(int(bound[f"{name}_ns"]) // _HOUR_NS * _HOUR_S) for name in ("from", "to")}
    rows, of_the_hours = _rows_of_hours(hours, question)
    every = -(-of_the_hours // wanted)
    while every > 1:
        blocks = -(-rows // _BLOCK)
        numbers = {"every": str(every), "first": str(every // 2), "blocks": str(blocks)}
        sample = Sample(_LISTED if blocks <= every * _MOST_BLOCKS else ONE_OF, numbers, every)
        words = {"SAMPLE": sample.condition, "SPAN_WINDOW": window}
        found = int(question.rows("spans_of_sample", {**bound, **numbers}, **words)[0][0])
        if found * 2 >= wanted:
            return sample, found
        # The time begins or ends within an hour that has more spans than it.
        every = found * every // wanted if found else every // _NONE_FOUND
    return ALL, 0


def _rows_of_hours(hours: dict[str, str], question: Question) -> tuple[int, int]:
    """What the keys in memory say. Those of a damaged part are left out by its name, since they are no rows of `spans` to the engine."""
    while True:
        damaged = [part for table, part in question.damaged if table == "spans"]
        names = ",".join(f"'{part}'" for part in ["", *damaged])
        try:
            rows, of_the_hours = question.rows("rows_of_hours", hours, IS_READ=f"part_name NOT IN ({names})")[0]
        except EngineError:
            if len(damaged) == len([part for table, part in question.damaged if table == "spans"]):
                raise
        else:
            return int(rows), int(of_the_hours)
