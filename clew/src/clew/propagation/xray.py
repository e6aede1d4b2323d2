"""AWS X-Ray: `X-Amzn-Trace-Id: Root=1-…;Parent=…;Sampled=1`."""

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

from clew.propagation._reading import not_sampled, one, with_parent

TRACE_ID: Final = "x-amzn-trace-id"
MAX_ITEMS: Final = 16

_root: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})", re.ASCII | re.IGNORECASE).fullmatch
_parent: Final = re.compile(r"[0-9a-f]{16}", re.ASCII | re.IGNORECASE).fullmatch


class XRayPropagator(TextMapPropagator):
    """Items in any order; `Sampled=?`, which leaves the decision to us, counts as sampled.

    A root without a parent, as load balancers send it, starts a new trace.
    """

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
        text = one(carrier, getter, TRACE_ID)
        if text is None:
            return context
        items: dict[str, str] = {}
        for item in text.split(";", MAX_ITEMS)[:MAX_ITEMS]:
            key, _, value = item.partition("=")
            items[key.strip().lower()] = value.strip()
        root = _root(items.get("root", ""))
        parent = _parent(items.get("parent", ""))
        sampled = items.get("sampled") != "0"
        if root is None:
            return context
        if parent is None:
            return context if sampled or "parent" in items else not_sampled(context)
        return with_parent(context, int(root[1] + root[2], 16), int(parent[0], 16), sampled)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        parent = get_current_span(context).get_span_context()
        if not parent.is_valid:
            return
        trace_id = f"{parent.trace_id:032x}"
        sampled = parent.trace_flags & 1
        value = f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent={parent.span_id:016x};Sampled={sampled:d}"
        setter.set(carrier, TRACE_ID, value)

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID}
