"""OpenTracing: a tracer for code written against its API, on OpenTelemetry's shim.

    opentracing.set_global_tracer(clew.opentracing.tracer())

What the shim does not do is added: `span.kind` becomes the span's kind, `error` its status, an exception that is
logged an exception event, references say what they are, and baggage travels and is inherited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import opentracing
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.shim.opentracing_shim import ScopeManagerShim, ScopeShim, SpanContextShim, SpanShim, TracerShim
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanKind,
    StatusCode,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)
from opentracing import Format, ReferenceType, UnsupportedFormatException
from opentracing.ext import tags

from clew.bridges.kinds import set_kind

SCOPE: Final = "clew.opentracing"
_KINDS: Final = {
    tags.SPAN_KIND_RPC_CLIENT: SpanKind.CLIENT,
    tags.SPAN_KIND_RPC_SERVER: SpanKind.SERVER,
    tags.SPAN_KIND_PRODUCER: SpanKind.PRODUCER,
    tags.SPAN_KIND_CONSUMER: SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_REF_TYPE: Final = "opentracing.ref_type"
_REF_TYPES: Final = {ReferenceType.CHILD_OF: "child_of", ReferenceType.FOLLOWS_FROM: "follows_from"}
_FORMATS: Final = (Format.TEXT_MAP, Format.HTTP_HEADERS)


def tracer(tracer_provider: TracerProvider | None = None, propagator: TextMapPropagator | None = None) -> Tracer:
    """An `opentracing.Tracer` that records through this provider; the global one, and propagator, without."""
    provider = tracer_provider or trace.get_tracer_provider()
    return Tracer(provider.get_tracer(SCOPE), propagator)


class SpanContext(SpanContextShim):
    """OpenTelemetry's context, and the baggage that OpenTracing keeps with it."""

    def __init__(self, context: trace.SpanContext, items: Context | None = None) -> None:
        super().__init__(context)
        if items is not None:
            self._baggage = items

    @property
    def baggage(self) -> Mapping[str, object]:  # type: ignore[override]  # the shim gives its own container
        """The items by name."""
        return baggage.get_all(self._baggage)

    def in_context(self, span: trace.Span) -> Context:
        """A context of this span and these items."""
        context = set_span_in_context(span, get_current())
        for name, value in self.baggage.items():
            context = baggage.set_baggage(name, value, context)
        return context


