"""Conditions on events, and whether a span failed, in SQL."""

from __future__ import annotations

from typing import Final

from clew_server.store.failing import EXCEPTION, FAILED_ALONE


def of_events(some: str) -> str:
    """A condition on the events of a span, or of a fragment of it, wherever and whenever that came."""
    return f"({some} OR (trace_id,span_id) IN (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {some}))"


FAILED: Final = (
    f"({FAILED_ALONE} OR (status=0 AND (trace_id,span_id) IN"
    f" (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {EXCEPTION})))"
)
"""`model.failed.is_failed` in SQL: by the span itself, which is stored, or by a fragment of it."""
