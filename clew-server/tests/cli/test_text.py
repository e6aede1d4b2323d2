from __future__ import annotations

import pytest

from clew_server.cli._text import clean, fitted, pointed_at, time_text, width_of
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


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("日本", 4),
        ("e\u0301", 1),
        ("\u0e17\u0e35\u0e48", 1),  # Thai: a consonant with two marks above it
        ("\u0645\u06cc\u200c\u062e", 3),  # Persian, with a joiner that is not seen
        ("\u2764\ufe0f", 1),
    ],
)
def test_marks_and_joiners_take_no_column(text: str, width: int) -> None:
    assert clean(text) == text
    assert width_of(text) == width
    assert width_of(fitted(text, 9)) == 9


def test_any_space_is_one_and_what_hides_text_is_shown() -> None:
    assert clean("a\u00a0b\u3000c\u202ed\u200be") == "a b c\ufffdd\ufffde"


@pytest.mark.parametrize("width", [None, 200, 40, 10])
@pytest.mark.parametrize("text", ['service="日本 wide" dur>5', "ｗｉｄｅ\tdur>5\nb=1", "x" * 5000, "日" * 300])
def test_the_mark_stands_under_its_character(text: str, width: int | None) -> None:
    for position in {0, 1, text.find("5"), len(text) // 2, len(text) - 1, len(text)} - {-1}:
        line, mark = pointed_at(text, position, width).split("\n")
        assert mark.strip() == "^"
        assert width is None or width_of(line) <= max(width, 23)
        shown = next((at for at in range(len(line) + 1) if width_of(line[:at]) == mark.index("^")), None)
        assert shown is not None
        if position < len(text) and line[shown:] not in ("", "…"):
            assert line[shown] == clean(text[position].replace("\t", " ").replace("\n", " "))
