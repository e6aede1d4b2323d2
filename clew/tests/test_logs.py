"""Trace and span id in log lines."""

from __future__ import annotations

import io
import logging

from opentelemetry.sdk.trace import TracerProvider

from clew.logs import TraceContextFilter, add_trace_context


def test_a_log_line_carries_the_ids_of_the_current_span() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(trace_id)s/%(span_id)s %(message)s"))
    handler.addFilter(TraceContextFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("outside")
    with TracerProvider().get_tracer("test").start_as_current_span("span") as span:
        logger.warning("inside")
        event = add_trace_context(None, "info", {"event": "hello"})
    context = span.get_span_context()
    trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    assert written.getvalue() == f"/ outside\n{trace_id}/{span_id} inside\n"
    assert event == {"event": "hello", "trace_id": trace_id, "span_id": span_id}
    assert add_trace_context(None, "info", {}) == {}
