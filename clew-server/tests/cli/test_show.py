from __future__ import annotations

from typing import Any

from clew_server.cli.show import _reason, waterfall
from clew_server.model.columns import CONSUMER, FAILED, HANDLED, MISPLACED, ORIGIN


def skeleton() -> dict[str, Any]:
    return {
        "t0": "1700000000000000000",
        "services": ["gateway", "db"],
        "names": ["POST /pay", "SELECT rates"],
        "span_id": "00" * 24,
        "parent": [-1, 0, -2],
        "missing": [[2, "00f067aa0ba902b7"]],
        "start": [0, 50, 75],
        "dur": [100, 50, 25],
        "svc": [0, 1, 1],
        "name": [0, 1, 1],
        "kind": [2, 3, 3],
        "flags": [FAILED, FAILED | ORIGIN, 0],
        "critical": [],
        "total": 3,
        "etag": "x",
    }


def test_a_waterfall_draws_each_span_where_it_ran() -> None:
    header, blank, root, child, missing, orphan = waterfall(skeleton(), width=100, max_rows=10, colour=False)
    assert header == "100 ns · 3 spans · 2 services · 2023-11-14 22:13:20.000 UTC · ✖ 2 failed"
    assert blank == ""
    assert root.startswith("⊗ gateway POST /pay")
    assert child.startswith("  ✖ db SELECT rates")
    assert child.count("█") == -(-root.count("█") // 2)
    assert child.rindex(" ") > child.index("50 ns") + 20, "it begins in the middle"
    assert missing == "┈ parent 00f067aa0ba902b7 not received"
    assert "25 ns" in orphan


def test_a_handled_failure_is_not_marked_as_the_cause() -> None:
    handled = skeleton() | {"flags": [0, FAILED | ORIGIN | HANDLED, 0]}
    child = waterfall(handled, width=100, max_rows=10, colour=False)[3]
    assert child.startswith("  ⊗ db SELECT rates")


def test_what_is_left_out_is_said() -> None:
    lines = waterfall(skeleton(), width=100, max_rows=1, colour=False)
    assert lines[-1] == "… 2 more rows: --max-rows 0 prints all"


def test_failed_rows_are_red_in_a_terminal_only() -> None:
    assert "\x1b[31m" in waterfall(skeleton(), width=100, max_rows=9, colour=True)[2]
    assert "\x1b" not in "".join(waterfall(skeleton(), width=100, max_rows=9, colour=False))


def siblings(count: int, *, failed: int | None = None) -> dict[str, Any]:
    """A root with equal children of 1, 2, … ns one after another, each with a child of its own."""
    parent, start, dur, flags, name = [-1], [0], [count * (count + 1) // 2], [0], [0]
    for number in range(1, count + 1):
        begin = number * (number - 1) // 2
        for above, length, which in ((0, number, 1), (len(parent), 0, 0)):
            parent.append(above)
            start.append(begin)
            dur.append(length)
            flags.append(FAILED | ORIGIN if number == failed and which else 0)
            name.append(which)
    return skeleton() | {
        "span_id": "00" * 8 * len(parent), "parent": parent, "missing": [], "start": start, "dur": dur, "flags": flags,
        "svc": [0] * len(parent), "name": name, "total": len(parent),
    }  # fmt: skip


def test_equal_siblings_are_one_row_with_their_sum_least_median_and_most() -> None:
    _, _, root, group, note, left = waterfall(siblings(200), width=100, max_rows=10, colour=False)
    assert "×" not in root
    assert "SELECT rates ×200" in group
    assert "20.1 µs" in group, "the sum"
    assert group.count("█") == root.count("█"), "they fill the time of the root"
    assert note.strip() == "(together; each 1 ns to 200 ns, half of them 101 ns or less)"
    assert left == "399 rows of equal spans left out: --ungrouped prints them"


def test_a_failed_one_of_many_keeps_its_own_row() -> None:
    lines = waterfall(siblings(9, failed=4), width=100, max_rows=99, colour=False)
    assert [line for line in lines if "SELECT rates ×8" in line]
    assert len([line for line in lines if "✖ SELECT rates" in line]) == 1


def test_four_equal_siblings_and_an_ungrouped_picture_have_a_row_each() -> None:
    assert len(waterfall(siblings(4), width=100, max_rows=99, colour=False)) == 2 + 9
    assert len(waterfall(siblings(20), width=100, max_rows=99, colour=False, grouped=False)) == 2 + 41
    assert waterfall(siblings(20), width=100, max_rows=1, colour=False)[-2] == "… 1 more row: --max-rows 0 prints all"


def test_a_group_fits_a_narrow_terminal() -> None:
    assert max(map(len, waterfall(siblings(2000), width=40, max_rows=99, colour=False))) <= 40


def test_the_reason_of_a_failure_is_read_from_a_log_record_too() -> None:
    attributes = [
        {"key": "exception.type", "value": {"stringValue": "OperationalError"}},
        {"key": "exception.message", "value": {"stringValue": "no such table\nLINE 1"}},
        {"key": "clew.from", "value": {"stringValue": "log"}},
    ]
    span = {
        "events": [{"name": "db.client.operation.exception", "attributes": attributes}],
        "status": {"message": "failed"},
    }
    assert _reason(span) == "OperationalError no such table"
    attributes.pop()
    assert _reason(span) == "failed"


def misplaced(**columns: Any) -> str:
    """What is said of the second span, which is outside the first one."""
    ms = 1_000_000
    made = skeleton() | {"start": [0, 50 * ms, 75], "dur": [100 * ms, 90 * ms, 25], "negative": []}
    made |= {"flags": [0, MISPLACED, 0]} | columns
    return "\n".join(waterfall(made, width=140, max_rows=2, colour=False)[3:])


def test_a_span_outside_its_parent_says_by_how_much() -> None:
    ms = 1_000_000
    assert "(ends 40 ms after its parent)" in misplaced()
    assert "(begins 5 ms before its parent)" in misplaced(start=[0, -5 * ms, 75])
    assert "(begins 20 ms after its parent ended)" in misplaced(start=[0, 120 * ms, 75])
    assert "(ends 3 ms before it begins)" in misplaced(negative=[[1, -3 * ms]], dur=[100 * ms, 0, 25])


def test_a_message_that_is_handled_in_its_turn_is_not_outside() -> None:
    assert "(" not in misplaced(kind=[4, CONSUMER, 3])
    assert "(begins 5 ms before its parent)" in misplaced(kind=[4, CONSUMER, 3], start=[0, -5_000_000, 75])
