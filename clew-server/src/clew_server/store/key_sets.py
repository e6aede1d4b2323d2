"""Which keys spans have, by the sets of keys that spans have together: there are few of these, however many spans.

They are read from spans, or from what was counted of them by the quarter of an hour when they were stored (schema step 21).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final, NamedTuple

from clew_server.model.completion import KeyCount, KeyPlace, KeyType
from clew_server.store.asking import Question
from clew_server.store.spread import Rows
from clew_server.store.where.binding import Bound

MOST_SETS: Final = 40_000
"""Sets that are read, those of most spans: more than as many spans as are looked at where there is no query."""
_MOST_ROWS: Final = 200_000
"""Rows in which they were counted that are read, about; of more, those of some quarters."""
_LEAST_QUARTERS: Final = 8
"""So many are read at least where some are."""
_LESS: Final = 4
_QUARTER_S: Final = 900
_SECOND_NS: Final = 1_000_000_000
_TYPES: Final[dict[int, KeyType]] = {10: "text", 16: "boolean", 24: "number", 33: "number", 42: "list", 58: "bytes"}
KEYS_OF_SPAN: Final = "`mapKeys(attrs)`"
_COLUMN: Final[dict[KeyPlace, str]] = {
    "span": KEYS_OF_SPAN,
    "event": "`arrayDistinct(arrayFlatten(arrayMap(lambda(tuple(m), mapKeys(m)), event_attrs)))`",
    "link": "`arrayDistinct(arrayFlatten(arrayMap(lambda(tuple(m), mapKeys(m)), link_attrs)))`",
    "scope": "`mapKeys(scope_attrs)`",
}
"""Where the keys of a place were counted."""


class KeySets(NamedTuple):
    """Sets of keys with how many spans have each."""

    sets: Sequence[Sequence[Any]]
    """Keys of the span, the types of their values, keys of its events, its links, its scope; hashes of the resources; how many spans."""

    @property
    def spans(self) -> int:
        """How many spans have these sets."""
        return sum(int(row[-1]) for row in self.sets)

    @property
    def resources(self) -> set[int]:
        """Hashes of all that resources of the spans say."""
        return {int(resource) for row in self.sets for resource in row[-2]}

    @property
    def reason(self) -> str | None:
        """Why these are not all, None where they are."""
        if len(self.sets) < MOST_SETS:
            return None
        return f"keys are those of the {MOST_SETS:,} sets of keys that most spans have"


def of_spans(bound: Mapping[str, str], words: Mapping[str, str], question: Question) -> KeySets:
    """Of the spans for which the conditions `words` hold. Raises as `Question.rows`."""
    return KeySets(question.rows("keys_of_spans", {**bound, "limit": str(MOST_SETS)}, **words))


class Quarters:
    """What was counted of spans by the quarter of an hour, in those that hold a time; in some of these where that is very much."""

    def __init__(self, from_ns: int, to_ns: int, rows: int, spans: int, question: Question) -> None:
        """`rows`: about so many hold what was counted of the time. `spans`: at most so many are in its hours."""
        self._question = question
        self._time_ns = from_ns, to_ns
        self.rows = rows
        self._every = 1
        self._spans = spans

    @classmethod
    def of(
        cls, from_ns: int, to_ns: int, spans: Rows, counted_parts: Mapping[str, int], question: Question
    ) -> Quarters | None:
        """Of a time with these spans. None where some of them were not counted, or in very many rows for so short a time."""
        rows = 0.0
        for part, (all_, of_the_hours) in spans.by_part.items():
            if of_the_hours and part not in counted_parts:
                return None
            rows += counted_parts.get(part, 0) * of_the_hours / all_
        first, last = (ns // _SECOND_NS // _QUARTER_S for ns in (from_ns, to_ns - 1))
        share = (last - first + 1) / ((last // 4 - first // 4 + 1) * 4)
        return cls(from_ns, to_ns, int(rows * share), spans.of_the_hours, question).of_rows(_MOST_ROWS)

    def of_rows(self, most: int) -> Quarters | None:
        """Those of about so many rows at most, in step with no day. None where these are few."""
        every = _in_step_with_no_day(-(-self.rows * self._every // most))
        from_ns, to_ns = self._time_ns
        if every > 1 and to_ns - from_ns < every * _LEAST_QUARTERS * _QUARTER_S * _SECOND_NS:
            return None
        fewer = copy(self)
        fewer.rows, fewer._every = self.rows * self._every // every, every
        return fewer

    @property
    def bound(self) -> dict[str, str]:
        """Which quarters, as parameters."""
        from_ns, to_ns = self._time_ns
        return {
            "from_s": str(from_ns // _SECOND_NS // _QUARTER_S * _QUARTER_S),
            "to_s": str((to_ns - 1) // _SECOND_NS),
            "every": str(self._every),
        }

    @property
    def reason(self) -> str | None:
        """Why this is not all, None where it is."""
        return None if self._every == 1 else f"counted in one of {self._every} quarters of an hour"

    def key_sets(self, condition: str, bound: Mapping[str, str]) -> KeySets | None:
        """Of spans of some services: `condition` on `service` with its parameters, 1 for all. Raises as `Question.rows`.

        None where the quarters that are read have far less than their share: most spans came in a few of the others.
        """
        bound = {**bound, **self.bound, "limit": str(MOST_SETS)}
        columns = {f"KEYS_OF_{place.upper()}": column for place, column in _COLUMN.items()}
        found = KeySets(self._question.rows("key_sets", bound, SERVICE_CONDITIONS=condition, **columns))
        share = self._spans // self._every if condition == "1" else 1
        return None if self._every > 1 and found.spans * _LESS < share else found

    def services(self, place: KeyPlace, keys: Sequence[str], limit: int) -> list[str]:
        """Those with spans that have one of the keys there, `limit` at most, those of most such spans first. Not for keys of resources."""
        bound = {**self.bound, "limit": str(limit)}
        listed = f"[{','.join(map(Bound(bound).text, keys))}]"
        rows = self._question.rows("services_with_keys", bound, KEYS=_COLUMN[place], LISTED=listed)
        return [service for service, _ in rows]


def _in_step_with_no_day(every: int) -> int:
    """At least so many, and such that one of so many quarters is at another time of each hour and day: what runs once a day is met."""
    every = max(1, every)
    while every % 2 == 0 or every % 3 == 0:
        every += 1
    return every


def counted(found: KeySets, keys_of_resource: Mapping[int, Sequence[str]]) -> list[KeyCount]:
    """How many spans have each key in each place, those of most spans first. Resources whose keys are not known lack.

    Of a set whose spans come from resources with different keys it is not known how many come from which: each counts alike.
    """
    counts: dict[tuple[KeyPlace, str], Counter[int]] = {}
    for own, types, of_events, of_links, of_scope, resources, spans in found.sets:
        first: dict[str, int] = {}
        for key, type_ in zip(own, types, strict=False):
            first.setdefault(key, int(type_))
        for key, type_ in first.items():
            counts.setdefault(("span", key), Counter())[type_] += int(spans)
        places: tuple[tuple[KeyPlace, Sequence[str]], ...] = (
            ("event", of_events),
            ("link", of_links),
            ("scope", of_scope),
        )
        for place, beside in places:
            for key in set(beside):
                counts.setdefault((place, key), Counter())[0] += int(spans)
        with_key = Counter(key for resource in resources for key in set(keys_of_resource.get(int(resource), ())))
        for key, some in with_key.items():
            counts.setdefault(("resource", key), Counter())[0] += -(-int(spans) * some // len(resources))
    keys = [
        KeyCount(place, key, _TYPES.get(max(types, key=lambda one: types[one]), "any"), types.total())
        for (place, key), types in counts.items()
    ]
    return sorted(keys, key=lambda one: (-one.spans, one.key, one.place))
