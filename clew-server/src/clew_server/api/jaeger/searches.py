"""Jaeger's searches as searches of ours. Pure: now is an argument.

All of a query's conditions hold for one span of the trace, which starts in the time that is asked for, as in Jaeger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.errors import BadInput
from clew_server.model.lengths import length_ns
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search, SpanCondition
from clew_server.model.text import value_text
from clew_server.model.times import time_from_text
from clew_server.query.language.parameters import MAX_LIMIT

DEFAULT_LIMIT: Final = 100
LOOKBACK_NS: Final = 48 * 3_600_000_000_000
"""How far a search of `/api/traces` without a start looks back."""

_DAYS: Final = re.compile(r"(\d{1,5})([dw])", re.ASCII)
_DAY_NS: Final = 86_400_000_000_000
_MAX_TAGS: Final = 64
_MAX_INT64: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class JaegerSearch:
    """What both of Jaeger's APIs can ask for. Times and lengths in ns; no length of 0 is a condition."""

    start_min_unix_nano: int
    start_max_unix_nano: int
    service: str = ""
    operation: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    duration_min_ns: int = 0
    duration_max_ns: int = 0
    limit: int = DEFAULT_LIMIT

    def search(self) -> Search:
        """Newest first; at most 1,000 traces."""
        span = [SpanCondition("service", "=", self.service)] if self.service else []
        if self.operation:
            span.append(SpanCondition("name", "=", self.operation))
        if self.duration_min_ns:
            span.append(SpanCondition("dur", ">=", self.duration_min_ns))
        if self.duration_max_ns:
            span.append(SpanCondition("dur", "<=", self.duration_max_ns))
        span += [_tag_condition(key, value) for key, value in self.tags.items()]
        return Search(
            span=tuple(span),
            span_from_unix_nano=self.start_min_unix_nano,
            span_to_unix_nano=self.start_max_unix_nano,
            limit=min(self.limit if self.limit > 0 else DEFAULT_LIMIT, MAX_LIMIT),
        )


def _tag_condition(key: str, value: str) -> SpanCondition:
    """What Jaeger has in a tag and OTLP in a field is looked for in the field; any other tag wherever attributes are."""
    word = value.lower()
    if key == "error" and word == "true":
        return SpanCondition("status", "=", "error")
    if key == "span.kind" and word in KIND_WORDS:
        return SpanCondition("kind", "=", word)
    if key == "otel.status_code" and word in STATUS_WORDS:
        return SpanCondition("status", "=", word)
    if key == "otel.status_description":
        return SpanCondition("status_message", "=", value)
    if key in ("otel.scope.name", "otel.library.name"):
        return SpanCondition("scope", "=", value)
    return SpanCondition("anywhere", "=", value, key)


def search_from_api(parameters: Mapping[str, Sequence[str]], now_unix_nano: int) -> JaegerSearch:
    """The search of `/api/traces`. Raises BadInput, whose message names the parameter."""

    def one(name: str) -> str:
        return next((value for value in parameters.get(name, ()) if value), "")

    end = _microseconds("end", one("end"), now_unix_nano)
    start = _microseconds("start", one("start"), max(0, end - _lookback_ns(one("lookback"))))
    service = one("service")
    if not service:
        raise BadInput("parameter 'service' is required", code="missing_parameter")
    shortest, longest = (duration_ns(name, one(name)) if one(name) else 0 for name in ("minDuration", "maxDuration"))
    if longest and shortest > longest:
        raise BadInput("'maxDuration' should be greater than 'minDuration'")
    return JaegerSearch(
        start_min_unix_nano=start,
        start_max_unix_nano=end,
        service=service,
        operation=one("operation"),
        tags=_tags(parameters.get("tag", ()), parameters.get("tags", ())),
        duration_min_ns=shortest,
        duration_max_ns=longest,
        limit=whole_number("limit", one("limit")) if one("limit") else DEFAULT_LIMIT,
    )


