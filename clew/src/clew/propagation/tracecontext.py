"""W3C trace context, level 2: `traceparent` and `tracestate`.

Where OpenTelemetry's own propagator departs from the recommendation, this one does not: a repeated traceparent
starts a new trace, repeated tracestate keys are kept, keys follow the grammar of level 2.
"""

from __future__ import annotations

import re
from binascii import a2b_hex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    TraceState,
)

from clew._otel import SPAN_KEY
from clew.carriers import native
from clew.propagation._case import values_in_any_case

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_MEMBERS: Final = 32

# The usual form: version 00, only known flags.
_usual: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", re.ASCII).fullmatch
_traceparent: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII).fullmatch
_member: Final = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])", re.ASCII
).fullmatch
# Bit 0 sampled, bit 1 random trace id; other bits are not passed on.
_SAMPLED: Final = 1
_RANDOM: Final = 2
_KNOWN_FLAGS: Final = 3
# Set in a context whose traceparent came with the random bit. Only then is it sent on: propagators made before level 2,
# OpenTelemetry's in Go until 2026 among them, take a traceparent with it for broken and begin another trace.
_CAME_RANDOM: Final = "clew-traceparent-random"
_FLAGS: Final = tuple(TraceFlags(flags) for flags in range(_KNOWN_FLAGS + 1))
# As the two digits in a header of the usual form.
_FLAGS_OF: Final = {b"%02x" % int(flags): flags for flags in _FLAGS}
_USUAL_LENGTH: Final = 55
_DASH: Final = ord("-")
_number: Final = int.from_bytes
# `Context` forbids item assignment; one that was just made and is not shared yet may be changed.
_set_item: Final = dict.__setitem__
_FIELDS: Final = frozenset((TRACEPARENT, TRACESTATE))
_EMPTY: Final = TraceState()


_make: Final = tuple.__new__
# The constructor checks the ranges of ids, which is slow; where this holds, the fields can be set directly.
_IS_KNOWN_TUPLE: Final = tuple(SpanContext(2, 1, True, _FLAGS[1], _EMPTY)) == (2, 1, True, _FLAGS[1], _EMPTY, True)


def remote_span_context(trace_id: int, span_id: int, flags: TraceFlags, state: TraceState) -> SpanContext:
    """A span context read from a header; ids must be neither zero nor too large."""
    if _IS_KNOWN_TUPLE:
        return _make(SpanContext, (trace_id, span_id, True, flags, state, True))
    return SpanContext(trace_id, span_id, True, flags, state)


class W3CTraceState(TraceState):
    """A trace state that keeps the received members unchanged: in order, with repeated keys. Immutable."""

    def __init__(self, entries: Sequence[tuple[str, str]] | None = None) -> None:
        """Members that break the grammar, and all of them when there are more than 32, are left out."""
        kept = [pair for pair in entries or () if _member(f"{pair[0]}={pair[1]}")]
        self._entries = tuple(kept) if len(kept) <= MAX_MEMBERS else ()
        # The base class reads this; of a repeated key the first, which is the latest, counts.
        self._dict = {}
        for key, value in self._entries:
            self._dict.setdefault(key, value)

    @classmethod
    def from_header(cls, header_list: list[str]) -> W3CTraceState:
        """All headers together; empty when a member is malformed or there are more than 32."""
        return cls(parse_tracestate(header_list))

    def to_header(self) -> str:
        """The members joined with commas."""
        return ",".join([f"{key}={value}" for key, value in self._entries])

    def add(self, key: str, value: str) -> TraceState:
        """With a new member in front; unchanged if the key is there, the member malformed, or 32 are there."""
        return self if key in self._dict else self.update(key, value)

    def update(self, key: str, value: str) -> TraceState:
        """With the member in front and no other of its key; unchanged if malformed or there is no room."""
        others = [pair for pair in self._entries if pair[0] != key]
        if not _member(f"{key}={value}") or len(others) >= MAX_MEMBERS:
            return self
        return W3CTraceState([(key, value), *others])

    def delete(self, key: str) -> TraceState:
        """Without any member of this key."""
        return W3CTraceState([pair for pair in self._entries if pair[0] != key])


