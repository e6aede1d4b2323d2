"""SOFATracer: B3's names with ids of its own (`0.1.1`), or all in `sftc_head`; baggage a header each."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew.propagation._reading import MAX_BAGGAGE_BYTES, baggage_of, current, named, one, with_baggage
from clew.propagation.eagleeye import call_of, with_call

TRACE_ID: Final = "x-b3-traceid"
SPAN_ID: Final = "x-b3-spanid"
PARENT_ID: Final = "x-b3-parentspanid"
SAMPLED: Final = "x-b3-sampled"
HEAD: Final = "sftc_head"
BAGGAGE_PREFIX: Final = "baggage-"
_SYSTEM: Final = "sys-"
MAX_ITEMS: Final = 80

_path: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})*", re.ASCII).fullmatch
_name: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}").fullmatch


def of_b3(context: Context, trace_id: str, span_id: str, state: str | None) -> Context:
    """`context` with the parent in B3 headers that hold SOFATracer's ids; as it was when they do not."""
    if len(trace_id) < 17 or not _path(span_id):
        return context
    return with_call(context, trace_id, span_id, state != "0")


class SofaTracerPropagator(TextMapPropagator):
    """Reads B3's names and `sftc_head`, writes B3's names; `baggage-*` is baggage."""

    #: Without any of these headers, or one that begins so, there is nothing to extract.
    reads: Final = (TRACE_ID, HEAD)
    prefixes: Final = (BAGGAGE_PREFIX,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        members: list[tuple[str, str]] = []
        head = one(carrier, getter, HEAD, MAX_BAGGAGE_BYTES)
        if head is not None:
            # URL-encoded as a whole, unless it contains an `=`.
            values = dict(parse_qsl(head if "=" in head else unquote(head))[:MAX_ITEMS])
            sampled = "0" if values.pop("sample", "true").lower() in ("false", "0") else "1"
            values.pop("pspid", None)
            context = of_b3(context, values.pop("tcid", ""), values.pop("spid", ""), sampled)
            members = [(key.removeprefix("_sys_"), value) for key, value in values.items()]
        else:
            trace_id, span_id = one(carrier, getter, TRACE_ID), one(carrier, getter, SPAN_ID)
            if trace_id is not None and span_id is not None:
                sampled = "0" if (one(carrier, getter, SAMPLED) or "").lower() in ("false", "0") else "1"
                context = of_b3(context, trace_id, span_id, sampled)
        for key, value in named(carrier, getter, BAGGAGE_PREFIX):
            members.append((key.removeprefix(_SYSTEM), unquote(value)))
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
            text, rpc_id, above = call_of(context, parent, trace_id, span_id)
            setter.set(carrier, TRACE_ID, text)
            setter.set(carrier, SPAN_ID, rpc_id)
            setter.set(carrier, PARENT_ID, above)
            setter.set(carrier, SAMPLED, "true" if parent.trace_flags & 1 else "false")
        for key, value in baggage_of(context):
            if _name(key):
                setter.set(carrier, BAGGAGE_PREFIX + key, quote(value, errors="replace"))

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED}
