"""B3, Zipkin's headers: `b3` in one, `x-b3-*` in several."""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import get_current_span

from clew.propagation import sofatracer
from clew.propagation._reading import is_debug, not_sampled, one, with_debug, with_parent

B3: Final = "b3"
TRACE_ID: Final = "x-b3-traceid"
SPAN_ID: Final = "x-b3-spanid"
SAMPLED: Final = "x-b3-sampled"
FLAGS: Final = "x-b3-flags"

_single: Final = re.compile(
    r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?", re.ASCII
).fullmatch
_trace_id: Final = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{16})?", re.ASCII).fullmatch
_span_id: Final = re.compile(r"[0-9a-f]{16}", re.ASCII).fullmatch
_STATES: Final = {"1": "1", "true": "1", "0": "0", "false": "0", "d": "d"}


class _B3(TextMapPropagator):
    """Reads the one header, else the several; without a decision the trace counts as sampled."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (B3, TRACE_ID, SAMPLED, FLAGS)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        single = one(carrier, getter, B3)
        if single is not None:
            if single == "0":
                return not_sampled(context)
            match = _single(single)
            if match is not None:
                return _with(context, match[1], match[2], match[3])
        trace_id = one(carrier, getter, TRACE_ID)
        state = _STATES.get((one(carrier, getter, SAMPLED) or "").lower())
        if trace_id is None:
            return not_sampled(context) if state == "0" and single is None else context
        span_id = one(carrier, getter, SPAN_ID)
        if span_id is None:
            return context
        if not _span_id(span_id) or not _trace_id(trace_id):
            # SOFATracer writes its own ids under these names.
            return sofatracer.of_b3(context, trace_id, span_id, state)
        if one(carrier, getter, FLAGS) == "1":
            state = "d"
        return _with(context, trace_id, span_id, state)


def _with(context: Context, trace_id: str, span_id: str, state: str | None) -> Context:
    found = with_parent(context, int(trace_id, 16), int(span_id, 16), state != "0")
    return with_debug(found) if state == "d" and found is not context else found


def _digits(trace_id: int) -> str:
    # A trace id that came with 64 bits is sent with 64 bits, for services that know no longer ones.
    return f"{trace_id:032x}" if trace_id >> 64 else f"{trace_id:016x}"


class B3Propagator(_B3):
    """B3 in one header, `{trace}-{span}-{0|1|d}`."""

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        parent = get_current_span(context).get_span_context()
        if not parent.is_valid:
            return
        state: str | int = parent.trace_flags & 1
        if state and is_debug(context, parent.trace_id):
            state = "d"
        setter.set(carrier, B3, f"{_digits(parent.trace_id)}-{parent.span_id:016x}-{state}")

    @property
    def fields(self) -> set[str]:
        return {B3}


class B3MultiPropagator(_B3):
    """B3 in several headers: trace id, span id, and the decision or the mark for debugging."""

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        parent = get_current_span(context).get_span_context()
        if not parent.is_valid:
            return
        setter.set(carrier, TRACE_ID, _digits(parent.trace_id))
        setter.set(carrier, SPAN_ID, f"{parent.span_id:016x}")
        sampled = parent.trace_flags & 1
        if sampled and is_debug(context, parent.trace_id):
            setter.set(carrier, FLAGS, "1")
        else:
            setter.set(carrier, SAMPLED, f"{sampled}")

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID, SPAN_ID, SAMPLED, FLAGS}
