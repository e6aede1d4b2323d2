"""A tracer around one of the recorder's: the base of those that do something more when a span starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind, Tracer

from clew.recorder.sdk.readable import TracerSurface

#: Makes the block of `start_as_current_span` from a tracer, its arguments, and whether the span ends with the block.
CurrentSpan = Callable[[Any, tuple[Any, ...], bool], Any]


class WrappingTracer(TracerSurface, Tracer):
    """Looks like the tracer it is around; derived classes say what `start_span` does."""

    def __init__(self, tracer: Any, current_span: CurrentSpan) -> None:
        self._tracer = tracer
        self._current_span = current_span
        self.sink = tracer.sink
        self.scope = tracer.scope
        self.limits = tracer.limits

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
        """As the tracer's own, by way of `start_span`."""
        arguments = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        return self._current_span(self, arguments, end_on_exit)
