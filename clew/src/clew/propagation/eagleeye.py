"""EagleEye, Alibaba's and ARMS' headers: a trace id and the call's path from the root."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from opentelemetry.context import Context, create_key, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import SpanContext

from clew import ids
from clew.propagation._reading import (
    EMPTY,
    MAX_BAGGAGE_BYTES,
    MAX_ORIGINAL_CHARS,
    baggage_of,
    current,
    one,
    original,
    with_baggage,
    with_original,
    with_parent,
    with_peer_service,
)
from clew.propagation.service import service_name_of

TRACE_ID: Final = "eagleeye-traceid"
RPC_ID: Final = "eagleeye-rpcid"
SAMPLED: Final = "eagleeye-sampled"
APP_NAME: Final = "eagleeye-pappname"
USER_DATA: Final = "eagleeye-userdata"

_trace_id: Final = re.compile(r"[0-9a-zA-Z]{1,128}", re.ASCII).fullmatch
_rpc_id: Final = re.compile(r"\d{1,20}(?:\.\d{1,20}){0,63}", re.ASCII).fullmatch
_RPC_ID: Final = create_key("clew-eagleeye-rpc-id")


def with_call(context: Context, trace_id: str, rpc_id: str, sampled: bool) -> Context:
    """`context` with the call of these ids as parent; as it was when they are none."""
    if len(trace_id) > MAX_ORIGINAL_CHARS or not _trace_id(trace_id) or len(rpc_id) > 256 or not _rpc_id(rpc_id):
        return context
    number = ids.trace_id_from_eagleeye(trace_id)
    state = EMPTY if number.hex() == trace_id else with_original(trace_id)
    found = with_parent(context, number, ids.parent_id_from_eagleeye(trace_id, rpc_id), sampled, state)
    if found is context:
        return context
    return Context({**found, _RPC_ID: (int.from_bytes(number, "big"), rpc_id)})


def call_of(context: Context | None, parent: SpanContext, trace_id: bytes, span_id: bytes) -> tuple[str, str, str]:
    """Trace id, rpc id, and the rpc id above it, for a call from the current span."""
    above = (get_current() if context is None else context).get(_RPC_ID)
    known = above[1] if isinstance(above, tuple) and above[0] == parent.trace_id else "0"
    text = original(parent, ids.trace_id_from_eagleeye)
    if text is None or not _trace_id(text):
        text = trace_id.hex()
    return text, ids.span_id_to_eagleeye(span_id, known), known


class EagleEyePropagator(TextMapPropagator):
    """Reads and writes EagleEye's headers; `EagleEye-UserData` is baggage."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (TRACE_ID, USER_DATA)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        trace_id = one(carrier, getter, TRACE_ID)
        if trace_id is not None:
            rpc_id = one(carrier, getter, RPC_ID) or "0"
            sampled = one(carrier, getter, SAMPLED) not in ("s0", "0", "false")
            found = with_call(context, trace_id, rpc_id, sampled)
            if found is not context:
                context = with_peer_service(found, one(carrier, getter, APP_NAME) or "")
        data = one(carrier, getter, USER_DATA, MAX_BAGGAGE_BYTES)
        if data:
            pairs = (member.partition("=") for member in data.split("&"))
            context = with_baggage(context, ((unquote(key), unquote(value)) for key, equals, value in pairs if equals))
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is not None:
            span, parent, trace_id, span_id = found
            text, rpc_id, _ = call_of(context, parent, trace_id, span_id)
            setter.set(carrier, TRACE_ID, text)
            setter.set(carrier, RPC_ID, rpc_id)
            setter.set(carrier, SAMPLED, "s1" if parent.trace_flags & 1 else "s0")
            name = service_name_of(span)
            if name:
                setter.set(carrier, APP_NAME, name)
        members = baggage_of(context)
        if members:
            text = "&".join(
                [f"{quote(key, errors='replace')}={quote(value, errors='replace')}" for key, value in members]
            )
            setter.set(carrier, USER_DATA, text)

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID, RPC_ID, SAMPLED, APP_NAME, USER_DATA}
