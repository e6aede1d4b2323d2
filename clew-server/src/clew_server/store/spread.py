"""Some of the spans of a time, spread evenly over the store's rows, chosen without looking at the others.

Rows are counted through all parts of the table, and of so many blocks of them one is taken. They are sorted by hour, service and
operation, so each of these gives about its share. Not always the same one of so many: hours are about equally long, and so would have the
same services chosen, and others never. Merges and new parts leave the place of a row as it is, so that the statements of one question
look at the same spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

from clew_server.store.asking import Question
from clew_server.store.connections import EngineError

Found = TypeVar("Found")

_BLOCK: Final = 1_024
"""Rows that are taken together: what the engine reads together (`index_granularity` of `spans`)."""
_MOST_BLOCKS: Final = 4_096
"""Blocks that are listed; of more, each row of the time is asked for its block."""
_OF_BLOCK: Final = f"intDiv(_part_starting_offset+_part_offset,{_BLOCK})"
_GOLDEN: Final = 2_654_435_769
"""Its multiples by 2^32, less whole numbers, lie evenly between 0 and 1, and in step with nothing: it is the golden ratio."""
ONE_OF: Final = (
    f"{_OF_BLOCK}%{{every:UInt64}}="
    f"bitShiftRight(bitAnd((intDiv({_OF_BLOCK},{{every:UInt64}})+1)*{_GOLDEN},4294967295)*{{every:UInt64}},32)"
)
"""One of so many blocks; asks each row of the time."""
_LISTED: Final = f"_part IN {{parts:Array(String)}} AND {_OF_BLOCK} IN {{chosen:Array(UInt64)}}"
"""The same, whose blocks the engine finds by their numbers. To look for them in a part that has none takes a third of a millisecond."""
_NONE_SEEN: Final = 32
"""How many times as many spans are looked at where none was seen."""
REMEMBERED_S: Final = 5.0
_BY_FAR: Final = 8
"""So many times as many spans as are looked at: then some more of them change nothing."""
_MOST_REMEMBERED: Final = 16
_HOUR_S: Final = 3_600
_HOUR_NS: Final = 3_600_000_000_000


class Sample(NamedTuple):
    """Some of the spans of a time: a condition to read by, and its parameters."""

    condition: str
    bound: dict[str, str]


_ALL: Final = Sample("1", {})


class Rows(NamedTuple):
    """Rows of `spans` about some hours."""

    by_part: Mapping[str, tuple[int, int]]
    """By the name of each part: all of its rows, and how many of them at most start in these hours."""

    @property
    def all(self) -> int:
        """In the whole table."""
        return sum(all_ for all_, _ in self.by_part.values())

    @property
    def of_the_hours(self) -> int:
        """At most so many start in these hours."""
        return sum(of_the_hours for _, of_the_hours in self.by_part.values())


class Spread:
    """Chooses spans. Safe for several threads.

    What the hours hold is remembered for a moment where by far not all of it is looked at: one who completes a query asks several questions
    about a time, and what is stored meanwhile is a small part of that.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._remembered: dict[tuple[str, ...], tuple[float, Rows]] = {}
        """By the hours, until when."""

    def looked_at(
        self, wanted: int, bound: dict[str, str], question: Question, look: Callable[[Sample], tuple[int, Found]]
    ) -> tuple[Found, int, int]:
        """What `look` says of about so many of the spans of a time, how many these were, and of how many one was taken: 1 where these are all.

        The time is from the parameter `from_ns` to before `to_ns`. `look` is told which spans, and says how many it saw. Raises as `Question.rows`.
        """
        rows, is_new = self._known(wanted, bound, question)
        every = -(-rows.of_the_hours // wanted)
        while every > 1:
            seen, found = look(_one_of(every, rows))
            if seen * 2 >= wanted:
                return found, seen, every
            if not is_new:  # parts may have been merged since
                self._remembered = {}
                return self.looked_at(wanted, bound, question, look)
            # The time begins or ends within an hour that has more spans than it.
            every = seen * every // wanted if seen else every // _NONE_SEEN
        seen, found = look(_ALL)
        return found, seen, 1

    def rows(self, wanted: int, bound: dict[str, str], question: Question) -> Rows:
        """What the hours of a time hold of which so many spans are wanted. Raises as `Question.rows`."""
        return self._known(wanted, bound, question)[0]

    def _known(self, wanted: int, bound: dict[str, str], question: Question) -> tuple[Rows, bool]:
        """The same, and whether it was asked for now."""
        hours = {name: str(int(bound[f"{name}_ns"]) // _HOUR_NS * _HOUR_S) for name in ("from", "to")}
        now_s, about = self._clock_s(), tuple(hours.values())
        until_s, rows = self._remembered.get(about, (now_s, None))
        if rows is not None and now_s < until_s:
            return rows, False
        rows = _rows_of_hours(hours, question)
        others = {key: one for key, one in list(self._remembered.items()) if now_s < one[0]}
        if rows.of_the_hours >= wanted * _BY_FAR and len(others) < _MOST_REMEMBERED:
            others[about] = now_s + REMEMBERED_S, rows
        self._remembered = others
        return rows, True


def _one_of(every: int, rows: Rows) -> Sample:
    """One of so many blocks of these rows."""
    runs = -(-rows.all // (_BLOCK * every))
    if runs > _MOST_BLOCKS:
        return Sample(ONE_OF, {"every": str(every)})
    chosen = [run * every + (((run + 1) * _GOLDEN & 0xFFFFFFFF) * every >> 32) for run in range(runs)]
    parts: list[str] = []
    first = at = 0
    for part in sorted(rows.by_part, key=_place):
        all_, of_the_hours = rows.by_part[part]
        # Blocks are of all rows in their order: one may begin in one part and end in the next.
        while at < runs and (chosen[at] + 1) * _BLOCK <= first:
            at += 1
        if of_the_hours and at < runs and chosen[at] * _BLOCK < first + all_:
            parts.append(part)
        first += all_
    numbers = ",".join(map(str, chosen))
    listed = ",".join(f"'{part}'" for part in parts)
    return Sample(_LISTED, {"every": str(every), "chosen": f"[{numbers}]", "parts": f"[{listed}]"})


def _place(part: str) -> tuple[str, list[int]]:
    """By which the engine orders parts: `partition_first_last_level`, of blocks that were inserted, and of changes at its end."""
    partition, *numbers = part.split("_")
    return partition, [int(number) for number in numbers]


def _rows_of_hours(hours: dict[str, str], question: Question) -> Rows:
    """What the keys in memory say. Those of a damaged part are left out by its name, since they are no rows of `spans` to the engine."""
    while True:
        damaged = [part for table, part in question.damaged if table == "spans"]
        names = ",".join(f"'{part}'" for part in ["", *damaged])
        try:
            rows = question.rows("rows_of_hours", hours, IS_READ=f"part_name NOT IN ({names})")
        except EngineError:
            if len(damaged) == len([part for table, part in question.damaged if table == "spans"]):
                raise
        else:
            return Rows({part: (int(all_), int(of_the_hours)) for part, all_, of_the_hours in rows})
