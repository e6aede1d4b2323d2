"""Zipkin's searches as searches of ours. Pure: now is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from clew_server.errors import BadInput
from clew_server.model.search import Search, SpanCondition
from clew_server.query.language.parameters import MAX_LIMIT

DEFAULT_LIMIT: Final = 10
LOOKBACK_MS: Final = 86_400_000
_MAX_NS: Final = (1 << 63) - 1
_MAX_CONDITIONS: Final = 32
_FIELDS: Final[dict[str, Literal["status_message", "scope"]]] = {
    "otel.status_description": "status_message",
    "otel.scope.name": "scope",
    "otel.library.name": "scope",
}
"""Tags that are fields of a span here."""


def search_from_parameters(parameters: Mapping[str, str], now_unix_nano: int) -> Search:
    """The search of `/api/v2/traces`: an absent or empty parameter asks nothing. Raises BadInput, which names the parameter.

    All conditions on a span hold for one span, and the trace starts in the time that ends with `endTs`.
    """
    span: list[SpanCondition] = []
    if service := parameters.get("serviceName"):
        span.append(SpanCondition("service", "=", service))
    if (name := parameters.get("spanName")) and name != "all":
        span.append(SpanCondition("name", "=", name))
    if remote := parameters.get("remoteServiceName"):
        span.append(SpanCondition("peer", "=", remote))
    span += _annotations(parameters.get("annotationQuery", ""))
    shortest, longest = (_number(parameters, name, None) for name in ("minDuration", "maxDuration"))
    if longest is not None and shortest is None:
        raise BadInput("maxDuration is only valid with minDuration", code="bad_parameter")
    if shortest is not None:
        if longest is not None and longest < shortest:
            raise BadInput("maxDuration is less than minDuration", code="bad_parameter")
        # Lengths are told in whole microseconds, so the ns between two of them belong to the lower one.
        span.append(SpanCondition("dur", ">=", _ns(shortest)))
        if longest is not None:
            span.append(SpanCondition("dur", "<", _ns(longest + 1)))
    from_unix_nano, to_unix_nano = window_from_parameters(parameters, now_unix_nano)
    limit = _number(parameters, "limit", DEFAULT_LIMIT)
    assert limit is not None
    return Search(
        span=tuple(span), from_unix_nano=from_unix_nano, to_unix_nano=to_unix_nano, limit=min(limit, MAX_LIMIT)
    )


def window_from_parameters(
    parameters: Mapping[str, str], now_unix_nano: int, *, wants_end: bool = False
) -> tuple[int, int]:
    """From `lookback` before `endTs` to `endTs`, which is in it, in ns. Raises BadInput, which names the parameter."""
    if wants_end and not parameters.get("endTs"):
        raise BadInput("endTs is missing: wants milliseconds since 1970", code="missing_parameter")
    end_ms = _number(parameters, "endTs", now_unix_nano // 1_000_000)
    lookback_ms = _number(parameters, "lookback", LOOKBACK_MS)
    assert end_ms is not None
    assert lookback_ms is not None
    return max(0, min((end_ms - lookback_ms) * 1_000_000, _MAX_NS)), min(end_ms * 1_000_000 + 1_000, _MAX_NS)


def _annotations(text: str) -> list[SpanCondition]:
    """`error and http.method=GET`: what has a value is a tag, what has none a tag's key or an annotation."""
    wanted: dict[str, str] = {}
    for one in re.split(r"\s+and\s+", text.strip()):
        key, _, value = (part.strip() for part in one.partition("="))
        if key and not wanted.get(key):
            wanted[key] = value
    if len(wanted) > _MAX_CONDITIONS:
        raise BadInput(f"annotationQuery: more than {_MAX_CONDITIONS} conditions", code="bad_parameter")
    return [_annotation(key, value) for key, value in wanted.items()]


def _annotation(key: str, value: str) -> SpanCondition:
    """What Zipkin has in a tag and OTLP in a field is looked for in the field."""
    if key == "error" and value.lower() in ("", "true"):
        return SpanCondition("status", "=", "error")
    if key == "otel.status_code" and value.lower() in ("ok", "error"):
        return SpanCondition("status", "=", value.lower())
    if value and key in _FIELDS:
        return SpanCondition(_FIELDS[key], "=", value)
    return SpanCondition("attr", "=", value, key) if value else SpanCondition("mark", "=", key)


def _number(parameters: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = parameters.get(name, "").strip()
    if not text:
        return default
    if re.fullmatch(r"\d{1,19}", text, re.ASCII) is None or not int(text):
        raise BadInput(f"{name}={text[:60]!r}: wants a whole number above 0", code="bad_parameter")
    return int(text)


def _ns(us: int) -> int:
    return min(us * 1_000, _MAX_NS)
