"""Envelopes of Sentry's SDKs, written for tests and measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

START_S = 1_795_415_211.795788


def envelope(*items: tuple[str, Any], event_id: str = "") -> bytes:
    """What is posted to `/api/N/envelope/`: items as type and payload, which is written as JSON unless it is bytes."""
    parts = [json.dumps({"event_id": event_id} if event_id else {}).encode()]
    for type_, payload in items:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        parts += [json.dumps({"type": type_, "length": len(body)}).encode(), body]
    return b"\n".join(parts) + b"\n"


def span(trace_id: str, span_id: str, **fields: Any) -> dict[str, Any]:
    """A span of a transaction."""
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": None,
        "start_timestamp": START_S,
        "timestamp": START_S + 0.001,
        **fields,
    }


def transaction(
    trace_id: str,
    span_id: str,
    name: str = "op",
    *,
    spans: Sequence[Mapping[str, Any]] = (),
    trace: Mapping[str, Any] | None = None,
    contexts: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A transaction. `trace`: further fields of its context `trace`; `contexts`: further contexts."""
    context = {"trace_id": trace_id, "span_id": span_id, **(trace or {})}
    return {
        "type": "transaction",
        "transaction": name,
        "contexts": {"trace": context, **(contexts or {})},
        "start_timestamp": START_S,
        "timestamp": START_S + 0.001,
        "spans": list(spans),
        **fields,
    }


def error(trace_id: str, span_id: str, **fields: Any) -> dict[str, Any]:
    """An error that was captured in a span."""
    raised = {"type": "LookupError", "module": None, "value": "no stock", "mechanism": {"handled": True}}
    return {
        "contexts": {"trace": {"trace_id": trace_id, "span_id": span_id}},
        "timestamp": START_S,
        "level": "error",
        "exception": {"values": [raised]},
        **fields,
    }


def streamed(trace_id: str, span_id: str, name: str = "op", **fields: Any) -> dict[str, Any]:
    """A span that is sent when it ends; `attributes` are plain values."""
    attributes = {key: {"value": value, "type": "string"} for key, value in fields.pop("attributes", {}).items()}
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "name": name,
        "status": "ok",
        "is_segment": False,
        "start_timestamp": START_S,
        "end_timestamp": START_S + 0.001,
        "attributes": attributes,
        **fields,
    }


def contained(elements: Sequence[Any]) -> dict[str, Any]:
    """The payload of an item `span` or `log`."""
    return {"version": 2, "items": list(elements)}
