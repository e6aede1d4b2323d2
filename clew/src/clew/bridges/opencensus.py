"""OpenCensus: code written against its API records through an OpenTelemetry tracer provider.

    clew.opencensus.install()          # every opencensus Tracer made from now on, those of its integrations too
    tracer = clew.opencensus.Tracer()  # or a single one

A span of OpenCensus is one of OpenTelemetry from its start: same ids, same current span, the provider's sampler. What
was said of it is written when it finishes. Samplers and exporters given to OpenCensus are not asked: the provider has
its own, and a trace decided twice would have holes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opencensus.trace import execution_context, samplers
from opencensus.trace import span as census
from opencensus.trace import tracer as census_tracer
from opencensus.trace.base_exporter import Exporter as CensusExporter
from opencensus.trace.propagation.trace_context_http_header_format import TraceContextPropagator
from opencensus.trace.span_context import SpanContext as CensusContext
from opencensus.trace.trace_options import TraceOptions
from opencensus.trace.tracers.context_tracer import ContextTracer
from opencensus.trace.tracestate import Tracestate
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from clew import guard
from clew.bridges.kinds import set_kind
from clew.bridges.opencensus_exporter import Exporter, code_name, items_of, link_items, message_items, time_ns

__all__ = ["BridgeTracer", "Exporter", "Propagator", "Span", "Tracer", "install"]

SCOPE: Final = "clew.opencensus"
_KINDS: Final = {census.SpanKind.SERVER: SpanKind.SERVER, census.SpanKind.CLIENT: SpanKind.CLIENT}


class Span(census.Span):  # type: ignore[misc]  # the package has no types
    """A span of OpenCensus with one of OpenTelemetry behind it."""

    def __init__(self, name: str, parent: Context, tracer: trace.Tracer, **arguments: Any) -> None:
        self.otel_span = tracer.start_span(name, parent)
        context = self.otel_span.get_span_context()
        super().__init__(name, span_id=f"{context.span_id:016x}", **arguments)
        self._token: Any = None
        self._attached: Context | None = None
        self._is_finished = False

    def span(self, name: str = "child_span") -> Any:
        """A child, which becomes the current span."""
        return self.context_tracer.start_span(name=name)

    def activate(self) -> None:
        """Make it OpenTelemetry's current span as well."""
        self._attached = set_span_in_context(self.otel_span)
        self._token = attach(self._attached)

    def finish(self) -> None:
        """Write what was recorded to the OpenTelemetry span, and end it."""
        if self._is_finished:
            return
        self._is_finished = True
        super().finish()
        try:
            if self.otel_span.is_recording():
                _describe(self, self.otel_span)
        except Exception as failure:
            guard.swallow("describing a span of OpenCensus", failure)
        self.otel_span.end()
        # If spans finish in another order or in another task, another context is current by now and is kept.
        if self._token is not None and get_current() is self._attached:
            detach(self._token)
        self._token = self._attached = None

    def __exit__(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        if exception_value is not None and self.otel_span.is_recording():
            self.otel_span.record_exception(exception_value)
        super().__exit__(exception_type, exception_value, traceback)


class BridgeTracer(ContextTracer):  # type: ignore[misc]  # the package has no types
    """The tracer behind an OpenCensus Tracer: nested spans of the current thread or task."""

    def __init__(self, span_context: CensusContext, tracer_provider: TracerProvider | None) -> None:
        super().__init__(exporter=_Nowhere(), span_context=span_context)
        self._provider = tracer_provider
        # A random trace id made by OpenCensus itself is ignored; one that came from a caller is kept.
        self._remote = _remote(span_context)

    def start_span(self, name: str = "span") -> Span:
        """A span below the current one, of either API; it becomes current."""
        current = self.current_span()
        parent: Any = current
        if isinstance(current, Span):
            context = set_span_in_context(current.otel_span)
        elif get_current_span().get_span_context().is_valid or self._remote is None:
            context = get_current()
        else:
            context = set_span_in_context(NonRecordingSpan(self._remote))
        above = get_current_span(context).get_span_context()
        if not isinstance(current, Span) and above.is_valid:
            parent = _Above(f"{above.span_id:016x}")
        provider = self._provider or trace.get_tracer_provider()
        span = Span(str(name), context, provider.get_tracer(SCOPE), parent_span=parent, context_tracer=self)
        with self._spans_list_condition:
            self._spans_list.append(span)
        self._follow(span.otel_span.get_span_context())
        execution_context.set_current_span(span)
        span.start()
        span.activate()
        return span

    def end_span(self, *_: Any, **__: Any) -> Any:
        """End the current span; the one above it is current again."""
        span = super().end_span()
        above = span.parent_span if span is not None else None
        if isinstance(above, Span):
            self._follow(above.otel_span.get_span_context())
        return span

    def _follow(self, context: SpanContext) -> None:
        """`tracer.span_context` is what applications log and inject."""
        seen = self.span_context
        seen.trace_id, seen.span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        self.trace_id = seen.trace_id
        seen.trace_options = TraceOptions(str(int(context.trace_flags)))
        if context.trace_state:
            state = Tracestate()
            for key, value in context.trace_state.items():
                try:
                    state[key] = value
                except ValueError:  # its rules for names are the older ones
                    continue
            seen.tracestate = state


class Tracer(census_tracer.Tracer):  # type: ignore[misc]  # the package has no types
    """`opencensus.trace.tracer.Tracer` on a tracer provider; the global one without."""

    def __init__(
        self,
        span_context: CensusContext | None = None,
        sampler: Any = None,
        exporter: Any = None,
        propagator: Any = None,
        *,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Arguments as OpenCensus has them; sampler and exporter are not asked."""
        self._tracer_provider = tracer_provider
        super().__init__(
            span_context=span_context,
            sampler=sampler or samplers.AlwaysOnSampler(),
            exporter=exporter or _Nowhere(),
            propagator=propagator or TraceContextPropagator(),
        )

    def get_tracer(self) -> BridgeTracer:
        """The tracer that this one delegates to."""
        return BridgeTracer(self.span_context, self._tracer_provider)


class Propagator:
    """OpenTelemetry's propagators for OpenCensus, as it wants them: `from_headers` and `to_headers`."""

    def __init__(self, propagator: TextMapPropagator | None = None) -> None:
        """The global propagator, at the moment of each call, without one."""
        self._propagator = propagator

    def from_headers(self, headers: Mapping[str, str] | None) -> CensusContext:
        """The caller's span; a new trace where the headers name none."""
        lower = {key.lower(): value for key, value in (headers or {}).items()}
        context = (self._propagator or get_global_textmap()).extract(lower, Context())
        found = get_current_span(context).get_span_context()
        return _as_census(found) if found.is_valid else CensusContext()

    def to_headers(self, span_context: CensusContext) -> dict[str, str]:
        """The headers that name this span."""
        headers: dict[str, str] = {}
        context = _as_otel(span_context)
        if context is not None:
            span = NonRecordingSpan(context)
            (self._propagator or get_global_textmap()).inject(headers, set_span_in_context(span))
        return headers


def install(tracer_provider: TracerProvider | None = None) -> Any:
    """Let every OpenCensus Tracer made from now on record through this provider; returns an undo function.

    Its integrations (`opencensus-ext-requests`, `-flask`, …) make theirs by this class and need nothing else.
    """
    original = census_tracer.Tracer.get_tracer

    def get_tracer(self: Any) -> BridgeTracer:
        return BridgeTracer(self.span_context, tracer_provider)

    census_tracer.Tracer.get_tracer = get_tracer

    def undo() -> None:
        if census_tracer.Tracer.get_tracer is get_tracer:
            census_tracer.Tracer.get_tracer = original

    return undo


class _Nowhere(CensusExporter):  # type: ignore[misc]  # the package has no types
    """The provider exports."""

    def emit(self, span_datas: Any) -> None:
        return

    def export(self, span_datas: Any) -> None:
        return


class _Above:
    """Represents a parent span that was not made by OpenCensus."""

    def __init__(self, span_id: str) -> None:
        self.span_id = span_id


# -- what is said of a span ---------------------------------------------------------------------------------------------


def _describe(said: Any, span: trace.Span) -> None:
    span.update_name(str(said.name))
    kind = _KINDS.get(said.span_kind)
    if kind is not None:
        set_kind(span, kind)
    for key, value in items_of(said.attributes).items():
        span.set_attribute(key, value)
    for note in said.annotations:
        span.add_event(str(note.description), items_of(note.attributes), time_ns(note.timestamp))
    for event in said.message_events:
        span.add_event("message", message_items(event), time_ns(event.timestamp))
    for link in said.links:
        linked = SpanContext(int(link.trace_id, 16), int(link.span_id, 16), True, TraceFlags(0))
        span.add_link(linked, link_items(link))
    status = said.status
    if status is not None and not status.is_ok:
        name = code_name(status.canonical_code)
        span.set_status(StatusCode.ERROR, status.description or name)
        span.set_attribute("error.type", name)


# -- contexts -----------------------------------------------------------------------------------------------------------


def _remote(context: CensusContext) -> SpanContext | None:
    """The caller's span, where the context came with a request."""
    return _as_otel(context) if context.span_id is not None else None


def _as_otel(context: CensusContext) -> SpanContext | None:
    if not context.span_id or not context.trace_id:
        return None
    flags = TraceFlags(int(context.trace_options.trace_options_byte) & 0xFF)
    state = TraceState(list((context.tracestate or {}).items()))
    found = SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags, state)
    return found if found.is_valid else None


def _as_census(context: SpanContext) -> CensusContext:
    state = Tracestate()
    for key, value in context.trace_state.items():
        try:
            state[key] = value
        except ValueError:
            continue
    return CensusContext(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        trace_options=TraceOptions(str(int(context.trace_flags))),
        tracestate=state or None,
        from_header=True,
    )
