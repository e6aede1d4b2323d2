"""Limits of a span, and the conversion of values that OpenTelemetry has no type for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opentelemetry.attributes import BoundedAttributes

from clew import environment, guard
from clew.recorder.misuse import misuse

# Of the API that is installed: whether attributes may hold maps, bytes, None and mixed sequences.
ONLY_SIMPLE: Final = not BoundedAttributes(attributes={"map": {}})
_SIMPLE: Final = frozenset((str, bool, int, float))
# Deeper values become text, since a list may contain itself.
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
    """Limits of the OpenTelemetry specification, with its defaults; lengths in characters, or bytes of a bytes value.

    `max_attribute_length` is that of a span's own attributes too, unless they have one of theirs.
    """

    max_span_attributes: int | None = 128
    max_event_attributes: int | None = 128
    max_link_attributes: int | None = 128
    max_events: int | None = 128
    max_links: int | None = 128
    max_span_attribute_length: int | None = None
    max_attribute_length: int | None = None

    def __post_init__(self) -> None:
        if self.max_span_attribute_length is None:
            self.max_span_attribute_length = self.max_attribute_length


def span_limits_from_environment() -> SpanLimits:
    """Limits as `OTEL_SPAN_*_LIMIT`, `OTEL_EVENT_…`, `OTEL_LINK_…` and `OTEL_ATTRIBUTE_*_LIMIT` say."""
    count = _limit("OTEL_ATTRIBUTE_COUNT_LIMIT", 128)
    length = _limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None)
    return SpanLimits(
        max_span_attributes=_limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count, blank=None),
        max_event_attributes=_limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", count),
        max_link_attributes=_limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", count),
        max_events=_limit("OTEL_SPAN_EVENT_COUNT_LIMIT", 128, blank=None),
        max_links=_limit("OTEL_SPAN_LINK_COUNT_LIMIT", 128, blank=None),
        max_span_attribute_length=_limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length),
        max_attribute_length=length,
    )


_AS_UNSET: Final = -1


def _limit(variable: str, default: int | None, blank: int | None = _AS_UNSET) -> int | None:
    # The specification takes an empty variable for one that is not set, the SDK's span limits for "no limit".
    text = environment.text(variable)
    if text is None:
        return default
    text = text.strip()
    if not text:
        return default if blank == _AS_UNSET else blank
    if text.isdecimal():
        return int(text)
    guard.warn(variable, "clew: %s=%r is not a count; ignored", variable, text)
    return default


class _Unusable:
    """The type of UNUSABLE."""


UNUSABLE: Final = _Unusable()


def as_key(key: object) -> str:
    """`key` of an attribute as a plain string, "" if it is none."""
    if isinstance(key, str) and key:
        return str.__str__(key)
    misuse("an attribute's key is a string that is not empty, not %r; the attribute is dropped", key)
    return ""


def clean(value: Any, max_length: int | None) -> Any:
    """`value` as plain, immutable-enough Python that OTLP can carry, strings and bytes cut at `max_length`.

    UNUSABLE if the value cannot be read: its own `__str__`, `__iter__` or `items` raises. With an API before 1.45,
    whose attributes are simple values and lists of one type, UNUSABLE also for whatever is neither.
    """
    try:
        return _clean_simple(value, max_length) if ONLY_SIMPLE else _clean(value, max_length, 0)
    except Exception as error:
        guard.swallow("reading an attribute", error)
        return UNUSABLE


def _clean(value: Any, max_length: int | None, depth: int) -> Any:
    # Subclasses lose their class (enum members become their value's text or number); sequences become tuples,
    # mappings new dicts; unknown objects their `str()`.
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
            return {
                str.__str__(key if isinstance(key, str) else str(key)): _clean(item, max_length, depth + 1)
                for key, item in value.items()
                if key
            }
        if isinstance(value, Sequence | set | frozenset):
            return tuple([_clean(item, max_length, depth + 1) for item in value])
    text = str(value)
    return text if max_length is None else text[:max_length]


def _clean_simple(value: Any, max_length: int | None) -> Any:
    if isinstance(value, str | bool | int | float | bytes):
        return _clean_one(value, max_length)
    if not isinstance(value, Sequence):
        misuse("an attribute's value is a string, number, bool or a sequence of one of these, not %r", type(value))
        return UNUSABLE
    cleaned = [None if item is None else _clean_one(item, max_length) for item in value]
    kinds = {type(item) for item in cleaned if item is not None and item is not UNUSABLE}
    if len(kinds) > 1 or not kinds <= _SIMPLE:
        misuse("a sequence as an attribute's value holds strings, numbers or bools, all of one type; it is dropped")
        return UNUSABLE
    return tuple([None if item is UNUSABLE else item for item in cleaned])


def _clean_one(value: Any, max_length: int | None) -> Any:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            misuse("bytes as an attribute's value are UTF-8; they are dropped")
            return UNUSABLE
    return _clean(value, max_length, _MAX_DEPTH) if isinstance(value, str | bool | int | float) else value


def clean_attributes(
    attributes: Mapping[str, Any] | None, max_count: int | None, max_length: int | None
) -> tuple[dict[str, Any], int]:
    """The attributes that stay, cleaned, and how many were dropped: those past `max_count`, without a key, UNUSABLE."""
    if not attributes:
        return {}, 0
    kept: dict[str, Any] = {}
    dropped = 0
    try:
        for key, value in attributes.items():
            if type(key) is not str or not key:
                key = as_key(key)
            if not key or (max_count is not None and len(kept) >= max_count and key not in kept):
                dropped += 1
                continue
            cleaned = clean(value, max_length)
            if cleaned is UNUSABLE:
                dropped += 1
            else:
                kept[key] = cleaned
    except Exception as error:  # the mapping's own items
        guard.swallow("reading attributes", error)
    return kept, dropped
