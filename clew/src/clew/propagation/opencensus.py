"""OpenCensus: binary `grpc-trace-bin` over gRPC, `X-Cloud-Trace-Context` elsewhere."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew.carriers import GrpcCarrier
from clew.propagation._reading import MAX_VALUE_CHARS, current, one, with_parent

BINARY: Final = "grpc-trace-bin"
TEXT: Final = "x-cloud-trace-context"

_text: Final = re.compile(r"([0-9a-f]{32})/(\d{1,20})(?:;o=(\d))?", re.ASCII | re.IGNORECASE).fullmatch
# Field numbers and sizes, in the order the format wants.
_FIELDS: Final = ((0, 16), (1, 8), (2, 1))


class OpenCensusPropagator(TextMapPropagator):
    """Reads both headers; writes the binary one into gRPC metadata, the text one into anything else.

    Raw bytes in an HTTP header would be refused by any server.
    """

    #: Without any of these headers there is nothing to extract.
    reads: Final = (BINARY, TEXT)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        found = _parsed(_bytes(getter.get(carrier, BINARY)))
        if found is not None:
            return with_parent(context, *found)
        match = _text(one(carrier, getter, TEXT) or "")
        if match is None or int(match[2]) >= 2**64:
            return context
        return with_parent(context, int(match[1], 16), int(match[2]), match[3] != "0")

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
        sampled = parent.trace_flags & 1
        if isinstance(carrier, GrpcCarrier):
            value = b"\0\0" + trace_id + b"\1" + span_id + b"\2" + bytes((sampled,))
            setter.set(carrier, BINARY, value.decode("latin-1"))
        else:
            setter.set(carrier, TEXT, f"{trace_id.hex()}/{parent.span_id};o={sampled:d}")

    @property
    def fields(self) -> set[str]:
        return {BINARY, TEXT}


def _bytes(values: Any) -> bytes:
    """The header's bytes from whatever a getter makes of them; empty when there is none, or more than one."""
    if not values:
        return b""
    try:
        if isinstance(values[0], int):  # the API's getter takes bytes for a list of numbers
            return bytes(values[:MAX_VALUE_CHARS])
        if len(values) != 1 or len(values[0]) > MAX_VALUE_CHARS:
            return b""
        value = values[0]
        raw = value if isinstance(value, bytes) else value.encode("latin-1")
        if raw[:1] == b"\0":
            return bytes(raw)
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        return b""


def _parsed(raw: bytes) -> tuple[bytes, bytes, bool] | None:
    if raw[:1] != b"\0":
        return None
    at = 1
    fields: list[bytes] = []
    for number, size_bytes in _FIELDS:
        if raw[at : at + 1] != bytes((number,)) or len(raw) < at + 1 + size_bytes:
            break
        fields.append(raw[at + 1 : at + 1 + size_bytes])
        at += 1 + size_bytes
    if len(fields) < 2:
        return None
    return fields[0], fields[1], len(fields) == 3 and bool(fields[2][0] & 1)
