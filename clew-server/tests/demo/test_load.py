from __future__ import annotations

from itertools import islice

from clew_server.demo.load import FIRST, ROUND, USUAL, users


def test_the_same_seed_asks_in_the_same_order_and_another_in_another() -> None:
    assert list(islice(users(7), 100)) == list(islice(users(7), 100))
    assert list(islice(users(7), 100)) != list(islice(users(8), 100))


def test_every_round_has_a_slow_and_a_failing_request() -> None:
    order = list(islice(users(1), FIRST + 2, FIRST + 2 + 10 * len(ROUND)))
    for start in range(0, len(order), len(ROUND)):
        assert sorted(order[start : start + len(ROUND)]) == sorted(ROUND)
    assert {"erin", "frank"} <= set(ROUND)


def test_a_failing_and_a_slow_request_come_after_as_many_usual_ones_as_a_comparison_needs() -> None:
    for seed in range(20):
        order = list(islice(users(seed), FIRST + 2))
        assert set(order[:FIRST]) <= set(USUAL)
        assert order[FIRST:] == ["frank", "erin"]
    assert FIRST > 30


def test_slow_requests_stay_so_few_that_a_slow_one_is_unusual() -> None:
    assert ROUND.count("erin") / len(ROUND) < 0.05  # slow is what took longer than 95 of 100