class Span(SpanShim):
    """A span as OpenTracing has it."""

    def set_tag(self, key: str, value: Any) -> Span:
        """`span.kind` and `error` are more than attributes."""
        span = self._otel_span
        if key == tags.SPAN_KIND and value in _KINDS:
            set_kind(span, _KINDS[value])
        elif key == tags.ERROR and _is_true(value):
            span.set_status(StatusCode.ERROR)
        else:
            span.set_attribute(key, _as_attribute(value))
        return self

    def log_kv(self, key_values: Mapping[str, Any] | None, timestamp: float | None = None) -> Span:
        """An event named by `event`; one with an `error.object` is the exception. `timestamp` in s since the epoch."""
        time_ns = _time_ns(timestamp)
        fields = dict(key_values or {})
        error = fields.pop("error.object", None)
        name = fields.pop("event", None)
        if isinstance(error, BaseException):
            fields.pop("stack", None)
            fields.pop("error.kind", None)
            more = {key: _as_attribute(value) for key, value in fields.items()}
            self._otel_span.record_exception(error, more, time_ns)
            return self
        if error is not None:
            fields["error.object"] = error
        attributes = {str(key): _as_attribute(value) for key, value in fields.items()}
        self._otel_span.add_event("log" if name is None else str(name), attributes, time_ns)
        return self

    def set_baggage_item(self, key: str, value: str) -> Span:
        """Set baggage for this span, its descendants and the services they call."""
        context: SpanContext = self.context
        self._context = SpanContext(context.unwrap(), baggage.set_baggage(key, value, context._baggage))
        return self

    def __exit__(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> None:
        if exc_val is not None:
            self._otel_span.record_exception(exc_val)
            self._otel_span.set_status(StatusCode.ERROR, str(exc_val))
        self.finish()


class Scope(ScopeShim):
    """A span that is current, in OpenTelemetry's context too, with its baggage."""

    def __init__(self, manager: ScopeManager, span: Span, finish_on_close: bool) -> None:
        opentracing.Scope.__init__(self, manager, span)
        self._finish_on_close = finish_on_close
        own: trace.Span = span._otel_span
        context = span.context.in_context(own)
        self._token = attach(Context({**context, _SCOPE: self}))

    def close(self) -> None:
        """Make the span current that was current before."""
        self._end(None)

    def __exit__(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> None:
        self._end(exc_val)

    def _end(self, error: BaseException | None) -> None:
        detach(self._token)
        span = self.span.unwrap()
        if error is not None and span.is_recording():
            span.record_exception(error)
            span.set_status(StatusCode.ERROR, str(error))
        if self._finish_on_close:
            self.span.finish()


_SCOPE: Final = "clew-opentracing-scope"


class ScopeManager(ScopeManagerShim):
    """The current span is OpenTelemetry's."""

    def activate(self, span: Span, finish_on_close: bool) -> Scope:
        """Make `span` current until the scope is closed."""
        return Scope(self, span, finish_on_close)

    @property
    def active(self) -> Any:
        """The scope of the current span, or None; for one that OpenTelemetry made current, one that closes nothing."""
        current = get_current_span()
        if not current.get_span_context().is_valid:
            return None
        scope = get_current().get(_SCOPE)
        if isinstance(scope, Scope) and scope.span.unwrap() is current:
            return scope
        items = Context({})
        for name, value in baggage.get_all().items():
            items = baggage.set_baggage(name, value, items)
        return opentracing.Scope(self, Span(self._tracer, SpanContext(current.get_span_context(), items), current))


class Tracer(TracerShim):
    """An `opentracing.Tracer`."""

    def __init__(self, otel_tracer: trace.Tracer, propagator: TextMapPropagator | None = None) -> None:
        super().__init__(otel_tracer)
        self._scope_manager = ScopeManager(self)
        self._propagator = propagator

    def start_active_span(
        self,
        operation_name: str,
        child_of: Any = None,
        references: Any = None,
        tags: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        ignore_active_span: bool = False,
        finish_on_close: bool = True,
    ) -> Scope:
        """As `opentracing.Tracer.start_active_span`."""
        span = self.start_span(operation_name, child_of, references, tags, start_time, ignore_active_span)
        scope: Scope = self.scope_manager.activate(span, finish_on_close)
        return scope

    def start_span(
        self,
        operation_name: str | None = None,
        child_of: Any = None,
        references: Any = None,
        tags: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        ignore_active_span: bool = False,
    ) -> Span:
        """As `opentracing.Tracer.start_span`; the first reference is the parent where `child_of` is not given."""
        linked = [
            (one.type, context)
            for one in _as_list(references)
            if (context := _context_of(one.referenced_context)) is not None
        ]
        parent = _context_of(child_of)
        if parent is None and linked:
            kind, parent = linked[0]
            if kind == ReferenceType.CHILD_OF:
                del linked[0]  # the parent says as much
        if parent is None and not ignore_active_span and (active := self.scope_manager.active) is not None:
            child_of = active.span
            parent = active.span.context
        links = [Link(context.unwrap(), {_REF_TYPE: _REF_TYPES.get(kind, str(kind))}) for kind, context in linked]

        attributes = dict(tags or {})
        span_kind = _KINDS.get(_hashable(attributes.get("span.kind")), None)
        if span_kind is not None:
            del attributes["span.kind"]
        failed = _is_true(attributes.get("error")) and attributes.pop("error")
        made = self._otel_tracer.start_span(
            operation_name or "",
            Context() if parent is None else set_span_in_context(_span_of(child_of, parent), Context()),
            span_kind or SpanKind.INTERNAL,
            {str(key): _as_attribute(value) for key, value in attributes.items()},
            links,
            _time_ns(start_time),
        )
        if failed:
            made.set_status(StatusCode.ERROR)
        items = None if parent is None else parent._baggage
        return Span(self, SpanContext(made.get_span_context(), items), made)

    def inject(self, span_context: Any, format: object, carrier: Any) -> None:
        """As `opentracing.Tracer.inject`, with the propagators that OpenTelemetry is set up with, baggage included."""
        if format not in _FORMATS:
            raise UnsupportedFormatException(f"{format!r}: text maps and HTTP headers are known")
        context = _context_of(span_context)
        span = INVALID_SPAN if context is None else NonRecordingSpan(context.unwrap())
        into = Context() if context is None else set_span_in_context(span, Context())
        for name, value in ({} if context is None else context.baggage).items():
            into = baggage.set_baggage(name, value, into)
        (self._propagator or get_global_textmap()).inject(carrier, into)

    def extract(self, format: object, carrier: Any) -> SpanContext | None:
        """As `opentracing.Tracer.extract`; None where the carrier names no span."""
        if format not in _FORMATS:
            raise UnsupportedFormatException(f"{format!r}: text maps and HTTP headers are known")
        context = (self._propagator or get_global_textmap()).extract(carrier, Context())
        found = get_current_span(context).get_span_context()
        if not found.is_valid:
            return None
        items = Context({})
        for name, value in baggage.get_all(context).items():
            items = baggage.set_baggage(name, value, items)
        return SpanContext(found, items)


def _context_of(reference: Any) -> SpanContext | None:
    """The context of a span or of itself; None of what has none."""
    context = getattr(reference, "context", reference)
    if isinstance(context, SpanContext):
        return context if context.unwrap().is_valid else None
    if isinstance(context, SpanContextShim):
        return SpanContext(context.unwrap()) if context.unwrap().is_valid else None
    return None


def _span_of(reference: Any, context: SpanContext) -> trace.Span:
    """The span itself where it is at hand, as some samplers and processors look at it."""
    span: trace.Span = reference._otel_span if isinstance(reference, SpanShim) else NonRecordingSpan(context.unwrap())
    return span


def _time_ns(seconds: float | None) -> int | None:
    # By way of microseconds, which is what a float since the epoch holds.
    return None if seconds is None else round(seconds * 1_000_000) * 1_000


def _as_list(references: Any) -> list[Any]:
    if references is None:
        return []
    # A reference is a tuple itself.
    return [references] if isinstance(references, opentracing.Reference) else list(references)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _as_attribute(value: Any) -> Any:
    """OpenTracing takes any value: what OpenTelemetry has no type for is written as text."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and len({type(one) for one in value}) <= 1:
        return [one if isinstance(one, (str, bool, int, float)) else str(one) for one in value]
    return str(value)
