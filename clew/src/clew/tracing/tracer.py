"""Spans for calls: extract → start, or start → inject, and what the end of a call says on its span.

Plain functions, so that sync and async share them. Nothing here raises into the application but what it was
built wrongly with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, get_current
from opentelemetry.environment_variables import OTEL_PROPAGATORS
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
)
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.carriers import Carrier, as_carrier, getter, setter
from clew.propagation import default_propagator, peer_service
from clew.tracing import kratos
from clew.tracing.options import Conventions
from clew.tracing.outcome import is_cancellation, type_name
from clew.transport import Outcome, Transport

SCOPE: Final = "clew"
_KNOWN: Final = ("otel", "kratos")
_KINDS: Final = (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)
_IDLE: Final = (NoOpTracerProvider, ProxyTracerProvider)
_NOTHING: Final = Outcome()


class Tracer:
    """Makes the spans of one kind of call.

    SERVER and CONSUMER read their parent from the carrier; CLIENT and PRODUCER are children of the current
    span and write themselves into the carrier. Whoever needs a scenario that no instrumentation covers calls
    `start` and `end`.
    """

    __slots__ = (
        "_explicit_provider",
        "_extracts",
        "_is_idle",
        "_kratos",
        "_otel",
        "_propagator",
        "_provider",
        "_tracer",
        "kind",
    )

    def __init__(
        self,
        kind: SpanKind,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Conventions = ("otel",),
    ) -> None:
        """Without a provider or propagator the global ones, at the moment of each call.

        Raises ValueError for a kind that crosses no process boundary and for an unknown convention.
        """
        if kind not in _KINDS:
            raise ValueError(f"a call is SERVER, CLIENT, PRODUCER or CONSUMER, not {getattr(kind, 'name', kind)!s}")
        names = (conventions,) if isinstance(conventions, str) else tuple(conventions)
        for name in names:
            if name not in _KNOWN:
                raise ValueError(f"unknown convention {name!r}: known are {', '.join(_KNOWN)}")
        if not names:
            raise ValueError(f"at least one convention is needed: {', '.join(_KNOWN)}")
        self.kind: Final = kind
        self._extracts = kind in (SpanKind.SERVER, SpanKind.CONSUMER)
        self._otel = "otel" in names
        self._kratos = "kratos" in names
        self._propagator = propagator
        self._explicit_provider = tracer_provider
        self._provider = tracer_provider
        # The API's own stand-ins record nothing; no need to tell them attributes.
        self._is_idle = isinstance(tracer_provider, _IDLE)
        self._tracer: trace.Tracer | None = None if tracer_provider is None else tracer_provider.get_tracer(SCOPE)

    def start(
        self,
        operation: str,
        carrier: Carrier | Mapping[str, Any] | None = None,
        *,
        transport: Transport | None = None,
    ) -> Span:
        """A started span with the transport's attributes, not made current. Never raises; `end` it."""
        return self.begin(operation, carrier, transport)[0]

    def begin(
        self, operation: str, carrier: Carrier | Mapping[str, Any] | None, transport: Transport | None
    ) -> tuple[Span, Context]:
        """As `start`, with the context the call is to run in: what was extracted, and the span."""
        context = get_current()
        try:
            headers = as_carrier(carrier)
            propagator = self._propagator
            if propagator is None:
                propagator = _effective(get_global_textmap())
            if self._extracts:
                if headers is not None:
                    context = propagator.extract(headers, context, getter)
            elif context.get(_SUPPRESS_INSTRUMENTATION_KEY):
                return INVALID_SPAN, context
        except Exception as failure:
            guard.swallow("extracting a context", failure)
            headers = propagator = None
        try:
            span = self._started(operation, context, transport)
            context = Context({**context, _SPAN_KEY: span})
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return INVALID_SPAN, context
        if headers is not None and propagator is not None and not self._extracts:
            try:
                propagator.inject(headers, context, setter)
            except Exception as failure:
                guard.swallow("injecting a context", failure)
        return span, context

    def _started(self, operation: str, context: Context, transport: Transport | None) -> Span:
        tracer = self._tracer
        # The global provider may be set, or set anew, at any time.
        if self._explicit_provider is None and (provider := trace.get_tracer_provider()) is not self._provider:
            tracer = self._tracer = provider.get_tracer(SCOPE)
            self._provider = provider
            self._is_idle = isinstance(provider, _IDLE)
        assert tracer is not None
        if transport is None:
            return tracer.start_span(operation, context, self.kind)
        # Samplers want to see the attributes; a parent that is not sampled says that most likely nobody will.
        if self._is_idle:
            return tracer.start_span(operation, context, self.kind)
        parent = context.get(_SPAN_KEY)
        if parent is not None and _is_unsampled(parent):
            span = tracer.start_span(operation, context, self.kind)
            if span.is_recording():
                span.set_attributes(self._attributes(transport, context))
            return span
        return tracer.start_span(operation, context, self.kind, self._attributes(transport, context))

    def _attributes(self, transport: Transport, context: Context) -> Mapping[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {semconv.COMPONENT: transport.component}
        try:
            offered = transport.attributes()
            if self._otel:
                attributes = {semconv.COMPONENT: transport.component, **offered}
            if self._extracts and (caller := peer_service(context)):
                attributes[semconv.PEER_SERVICE] = caller
            if self._kratos:
                attributes.update(kratos.attributes_at_start(transport, offered))
        except Exception as failure:
            guard.swallow(f"reading the attributes of {transport.component}", failure)
        return attributes

    def received(self, span: Span, message: object) -> None:
        """Note the request a call brings or takes; only Kratos' conventions have words for it."""
        if self._kratos and span.is_recording():
            try:
                kratos.note_size(span, message, received=self._extracts)
            except Exception as failure:
                guard.swallow("measuring a message", failure)

    def end(
        self,
        span: Span,
        *,
        reply: object = None,
        error: BaseException | None = None,
        end_time_unix_nano: int | None = None,
    ) -> None:
        """Say how the call ended, and end its span. Never raises.

        An error is recorded once and makes the status ERROR with its message; success leaves the status
        unset. A cancellation is no error and is marked. `reply` may be an `Outcome`.
        """
        try:
            if span.is_recording():
                self._conclude(span, reply if isinstance(reply, Outcome) else None, reply, error)
        except Exception as failure:
            guard.swallow("describing the end of a call", failure)
        finally:
            try:
                span.end(end_time_unix_nano)
            except Exception as failure:
                guard.swallow("ending a span", failure)

    def _conclude(self, span: Span, known: Outcome | None, reply: object, error: BaseException | None) -> None:
        outcome = _NOTHING if known is None else known
        if outcome.attributes and self._otel:
            span.set_attributes(outcome.attributes)
        if outcome.cancelled or (error is not None and is_cancellation(error)):
            span.set_attribute(semconv.CANCELLED, True)
            return
        error_type = outcome.error_type
        message = outcome.message
        if error is not None:
            span.record_exception(error)
            error_type = error_type or type_name(error)
            message = message or str(error)
        if error_type is not None:
            span.set_status(StatusCode.ERROR, message or None)
            if self._otel:
                span.set_attribute(semconv.ERROR_TYPE, error_type)
        if self._kratos:
            failed = error_type is not None
            span.set_attributes(kratos.attributes_at_end(outcome, error, message, failed=failed))
            if not failed:
                span.set_status(StatusCode.OK)
                kratos.note_size(span, reply if known is None else known.reply, received=not self._extracts)


def _is_unsampled(parent: Any) -> bool:
    context = parent.get_span_context()
    return context.is_valid and not context.trace_flags & 1


_stock: TextMapPropagator | None = None
_default: TextMapPropagator | None = None


def _effective(propagator: TextMapPropagator) -> TextMapPropagator:
    """The global propagator, or ours where nobody has chosen one and it is what the API falls back to."""
    global _stock, _default
    if propagator is _stock:
        assert _default is not None
        return _default
    parts = getattr(propagator, "_propagators", None)
    if (
        isinstance(parts, (list, tuple))
        and [type(part) for part in parts] == [TraceContextTextMapPropagator, W3CBaggagePropagator]
        and not os.environ.get(OTEL_PROPAGATORS)
    ):
        _default = _default or default_propagator()
        _stock = propagator
        return _default
    return propagator
