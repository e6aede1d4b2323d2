"""Answers of completion that are given again while somebody types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from clew_server.errors import Unavailable
from clew_server.model.completion import (
    Counted,
    KeyCount,
    ValueCount,
    ValuesAsked,
    first_values,
    only_first,
    with_reason,
)
from clew_server.model.search import Search
from clew_server.query.remembered_answers import REMEMBERED_S
from clew_server.query.remembered_completion import RememberedCompletion

HOUR_NS = 3_600_000_000_000
NOW_NS = 1_800_000_000_000_000_000


class Store:
    """A store with these values, the most frequent first; it counts how often it is asked."""

    def __init__(self, values: Sequence[ValueCount], *, of_many: bool = False) -> None:
        self.values = list(values)
        self.of_many = of_many
        self.asked: list[object] = []

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        self.asked.append(search)
        return Counted([KeyCount("span", f"key{len(self.asked)}", "text", 1)], not self.of_many, None, self.of_many)

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        self.asked.append(asked)
        found = [one for one in self.values if asked.prefix in one.value]
        cut = len(found) > asked.limit
        return Counted(found[: asked.limit], not cut, only_first(asked.limit) if cut else None)


class Sampled(Store):
    """Its sample has every hundredth of its values, or every fifth where it is asked to be thorough."""

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        found = replace(super().attribute_values(search, asked), found=self.values[:: 5 if asked.thorough else 100])
        found = first_values(found, asked.prefix, asked.limit)
        return replace(found, complete=False, reason=with_reason(found.reason, "a sample"), of_many=True)


def test_where_a_sample_has_few_values_for_what_was_typed_more_spans_are_looked_at_once() -> None:
    store = Sampled([ValueCount(f"/{number:03}", 1) for number in range(1_000)])
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock())

    def typed(prefix: str, limit: int = 20) -> list[str]:
        return [
            one.value
            for one in completion.attribute_values(Search(), ValuesAsked("attr", "k", prefix=prefix, limit=limit)).found
        ]

    assert typed("") == typed("/") == [f"/{number:03}" for number in range(0, 1_000, 100)]
    assert typed("/3", limit=1) == ["/300"]
    assert [one.thorough for one in store.asked] == [False]
    assert typed("/32") == ["/320", "/325"]
    assert typed("/325") == ["/325"]
    assert typed("/326") == []
    assert [one.thorough for one in store.asked] == [False, True]


class Slow(Sampled):
    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        if asked.thorough:
            raise Unavailable("The store did not answer: stopped after 2 s")
        return super().attribute_values(search, asked)


def test_where_more_spans_take_too_long_the_values_of_the_sample_are_given() -> None:
    completion = RememberedCompletion(Slow([ValueCount("/1", 1)]), lambda: 0, clock_s=Clock())
    found = completion.attribute_values(Search(), ValuesAsked("attr", "k", prefix="/1"))
    assert ([one.value for one in found.found], found.complete) == (["/1"], False)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_keys_are_asked_for_again_only_after_some_seconds() -> None:
    store, clock = Store([]), Clock()
    completion = RememberedCompletion(store, lambda: 0, clock_s=clock)
    first = completion.attribute_keys(Search())
    clock.now_s += REMEMBERED_S - 0.1
    assert completion.attribute_keys(Search()) is first
    clock.now_s += 0.2
    assert completion.attribute_keys(Search()) != first
    assert len(store.asked) == 2


def test_a_time_that_has_moved_by_little_of_its_length_is_the_same() -> None:
    store, clock_ns = Store([]), [NOW_NS]
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock(), clock_ns=lambda: clock_ns[0])
    completion.attribute_keys(Search(from_unix_nano=NOW_NS - HOUR_NS))
    clock_ns[0] += 400_000_000
    completion.attribute_keys(Search(from_unix_nano=clock_ns[0] - HOUR_NS))
    assert len(store.asked) == 1
    for other in (
        Search(from_unix_nano=NOW_NS - HOUR_NS // 2),
        Search(from_unix_nano=NOW_NS - 25 * HOUR_NS),
        Search(from_unix_nano=NOW_NS - HOUR_NS, to_unix_nano=NOW_NS - HOUR_NS // 2),
        Search(),
    ):
        completion.attribute_keys(other)
    assert len(store.asked) == 5


@pytest.mark.parametrize("length_ns", [HOUR_NS // 60, HOUR_NS // 4, HOUR_NS, 24 * HOUR_NS])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_sample_of_the_last_hour_is_given_while_the_hour_moves_on_and_one_of_a_fixed_time_is_not(
    length_ns: int, is_open: bool
) -> None:
    store, clock, clock_ns = Store([], of_many=True), Clock(), [NOW_NS]
    completion = RememberedCompletion(store, lambda: 0, clock_s=clock, clock_ns=lambda: clock_ns[0])

    def last() -> Search:
        # The time that is asked for ends a little before the clock is read here.
        ends_ns = clock_ns[0] - 3_000_000
        return Search(from_unix_nano=ends_ns - length_ns, to_unix_nano=None if is_open else ends_ns)

    first = completion.attribute_keys(last())
    for _ in range(30):
        clock_ns[0] += 150_000_000
        clock.now_s += 0.02  # never so old that it is counted anew
        assert completion.attribute_keys(last()) is first
    assert len(store.asked) == 1
    for ago in (length_ns, 2 * length_ns):
        completion.attribute_keys(Search(from_unix_nano=NOW_NS - ago - length_ns, to_unix_nano=NOW_NS - ago))
    completion.attribute_keys(replace(last(), from_unix_nano=clock_ns[0] - length_ns * 11 // 10))
    assert len(store.asked) == 4
    completion.close()


def test_a_whole_count_of_the_last_minute_is_not_that_of_the_minute_four_seconds_later() -> None:
    store, clock_ns = Store([]), [NOW_NS]
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock(), clock_ns=lambda: clock_ns[0])
    for seconds in range(0, 5, 4):
        clock_ns[0] = NOW_NS + seconds * 1_000_000_000
        completion.attribute_keys(Search(from_unix_nano=clock_ns[0] - HOUR_NS // 60, to_unix_nano=clock_ns[0]))
    assert len(store.asked) == 2


def test_all_values_there_are_answer_for_every_text() -> None:
    store = Store([ValueCount("GET", 9), ValueCount("target", 8), ValueCount("Tail", 1), ValueCount("POST", 1)])
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock())
    assert completion.attribute_values(Search(), ValuesAsked("attr", "a", limit=2)) == Counted(
        [ValueCount("GET", 9), ValueCount("target", 8)], False, "the first 2 values"
    )
    assert completion.attribute_values(Search(), ValuesAsked("attr", "a", prefix="TA")).found == [
        ValueCount("target", 8),
        ValueCount("Tail", 1),
    ]
    assert len(store.asked) == 1
    completion.attribute_values(Search(), ValuesAsked("attr", "b", prefix="TA"))
    assert len(store.asked) == 2


def test_of_too_many_values_each_text_is_asked_for() -> None:
    store = Store([ValueCount(f"id-{number}", 1) for number in range(3_000)])
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock())
    rare = ValuesAsked("attr", "a", prefix="2999")
    for _ in range(2):
        assert completion.attribute_values(Search(), rare).found == [ValueCount("id-2999", 1)]
    assert len(store.asked) == 2


def test_only_so_many_answers_are_remembered() -> None:
    store = Store([])
    completion = RememberedCompletion(store, lambda: 0, clock_s=Clock())
    for at in range(100):
        completion.attribute_keys(Search(limit=at + 1))
    completion.attribute_keys(Search(limit=100))
    assert len(store.asked) == 100
    completion.attribute_keys(Search(limit=1))
    assert len(store.asked) == 101


def test_what_was_stored_since_is_suggested() -> None:
    store, stored = Store([ValueCount("GET", 1)]), [1]
    completion = RememberedCompletion(store, lambda: stored[0], clock_s=Clock())
    asked = ValuesAsked("attr", "a")
    assert completion.attribute_values(Search(), asked) == completion.attribute_values(Search(), asked)
    store.values.append(ValueCount("PUT", 1))
    stored[0] += 1
    assert len(completion.attribute_values(Search(), asked).found) == 2
    assert len(store.asked) == 2


def test_an_answer_during_which_something_was_stored_is_not_remembered() -> None:
    store, stored = Store([]), [1]
    keys = store.attribute_keys

    def asked_while_storing(search: Search) -> Counted[KeyCount]:
        found = keys(search)
        stored[0] += 1
        return found

    store.attribute_keys = asked_while_storing  # type: ignore[method-assign]
    completion = RememberedCompletion(store, lambda: stored[0], clock_s=Clock())
    completion.attribute_keys(Search())
    completion.attribute_keys(Search())
    assert len(store.asked) == 2
