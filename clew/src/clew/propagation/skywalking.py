"""SkyWalking: `sw8`, its correlation context as baggage, and the tracing mode of `sw8-x`."""

from __future__ import annotations

import base64
import re
import time
from typing import Any, Final

from opentelemetry.context import Context, create_key, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew import ids, semconv
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

SW8: Final = "sw8"
CORRELATION: Final = "sw8-correlation"
EXTENSION: Final = "sw8-x"

MAX_CHARS: Final = 2_048
#: What SkyWalking's own agents send on; more is left out.
MAX_CORRELATIONS: Final = 3
MAX_CORRELATION_CHARS: Final = 128
_MAX_NAME_CHARS: Final = 150
_UNKNOWN: Final = "unknown"

_span_number: Final = re.compile(r"\d{1,10}", re.ASCII).fullmatch
_base64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII).fullmatch
_SKIPPED: Final = create_key("clew-skywalking-skip-analysis")


class SkyWalkingPropagator(TextMapPropagator):
    """Reads and writes what the agents of SkyWalking 8 and 9 do."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (SW8, CORRELATION)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        text = one(carrier, getter, SW8, MAX_CHARS)
        if text is not None:
            context = _with(context, text.split("-"))
            mode = one(carrier, getter, EXTENSION)
            if mode is not None and mode.partition("-")[0] == "1":
                context = Context({**context, _SKIPPED: True})
        correlation = one(carrier, getter, CORRELATION, MAX_BAGGAGE_BYTES)
        if correlation:
            members: list[tuple[str, str]] = []
            for member in correlation.split(","):
                key, _, value = member.partition(":")
                members.append((_decoded(key.strip()) or "", _decoded(value.strip()) or ""))
            context = with_baggage(context, members)
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
            service = service_name_of(span) or _UNKNOWN
            fields = (
                original(parent, ids.trace_id_from_text) or trace_id.hex(),
                ids.span_id_to_skywalking(span_id),
                service,
                _instance(span) or service,
                getattr(span, "name", None) or _UNKNOWN,
                _target(span) or _UNKNOWN,
            )
            sent = [_encoded(field[:_MAX_NAME_CHARS]) for field in fields]
            sampled = parent.trace_flags & 1
            setter.set(carrier, SW8, f"{sampled:d}-{sent[0]}-{sent[1]}-0-{'-'.join(sent[2:])}")
            if (get_current() if context is None else context).get(_SKIPPED):
                setter.set(carrier, EXTENSION, f"1-{time.time_ns() // 1_000_000}")
        members = [
            f"{_encoded(key)}:{_encoded(value)}"
            for key, value in baggage_of(context)
            if len(value) <= MAX_CORRELATION_CHARS
        ][:MAX_CORRELATIONS]
        if members:
            setter.set(carrier, CORRELATION, ",".join(members))

    @property
    def fields(self) -> set[str]:
        return {SW8, CORRELATION, EXTENSION}


def _with(context: Context, fields: list[str]) -> Context:
    if len(fields) != 8 or fields[0] not in ("0", "1") or not _span_number(fields[3]):
        return context
    trace, segment, service = _decoded(fields[1]), _decoded(fields[2]), _decoded(fields[4])
    if not trace or not segment or len(trace) > MAX_ORIGINAL_CHARS:
        return context
    trace_id = ids.trace_id_from_text(trace)
    span_id = ids.span_id_from_skywalking(segment, int(fields[3]))
    state = EMPTY if trace_id.hex() == trace else with_original(trace)
    found = with_parent(context, trace_id, span_id, fields[0] == "1", state)
    return found if found is context else with_peer_service(found, service or "")


def _decoded(text: str) -> str | None:
    # The decoder ignores characters that are not base64, and so would accept any text.
    if len(text) % 4 or not _base64(text):
        return None
    try:
        return base64.b64decode(text).decode()
    except ValueError:
        return None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _instance(span: Any) -> str | None:
    attributes = getattr(getattr(span, "resource", None), "attributes", None)
    return str(attributes["service.instance.id"]) if attributes and "service.instance.id" in attributes else None


def _target(span: Any) -> str | None:
    attributes = getattr(span, "attributes", None)
    if not attributes:
        return None
    address, port = attributes.get(semconv.SERVER_ADDRESS), attributes.get(semconv.SERVER_PORT)
    if not address:
        return None
    return f"{address}:{port}" if port else str(address)
