from __future__ import annotations

from typing import Any

from clew_server.demo.why import is_whole, why_failed, why_slow


def trace(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "message"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def span(span_id: str, parent_id: str = "", name: str = "work", start_ms: int = 0, end_ms: int = 1, **more: Any) -> dict[str, Any]:  # fmt: skip
    times = {"startTimeUnixNano": str(start_ms * 10**6), "endTimeUnixNano": str(end_ms * 10**6)}
    return {"spanId": span_id, "parentSpanId": parent_id, "name": name, **times, **more}


def failed(message: str) -> dict[str, Any]:
    return {"status": {"code": 2, "message": message}}


def test_the_failed_span_without_a_failed_child_is_named() -> None:
    found = why_failed(
        trace(
            span("a", name="GET", **failed("passed on")),
            span("b", "a", name="SELECT x", **failed("no such\ntable")),
            span("c", "b"),
        )
    )
    assert found == "failed: message · SELECT x: no such table"


def test_the_largest_group_of_equal_calls_of_one_span_is_counted() -> None:
    root = span("r", end_ms=240, attributes=[{"key": "app.plan", "value": {"stringValue": "enterprise"}}])
    queries = [span(f"q{n}", "r", "SELECT y") for n in range(12)]
    assert why_slow(trace(root, *queries)) == "slow: 240 ms, 12 equal queries SELECT y, app.plan=enterprise"


def test_few_equal_calls_are_not_worth_a_word() -> None:
    assert why_slow(trace(span("r", end_ms=7), span("q", "r"))) == "slow: 7 ms"


def test_a_trace_is_whole_when_every_parent_is_there() -> None:
    assert is_whole(trace(span("a"), span("b", "a")))
    assert not is_whole(trace(span("a"), span("b", "lost")))
