from __future__ import annotations

from typing import Any

from clew_server.demo.why import is_whole, why


def explanation(*findings: str, missing_parents: int = 0, roots: int = 1) -> dict[str, Any]:
    return {
        "summary": "No span failed. GET / took 7 ms, which is usual.",
        "findings": [{"text": text} for text in findings],
        "completeness": {"missing_parents": missing_parents, "roots": roots},
    }


def test_the_first_finding_of_the_server_says_why_in_one_line() -> None:
    found = explanation("message · SELECT x failed: no such\ntable", "12 equal calls in a row")
    assert why("failed", found) == "failed: message · SELECT x failed: no such table"


def test_where_nothing_was_found_the_summary_says_so() -> None:
    assert why("slow", explanation()) == "slow: No span failed. GET / took 7 ms, which is usual."


def test_a_trace_is_whole_when_every_parent_is_there() -> None:
    assert is_whole(explanation())
    assert not is_whole(explanation(missing_parents=1))
    assert not is_whole(explanation(roots=2))
