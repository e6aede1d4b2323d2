"""Spans started and spans open as metrics, only if enabled, since they cost something for each span.

Names and attributes are those of the semantic conventions for SDK metrics (`otel.sdk.span.started`, `.live`).
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import get_current
from opentelemetry.trace import Span, Tracer

from clew import environment, guard
from clew._otel import SPAN_KEY
from clew.recorder.sdk.wrapping import CurrentSpan, WrappingTracer

_ENABLED: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
_ORIGIN: Final = "otel.span.parent.origin"
_RESULT: Final = "otel.span.sampling_result"


class SpanMetrics:
    """The two instruments of one provider."""

    def __init__(self, meter_provider: Any, current_span: CurrentSpan) -> None:
        """The global meter provider if `meter_provider` is None. `current_span` makes the blocks of counted tracers."""
        from opentelemetry.metrics import get_meter

        self.current_span = current_span
        meter = get_meter("opentelemetry-sdk", meter_provider=meter_provider)
        self._started = meter.create_counter(
            "otel.sdk.span.started", unit="{span}", description="Spans started, dropped ones included"
        )
        self._live = meter.create_up_down_counter(
            "otel.sdk.span.live", unit="{span}", description="Recording spans that have not ended"
        )

    def counting(self, tracer: Any) -> Tracer:
        """The tracer, and everything it starts counted."""
        return CountingTracer(tracer, self)

    def started(self, span: Span, context: Any) -> None:
        """A span has been made, recording or not."""
        try:
            parent = (get_current() if context is None else context).get(SPAN_KEY)
            origin = "none"
            if isinstance(parent, Span) and parent.get_span_context().is_valid:
                origin = "remote" if parent.get_span_context().is_remote else "local"
            result = _result_of(span)
            self._started.add(1, {_ORIGIN: origin, _RESULT: result})
            if span.is_recording():
                self._live.add(1, {_RESULT: result})
        except Exception as error:
            guard.swallow("span metrics", error)

    def ended(self, span: Span) -> None:
        """A recording span has ended."""
        try:
            sampled = span.get_span_context().trace_flags.sampled
            self._live.add(-1, {_RESULT: "RECORD_AND_SAMPLE" if sampled else "RECORD_ONLY"})
        except Exception as error:
            guard.swallow("span metrics", error)


def _result_of(span: Span) -> str:
    if not span.is_recording():
        return "DROP"
    return "RECORD_AND_SAMPLE" if span.get_span_context().trace_flags.sampled else "RECORD_ONLY"


class CountingTracer(WrappingTracer):
    """A tracer of either twin whose spans are counted."""

    def __init__(self, tracer: Any, metrics: SpanMetrics) -> None:
        super().__init__(tracer, metrics.current_span)
        self._metrics = metrics

    def start_span(self, name: str, context: Any = None, *arguments: Any, **options: Any) -> Span:
        """As the tracer's own."""
        current = get_current() if context is None else context
        span: Span = self._tracer.start_span(name, context, *arguments, **options)
        self._metrics.started(span, current)
        return span


def span_metrics(meter_provider: Any, current_span: CurrentSpan) -> SpanMetrics | None:
    """The metrics, or None where `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is not true."""
    if (environment.text(_ENABLED) or "").strip().lower() != "true":
        return None
    return SpanMetrics(meter_provider, current_span)
