"""How much one span may hold, and what becomes of values OpenTelemetry does not know."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from clew import guard

# Deeper values become text: a list that holds itself would never end.
_MAX_DEPTH: Final = 16


class Limits(Protocol):
    """What a recorder reads of span limits; the SDK's SpanLimits fits. `None` is no limit."""

    max_span_attributes: int | None
    max_event_attributes: int | None
    max_link_attributes: int | None
    max_events: int | None
    max_links: int | None
    max_span_attribute_length: int | None
    max_attribute_length: int | None


@dataclass
class SpanLimits:
    """Limits of the OpenTelemetry specification, with its defaults; lengths in characters, or bytes of a bytes value."""

    max_span_attributes: int | None = 128
    max_event_attributes: int | None = 128
    max_link_attributes: int | None = 128
    max_events: int | None = 128
    max_links: int | None = 128
    max_span_attribute_length: int | None = None
    max_attribute_length: int | None = None


def span_limits_from_environment() -> SpanLimits:
    """Limits as `OTEL_SPAN_*_LIMIT`, `OTEL_EVENT_…`, `OTEL_LINK_…` and `OTEL_ATTRIBUTE_*_LIMIT` say."""
    count = _limit("OTEL_ATTRIBUTE_COUNT_LIMIT", 128)
    length = _limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None)
    return SpanLimits(
        max_span_attributes=_limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count),
        max_event_attributes=_limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", count),
        max_link_attributes=_limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", count),
        max_events=_limit("OTEL_SPAN_EVENT_COUNT_LIMIT", 128),
        max_links=_limit("OTEL_SPAN_LINK_COUNT_LIMIT", 128),
        max_span_attribute_length=_limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length),
        max_attribute_length=length,
    )


def _limit(variable: str, default: int | None) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if text.isdecimal():
        return int(text)
    guard.warn(variable, "clew: %s=%r is not a count; ignored", variable, text)
    return default


def clean(value: Any, max_length: int | None, depth: int = 0) -> Any:
    """`value` as plain, immutable-enough Python that OTLP can carry, strings and bytes cut at `max_length`.

    Subclasses lose their class (enum members become their value's text or number); sequences become tuples,
    mappings new dicts; unknown objects their `str()`. Raises only what the object's own methods raise.
    """
    if isinstance(value, str):
        text = str.__str__(value)
        return text if max_length is None else text[:max_length]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        return raw if max_length is None else raw[:max_length]
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {clean(str(key), None): clean(item, max_length, depth + 1) for key, item in value.items()}
        if isinstance(value, Sequence | set | frozenset):
            return tuple([clean(item, max_length, depth + 1) for item in value])
    text = str(value)
    return text if max_length is None else text[:max_length]


def clean_attributes(
    attributes: Mapping[str, Any] | None, max_count: int | None, max_length: int | None
) -> tuple[dict[str, Any], int]:
    """The attributes that stay, cleaned, and how many were dropped: those past `max_count`, and those without a key."""
    if not attributes:
        return {}, 0
    kept: dict[str, Any] = {}
    dropped = 0
    for key, value in attributes.items():
        if not key or not isinstance(key, str) or (max_count is not None and len(kept) >= max_count):
            dropped += 1
            continue
        try:
            kept[key] = clean(value, max_length)
        except Exception as error:  # the application's own __str__, __iter__ or items
            dropped += 1
            guard.swallow("reading an attribute", error)
    return kept, dropped
