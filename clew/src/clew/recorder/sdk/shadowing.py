"""Tracers for instrumentations that may trace the calls clew traces too; see `clew.doubled`."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, SpanKind

from clew import doubled
from clew.recorder.sdk.wrapping import WrappingTracer


class ShadowingTracer(WrappingTracer):
    """A tracer whose spans give way to clew's own where those stand for the same call."""

    def start_span(
        self, name: str, context: Any = None, kind: Any = SpanKind.INTERNAL, *arguments: Any, **options: Any
    ) -> Span:
        """A span of its own, or a shadow of clew's."""
        shadow = doubled.shadow_of_ours(self.scope.name, context, kind)
        if shadow is not None:
            return shadow
        span: Span = self._tracer.start_span(name, context, kind, *arguments, **options)
        return span