def parse_tracestate(headers: Iterable[str]) -> list[tuple[str, str]]:
    """The members of all headers in order; none when one is malformed or there are more than 32."""
    members: list[tuple[str, str]] = []
    for header in headers:
        if not isinstance(header, str):
            return []
        for text in header.split(","):
            text = text.strip(" \t")
            if not text:
                continue
            match = _member(text)
            if match is None:
                return []
            members.append((match[1], match[2]))
    return members if len(members) <= MAX_MEMBERS else []


class TraceContextPropagator(TextMapPropagator):
    """Reads and writes `traceparent` and `tracestate`; what it cannot read leaves the context as it was."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (TRACEPARENT,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        values = getter.get(carrier, TRACEPARENT)
        if not values and getter is default_getter:
            values = values_in_any_case(carrier, TRACEPARENT)
        # Sent twice, so it is unknown which is right: start a new trace.
        if not values or len(values) != 1 or not isinstance(values[0], str):
            return context
        if getter is default_getter:
            return self._extracted(values[0], values_in_any_case(carrier, TRACESTATE), context)
        return self._extracted(values[0], getter.get(carrier, TRACESTATE), context)

    def _extracted(self, text: str, states: Iterable[str] | None, context: Context) -> Context:
        """`context` with the parent that a traceparent and the tracestate headers say, as it was if they say none."""
        if _usual(text):
            trace_id = int(text[3:35], 16)
            span_id = int(text[36:52], 16)
            flags = _FLAGS[int(text[54])]
        else:
            match = _traceparent(text.strip(" \t"))
            if match is None:
                return context
            version, trace_id_hex, span_id_hex, flags_hex, more = match.groups()
            if version != "00":
                if version == "ff":
                    return context
            elif more is not None:
                return context
            trace_id = int(trace_id_hex, 16)
            span_id = int(span_id_hex, 16)
            flags = _FLAGS[int(flags_hex, 16) & _KNOWN_FLAGS]
        if not trace_id or not span_id:
            return context
        members = parse_tracestate(states) if states else None
        span_context = remote_span_context(trace_id, span_id, flags, W3CTraceState(members) if members else _EMPTY)
        if flags & _RANDOM:
            return Context({**context, SPAN_KEY: NonRecordingSpan(span_context), _CAME_RANDOM: True})
        return Context({**context, SPAN_KEY: NonRecordingSpan(span_context)})

    def extract_plain(self, index: Mapping[bytes, bytes], context: Context) -> Context:
        """The same from headers of which each came once, under its lower-case name."""
        value = index.get(b"traceparent")
        if value is None:
            return context
        state = index.get(b"tracestate")
        if (
            state is None
            and native.read_parent is not None
            and (made := native.read_parent(value, context)) is not None
        ):
            return made
        # The usual form, as `_usual` has it, from one without a tracestate.
        if (
            len(value) == _USUAL_LENGTH
            and value.startswith(b"00-")
            and value[35] == value[52] == _DASH
            and value[53:] in _FLAGS_OF
            and value == value.lower()
            and state is None
            and _IS_KNOWN_TUPLE
        ):
            try:
                ids = a2b_hex(value[3:35] + value[36:52])
            except ValueError:  # other digits
                return context
            trace_id, span_id = _number(ids[:16], "big"), _number(ids[16:], "big")
            if not trace_id or not span_id:
                return context
            flags = _FLAGS_OF[value[53:]]
            made = Context(context)
            _set_item(
                made, SPAN_KEY, NonRecordingSpan(_make(SpanContext, (trace_id, span_id, True, flags, _EMPTY, True)))
            )
            if flags & _RANDOM:
                _set_item(made, _CAME_RANDOM, True)
            return made
        return self._extracted(value.decode("latin-1"), None if state is None else (state.decode("latin-1"),), context)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        # As get_current_span, without the calls below it.
        if context is None:
            context = get_current()
        span = context.get(SPAN_KEY)
        if not isinstance(span, Span):
            return
        span_context = span.get_span_context()
        if not span_context.is_valid:
            return
        flags = span_context.trace_flags & (_KNOWN_FLAGS if _CAME_RANDOM in context else _SAMPLED)
        ids_and_flags = (span_context.trace_id, span_context.span_id, flags)
        # A format string of this kind takes a quarter less.
        setter.set(carrier, TRACEPARENT, "00-%032x-%016x-%02x" % ids_and_flags)  # noqa: UP031
        state = span_context.trace_state
        if state:
            setter.set(carrier, TRACESTATE, state.to_header())

    @property
    def fields(self) -> set[str]:
        return set(_FIELDS)
