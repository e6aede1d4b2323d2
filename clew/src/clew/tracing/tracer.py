"""Spans for calls: extract → start, or start → inject, and what the end of a call says on its span.

Plain functions, so that sync and async share them. Nothing here raises into the application but what it was
built wrongly with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import SystemRandom
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.environment_variables import OTEL_PROPAGATORS
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew._otel import GLOBAL_PROVIDER, RUNTIME_CONTEXT, SPAN_KEY, SUPPRESS_INSTRUMENTATION_KEY
from clew.carriers import Carrier, as_carrier, getter, setter
from clew.propagation import default_propagator, peer_service
from clew.tracing import kratos
from clew.tracing.attributes import redacted_text
from clew.tracing.exclusion import exclusion_from_environment, exclusion_from_rules
from clew.tracing.failures import message_of, record
from clew.tracing.headers import TrustedProxies, capture_from_names
from clew.tracing.options import Conventions, Exclusion
from clew.tracing.outcome import client_has_left, is_cancellation, type_name
from clew.transport import Outcome, Transport

SCOPE: Final = "clew"
_KNOWN: Final = ("otel", "kratos")
_KINDS: Final = (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)
_IDLE: Final = (NoOpTracerProvider, ProxyTracerProvider)
_NOTHING: Final = Outcome()
_SAMPLED: Final = 1
_random: Final = SystemRandom()
# What `get_current` calls, without its own call.
_current: Final = RUNTIME_CONTEXT.get_current


class Tracer:
    """Makes the spans of one kind of call.

    SERVER and CONSUMER read their parent from the carrier; CLIENT and PRODUCER are children of the current
    span and write themselves into the carrier. Whoever needs a scenario that no instrumentation covers calls
    `start` and `end`.
    """

    __slots__ = (
        "_explicit_provider",
        "_extracts",
        "_is_excluded",
        "_is_idle",
        "_is_server",
        "_kratos",
        "_on_end",
        "_on_start",
        "_otel",
        "_propagator",
        "_provider",
        "_proxies",
        "_rename",
        "_request_headers",
        "_response_headers",
        "_tracer",
        "kind",
        "wants_reply_headers",
    )

    def __init__(
        self,
        kind: SpanKind,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Conventions = ("otel",),
        exclude: Sequence[Exclusion] | None = None,
        rename: Callable[[Transport], str | None] | None = None,
        on_start: Callable[[Span, Transport], None] | None = None,
        on_end: Callable[[Span, Transport, object, BaseException | None], None] | None = None,
        request_headers: Sequence[str] | None = None,
        response_headers: Sequence[str] | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Options as `clew.tracing.options` describes them.

        Raises ValueError for a kind that crosses no process boundary and for an unknown convention, TypeError for
        an option of another type.
        """
        if kind not in _KINDS:
            raise ValueError(f"a call is SERVER, CLIENT, PRODUCER or CONSUMER, not {getattr(kind, 'name', kind)!s}")
        names = (conventions,) if isinstance(conventions, str) else tuple(conventions)
        for name in names:
            if name not in _KNOWN:
                raise ValueError(f"unknown convention {name!r}: known are {', '.join(_KNOWN)}")
        if not names:
            raise ValueError(f"at least one convention is needed: {', '.join(_KNOWN)}")
        for word, hook in (("rename", rename), ("on_start", on_start), ("on_end", on_end)):
            if hook is not None and not callable(hook):
                raise TypeError(f"{word} is called, which {type(hook).__name__} cannot be")
        is_server = kind is SpanKind.SERVER
        self._is_excluded = (
            exclusion_from_rules(exclude)
            if exclude is not None
            else exclusion_from_environment()
            if is_server
            else None
        )
        self._is_server = is_server
        self._rename = rename
        self._on_start = on_start
        self._on_end = on_end
        # Only calls over HTTP are asked for headers that nobody but a variable wants.
        has_headers = kind in (SpanKind.SERVER, SpanKind.CLIENT)
        self._request_headers = (
            capture_from_names(request_headers, server=is_server, response=False) if has_headers else None
        )
        self._response_headers = (
            capture_from_names(response_headers, server=is_server, response=True) if has_headers else None
        )
        #: Whether `transport.reply_carrier` will be read at the end; else it need not be there.
        self.wants_reply_headers: Final = self._response_headers is not None
        self._proxies = TrustedProxies(trusted_proxies) if trusted_proxies else None
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
        links: Sequence[Link] = (),
    ) -> Span:
        """A started span with the transport's attributes, not made current. Never raises; `end` it."""
        return self.begin(operation, carrier, transport, links)[0]

    def begin(
        self,
        operation: str,
        carrier: Carrier | Mapping[str, Any] | None,
        transport: Transport | None,
        links: Sequence[Link] = (),
    ) -> tuple[Span, Context]:
        """As `start`, with the context the call is to run in: what was extracted, and the span.

        A call that is excluded gets a span that records nothing and is not sampled: of the caller's trace, or of
        one of its own.
        """
        context = _current()
        try:
            headers = as_carrier(carrier)
            propagator = self._propagator
            if propagator is None:
                propagator = _effective(get_global_textmap())
            if self._extracts:
                if headers is not None:
                    context = propagator.extract(headers, context, getter)
            elif context.get(SUPPRESS_INSTRUMENTATION_KEY):
                return INVALID_SPAN, context
        except Exception as failure:
            guard.swallow("extracting a context", failure)
            headers = propagator = None
        try:
            if transport is not None and self._is_excluded is not None and self._is_excluded(transport):
                span = _unrecorded(context)
            else:
                span = self._started(operation, context, transport, links)
            context = Context({**context, SPAN_KEY: span})
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return INVALID_SPAN, context
        if headers is not None and propagator is not None and not self._extracts:
            try:
                propagator.inject(headers, context, setter)
                if self._kratos:
                    kratos.say_sampled_only(headers)
            except Exception as failure:
                guard.swallow("injecting a context", failure)
        return span, context

    def _started(self, operation: str, context: Context, transport: Transport | None, links: Sequence[Link]) -> Span:
        tracer = self._tracer
        # The global provider may be set, or set anew, at any time.
        if (
            self._explicit_provider is None
            and (provider := getattr(trace, GLOBAL_PROVIDER, None) or trace.get_tracer_provider()) is not self._provider
        ):
            tracer = self._tracer = provider.get_tracer(SCOPE)
            self._provider = provider
            self._is_idle = isinstance(provider, _IDLE)
        assert tracer is not None
        if transport is None or self._is_idle:
            return tracer.start_span(operation, context, self.kind, None, links)
        if self._kratos or self._rename is not None:
            operation = self._named(transport, operation)
        # Samplers want to see the attributes; a parent that is not sampled says that most likely nobody will.
        parent = context.get(SPAN_KEY)
        if (
            parent is not None
            and not (known := parent.get_span_context()).trace_flags & _SAMPLED  # type: ignore[attr-defined]
            and known.is_valid
        ):
            if isinstance(parent, _Unrecorded):
                # Whatever the sampler: within a call that is excluded nothing is recorded.
                return parent
            span = tracer.start_span(operation, context, self.kind, None, links)
            if not span.is_recording():
                return span
            span.set_attributes(self._attributes(transport, context))
        else:
            span = tracer.start_span(operation, context, self.kind, self._attributes(transport, context), links)
        if self._on_start is not None and span.is_recording():
            try:
                self._on_start(span, transport)
            except Exception as failure:
                guard.swallow(f"the hook on_start ({_name_of(self._on_start)})", failure)
        return span

    def update_name(self, span: Span, transport: Transport) -> None:
        """Name a span by its transport's operation as it is now, the route known at last; `rename` goes first."""
        span.update_name(self._named(transport, transport.operation))

    def _named(self, transport: Transport, name: str) -> str:
        if self._kratos and not self._otel:
            try:
                name = kratos.span_name(transport, server=self._extracts)
            except Exception as failure:
                guard.swallow(f"naming a span of {transport.component}", failure)
        if self._rename is None:
            return name
        try:
            return self._rename(transport) or name
        except Exception as failure:
            guard.swallow(f"the hook rename ({_name_of(self._rename)})", failure)
            return name

    def extract(self, carrier: Carrier | Mapping[str, Any] | None, context: Context | None = None) -> Context:
        """`context`, the current one without it, with what a message's headers hold: its sender's span, baggage."""
        if context is None:
            context = get_current()
        try:
            headers = as_carrier(carrier)
            if headers is None:
                return context
            return (self._propagator or _effective(get_global_textmap())).extract(headers, context, getter)
        except Exception as failure:
            guard.swallow("extracting a context", failure)
            return context

    def link(self, carrier: Carrier | Mapping[str, Any] | None) -> Link | None:
        """A link to the span that a received message's headers name, to be given to `start`; None if they name none."""
        sender = get_current_span(self.extract(carrier, Context())).get_span_context()
        return Link(sender) if sender.is_valid else None

    def links(self, carriers: Iterable[Carrier | Mapping[str, Any] | None]) -> list[Link]:
        """The links to the senders of several messages, those without one left out."""
        return [link for carrier in carriers if (link := self.link(carrier)) is not None]

    def _attributes(self, transport: Transport, context: Context) -> Mapping[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {semconv.COMPONENT: transport.component}
        try:
            offered = transport.attributes()
            if self._otel:
                attributes = {semconv.COMPONENT: transport.component, **offered}
            if self._extracts and (caller := peer_service(context)):
                attributes[semconv.PEER_SERVICE] = caller
            if self._kratos:
                attributes.update(kratos.attributes_at_start(transport, offered, server=self._extracts))
            if self._request_headers is not None or self._proxies is not None:
                self._add_from_headers(attributes, transport)
        except Exception as failure:
            guard.swallow(f"reading the attributes of {transport.component}", failure)
        return attributes

    def _add_from_headers(self, attributes: dict[str, AttributeValue], transport: Transport) -> None:
        carrier = transport.carrier
        if not self._otel or transport.kind != "http" or carrier is None:
            return
        if self._request_headers is not None:
            attributes.update(self._request_headers.attributes(carrier))
        if self._proxies is not None and self._extracts and (peer := transport.peer) is not None:
            host, port = peer
            attributes[semconv.CLIENT_ADDRESS] = self._proxies.client(host, carrier)
            attributes[semconv.NETWORK_PEER_ADDRESS] = host
            if port:
                attributes[semconv.NETWORK_PEER_PORT] = port

    def received(self, span: Span, message: object) -> None:
        """Note the request a call brings or takes; only Kratos' conventions have words for it."""
        if self._kratos and span.is_recording():
            try:
                kratos.note_size(span, message, received=self._extracts)
            except Exception as failure:
                guard.swallow("measuring a message", failure)

    def replied(self, span: Span, message: object) -> None:
        """As `received`, of the reply, where `end` is not given it."""
        if self._kratos and span.is_recording():
            try:
                kratos.note_size(span, message, received=not self._extracts)
            except Exception as failure:
                guard.swallow("measuring a message", failure)

    def end(
        self,
        span: Span,
        *,
        reply: object = None,
        error: BaseException | None = None,
        end_time_unix_nano: int | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Say how the call ended, and end its span. Never raises.

        An error is recorded once and makes the status ERROR with its message; success leaves the status
        unset. A cancellation is no error and is marked. `reply` may be an `Outcome`. `transport` is the one the
        span was started with: `on_end` and captured response headers need it.
        """
        try:
            if span.is_recording():
                known = reply if isinstance(reply, Outcome) else None
                self._conclude(span, known, reply, error)
                if transport is not None and (self._on_end is not None or self._response_headers is not None):
                    self._finish(span, transport, reply if known is None else known.reply, error)
        except Exception as failure:
            guard.swallow("describing the end of a call", failure)
        finally:
            try:
                span.end(end_time_unix_nano)
            except Exception as failure:
                guard.swallow("ending a span", failure)

    def _finish(self, span: Span, transport: Transport, reply: object, error: BaseException | None) -> None:
        if self._response_headers is not None and self._otel and transport.kind == "http":
            carrier = transport.reply_carrier
            if carrier is not None:
                span.set_attributes(self._response_headers.attributes(carrier))
        if self._on_end is not None:
            try:
                self._on_end(span, transport, reply, error)
            except Exception as failure:
                guard.swallow(f"the hook on_end ({_name_of(self._on_end)})", failure)

    def _conclude(self, span: Span, known: Outcome | None, reply: object, error: BaseException | None) -> None:
        outcome = _NOTHING if known is None else known
        if outcome.attributes and self._otel:
            span.set_attributes(outcome.attributes)
        if outcome.cancelled or (
            error is not None and (is_cancellation(error) or (self._is_server and client_has_left(error)))
        ):
            span.set_attribute(semconv.CANCELLED, True)
            if self._kratos:
                kratos.cancelled(span)
            return
        error_type = outcome.error_type
        message = redacted_text(outcome.message) if outcome.message else outcome.message
        if error is not None:
            if self._otel:
                record(span, error)
            error_type = error_type or type_name(error)
            message = message or message_of(error)
        if error_type is not None:
            span.set_status(StatusCode.ERROR, message or None)
            if self._otel:
                span.set_attribute(semconv.ERROR_TYPE, error_type)
        if self._kratos:
            # Last, for a status of OK stays; and Kratos has words for more failures than OpenTelemetry.
            kratos.conclude(
                span,
                outcome,
                error,
                reply=reply if known is None else known.reply,
                message=message,
                server=self._extracts,
                records_exception=not self._otel,
            )

    def note_failure(
        self,
        operation: str,
        error: BaseException,
        *,
        transport: Transport | None = None,
        context: Context | None = None,
        kind: SpanKind | None = None,
        start_time_unix_nano: int | None = None,
        reply: object = None,
    ) -> None:
        """A span for something that has failed and had none: it started at the time given, and ends now. Never raises.

        It is of the tracer's kind unless `kind` says otherwise, and a child of the current span or that of `context`.
        """
        try:
            context = _current() if context is None else context
            if context.get(SUPPRESS_INSTRUMENTATION_KEY):
                return
            if transport is not None and self._is_excluded is not None and self._is_excluded(transport):
                return
            tracer = self._tracer
            if self._explicit_provider is None:
                tracer = trace.get_tracer_provider().get_tracer(SCOPE)
            assert tracer is not None
            attributes = None if transport is None else self._attributes(transport, context)
            span = tracer.start_span(
                operation, context, self.kind if kind is None else kind, attributes, (), start_time_unix_nano
            )
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return
        self.end(span, reply=reply, error=error, transport=transport)


class _Unrecorded(NonRecordingSpan):
    """The span of a call that is excluded."""


def _unrecorded(context: Context) -> Span:
    """The current span's context, not sampled; without one a fresh one, so that what is within has such a parent."""
    current = get_current_span(context)
    if isinstance(current, _Unrecorded):
        return current
    known = current.get_span_context()
    if known.is_valid:
        flags = TraceFlags(known.trace_flags & ~_SAMPLED)
        return _Unrecorded(SpanContext(known.trace_id, known.span_id, known.is_remote, flags, known.trace_state))
    return _Unrecorded(
        SpanContext(_random.getrandbits(128) | 1, _random.getrandbits(64) | 1, False, TraceFlags(TraceFlags.DEFAULT))
    )


def _name_of(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__qualname__", None) or type(hook).__name__


# The global propagator as it was seen last, and what is used in its place.
_seen: tuple[TextMapPropagator | None, TextMapPropagator | None] = (None, None)


def _effective(propagator: TextMapPropagator) -> TextMapPropagator:
    """The global propagator, or ours where nobody has chosen one and it is what the API falls back to."""
    global _seen
    seen, used = _seen
    if seen is propagator and used is not None:
        return used
    parts = getattr(propagator, "_propagators", None)
    is_stock = (
        isinstance(parts, (list, tuple))
        and [type(part) for part in parts] == [TraceContextTextMapPropagator, W3CBaggagePropagator]
        and not os.environ.get(OTEL_PROPAGATORS)
    )
    used = default_propagator() if is_stock else propagator
    _seen = (propagator, used)
    return used
