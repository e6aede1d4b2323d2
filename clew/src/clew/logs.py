"""Trace and span id in log lines."""

from __future__ import annotations

import logging

from clew.tracing import span_id, trace_id


class TraceContextFilter(logging.Filter):
    """Gives every record `trace_id` and `span_id`, empty when no span is current. Drops nothing.

    `handler.addFilter(TraceContextFilter())`, and `%(trace_id)s %(span_id)s` in the format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.trace_id = trace_id()
        record.span_id = span_id()
        return True


def add_trace_context(logger: object, method_name: str, event: dict[str, object]) -> dict[str, object]:
    """The same as a structlog processor; writes nothing when no span is current."""
    current = trace_id()
    if current:
        event["trace_id"] = current
        event["span_id"] = span_id()
    return event
