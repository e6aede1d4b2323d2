"""Spans for calls: extract → start, or start → inject, and what the end of a call says on its span.

Plain functions, so that sync and async share them. Nothing here raises into the application but what it was
built wrongly with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import SystemRandom
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
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

from clew import __version__, doubled, environment, guard, semconv
from clew._otel import GLOBAL_PROVIDER, RUNTIME_CONTEXT, SPAN_KEY, SUPPRESS_INSTRUMENTATION_KEY
from clew.carriers import AsgiCarrier, Carrier, as_carrier, getter, setter
from clew.propagation import default_propagator
from clew.propagation.service import PEER_SERVICE, peer_service
from clew.tracing.attributes import redacted_text
from clew.tracing.conventions import Convention, Ending, Kratos, OTel, convention_from_names
from clew.tracing.failures import message_of
from clew.tracing.options import Conventions, Exclusion
from clew.tracing.outcome import client_has_left, is_cancellation, type_name
from clew.tracing.rules import Rules
from clew.tracing.scope import Scope
from clew.transport import Call, Outcome, client_transport, server_transport

SCOPE: Final = "clew"
_KINDS: Final = (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)
_IDLE: Final = (NoOpTracerProvider, ProxyTracerProvider)
_NOTHING: Final = Outcome()
_SAMPLED: Final = 1
# `Context` forbids item assignment; one that was just made and is not shared yet may be changed.
_set_item: Final = dict.__setitem__
_random: Final = SystemRandom()
# What `get_current` calls, without its own call.
_current: Final = RUNTIME_CONTEXT.get_current


class Tracer:
    """Makes the spans of one kind of call.

    SERVER and CONSUMER read their parent from the carrier; CLIENT and PRODUCER are children of the current
    span and write themselves into the carrier. For a scenario that no instrumentation covers use `scope`,
    or `start` and `end` where a call does not end where it began.
    """

    __slots__ = (
        "_convention",
        "_explicit_provider",
        "_extracts",
        "_is_idle",
        "_is_plain",
        "_is_server",
        "_keeps_headers",
        "_propagator",
        "_provider",
        "_rules",
        "_scope",
        "_tracer",
        "kind",
        "transports",
        "wants_reply_headers",
    )

    def __init__(
        self,
        kind: SpanKind,
        *,
        scope: str = SCOPE,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Conventions = ("otel",),
        exclude: Sequence[Exclusion] | None = None,
        rename: Callable[[Call], str | None] | None = None,
        on_start: Callable[[Span, Call], None] | None = None,
        on_end: Callable[[Span, Call, object, BaseException | None], None] | None = None,
        request_headers: Sequence[str] | None = None,
        response_headers: Sequence[str] | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Options as `clew.tracing.options` describes them; `scope` is the name of the instrumentation scope.

        Raises ValueError for a kind that crosses no process boundary and for an unknown convention, TypeError for
        an option of another type.
        """
        if kind not in _KINDS:
            raise ValueError(f"a call is SERVER, CLIENT, PRODUCER or CONSUMER, not {getattr(kind, 'name', kind)!s}")
        self._convention: Final[Convention] = convention_from_names(conventions)
        # True for most tracers; methods that only other conventions implement are not called then.
        self._is_plain: Final = isinstance(self._convention, OTel)
        self._keeps_headers: Final = not isinstance(self._convention, Kratos)
        rules = Rules(
            kind,
            exclude=exclude,
            rename=rename,
            on_start=on_start,
            on_end=on_end,
            request_headers=request_headers,
            response_headers=response_headers,
            trusted_proxies=trusted_proxies,
        )
        self._rules: Final = None if rules.are_none else rules
        #: Whether `call.reply_carrier` will be read at the end; else it need not be there.
        self.wants_reply_headers: Final = rules.wants_reply_headers
        doubled.watch()
        self.kind: Final = kind
        self._is_server: Final = kind is SpanKind.SERVER
        self._extracts: Final = kind in (SpanKind.SERVER, SpanKind.CONSUMER)
        #: Where the current call of this direction stands.
        self.transports: Final = server_transport if self._extracts else client_transport
        self._propagator: Final = propagator
        self._scope: Final = scope
        self._explicit_provider: Final = tracer_provider
        self._provider = tracer_provider
        # The API's own stand-ins record nothing, so no attributes are built for them.
        self._is_idle = isinstance(tracer_provider, _IDLE)
        self._tracer: trace.Tracer | None = None if tracer_provider is None else self._tracer_of(tracer_provider)

    def _tracer_of(self, provider: TracerProvider) -> trace.Tracer:
        return provider.get_tracer(self._scope, __version__, schema_url=semconv.SCHEMA_URL)

    def scope(self, call: Call, *, links: Sequence[Link] = ()) -> Scope:
        """The bracket around one call, for sync and async code alike; its span begins here.

        with tracer.scope(call) as scope:
            scope.reply = send(request)
        """
        return Scope(self, call, links=links)

    def start(
        self,
        operation: str,
        carrier: Carrier | Mapping[str, Any] | None = None,
        *,
        transport: Call | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """A started span with the transport's attributes, not made current. Never raises; `end` it."""
        return self.begin(operation, carrier, transport, links)[0]

    def begin(
        self,
        operation: str,
        carrier: Carrier | Mapping[str, Any] | None,
        transport: Call | None,
        links: Sequence[Link] = (),
    ) -> tuple[Span, Context]:
        """As `start`, with the context the call is to run in: what was extracted, and the span.

        A call that is excluded gets a span that records nothing and is not sampled: of the caller's trace, or of
        one of its own.
        """
        context = _current()
        family: doubled.Family | None = None
        if doubled.state.is_on and transport is not None:
            family = self._family(transport)
            if doubled.is_traced_by_another(context, family):
                return INVALID_SPAN, context
        try:
            headers: Carrier | None = carrier if type(carrier) is AsgiCarrier else as_carrier(carrier)
            propagator = self._propagator
            if propagator is None:
                propagator = get_global_textmap()
                seen, used = _seen
                propagator = used if seen is propagator and used is not None else _effective(propagator)
            if self._extracts:
                if headers is not None:
                    context = propagator.extract(headers, context, getter)
            elif context.get(SUPPRESS_INSTRUMENTATION_KEY):
                return INVALID_SPAN, context
        except Exception as failure:
            guard.swallow("extracting a context", failure)
            headers = propagator = None
        try:
            if self._rules is not None and self._is_excluded(transport):
                span = _unrecorded(context)
            else:
                span = self._started(operation, context, transport, links)
            if family is None:
                context = Context(context)
                _set_item(context, SPAN_KEY, span)
            else:
                context = doubled.with_ours(context, family, span)
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return INVALID_SPAN, context
        if headers is not None and propagator is not None and not self._extracts:
            try:
                propagator.inject(headers, context, setter)
                if not self._is_plain:
                    self._convention.injected(headers)
            except Exception as failure:
                guard.swallow("injecting a context", failure)
        return span, context

    def stays_beside(self, span: Span, call: Call) -> None:
        """Note that `span`, which has begun for `call`, is not made current: the library only tells about its calls.

        Another instrumentation that traces the same call is recognised by this.
        """
        doubled.begun_beside(self._family(call), span)

    def _family(self, call: Call) -> doubled.Family:
        return (call.component if call.kind == "messaging" else call.kind, self._extracts)

    def _started(self, operation: str, context: Context, transport: Call | None, links: Sequence[Link]) -> Span:
        tracer = self._tracer
        # The global provider may be set, or set anew, at any time.
        if (
            self._explicit_provider is None
            and (provider := getattr(trace, GLOBAL_PROVIDER, None) or trace.get_tracer_provider()) is not self._provider
        ):
            tracer = self._tracer = self._tracer_of(provider)
            self._provider = provider
            self._is_idle = isinstance(provider, _IDLE)
        assert tracer is not None
        if transport is None or self._is_idle:
            return tracer.start_span(operation, context, self.kind, None, links)
        rules = self._rules
        if rules is not None or not self._is_plain:
            operation = self._named(transport, operation)
        # Samplers need the attributes. With an unsampled parent the span most likely records nothing: do not build them yet.
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
        if rules is not None and span.is_recording():
            rules.started(span, transport)
        return span

    def _is_excluded(self, call: Call | None) -> bool:
        rules = self._rules
        return rules is not None and call is not None and rules.excludes is not None and rules.excludes(call)

    def update_name(self, span: Span, transport: Call) -> None:
        """Name a span by its call's operation as it is now, the route known at last; `rename` goes first."""
        span.update_name(self._named(transport, transport.operation))

    def _named(self, call: Call, name: str) -> str:
        if not self._is_plain:
            try:
                name = self._convention.span_name(call, name, server=self._extracts)
            except Exception as failure:
                guard.swallow(f"naming a span of {call.component}", failure)
        return name if self._rules is None else self._rules.name(call, name)

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

    def _attributes(self, call: Call, context: Context) -> Mapping[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {}
        try:
            if self._is_plain:
                read: Any = call.attributes()
                # As `OTel.start` does. One that has its component is a dictionary made for this call, and is not copied.
                attributes = read if semconv.COMPONENT in read else {semconv.COMPONENT: call.component, **read}
            else:
                attributes[semconv.COMPONENT] = call.component
                self._convention.start(attributes, call, call.attributes(), server=self._extracts)
            if self._extracts and PEER_SERVICE in context and (caller := peer_service(context)):
                attributes[semconv.PEER_SERVICE] = caller
            if self._rules is not None and self._keeps_headers:
                attributes.update(self._rules.attributes(call))
        except Exception as failure:
            guard.swallow(f"reading the attributes of {call.component}", failure)
            attributes.setdefault(semconv.COMPONENT, call.component)
        return attributes

    def received(self, span: Span, message: object) -> None:
        """Note the request a call brings or takes; only Kratos' conventions have attributes for it."""
        if not self._is_plain:
            self._note_message(span, message, received=self._extracts)

    def replied(self, span: Span, message: object) -> None:
        """As `received`, of the reply, where `end` is not given it."""
        if not self._is_plain:
            self._note_message(span, message, received=not self._extracts)

    def _note_message(self, span: Span, message: object, *, received: bool) -> None:
        if span.is_recording():
            try:
                self._convention.message(span, message, received=received)
            except Exception as failure:
                guard.swallow("measuring a message", failure)

    def end(
        self,
        span: Span,
        *,
        reply: object = None,
        error: BaseException | None = None,
        end_time_unix_nano: int | None = None,
        transport: Call | None = None,
    ) -> None:
        """Say how the call ended, and end its span. Never raises.

        An error is recorded once and makes the status ERROR with its message; success leaves the status
        unset. A cancellation is no error and is marked. `reply` may be an `Outcome`. `transport` is the one the
        span was started with: `on_end` and captured response headers need it.
        """
        try:
            if span.is_recording():
                outcome = reply if isinstance(reply, Outcome) else None
                if outcome is None:
                    outcome = _NOTHING
                else:
                    reply = outcome.reply
                    if outcome.handled:
                        error = None
                if error is None and self._is_plain and outcome.error_type is None and not outcome.cancelled:
                    if outcome.attributes:  # as `OTel.conclude` does
                        span.set_attributes(outcome.attributes)
                else:
                    self._conclude(span, outcome, reply, error)
                if transport is not None and self._rules is not None:
                    if self._keeps_headers and (headers := self._rules.reply_attributes(transport)):
                        span.set_attributes(headers)
                    self._rules.ending(span, transport, reply, error)
        except Exception as failure:
            guard.swallow("describing the end of a call", failure)
        finally:
            try:
                span.end(end_time_unix_nano)
            except Exception as failure:
                guard.swallow("ending a span", failure)

    def _conclude(self, span: Span, outcome: Outcome, reply: object, error: BaseException | None) -> None:
        if outcome.cancelled or (
            error is not None and (is_cancellation(error) or (self._is_server and client_has_left(error)))
        ):
            span.set_attribute(semconv.CANCELLED, True)
            self._convention.cancelled(span, outcome)
            return
        error_type = outcome.error_type
        message = redacted_text(outcome.message) if outcome.message else outcome.message
        if error is not None:
            error_type = error_type or type_name(error)
            message = message or message_of(error)
        if error_type is not None:
            span.set_status(StatusCode.ERROR, message or None)
        self._convention.conclude(span, Ending(outcome, reply, error, error_type, message, self._extracts))

    def note_failure(
        self,
        operation: str,
        error: BaseException,
        *,
        transport: Call | None = None,
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
            if self._is_excluded(transport):
                return
            if (
                doubled.state.is_on
                and transport is not None
                and doubled.is_traced_by_another(context, self._family(transport))
            ):
                return
            tracer = self._tracer
            if self._explicit_provider is None:
                tracer = self._tracer_of(trace.get_tracer_provider())
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


# The global propagator as it was seen last, and what is used in its place.
_seen: tuple[TextMapPropagator | None, TextMapPropagator | None] = (None, None)


def _effective(propagator: TextMapPropagator) -> TextMapPropagator:
    """The global propagator, or clew's default where the global one is only the API's fallback."""
    global _seen
    seen, used = _seen
    if seen is propagator and used is not None:
        return used
    parts = getattr(propagator, "_propagators", None)
    is_stock = (
        isinstance(parts, (list, tuple))
        and [type(part) for part in parts] == [TraceContextTextMapPropagator, W3CBaggagePropagator]
        and not environment.text("OTEL_PROPAGATORS")
    )
    used = default_propagator() if is_stock else propagator
    _seen = (propagator, used)
    return used
