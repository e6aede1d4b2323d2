"""What is wrong in a range of time: by significance, or silence."""

from __future__ import annotations

from clew_server.analysis.range_findings import failing_finding, slower_finding
from clew_server.model.red import Beside, Came, Failing

MINUTE = 60_000_000_000
FROM = 1_795_860_000_000_000_000  # 10:00 UTC
HOUR = 60 * MINUTE


def failing(*failed: int, calls: int = 100, name: str = "POST bank", first: int = -60) -> Failing:
    return Failing("payment", name, [(first + at, calls, bad) for at, bad in enumerate(failed)])


def said(*found: Failing) -> str | None:
    finding = failing_finding(found, FROM, FROM + HOUR, MINUTE)
    return None if finding is None else finding.text


def test_what_begins_to_fail_is_said_with_its_time() -> None:
    found = said(failing(*[0] * 90, *[40] * 30))
    assert found == "Failing since 10:30 UTC: payment · POST bank, 1,200 of 3,000 calls (40 %), new."


def test_the_time_it_says_is_there_as_a_number_too() -> None:
    begin = FROM + 42_341_000_000
    found = failing_finding([failing(*[0] * 90, *[40] * 30)], begin, begin + HOUR, MINUTE)
    assert found is not None
    assert found.times == (("10:30 UTC", FROM + 30 * MINUTE),)
    assert found.times[0].text in found.text


def test_what_is_over_is_said_with_both_times() -> None:
    found = failing_finding([failing(*[0] * 70, *[60] * 10, *[0] * 40)], FROM, FROM + HOUR, MINUTE)
    assert found is not None
    assert found.text == "Failed from 10:10 UTC to 10:20 UTC: payment · POST bank, 600 of 1,000 calls (60 %), new."
    assert found.times == (("10:10 UTC", FROM + 10 * MINUTE), ("10:20 UTC", FROM + 20 * MINUTE))


def test_what_still_fails_comes_before_what_is_over() -> None:
    over = failing(*[0] * 70, *[60] * 10, *[0] * 40, name="over")
    still = failing(*[0] * 90, *[20] * 30)
    assert said(over, still) == "Failing since 10:30 UTC: payment · POST bank, 600 of 3,000 calls (20 %), new."
    assert said(over, failing(*[1] * 70, *[60] * 10, *[1] * 40)) == (
        "Failed from 10:10 UTC to 10:20 UTC: payment · over, 600 of 1,000 calls (60 %), new; 1 more operation failed more often too."
    )


def test_what_was_over_before_the_range_is_not_said_and_does_not_hide_what_came_after() -> None:
    assert said(failing(*[0] * 20, *[60] * 10, *[0] * 85, *[1] * 5)) is None
    again = said(failing(*[0] * 20, *[60] * 10, *[0] * 75, *[30] * 15))
    assert again == "Failing since 10:45 UTC: payment · POST bank, 450 of 1,500 calls (30 %, before that 5.7 %)."


def test_what_fails_less_than_at_first_still_fails() -> None:
    found = said(failing(*[0] * 70, *[60] * 10, *[20] * 40))
    assert found == "Failing since 10:10 UTC: payment · POST bank, 1,400 of 5,000 calls (28 %), new."


def test_chance_does_not_move_the_time() -> None:
    before, after = [0, 0, 1, 0, 0, 2, 0, 0, 0, 0] * 10, [6, 12, 7, 11, 8, 10, 9, 13, 11, 12] * 2
    found = said(failing(*before, *after, calls=24))
    assert found is not None
    assert found.startswith("Failing since 10:40 UTC")


def test_what_failed_a_little_before_is_not_new() -> None:
    found = said(failing(*[1] * 90, *[40] * 30))
    assert found == "Failing since 10:30 UTC: payment · POST bank, 1,200 of 3,000 calls (40 %, before that 1.0 %)."


def test_a_failure_that_began_before_the_range_is_said_with_that_time() -> None:
    found = said(failing(*[0] * 50, *[40] * 70))
    assert found is not None
    assert found.startswith("Failing since 09:50 UTC")


def test_of_several_operations_the_one_that_rose_most_is_named() -> None:
    caller = failing(*[0] * 90, *[40] * 30, calls=400, name="POST /pay")
    found = said(caller, failing(*[0] * 90, *[40] * 30))
    assert found is not None
    assert "POST bank" in found
    assert found.endswith("new; 1 more operation fails more often too.")


