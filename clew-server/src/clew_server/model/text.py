"""An attribute's value as one text, by the rule the store's statements use (`TEXTS` in store/macros.py)."""

from __future__ import annotations

import base64
import math
from decimal import Decimal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def value_text(value: AnyValue) -> str:
    """Strings as they are, numbers and booleans in decimal and as true, false; bytes in base64.

    A list and a list of keys are the base64 of their protobuf. Nothing is the empty text.
    """
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return _double(value.double_value)
    if kind == "bytes_value":
        return _base64(value.bytes_value)
    if kind == "array_value":
        return _base64(value.array_value.SerializeToString())
    if kind == "kvlist_value":
        return _base64(value.kvlist_value.SerializeToString())
    return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _double(value: float) -> str:
    """As ClickHouse writes it: the shortest digits that read back as the same number, `1` for 1.0.

    With an exponent below 1e-6 and from 1e21 on, where Python begins at 1e-4 and 1e16.
    """
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    text = repr(value)
    if "e" in text and 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(text), "f")
    mantissa, exponent, power = text.partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(power)}" if exponent else mantissa


def written_text(value: AnyValue) -> str:
    """As OTLP's JSON writes it without quotes, which is what queries compare with. Lists and lists of keys as `value_text`."""
    return written_double(value.double_value) if value.WhichOneof("value") == "double_value" else value_text(value)


def written_double(value: float) -> str:
    """As OTLP's JSON writes a double."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return repr(value)
