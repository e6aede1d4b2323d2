"""`clew explain`: the verdict first, at most 80 columns, readable on any terminal."""

from __future__ import annotations

from typing import Any

from clew_server.cli._text import fitted, width_of, wrapped
from clew_server.cli.explain import lines, stretches

MS = 1_000_000


def hex_id(number: int) -> str:
    return f"{number:016x}"


def section(number: int, start: int, end: int) -> dict[str, str]:
    return {"span_id": hex_id(number), "start_unix_nano": str(start * MS), "end_unix_nano": str(end * MS)}


def skeleton(names: list[str]) -> dict[str, Any]:
    return {
        "services": ["shop"],
        "names": names,
        "span_id": "".join(hex_id(number) for number in range(len(names))),
        "svc": [0] * len(names),
        "name": list(range(len(names))),
    }


def answer(**changed: Any) -> dict[str, Any]:
    return {
        "verdict": "failed",
        "summary": "Failed in shop · POST bank: TimeoutError: no answer.",
        "findings": [
            {"kind": "failure", "text": "shop · POST bank failed: TimeoutError: no answer\n  in time", "share": 0.05, "certainty": "certain"},
            {"kind": "gap", "text": "60 ms in shop · r without a child span", "share": 0.6, "certainty": "likely"},
            {"kind": "missing", "text": "1 parent span was not received", "share": 0, "certainty": "certain"},
        ],
        "shares": [
            {"owner": "shop", "operation": "SELECT", "critical_ns": str(60 * MS), "share": 0.6, "usual_ns": str(MS)},
            {"owner": "", "operation": "r", "critical_ns": str(40 * MS), "share": 0.4, "usual_ns": None},
        ],
        "critical_path": [section(0, 0, 20), section(1, 20, 80), section(0, 80, 100)],
        "path_uncertain": False,
        "root": {"duration_ns": str(100 * MS)},
        "completeness": {"notes": ["More may follow."]},
        **changed,
    }  # fmt: skip


def test_the_verdict_comes_first_then_findings_times_path_and_what_is_missing() -> None:
    shown = list(lines(answer(), skeleton(["GET /cart", "SELECT"]), width=80, colour=False))
    assert shown == [
        "✖ Failed in shop · POST bank: TimeoutError: no answer.",
        "",
        "what was found",
        "      ✖ shop · POST bank failed: TimeoutError: no answer",
        "        in time",
        "   60 % 60 ms in shop · r without a child span (likely)",
        "",
        "where the time went, 100 ms",
        "   60 %     60 ms  shop · SELECT  usually 1 ms",
        "   40 %     40 ms  r",
        "",
        "critical path",
        "     +0 ns     20 ms  shop · GET /cart",
        "    +20 ms     60 ms  shop · SELECT",
        "    +80 ms     20 ms  shop · GET /cart",
        "",
        "what was not seen",
        "  1 parent span was not received",
        "  More may follow.",
    ]


def test_no_line_is_wider_than_asked_whatever_the_names_are() -> None:
    long = "GET /" + "日本語" * 60
    text = f"{long} {'word ' * 40}\n" * 30
    wide = answer(
        summary=text,
        findings=[{"kind": "failure", "text": text, "share": 0.5, "certainty": "likely"}],
        shares=[{"owner": long, "operation": long, "critical_ns": "1", "share": 0.5, "usual_ns": "100"}] * 9,
        critical_path=[section(number % 2, number, number + 1) for number in range(30)],
        completeness={"notes": [text]},
    )
    for width in (40, 80):
        shown = list(lines(wide, skeleton([long, f"POST {long}"]), width=width, colour=False))
        assert max(map(width_of, shown)) <= width
        assert "more lines:" in "".join(shown)
    assert "3 more" in "".join(shown)
    assert "18 shorter stretches left out" in "".join(shown)


def test_control_characters_of_a_message_never_reach_the_terminal() -> None:
    bad = answer(summary="\x1b[2J gone", findings=[])
    assert "\x1b" not in "".join(lines(bad, skeleton(["a", "b"]), width=80, colour=False))


def test_a_failure_is_red_in_a_terminal_only() -> None:
    shown = "\n".join(lines(answer(), skeleton(["a", "b"]), width=80, colour=True))
    assert "\x1b[31m      ✖ shop" in shown


def test_equal_calls_in_a_row_are_one_stretch_of_the_path_however_short_each_is() -> None:
    path = [section(0, 0, 100)]
    for number in range(200):
        path += [
            section(number + 1, 100 + number * 10, 109 + number * 10),
            section(0, 109 + number * 10, 110 + number * 10),
        ]
    path.append(section(0, 2_100, 2_200))
    names = skeleton(["GET /cart", "SELECT"])
    names["span_id"] = "".join(hex_id(number) for number in range(201))
    names["svc"], names["name"] = [0] * 201, [0] + [1] * 200
    assert [(one.label, one.spans, one.start_ns // MS, one.length_ns // MS) for one in stretches(path, names)] == [
        ("shop · GET /cart", 1, 0, 100),
        ("shop · SELECT", 200, 100, 1_800),
        ("shop · GET /cart", 1, 2_099, 101),
    ]
    assert stretches([], names) == []


def test_words_are_wrapped_by_the_columns_they_take() -> None:
    assert list(wrapped("a bb ccc", 4)) == ["a bb", "ccc"]
    assert list(wrapped("日本語", 4, first="- ", indent="  ")) == ["- 日", "  本", "  語"]
    assert list(wrapped("abcdef", 3)) == ["abc", "def"]
    assert list(wrapped("", 10, first="- ")) == ["-"]
    assert fitted("日本語", 4) == "日… "
    assert fitted("ab", 4) == "ab  "


def test_of_a_very_long_path_it_is_said_how_many_sections_are_not_told_by_themselves() -> None:
    left_out = {"origin": 0, "failures": 0, "sections": 1_234, "sections_ns": str(60 * MS)}
    shown = list(lines(answer(left_out=left_out), skeleton(["GET /cart", "SELECT"]), width=80, colour=False))
    [at] = [number for number, line in enumerate(shown) if "1,234 short sections" in line]
    assert shown.index("critical path") < at < shown.index("what was not seen")
    assert max(map(width_of, shown)) <= 80