def test_what_fails_as_always_or_by_chance_is_not_said() -> None:
    assert said() is None
    assert said(failing(*[5] * 120)) is None
    assert said(failing(*[5, 6, 4, 5] * 30)) is None
    assert said(failing(*[0] * 119, 9)) is None
    assert said(failing(*[40] * 60, first=0)) is None  # no time before: nothing to compare with


def came(*failed: int, calls: int = 10, first: int = 12, others: Came | None = None) -> Failing:
    """An operation without calls at first, and none in all that is stored before."""
    return failing(*failed, calls=calls, first=first)._replace(came=others or Came(7_200, 36, 4_800))


def test_what_fails_from_its_first_call_on_is_said_with_its_time() -> None:
    found = said(came(*[10] * 48))
    assert found == "Failing since its first call at 10:12 UTC: payment · POST bank, 480 of 480 calls (100 %), new."
    some = said(came(*[1, 2, 0, 3] * 12))
    assert some == "Failing since its first call at 10:12 UTC: payment · POST bank, 72 of 480 calls (15 %), new."


def test_what_failed_from_its_first_call_on_and_is_over_is_said_with_both_times() -> None:
    found = failing_finding([came(*[10] * 10, *[0] * 38)], FROM, FROM + HOUR, MINUTE)
    assert found is not None
    assert found.text == (
        "Failed from its first call at 10:12 UTC to 10:22 UTC: payment · POST bank, 100 of 100 calls (100 %), new."
    )
    assert [said.unix_nano for said in found.times] == [FROM + 12 * MINUTE, FROM + 22 * MINUTE]
    still = said(came(*[10] * 10, *[2] * 38))  # less than at first, but more than others
    assert still == "Failing since its first call at 10:12 UTC: payment · POST bank, 176 of 480 calls (37 %), new."
    assert said(came(*[10] * 10, *[0] * 90, first=-40)) is None  # over before the range


def test_a_new_operation_is_not_said_for_few_calls_nor_where_it_fails_as_seldom_as_others() -> None:
    assert said(came(*[3] * 3, calls=3)) is None
    assert said(came(*[0, 1] * 24, calls=100, others=Came(7_200, 36, 4_800))) is None


def test_what_has_always_failed_is_usual_not_new() -> None:
    assert said(came(*[10] * 48, others=Came(0, 0, 4_800))) is None  # nothing is stored from before
    rare = came(*[1] * 20, calls=1, first=-58, others=Came(200, 1, 12_000))  # too rare to know: it may have been there
    assert said(rare) is None
    nightly = failing(*[100] * 30, first=30)
    assert said(nightly._replace(earlier=(9_000, 8_990))) is None
    assert said(nightly._replace(earlier=(9_000, 0))) == (
        "Failing since 10:30 UTC: payment · POST bank, 3,000 of 3,000 calls (100 %), new."
    )


def beside(lengths: list[float], usual: list[float], spans: int = 500, usual_spans: int = 500) -> Beside:
    return Beside(
        "payment", "POST bank", spans, usual_spans, [1e6 * one for one in lengths], [1e6 * one for one in usual]
    )


def test_what_got_slower_is_said_beside_its_usual() -> None:
    found = slower_finding([beside([300, 400, 500, 600], [20, 50, 80, 90]), beside([20, 50, 80, 90], [20, 50, 80, 90])])
    assert found is not None
    assert found.longer_than_ns == 80_000_000
    assert found.text == "Slower than usual: payment · POST bank, p95 500 ms, usually 80 ms (500 calls)."


def test_a_tenth_that_got_slower_is_said_where_there_are_many() -> None:
    usual = [20.0, 50.0, 80.0, 90.0]
    assert slower_finding([beside([20, 400, 500, 600], usual)]) is not None
    assert slower_finding([beside([20, 400, 500, 600], usual, spans=100)]) is None


def test_too_little_or_too_few_is_not_said() -> None:
    assert slower_finding([]) is None
    assert slower_finding([beside([22, 51, 85, 95], [20, 50, 80, 90])]) is None
    assert slower_finding([beside([300, 400, 500, 600], [20, 50, 80, 90], usual_spans=29)]) is None
