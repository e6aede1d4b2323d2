"""W3C baggage: `key=value;property,…`, values percent-encoded.

A `+` is a plus sign, since the recommendation has percent-encoding only. OpenTelemetry Python writes a space as `+`
and reads `+` as a space, against it; it reads what clew writes (`%20`, `%2B`) correctly, but its spaces arrive here as `+`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from opentelemetry import baggage
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew.propagation._case import values_in_any_case

BAGGAGE: Final = "baggage"
MAX_MEMBERS: Final = 180
MAX_BYTES: Final = 8192

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_BLANK: Final = r"[ \t]*"
_VALUE: Final = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_key: Final = re.compile(_TOKEN).fullmatch
_member: Final = re.compile(
    f"{_BLANK}({_TOKEN}){_BLANK}={_BLANK}({_VALUE}){_BLANK}"
    f"((?:;{_BLANK}{_TOKEN}{_BLANK}(?:={_BLANK}{_VALUE}{_BLANK})?)*)"
).fullmatch
# `+` is encoded although it need not be, so that readers that decode it as a space are correct too.
_SAFE: Final = "!#$&'()*-./:<>?@[]^_`{|}~"
_FIELDS: Final = frozenset((BAGGAGE,))


class BaggageValue(str):
    """A value that came with properties; they are sent on as they came (`;prop=1`)."""

    __slots__ = ("properties",)
    properties: str

    def __new__(cls, value: str, properties: str) -> BaggageValue:
        self = super().__new__(cls, value)
        self.properties = properties
        return self


class BaggagePropagator(TextMapPropagator):
    """Reads all baggage headers and writes one, each up to 180 members and 8192 bytes; what is beyond is left out.

    A malformed member, or one whose key is no token, is left out alone.
    """

    #: Without any of these headers there is nothing to extract.
    reads: Final = (BAGGAGE,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = get_current()
        headers = values_in_any_case(carrier, BAGGAGE) if getter is default_getter else getter.get(carrier, BAGGAGE)
        if not headers:
            return context
        left_bytes, count = MAX_BYTES, 0
        for header in headers:
            if not isinstance(header, str):
                continue
            for text in header.split(","):
                left_bytes -= len(text) + 1
                if left_bytes < -1 or count == MAX_MEMBERS:
                    return context
                match = _member(text)
                if match is None:
                    continue
                key, raw, properties = match.groups()
                value = unquote(raw)
                context = baggage.set_baggage(key, BaggageValue(value, properties) if properties else value, context)
                count += 1
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        entries = baggage.get_all(context)
        if not entries:
            return
        members: list[str] = []
        left_bytes = MAX_BYTES
        for key, value in entries.items():
            if not _key(str(key)):
                continue
            member = f"{key}={quote(str(value), safe=_SAFE, errors='replace')}"
            if isinstance(value, BaggageValue):
                member += value.properties
            left_bytes -= len(member) + 1
            if left_bytes < -1 or len(members) == MAX_MEMBERS:
                break
            members.append(member)
        if members:
            setter.set(carrier, BAGGAGE, ",".join(members))

    @property
    def fields(self) -> set[str]:
        return set(_FIELDS)
