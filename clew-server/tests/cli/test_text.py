from __future__ import annotations

import pytest

from clew_server.cli._text import clean, time_text
from clew_server.model.words import count_text, counted, duration_text, listed, percent_text, times_text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (2_010_000_000, "2.01 s"),
        (41_200_000, "41.2 ms"),
        (128_000_000, "128 ms"),
        (2_200_000, "2.20 ms"),
        (9_999_000, "10.0 ms"),
        (999_600, "1.00 ms"),
        (125_000_000_000, "2 m 05 s"),
        (59_990_000_000, "1 m 00 s"),
        (4_320_000_000_000, "1 h 12 m"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(duration_ns: int, text: str) -> None:
    assert duration_text(duration_ns) == text


def test_a_time_beyond_the_calendar_is_still_printed() -> None:
    assert time_text(1_700_000_000_123_456_789) == "2023-11-14 22:13:20.123"
    assert time_text(2**64 - 1) == "2554-07-21 23:34:33.709"


def test_control_characters_of_a_name_never_reach_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc") == "a\ufffd[2Jb\ufffdc"


def test_numbers_in_sentences_read_as_in_the_ui() -> None:
    assert [count_text(n) for n in (0, 205, 183_402, 1_830_000, 2.5)] == ["0", "205", "183,402", "1.8 M", "2.5"]
    assert [percent_text(n) for n in (0, 0.0004, 0.0634, 0.0996, 0.81, 1)] == [
        "0 %",
        "< 0.1 %",
        "6.3 %",
        "10 %",
        "81 %",
        "100 %",
    ]
    assert [times_text(n) for n in (6.72, 12.3)] == ["6.7 times", "12 times"]
    assert [counted(n, "retry", "retries") for n in (1, 2)] == ["1 retry", "2 retries"]
    assert counted(1200, "span") == "1,200 spans"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert duration_text(-1_500_000) == "−1.50 ms"