def search_from_v3(parameters: Mapping[str, Sequence[str]], now_unix_nano: int) -> JaegerSearch:
    """The search of `/api/v3/traces`, names in camel case or with underscores. Raises BadInput, whose message names the parameter."""

    def one(*names: str) -> tuple[str, str]:
        for name in names:
            for value in parameters.get(f"query.{name}", ()):
                if value:
                    return value, f"query.{name}"
        return "", f"query.{names[0]}"

    if one("filter")[0]:
        raise BadInput("query.filter is not supported; use query.attributes")
    attributes = one("attributes")[0]
    lowest, highest = one("startTimeMin", "start_time_min"), one("startTimeMax", "start_time_max")
    if not lowest[0] or not highest[0]:
        raise BadInput("query.startTimeMin and query.startTimeMax are required")
    start, end = (time_from_text(name, text, now_unix_nano) for text, name in (lowest, highest))
    if start >= end:
        raise BadInput("query.startTimeMin must be before query.startTimeMax")
    shortest, longest = (
        duration_ns(name, text) if text else 0
        for text, name in (one("durationMin", "duration_min"), one("durationMax", "duration_max"))
    )
    limit, limit_name = one("searchDepth", "search_depth", "num_traces")
    return JaegerSearch(
        start_min_unix_nano=start,
        start_max_unix_nano=end,
        service=one("serviceName", "service_name")[0],
        operation=one("operationName", "operation_name")[0],
        tags=tags_from_json("query.attributes", attributes) if attributes else {},
        duration_min_ns=shortest,
        duration_max_ns=longest,
        limit=whole_number(limit_name, limit) if limit else DEFAULT_LIMIT,
    )


def whole_number(name: str, text: str) -> int:
    """A whole number of up to 64 bits. Raises BadInput, whose message names the parameter."""
    if re.fullmatch(r"[+-]?\d{1,19}", text, re.ASCII) is None:
        raise BadInput(f"unable to parse param '{name}': {text[:60]!r} is no whole number")
    return int(text)


def truth(name: str, text: str) -> bool:
    """`true` or `false` as Go reads them; empty is false. Raises BadInput, whose message names the parameter."""
    if text in ("", "0", "f", "F", "false", "FALSE", "False"):
        return False
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    raise BadInput(f"unable to parse param '{name}': {text[:60]!r} is neither true nor false")


def tags_from_json(name: str, text: str) -> dict[str, str]:
    """A JSON object of texts; numbers and truth values are taken as the text of an attribute with that value."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict) or any(isinstance(value, list | dict) for value in parsed.values()):
        raise BadInput(
            f'malformed \'{name}\' parameter, cannot unmarshal JSON: wants an object of texts, as in {{"http.method":"GET"}}'
        )
    return checked_tags({key: _text(value) for key, value in parsed.items()})


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags. Raises BadInput where they are too many."""
    if len(tags) > _MAX_TAGS:
        raise BadInput(f"{len(tags)} tags: at most {_MAX_TAGS}")
    return tags


def _tags(single: Iterable[str], objects: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in single:
        key, colon, value = pair.partition(":")
        if not colon:
            raise BadInput(f"malformed 'tag' parameter, expecting key:value, received: {pair[:80]}")
        found[key] = value
    for text in objects:
        if text:
            found.update(tags_from_json("tags", text))
    return checked_tags(found)


def _text(value: Any) -> str:
    """Of a value of JSON, the text that an attribute with this value has."""
    if isinstance(value, bool):
        return value_text(AnyValue(bool_value=value))
    if isinstance(value, float):
        return value_text(AnyValue(double_value=value))
    return "" if value is None else str(value)


def _microseconds(name: str, text: str, default_unix_nano: int) -> int:
    if not text:
        return default_unix_nano
    return min(max(0, whole_number(name, text)) * 1_000, _MAX_INT64)


def _lookback_ns(text: str) -> int:
    """The UI says 1h, 2d or custom; what is no length of time is not one."""
    days = _DAYS.fullmatch(text)
    if days is not None:
        return int(days.group(1)) * (7 if days.group(2) == "w" else 1) * _DAY_NS
    try:
        return duration_ns("lookback", text) or LOOKBACK_NS
    except BadInput:
        return LOOKBACK_NS


def duration_ns(name: str, text: str) -> int:
    """Nanoseconds of a parameter's length of time. Raises BadInput, which names the parameter."""
    found = 0 if text.strip() == "0" else length_ns(text.strip())
    if found is None:
        raise BadInput(f"unable to parse param '{name}': {text[:60]!r} is no length of time like 300ms or 1h30m")
    return found
