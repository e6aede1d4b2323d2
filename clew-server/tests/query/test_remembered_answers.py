"""Answers that are given again, and samples that are counted anew behind them."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from clew_server.model.completion import Counted
from clew_server.query.remembered_answers import REMEMBERED_S, RENEWED_AFTER_S, RememberedAnswers
from clew_server.store.cancelling import CURRENT, Cancellation


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.005)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """What is stored, and a count of it that may be held up, or fail."""

    def __init__(self, *, of_many: bool = True) -> None:
        self.stored = 1
        self.of_many = of_many
        self.begun: list[int] = []
        self.ended = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.failure: Exception | None = None
        self.cancellations: list[Cancellation | None] = []

    def count(self) -> Counted[int]:
        seen = self.stored
        self.begun.append(seen)
        self.cancellations.append(CURRENT.get())
        assert self.may_end.wait(100)
        self.ended += 1
        if self.failure is not None:
            raise self.failure
        return Counted([seen], False, "a sample", self.of_many)


class Asked:
    """A store, a clock, and what is remembered of the one by the other."""

    def __init__(self, *, of_many: bool = True) -> None:
        self.store = Store(of_many=of_many)
        self.clock = Clock()
        self.answers = RememberedAnswers(lambda: self.store.stored, clock_s=self.clock)
        self._before = threading.enumerate()

    def ask(self, key: str = "keys", *more: str) -> int:
        return self.answers.get([key, *more], self.store.count).found[0]

    def later(self, seconds: float) -> None:
        """More is stored, and time goes by."""
        self.store.stored += 1
        self.clock.now_s += seconds

    def close(self) -> None:
        """Close, and wait until what runs has ended."""
        self.answers.close()
        until(lambda: not any(one.name.startswith("clew-renew") for one in self._threads()))

    def _threads(self) -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one not in self._before]


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.store.may_end.set()
    made.answers.close()


def test_a_sample_is_given_at_once_and_counted_anew_behind_it(asked: Asked) -> None:
    assert asked.ask() == 1
    asked.store.may_end.clear()
    asked.later(RENEWED_AFTER_S)
    assert [asked.ask() for _ in range(20)] == [1] * 20
    until(lambda: len(asked.store.begun) == 2)
    assert [asked.ask() for _ in range(20)] == [1] * 20
    asked.store.may_end.set()
    until(lambda: asked.ask() == 2)
    assert asked.store.begun == [1, 2]


def test_a_sample_is_counted_anew_only_when_more_was_stored_and_it_is_a_second_old(asked: Asked) -> None:
    asked.ask()
    asked.later(RENEWED_AFTER_S - 0.1)
    asked.ask()
    asked.store.stored -= 1
    asked.clock.now_s += 0.2
    asked.ask()
    asked.close()
    assert asked.store.begun == [1]


def test_what_is_asked_for_again_and_again_is_never_counted_while_one_waits(asked: Asked) -> None:
    asked.ask()
    here = threading.current_thread()
    threads: list[threading.Thread] = []

    def count() -> Counted[int]:
        threads.append(threading.current_thread())
        return asked.store.count()

    for stored in range(2, 12):
        asked.later(RENEWED_AFTER_S)
        until(lambda now=stored: asked.answers.get(["keys"], count).found[0] == now)  # type: ignore[misc]
    assert 10 * RENEWED_AFTER_S > REMEMBERED_S
    assert len(threads) == 10
    assert here not in threads


def test_where_everything_was_counted_it_is_counted_again_as_soon_as_more_is_stored() -> None:
    asked = Asked(of_many=False)
    assert [asked.ask(), asked.ask()] == [1, 1]
    asked.later(0)
    assert [asked.ask(), asked.ask()] == [2, 2]
    assert asked.store.begun == [1, 2]


def test_a_sample_during_whose_count_something_was_stored_is_remembered(asked: Asked) -> None:
    count = asked.store.count

    def while_storing() -> Counted[int]:
        found = count()
        asked.store.stored += 1
        return found

    assert [asked.answers.get(["keys"], while_storing).found[0] for _ in range(2)] == [1, 1]
    assert asked.store.begun == [1]


def test_a_count_that_fails_is_noted_and_the_answer_ends_with_its_time(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="clew_server.query.remembered_answers")
    asked.ask()
    asked.store.failure = ValueError("the disk is on fire")
    for tries in (1, 2):
        asked.later(RENEWED_AFTER_S)

        def is_tried(times: int = tries) -> bool:
            assert asked.ask() == 1
            return len(caplog.records) == times

        until(is_tried)
    assert {(one.levelname, "the disk is on fire" in one.getMessage()) for one in caplog.records} == {("DEBUG", True)}
    asked.clock.now_s += REMEMBERED_S - 2 * RENEWED_AFTER_S
    with pytest.raises(ValueError, match="on fire"):
        asked.ask()


def test_a_count_that_failed_is_not_tried_again_with_each_question(asked: Asked) -> None:
    for key in ("keys", "values", "more values"):
        asked.ask(key)
    asked.store.failure = ValueError("the disk is on fire")
    asked.later(RENEWED_AFTER_S)
    asked.ask()
    # There is one thread: once it counts for the next question, it is done with those before.
    asked.ask("values")
    until(lambda: asked.store.ended == 5)
    asked.clock.now_s += RENEWED_AFTER_S / 2
    for _ in range(5):
        asked.ask()
    asked.ask("more values")
    until(lambda: asked.store.ended >= 6)
    asked.close()
    assert asked.store.begun == [1, 1, 1, 2, 2, 2]


def test_an_answer_is_counted_anew_once_at_a_time_however_long_that_takes(asked: Asked) -> None:
    asked.ask()
    asked.ask("values")
    asked.store.may_end.clear()
    for _ in range(3):
        asked.later(RENEWED_AFTER_S)
        assert asked.ask() == 1
    until(lambda: len(asked.store.begun) == 3)
    asked.ask("values")
    asked.store.may_end.set()
    until(lambda: asked.store.ended >= 4)
    asked.close()
    assert len(asked.store.begun) == 4


def test_a_sample_of_something_much_like_it_is_given_while_its_own_is_counted(asked: Asked) -> None:
    assert asked.ask("from 12:00:00", "an hour") == 1
    asked.later(RENEWED_AFTER_S / 2)
    assert asked.ask("from 12:00:04", "an hour") == 1
    assert asked.ask("from 12:00:04") == 2
    asked.store.may_end.clear()
    asked.later(RENEWED_AFTER_S)
    assert [asked.ask(f"from 12:00:0{at}", "an hour") for at in (8, 8, 9)] == [1, 1, 1]
    asked.store.may_end.set()
    until(lambda: asked.ask("from 12:00:09", "an hour") == 3)
    asked.close()
    assert asked.ask("from 12:00:08") == 3
    assert asked.store.begun == [1, 2, 3]


def test_where_everything_was_counted_it_is_the_answer_to_the_same_question_only() -> None:
    asked = Asked(of_many=False)
    assert asked.ask("from 12:00:00", "an hour") == 1
    assert asked.ask("from 12:00:00", "an hour") == 1
    assert asked.ask("from 12:00:04", "an hour") == 1
    assert asked.store.begun == [1, 1]


class Found(list[int]):
    """A list that says when it is gone."""


def test_an_answer_whose_time_is_over_is_kept_until_the_next_one_at_most(asked: Asked) -> None:
    found = Found([1])
    gone = weakref.ref(found)
    asked.answers.get(["keys"], lambda found=found: Counted(found, True, None))  # type: ignore[misc]
    del found
    asked.clock.now_s += REMEMBERED_S - 0.1
    asked.ask("another")
    assert gone() is not None
    asked.clock.now_s += 0.1
    asked.ask("one more")
    gc.collect()
    assert gone() is None


def test_a_count_that_began_earlier_does_not_replace_a_later_one(asked: Asked) -> None:
    asked.store.may_end.clear()
    slow = threading.Thread(target=asked.ask)
    slow.start()
    until(lambda: asked.store.begun)
    asked.later(0.1)
    assert asked.answers.get(["keys"], lambda: Counted([2], False, "a sample", True)).found == [2]
    asked.store.may_end.set()
    slow.join()
    assert asked.ask() == 2


def test_a_question_that_is_given_up_does_not_take_along_the_count_it_began(asked: Asked) -> None:
    asked.ask()
    asked.later(RENEWED_AFTER_S)
    given_up = Cancellation()
    token = CURRENT.set(given_up)
    try:
        asked.ask()
        given_up.cancel()
    finally:
        CURRENT.reset(token)
    until(lambda: asked.store.ended == 2)
    assert asked.store.cancellations[1] is None


def test_many_questions_have_only_so_many_counts_waiting_and_each_one_of_its_own(asked: Asked) -> None:
    keys = [f"values of {number}" for number in range(40)]
    for key in keys:
        asked.ask(key)
    asked.store.may_end.clear()
    asked.later(RENEWED_AFTER_S)
    for _ in range(3):
        assert [asked.ask(key) for key in keys] == [1] * 40
    asked.store.may_end.set()
    until(lambda: len(asked.store.begun) == 48)
    asked.close()
    assert len(asked.store.begun) == 48
    assert len({key for key in keys if asked.ask(key) == 2}) == 8


def test_nothing_is_counted_anew_once_it_is_closed(asked: Asked) -> None:
    for key in ("keys", "values"):
        asked.ask(key)
    asked.store.may_end.clear()
    asked.later(RENEWED_AFTER_S)
    assert [asked.ask("keys"), asked.ask("values")] == [1, 1]
    until(lambda: len(asked.store.begun) == 3)
    asked.answers.close()
    asked.store.may_end.set()
    asked.close()
    asked.later(RENEWED_AFTER_S)
    assert asked.ask("values") == 1
    assert asked.store.begun == [1, 1, 2]
    asked.clock.now_s += REMEMBERED_S
    assert asked.ask("values") == 3


def test_an_answer_that_took_long_is_counted_anew_after_many_times_as_long() -> None:
    clock, stored = Clock(), 0
    answers = RememberedAnswers(lambda: stored, clock_s=clock)
    counted: list[float] = []

    def count() -> Counted[float]:
        counted.append(clock.now_s)
        clock.now_s += 0.5
        return Counted([clock.now_s], False, "a sample", of_many=True)

    try:
        first = answers.get(["k"], count)
        for _ in range(9):
            stored += 1
            clock.now_s += 1
            assert answers.get(["k"], count) is first
        assert len(counted) == 1
        stored += 1
        clock.now_s += 1.1
        assert answers.get(["k"], count) is first
        until(lambda: len(counted) == 2 and answers.get(["k"], count) is not first)
    finally:
        answers.close()
