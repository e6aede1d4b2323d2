"""What is wrong in a range of time: by significance, or silence."""

from __future__ import annotations

from clew_server.analysis.range_findings import failing_finding, slower_finding
from clew_server.model.red import Beside, Failing

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
