"""Shared by all formats: a header's single value, a remote parent, the original id of another system, baggage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from opentelemetry import baggage
from opentelemetry.context import Context, create_key, get_current
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState, get_current_span

from clew._otel import SPAN_KEY
from clew.carriers import AsgiCarrier
from clew.propagation._case import in_any_case
from clew.propagation.service import PEER_SERVICE
from clew.propagation.tracecontext import W3CTraceState, remote_span_context

#: Longer values of headers that hold ids are not looked at.
MAX_VALUE_CHARS: Final = 512
#: Longer ids of other systems are not taken: they would not fit into a trace state.
MAX_ORIGINAL_CHARS: Final = 128
MAX_BAGGAGE_MEMBERS: Final = 64
MAX_BAGGAGE_BYTES: Final = 8192
#: More names than these are not searched for a prefix.
MAX_HEADERS: Final = 1_000

SAMPLED: Final = TraceFlags(1)
UNSAMPLED: Final = TraceFlags(0)
EMPTY: Final = TraceState()
_STATE_KEY: Final = "clew"
_STATE_SAFE: Final = "!\"#$&'()*+-./:;<>?@[\\]^_`{|}~"
_DEBUG: Final = create_key("clew-debug")


def one(carrier: CarrierT, getter: Getter[CarrierT], name: str, max_chars: int = MAX_VALUE_CHARS) -> str | None:
    """The header's only value, trimmed; None when absent, repeated, or too long. `name` is in lower case.

    The API's own getter takes `X-B3-TraceId` in a dict for another name than `x-b3-traceid`; this does not.
    """
    values: Any
    if getter is default_getter and isinstance(carrier, Mapping):
        values = in_any_case(carrier, name)
        if values is None:
            return None
        if not isinstance(values, (list, tuple)):
            values = (values,)
    else:
        values = getter.get(carrier, name)
    if not values or len(values) != 1:
        return None
    value = values[0]
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str) or len(value) > max_chars:
        return None
    return value.strip(" \t")


def named(
    carrier: CarrierT, getter: Getter[CarrierT], prefix: str, max_bytes: int = MAX_BAGGAGE_BYTES
) -> list[tuple[str, str]]:
    """Names after the lower-case `prefix`, in lower case, and values; no more than fit the limits."""
    if isinstance(carrier, AsgiCarrier) and not has_prefix(carrier, (prefix,)):
        return []
    found: list[tuple[str, str]] = []
    for name in getter.keys(carrier)[:MAX_HEADERS]:
        if not isinstance(name, str):
            continue
        lower = name.lower()
        if lower.startswith(prefix) and len(lower) > len(prefix):
            value = one(carrier, getter, name if getter is default_getter else lower, max_bytes)
            if value is None:
                continue
            max_bytes -= len(name) + len(value)
            if max_bytes < 0 or len(found) == MAX_BAGGAGE_MEMBERS:
                break
            found.append((lower[len(prefix) :], value))
    return found


def has_prefix(carrier: object, prefixes: Iterable[str]) -> bool:
    """Whether a name may begin with one of these; quick, and sure only when it says no."""
    if not isinstance(carrier, AsgiCarrier):
        return True
    names = b"\n".join(carrier.index()).lower()
    for prefix in prefixes:  # noqa: SIM110  # any() would make a generator, on the hot path
        if prefix.encode() in names:
            return True
    return False


def with_parent(
    context: Context, trace_id: int | bytes, span_id: int | bytes, sampled: bool, state: TraceState = EMPTY
) -> Context:
    """`context` with a remote parent; as it was when one of the ids is zero."""
    if isinstance(trace_id, bytes):
        trace_id = int.from_bytes(trace_id, "big")
    if isinstance(span_id, bytes):
        span_id = int.from_bytes(span_id, "big")
    if not trace_id or not span_id:
        return context
    parent = remote_span_context(trace_id, span_id, SAMPLED if sampled else UNSAMPLED, state)
    return Context({**context, SPAN_KEY: NonRecordingSpan(parent)})


def not_sampled(context: Context) -> Context:
    """`context` for a caller that said no more than "do not sample": an unsampled parent, of which no span was recorded.

    No span of such a trace is sent, so the missing parent does not matter, and the decision is passed on.
    """
    return with_parent(context, random.getrandbits(128) | 1, random.getrandbits(64) | 1, False)


def with_original(trace_id: str) -> TraceState:
    """A trace state that keeps the id of another system as it came, for calls back into that system."""
    return W3CTraceState([(_STATE_KEY, quote(trace_id, safe=_STATE_SAFE))])


def original(parent: SpanContext, convert: Callable[[str], bytes]) -> str | None:
    """The id the trace came with, if `convert` makes this trace's id of it; a stale or forged one does not pass."""
    state = parent.trace_state
    if not state:
        return None
    kept = state.get(_STATE_KEY)
    if not kept:
        return None
    text = unquote(kept)
    return text if convert(text) == parent.trace_id.to_bytes(16, "big") else None


def current(context: Context | None) -> tuple[Span, SpanContext, bytes, bytes] | None:
    """The span, its context, trace id and span id; None where there is nothing to inject."""
    span = get_current_span(context)
    parent = span.get_span_context()
    if not parent.is_valid:
        return None
    return span, parent, parent.trace_id.to_bytes(16, "big"), parent.span_id.to_bytes(8, "big")


def with_debug(context: Context) -> Context:
    """`context`, whose trace the caller marked for debugging."""
    return Context({**context, _DEBUG: get_current_span(context).get_span_context().trace_id})


def is_debug(context: Context | None, trace_id: int) -> bool:
    """Whether a caller marked this trace for debugging, so that the mark is passed on."""
    return (get_current() if context is None else context).get(_DEBUG) == trace_id


def with_peer_service(context: Context, name: str) -> Context:
    """`context` with the caller's service name, unless it is known already."""
    if not name or not name.isprintable() or context.get(PEER_SERVICE):
        return context
    return Context({**context, PEER_SERVICE: name})


def with_baggage(context: Context, members: Iterable[tuple[str, str]]) -> Context:
    """`context` with these members, up to 64 and 8192 bytes; those it has already stay."""
    known = baggage.get_all(context)
    left_bytes = MAX_BAGGAGE_BYTES
    for count, (key, value) in enumerate(members):
        left_bytes -= len(key) + len(value)
        if left_bytes < 0 or count == MAX_BAGGAGE_MEMBERS:
            break
        if key and key not in known:
            context = baggage.set_baggage(key, value, context)
    return context


def baggage_of(context: Context | None) -> list[tuple[str, str]]:
    """The members to send, up to 64 and 8192 bytes."""
    members: list[tuple[str, str]] = []
    left_bytes = MAX_BAGGAGE_BYTES
    for key, value in baggage.get_all(context).items():
        text = str(value)
        left_bytes -= len(key) + len(text)
        if left_bytes < 0 or len(members) == MAX_BAGGAGE_MEMBERS:
            break
        members.append((key, text))
    return members
