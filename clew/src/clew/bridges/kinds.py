"""Sets a span's kind after its start, which OpenTracing and OpenCensus allow and OpenTelemetry does not."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, SpanKind


def set_kind(span: Span, kind: SpanKind) -> None:
    """Set the kind of a span that has started.

    A span of a provider that keeps it elsewhere than `_kind`, as clew's and the SDK's do, gets the attribute
    `span.kind` instead, which backends know as well.
    """
    known: Any = span
    if not span.is_recording():
        return
    if hasattr(known, "_kind"):
        known._kind = kind
    else:
        span.set_attribute("span.kind", kind.name.lower())
