"""Datadog: `x-datadog-trace-id` and the headers sent with it, in decimal; the high half of a trace id is a tag."""

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

from clew import ids
from clew.propagation._reading import current, one, with_parent

TRACE_ID: Final = "x-datadog-trace-id"
PARENT_ID: Final = "x-datadog-parent-id"
PRIORITY: Final = "x-datadog-sampling-priority"
TAGS: Final = "x-datadog-tags"

_number: Final = re.compile(r"\d{1,20}", re.ASCII).fullmatch
_priority: Final = re.compile(r"-?\d{1,3}", re.ASCII).fullmatch
_high: Final = re.compile(r"(?:^|,)_dd\.p\.tid=([0-9a-f]{16})(?:,|$)", re.ASCII).search
_UINT64: Final = 1 << 64


class DatadogPropagator(TextMapPropagator):
    """What Datadog's tracers write and read beside `traceparent`. A priority above 0, or none, counts as sampled."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (TRACE_ID,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        low = _uint64(one(carrier, getter, TRACE_ID))
        parent = _uint64(one(carrier, getter, PARENT_ID))
        if low is None or parent is None:
            return context
        high = _high(one(carrier, getter, TAGS) or "")
        trace_id = ids.trace_id_from_int64s(int(high[1], 16) if high is not None else 0, low)
        priority = _priority(one(carrier, getter, PRIORITY) or "")
        sampled = priority is None or int(priority[0]) > 0
        return with_parent(context, trace_id, ids.span_id_from_int64(parent), sampled)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is None:
            return
        _, parent, trace_id, span_id = found
        setter.set(carrier, TRACE_ID, str(int.from_bytes(trace_id[8:], "big")))
        setter.set(carrier, PARENT_ID, str(int.from_bytes(span_id, "big")))
        setter.set(carrier, PRIORITY, "1" if parent.trace_flags & 1 else "0")
        if any(trace_id[:8]):
            setter.set(carrier, TAGS, f"_dd.p.tid={trace_id[:8].hex()}")

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID, PARENT_ID, PRIORITY, TAGS}


def _uint64(text: str | None) -> int | None:
    if text is None or not _number(text):
        return None
    number = int(text)
    return number if number < _UINT64 else None
