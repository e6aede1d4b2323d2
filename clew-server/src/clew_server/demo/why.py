"""Why a trace of the demo is worth a look, in a few words, read from the trace itself: pure functions."""

from __future__ import annotations

from collections import Counter
from typing import Any

ERROR = 2  # opentelemetry.proto.trace.v1.Status.StatusCode
FEW = 10  # so many equal calls are nothing to speak of


def is_whole(trace: dict[str, Any]) -> bool:
    """Whether every parent named in `trace`, OTLP JSON, is in it. A parent ends, and is sent, after its children."""
    spans = [span for _, span in _spans_by_service(trace)]
    return {span.get("parentSpanId") or None for span in spans} <= {None, *(span["spanId"] for span in spans)}


def why_failed(trace: dict[str, Any]) -> str:
    """`trace` as OTLP JSON. Names the failed span that has no failed child, and what it says."""
    spans = _spans_by_service(trace)
    failed = [(service, span) for service, span in spans if span.get("status", {}).get("code") == ERROR]
    parents = {span.get("parentSpanId") for _, span in failed}
    for service, span in failed:
        if span["spanId"] not in parents:
            message = span["status"].get("message") or "no message"
            return f"failed: {service} · {span['name']}: {' '.join(message.split())}"
    return "failed"


def why_slow(trace: dict[str, Any]) -> str:
    """`trace` as OTLP JSON. Names how long it took, the largest group of equal calls, and the plan that asks for them."""
    spans = _spans_by_service(trace)
    start_ns = min(int(span["startTimeUnixNano"]) for _, span in spans)
    end_ns = max(int(span["endTimeUnixNano"]) for _, span in spans)
    words = [f"slow: {(end_ns - start_ns) / 1e6:.0f} ms"]
    [((name, _), count)] = Counter((span["name"], span.get("parentSpanId")) for _, span in spans).most_common(1)
    if count >= FEW:
        words.append(f"{count} equal queries {name}")
    plans = [attribute["value"] for _, span in spans for attribute in span.get("attributes", []) if attribute["key"] == "app.plan"]  # fmt: skip
    if plans:
        words.append(f"app.plan={plans[0].get('stringValue')}")
    return ", ".join(words)


def _spans_by_service(trace: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for resource_spans in trace["resourceSpans"]:
        attributes = resource_spans.get("resource", {}).get("attributes", [])
        names = [
            attribute["value"].get("stringValue") for attribute in attributes if attribute["key"] == "service.name"
        ]
        for scope_spans in resource_spans["scopeSpans"]:
            found.extend((names[0] if names else "?", span) for span in scope_spans["spans"])
    return found
