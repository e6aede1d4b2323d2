"""Tracing middleware for any transport and any OpenTelemetry tracer provider.

Imports transport, carriers, propagation and semconv; never the recorder. Start reading at `tracer.py`.
"""

from __future__ import annotations

from typing import Unpack

from opentelemetry.trace import SpanKind, get_current_span

from clew.middleware import Middleware
from clew.tracing.onion import traced
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer

__all__ = ["Tracer", "client", "server", "span_id", "trace_id"]


def server(**options: Unpack[HttpOptions]) -> Middleware:
    """Middleware that gives each call answered a SERVER span, child of the span its carrier names.

    The call is the current server transport; without one the handler runs untraced. Without a provider or
    a propagator the global ones are used, those of the moment of the call; none is ever set. Raises
    ValueError for an unknown convention.
    """
    return traced(Tracer(SpanKind.SERVER, **options))


def client(**options: Unpack[HttpOptions]) -> Middleware:
    """Middleware that gives each call made a CLIENT span and writes it into the call's carrier.

    The call is the current client transport; otherwise as `server`.
    """
    return traced(Tracer(SpanKind.CLIENT, **options))


def trace_id() -> str:
    """The current trace's id, 32 hex digits; empty when no span is current."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def span_id() -> str:
    """The current span's id, 16 hex digits; empty when no span is current."""
    context = get_current_span().get_span_context()
    return f"{context.span_id:016x}" if context.is_valid else ""
