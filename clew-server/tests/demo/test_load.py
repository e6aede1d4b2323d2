from __future__ import annotations

from itertools import islice

from clew_server.demo.load import ROUND, users


def test_the_same_seed_asks_in_the_same_order_and_another_in_another() -> None:
    assert list(islice(users(7), 100)) == list(islice(users(7), 100))
    assert list(islice(users(7), 100)) != list(islice(users(8), 100))


def test_every_round_has_a_slow_and_a_failing_request() -> None:
    order = list(islice(users(1), 10 * len(ROUND)))
    for start in range(0, len(order), len(ROUND)):
        assert sorted(order[start : start + len(ROUND)]) == sorted(ROUND)
    assert {"erin", "frank"} <= set(ROUND)


def test_the_failing_and_the_slow_request_come_first_since_somebody_waits_for_their_traces() -> None:
    assert [list(islice(users(seed), 2)) for seed in range(20)] == [["frank", "erin"]] * 20
