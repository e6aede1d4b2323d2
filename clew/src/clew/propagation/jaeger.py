"""Jaeger: `uber-trace-id`, baggage a header each, and what people send by hand to have a request traced."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from opentelemetry.context import Context, create_key, set_value
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew import ids
from clew.propagation._reading import (
    MAX_BAGGAGE_BYTES,
    baggage_of,
    current,
    is_debug,
    named,
    one,
    with_baggage,
    with_debug,
    with_parent,
)

TRACE_ID: Final = "uber-trace-id"
BAGGAGE_PREFIX: Final = "uberctx-"
DEBUG_ID: Final = "jaeger-debug-id"
BAGGAGE: Final = "jaeger-baggage"

_trace: Final = re.compile(
    r"([0-9a-f]{1,32}):([0-9a-f]{1,16}):[0-9a-f]{0,16}:([0-9a-f]{1,2})", re.ASCII | re.IGNORECASE
).fullmatch
_name: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}").fullmatch
_DEBUG_ID: Final = create_key("clew-jaeger-debug-id")
_SAMPLED: Final = 1
_DEBUG: Final = 2


def debug_id(context: Context) -> str | None:
    """What came as `jaeger-debug-id` without a trace: the sender asks for this request to be recorded."""
    text = context.get(_DEBUG_ID)
    return text if isinstance(text, str) else None


class JaegerPropagator(TextMapPropagator):
    """Reads and writes what Jaeger's clients do; ids may come unpadded, and the whole header URL-encoded."""

    #: Without any of these headers, or one that begins so, there is nothing to extract.
    reads: Final = (TRACE_ID, DEBUG_ID, BAGGAGE)
    prefixes: Final = (BAGGAGE_PREFIX,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        text = one(carrier, getter, TRACE_ID)
        if text is not None:
            match = _trace(unquote(text) if "%" in text else text)
            if match is not None:
                flags = int(match[3], 16)
                found = with_parent(context, int(match[1], 16), int(match[2], 16), bool(flags & _SAMPLED))
                context = with_debug(found) if flags & _DEBUG and found is not context else found
        else:
            debug_id = one(carrier, getter, DEBUG_ID)
            if debug_id:
                context = set_value(_DEBUG_ID, debug_id, context)
        members = [(key, unquote(value)) for key, value in named(carrier, getter, BAGGAGE_PREFIX)]
        baggage_header = one(carrier, getter, BAGGAGE, MAX_BAGGAGE_BYTES)
        if baggage_header:
            for member in baggage_header.split(","):
                key, equals, value = member.partition("=")
                if equals and _name(key.strip()):
                    members.append((key.strip(), value.strip()))
        return with_baggage(context, members) if members else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is not None:
            _, parent, trace_id, span_id = found
            flags = parent.trace_flags & _SAMPLED
            if flags and is_debug(context, parent.trace_id):
                flags |= _DEBUG
            setter.set(carrier, TRACE_ID, f"{ids.trace_id_to_hex(trace_id)}:{span_id.hex()}:0:{flags}")
        for key, value in baggage_of(context):
            if _name(key):
                setter.set(carrier, BAGGAGE_PREFIX + key, quote(value, errors="replace"))

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID}
