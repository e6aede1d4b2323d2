"""The hot path in Python: start a span, collect what it is told, end it into OTLP bytes.

The native twin must behave exactly the same; the tests of this module are its specification.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from functools import wraps
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Final, Protocol

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.util.types import AnyValue, Attributes

from clew import guard
from clew._otel import SPAN_KEY
from clew.otlp import encode
from clew.otlp.fields import FLAG_REMOTE, FLAG_REMOTE_KNOWN
from clew.recorder.buffer import Buffer
from clew.recorder.ids import random_bits
from clew.recorder.limits import UNUSABLE, Limits, as_key, clean, clean_attributes
from clew.recorder.sampler import Sampler
from clew.recorder.sdk.readable import (
    NO_STATUS,
    Event,
    ReadableSpan,
    RecordedLink,
    Scope,
    TracerSurface,
    as_text,
    as_time_ns,
    foreign_parent,
    is_context,
    not_a_context,
)

_SAMPLED: Final = 1
_RANDOM: Final = 2
_FLAGS: Final = [TraceFlags(n) for n in range(256)]
_EMPTY_STATE: Final = TraceState()
# Types that need no cleaning unless strings are limited.
_PLAIN: Final = frozenset((str, int, bool, float))
_UNLIMITED: Final = 1 << 62
_OTLP_KIND: Final = {kind: kind.value + 1 for kind in SpanKind}
_new_tuple = tuple.__new__
_set_item: Final = dict.__setitem__


class Sink(Protocol):
    """Receives the events of a tracer's spans; implemented by the provider."""

    @property
    def resource(self) -> Any:
        """The resource of all its spans."""

    def started(self, span: Span, parent_context: Context | None) -> None:
        """Called only if `observed`: a recording span has started."""

    def ending(self, span: Span) -> None:
        """Called only if `observed`: the end time is set; only processors may still write."""

    def is_ending(self, span: Span) -> bool:
        """Whether this thread is inside `ending` of this span."""

    def ended(self, span: Span) -> None:
        """Called only if `observed`: a recording span has ended."""


