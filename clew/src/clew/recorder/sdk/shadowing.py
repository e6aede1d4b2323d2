"""Tracers for instrumentations that may trace the calls clew traces too; see `clew.doubled`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer

from clew import doubled
from clew.recorder.sdk.readable import TracerSurface


class ShadowingTracer(TracerSurface, Tracer):
    """A tracer whose spans give way to clew's own where those stand for the same call."""

    def __init__(self, tracer: Any, current_span: Callable[[Any, tuple[Any, ...], bool], Any]) -> None:
        """`current_span` makes the blocks of `start_as_current_span`: the class of the hot path that does."""
        self._tracer = tracer
        self._current_span = current_span
        self.sink = tracer.sink
        self.scope = tracer.scope
        self.limits = tracer.limits

    def start_span(
        self, name: str, context: Any = None, kind: Any = SpanKind.INTERNAL, *arguments: Any, **options: Any
    ) -> Span:
        """A span of its own, or a shadow of clew's."""
        shadow = doubled.shadow_of_ours(self.scope.name, context, kind)
        if shadow is not None:
            return shadow
        span: Span = self._tracer.start_span(name, context, kind, *arguments, **options)
        return span

    def start_as_current_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Any = None,
        start_time: Any = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Any:
        """As the tracer's own."""
        arguments = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        return self._current_span(self, arguments, end_on_exit)
