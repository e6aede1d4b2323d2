from __future__ import annotations

from typing import Any

from clew_server.cli.show import waterfall
from clew_server.model.columns import FAILED, ORIGIN


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


def test_what_is_left_out_is_said() -> None:
    lines = waterfall(skeleton(), width=100, max_rows=1, colour=False)
    assert lines[-1] == "… 2 more spans: --max-rows 0 prints all"


def test_failed_rows_are_red_in_a_terminal_only() -> None:
    assert "\x1b[31m" in waterfall(skeleton(), width=100, max_rows=9, colour=True)[2]
    assert "\x1b" not in "".join(waterfall(skeleton(), width=100, max_rows=9, colour=False))