class Span(ReadableSpan, ApiSpan):
    """A recording span. Written to until `end`, then read-only; safe to share between threads."""

    __slots__ = (
        "_anchor_ns",
        "_attributes",
        "_dropped_attributes",
        "_dropped_events",
        "_dropped_links",
        "_end_ns",
        "_flags",
        "_kind",
        "_made_context",
        "_name",
        "_parent",
        "_record_exception",
        "_recorded_events",
        "_recorded_links",
        "_set_status_on_exception",
        "_span_id",
        "_start_ns",
        "_status",
        "_trace_id",
        "_trace_state",
        "_tracer",
    )

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        parent: SpanContext | None,
        trace_id: int,
        span_id: int,
        flags: int,
        trace_state: TraceState,
        anchor_ns: int,
        start_ns: int,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> None:
        """Made by a Tracer only. `anchor_ns` is what the monotonic clock lacks to the wall clock in this local root."""
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._parent = parent
        self._trace_id = trace_id
        self._span_id = span_id
        self._flags = flags
        self._trace_state = trace_state
        self._anchor_ns = anchor_ns
        self._start_ns = start_ns
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception
        self._end_ns = 0
        self._made_context: SpanContext | None = None
        self._attributes: dict[str, Any] = {}
        self._recorded_events: list[Event] | None = None
        self._recorded_links: list[RecordedLink] | None = None
        self._status = NO_STATUS
        self._dropped_attributes = 0
        self._dropped_events = 0
        self._dropped_links = 0

    # -- writing ----------------------------------------------------------------------------------------------------

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set one attribute; a new key past the limit is dropped and counted."""
        if self._end_ns and self._refuses("set_attribute"):
            return
        tracer = self._tracer
        if type(value) not in tracer.plain:
            value = clean(value, tracer.limits.max_span_attribute_length)
            if value is UNUSABLE:
                self._dropped_attributes += 1
                return
        attributes = self._attributes
        if type(key) is not str or not key:
            key = as_key(key)
            if not key:
                self._dropped_attributes += 1
                return
        if len(attributes) >= tracer.max_attributes and key not in attributes:
            self._dropped_attributes += 1
            return
        attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes, in their order."""
        if self._end_ns and self._refuses("set_attributes"):
            return
        tracer = self._tracer
        plain, room = tracer.plain, tracer.max_attributes
        own = self._attributes
        try:
            for key, value in attributes.items():
                # What `set_attribute` does with most of them, without a call for each.
                if type(value) in plain and type(key) is str and key and len(own) < room:
                    own[key] = value
                else:
                    self.set_attribute(key, value)
        except Exception as error:
            guard.swallow("set_attributes", error)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, now or at `timestamp` (ns since the epoch); past the limit it is dropped and counted."""
        if self._end_ns and self._refuses("add_event"):
            return
        limits = self._tracer.limits
        events = self._recorded_events
        if events is None:
            events = self._recorded_events = []
        if limits.max_events is not None and len(events) >= limits.max_events:
            self._dropped_events += 1
            return
        time = as_time_ns(timestamp) if timestamp is not None else self._anchor_ns + perf_counter_ns()
        kept, dropped = clean_attributes(attributes, limits.max_event_attributes, limits.max_attribute_length)
        events.append(Event(as_text(name), time, kept, dropped))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link another span; past the limit the link is dropped and counted."""
        if self._end_ns and self._refuses("add_link"):
            return
        # The specification: a link without a valid context is kept if it says anything at all.
        if not is_context(context) or not (context.is_valid or attributes or context.trace_state):
            return
        limits = self._tracer.limits
        links = self._recorded_links
        if links is None:
            links = self._recorded_links = []
        if limits.max_links is not None and len(links) >= limits.max_links:
            self._dropped_links += 1
            return
        kept, dropped = clean_attributes(attributes, limits.max_link_attributes, limits.max_attribute_length)
        links.append(RecordedLink(context, kept, dropped))

    def end(self, end_time: int | None = None) -> None:
        """End the span, now or at `end_time` (ns since the epoch), and hand it to the exporter."""
        end_ns = (
            self._anchor_ns + perf_counter_ns() if end_time is None else as_time_ns(end_time) or self._start_ns or 1
        )
        # No call between the check and the assignment, so of two threads that end a span only one succeeds.
        if self._end_ns:
            self._refuses("end")
            return
        self._end_ns = end_ns
        tracer = self._tracer
        if tracer.observed:
            tracer.sink.ending(self)
        buffer = tracer.buffer
        if self._flags & _SAMPLED and buffer is not None:
            try:
                buffer.add(tracer.scope_number, self._encode())
            except Exception as error:
                buffer.count_lost("encoding")
                guard.swallow("encoding a span", error)
        if tracer.observed:
            tracer.sink.ended(self)

    # -- reading ----------------------------------------------------------------------------------------------------

    def is_recording(self) -> bool:
        """Whether the span has not ended."""
        return not self._end_ns

    def get_span_context(self) -> SpanContext:
        """The span's context, the same object at each call."""
        context = self._made_context
        if context is None:
            # SpanContext.__new__ checks what is known here; the layout is that of its properties.
            context = self._made_context = _new_tuple(
                SpanContext, (self._trace_id, self._span_id, False, _FLAGS[self._flags], self._trace_state, True)
            )
        return context

    # -- encoding ---------------------------------------------------------------------------------------------------

    def _encode(self) -> bytes:
        # A copy: another thread that asked `_end_ns` just before the end may still be writing an attribute.
        attributes = self._attributes.copy()
        parent = self._parent
        flags = self._flags | FLAG_REMOTE_KNOWN
        parent_span_id = 0
        if parent is not None:
            parent_span_id = parent[1]
            if parent[2]:
                flags |= FLAG_REMOTE
        events = links = b""
        if self._recorded_events or self._dropped_events:
            events = encode.span_events(
                [encode.event(t, n, a, d) for n, t, a, d in self._recorded_events or ()], self._dropped_events
            )
        if self._recorded_links or self._dropped_links:
            links = encode.span_links([_encode_link(one) for one in self._recorded_links or ()], self._dropped_links)
        code, message = 0, ""
        status = self._status
        if status is not NO_STATUS:
            code, message = status.status_code.value, status.description or ""
        state = self._trace_state
        return encode.span_in_scope(
            self._trace_id,
            self._span_id,
            state.to_header() if state else "",
            parent_span_id,
            self._name,
            _OTLP_KIND[self._kind],
            self._start_ns,
            self._end_ns,
            attributes,
            self._dropped_attributes,
            events,
            links,
            code,
            message,
            flags,
        )


def _encode_link(link: RecordedLink) -> bytes:
    context = link.context
    flags = (context.trace_flags & 0xFF) | FLAG_REMOTE_KNOWN | (FLAG_REMOTE if context.is_remote else 0)
    state = context.trace_state.to_header() if context.trace_state else ""
    return encode.link(context.trace_id, context.span_id, state, link.attributes, link.dropped_attributes, flags)


