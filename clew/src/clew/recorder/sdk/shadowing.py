"""Tracers for instrumentations that may trace the same calls as clew; see `clew.doubled`."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, SpanKind

from clew import doubled
from clew.recorder.sdk.wrapping import WrappingTracer


class ShadowingTracer(WrappingTracer):
    """A tracer that returns a shadow of clew's span where clew traces the same call."""

    def start_span(
        self, name: str, context: Any = None, kind: Any = SpanKind.INTERNAL, *arguments: Any, **options: Any
    ) -> Span:
        """A new span, or a shadow of clew's span."""
        shadow = doubled.shadow_of_ours(self.scope.name, context, kind)
        if shadow is not None:
            return shadow
        span: Span = self._tracer.start_span(name, context, kind, *arguments, **options)
        doubled.started_by_another(self.scope.name, span, kind)
        return span
