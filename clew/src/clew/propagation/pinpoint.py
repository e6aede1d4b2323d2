"""Pinpoint: `Pinpoint-TraceID: agent^start^sequence`, and the id the callee's span is to have."""

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
from clew.propagation._reading import (
    EMPTY,
    current,
    not_sampled,
    one,
    original,
    with_original,
    with_parent,
    with_peer_service,
)
from clew.propagation.service import service_name_of

TRACE_ID: Final = "pinpoint-traceid"
SPAN_ID: Final = "pinpoint-spanid"
PARENT_ID: Final = "pinpoint-pspanid"
SAMPLED: Final = "pinpoint-sampled"
FLAGS: Final = "pinpoint-flags"
APP_NAME: Final = "pinpoint-pappname"
APP_TYPE: Final = "pinpoint-papptype"
_PYTHON: Final = "1700"

_transaction: Final = re.compile(r"[A-Za-z0-9._\-]{1,24}\^\d{1,19}\^\d{1,19}", re.ASCII).fullmatch
_number: Final = re.compile(r"-?\d{1,19}", re.ASCII).fullmatch
_INT64: Final = 2**63


class PinpointPropagator(TextMapPropagator):
    """Reads and writes what Pinpoint's agents do; only unsampled calls say whether they are sampled."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (TRACE_ID, SAMPLED)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        sampled = one(carrier, getter, SAMPLED) != "s0"
        transaction_id = one(carrier, getter, TRACE_ID)
        if transaction_id is None:
            return context if sampled else not_sampled(context)
        span_id = _int64(one(carrier, getter, SPAN_ID))
        parent_id = _int64(one(carrier, getter, PARENT_ID))
        if span_id is None or not _transaction(transaction_id):
            return context
        trace_id = ids.trace_id_from_pinpoint(transaction_id)
        caller = ids.parent_id_from_pinpoint(transaction_id, span_id, -1 if parent_id is None else parent_id)
        state = EMPTY if ids.trace_id_to_pinpoint(trace_id) == transaction_id else with_original(transaction_id)
        found = with_parent(context, trace_id, caller, sampled, state)
        return found if found is context else with_peer_service(found, one(carrier, getter, APP_NAME) or "")

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is None:
            return
        span, parent, trace_id, span_id = found
        transaction_id = original(parent, ids.trace_id_from_pinpoint)
        if transaction_id is None or not _transaction(transaction_id):
            transaction_id = ids.trace_id_to_pinpoint(trace_id)
        setter.set(carrier, TRACE_ID, transaction_id)
        setter.set(carrier, SPAN_ID, str(ids.span_id_to_pinpoint_callee(span_id)))
        setter.set(carrier, PARENT_ID, str(int.from_bytes(span_id, "big", signed=True)))
        setter.set(carrier, FLAGS, "0")
        if not parent.trace_flags & 1:
            setter.set(carrier, SAMPLED, "s0")
        name = service_name_of(span)
        if name:
            setter.set(carrier, APP_NAME, name)
            setter.set(carrier, APP_TYPE, _PYTHON)

    @property
    def fields(self) -> set[str]:
        return {TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, FLAGS, APP_NAME, APP_TYPE}


def _int64(text: str | None) -> int | None:
    if text is None or not _number(text):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None