class CurrentSpan:
    """What `start_as_current_span` gives: a context manager, and a decorator of plain and async functions.

    The span starts with the block, is current inside it and ends with it. As in OpenTelemetry, only an `Exception`
    is recorded: GeneratorExit, KeyboardInterrupt and cancellation are no errors of the span.
    """

    __slots__ = ("_arguments", "_end_on_exit", "_span", "_token", "_tracer")

    def __init__(self, tracer: Tracer, arguments: tuple[Any, ...], end_on_exit: bool) -> None:
        self._tracer = tracer
        self._arguments = arguments
        self._end_on_exit = end_on_exit

    def __enter__(self) -> ApiSpan:
        """Start the span and make it current."""
        self._span = span = self._tracer.start_span(*self._arguments)
        context = Context(get_current())
        # `Context` forbids item assignment; this one is new and not shared yet, so it may be changed.
        _set_item(context, SPAN_KEY, span)
        self._token: Token[Context] = attach(context)
        return span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """Make the span no longer current, and end it."""
        detach(self._token)
        span = self._span
        if exc_val is not None and isinstance(exc_val, Exception) and isinstance(span, ReadableSpan):
            span._fail(exc_val)
        if self._end_on_exit:
            span.end()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `function` so that each call has a span of its own."""
        tracer, arguments, end_on_exit = self._tracer, self._arguments, self._end_on_exit
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def traced_async(*args: Any, **kwargs: Any) -> Any:
                with CurrentSpan(tracer, arguments, end_on_exit):
                    return await function(*args, **kwargs)

            return traced_async

        @wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with CurrentSpan(tracer, arguments, end_on_exit):
                return function(*args, **kwargs)

        return traced


class Tracer(TracerSurface, ApiTracer):
    """Starts spans for one instrumentation scope."""

    def __init__(
        self,
        sink: Sink,
        scope: Scope,
        limits: Limits,
        sampler: Sampler | None,
        id_generator: Any,
        buffer: Buffer | None,
        observed: bool,
    ) -> None:
        """`sampler` and `id_generator` are `None` for what is built in: parent-based always on, random ids."""
        self.sink = sink
        self.scope = scope
        self.limits = limits
        self.max_attributes = _UNLIMITED if limits.max_span_attributes is None else limits.max_span_attributes
        self.plain = _PLAIN if limits.max_span_attribute_length is None else _PLAIN - {str}
        self.buffer = buffer
        if buffer is not None:
            encoded = encode.scope(scope.name, scope.version or "", scope.attributes)
            self.scope_number = buffer.scope(encoded, scope.schema_url or "")
        self.observed = observed
        self._sampler = sampler
        self._id_generator = id_generator

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> ApiSpan:
        """Start a span, not made current; its parent is the span in `context`, by default the current one."""
        try:
            found = (get_current() if context is None else context).get(SPAN_KEY)
        except Exception:  # what was passed as context is none
            found = not_a_context(context)
            context = None
        parent: SpanContext | None = None
        now_ns = perf_counter_ns()
        if type(found) is Span:
            parent = found._made_context or found.get_span_context()
            anchor_ns = found._anchor_ns
        else:
            anchor_ns = time_ns() - now_ns
            if found is not None:
                parent = foreign_parent(found)

        ids = self._id_generator
        if parent is not None:
            trace_id: int = parent[0]
            flags: int = parent[3] & _RANDOM
            state: TraceState = parent[4]
        else:
            state = _EMPTY_STATE
            if ids is None:
                trace_id, flags = random_bits(128) or 1, _RANDOM
            else:
                trace_id, flags = self._foreign_trace_id()
        span_id = random_bits(64) or 1 if ids is None else self._foreign_span_id()

        if self._sampler is None:
            if parent is None or parent[3] & _SAMPLED:
                flags |= _SAMPLED
            else:
                return NonRecordingSpan(SpanContext(trace_id, span_id, False, _FLAGS[flags], state))
        else:
            try:
                result = self._sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
                state = result.trace_state or _EMPTY_STATE
                if result.decision.is_sampled():
                    flags |= _SAMPLED
                if not result.decision.is_recording():
                    return NonRecordingSpan(SpanContext(trace_id, span_id, False, _FLAGS[flags], state))
                # The sampler decides about the attributes too: the SDK's built-in ones give back those they got.
                attributes = {**(attributes or {}), **(result.attributes or {})}
            except Exception as error:
                guard.swallow("the sampler", error)
                flags |= _SAMPLED

        span = Span(
            self,
            name if type(name) is str else as_text(name),
            kind if type(kind) is SpanKind else SpanKind.INTERNAL,
            parent,
            trace_id,
            span_id,
            flags,
            state,
            anchor_ns,
            anchor_ns + now_ns if start_time is None else as_time_ns(start_time),
            record_exception,
            set_status_on_exception,
        )
        if attributes:
            span.set_attributes(attributes)
        if links:
            try:
                for link in links:
                    if link:
                        span.add_link(link.context, link.attributes)
            except Exception as error:  # what was passed as links are none
                guard.swallow("adding links", error)
        if self.observed:
            self.sink.started(span, context)
        return span

    def start_as_current_span(  # type: ignore[override]  # the API names a private class of its own
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """A context manager or decorator that starts a span and makes it current."""
        arguments = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        return CurrentSpan(self, arguments, end_on_exit)

    def _foreign_trace_id(self) -> tuple[int, int]:
        try:
            trace_id = int(self._id_generator.generate_trace_id())
            if 0 < trace_id < 1 << 128:
                is_random = getattr(self._id_generator, "is_trace_id_random", None)
                return trace_id, _RANDOM if is_random is not None and is_random() else 0
        except Exception as error:
            guard.swallow("the id generator", error)
        return random_bits(128) or 1, _RANDOM

    def _foreign_span_id(self) -> int:
        try:
            span_id = int(self._id_generator.generate_span_id())
            if 0 < span_id < 1 << 64:
                return span_id
        except Exception as error:
            guard.swallow("the id generator", error)
        return random_bits(64) or 1
