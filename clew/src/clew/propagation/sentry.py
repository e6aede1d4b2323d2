"""Sentry: `sentry-trace: TRACE-SPAN-SAMPLED`."""

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

from clew.propagation._reading import current, one, with_parent

TRACE: Final = "sentry-trace"

_trace: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?", re.ASCII | re.IGNORECASE).fullmatch


class SentryPropagator(TextMapPropagator):
    """Without a decision, which leaves it to us, a trace counts as sampled. Sentry's members of `baggage` are the baggage propagator's."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (TRACE,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        text = one(carrier, getter, TRACE)
        match = _trace(text) if text is not None else None
        if match is None:
            return context
        return with_parent(context, int(match[1], 16), int(match[2], 16), match[3] != "0")

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is not None:
            _, parent, trace_id, span_id = found
            setter.set(carrier, TRACE, f"{trace_id.hex()}-{span_id.hex()}-{parent.trace_flags & 1:d}")

    @property
    def fields(self) -> set[str]:
        return {TRACE}
