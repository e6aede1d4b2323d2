"""The parameters of Tempo's searches as searches of ours. Pure: now is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from clew_server.api.tempo.traceql import Attribute, Query, attribute_of, duration_ns, parse
from clew_server.errors import BadInput
from clew_server.model.search import STATUS_WORDS, Search, SpanCondition, TraceCondition
from clew_server.query.language.parameters import MAX_LIMIT

DEFAULT_LIMIT: Final = 20
DEFAULT_SPANS: Final = 3
_MOST_SPANS: Final = 100
_NS: Final = 1_000_000_000
_MAX_NS: Final = (1 << 63) - 1
_PAIR: Final = re.compile(r'\s*([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?')


@dataclass(frozen=True, slots=True)
class TempoSearch:
    """A search, and what its answer shall show of each trace."""

    search: Search
    query: Query
    spans: int
    """At most so many of the spans for which the conditions hold."""


def search_from_parameters(parameters: Mapping[str, str]) -> TempoSearch:
    """The search of `/api/search`: `q`, or `tags`, `minDuration`, `maxDuration`. Raises BadInput, whose message names the parameter."""
    q, tags = parameters.get("q", ""), parameters.get("tags", "")
    if q and tags:
        raise BadInput("give q or tags, not both", code="bad_parameter")
    query = parse(q) if q else _from_tags(tags)
    if query.metric is not None:
        raise BadInput("a metric is answered by /api/metrics/query_range", code="bad_query")
    trace = list(query.trace)
    for name, op in (("minDuration", ">="), ("maxDuration", "<=")):
        if text := parameters.get(name):
            trace.append(TraceCondition("duration", op, _length(name, text)))  # type: ignore[arg-type]
    start, end = time_window(parameters)
    search = Search(
        span=query.span,
        trace=tuple(trace),
        limit=min(_number("limit", parameters.get("limit", ""), DEFAULT_LIMIT), MAX_LIMIT),
        span_from_unix_nano=start,
        span_to_unix_nano=end,
    )
    spans = min(_number("spss", parameters.get("spss", ""), DEFAULT_SPANS), _MOST_SPANS)
    return TempoSearch(search, replace(query, trace=tuple(trace)), spans)


def time_window(parameters: Mapping[str, str]) -> tuple[int, int] | tuple[None, None]:
    """`start` and `end` in ns; None without both. Seconds since the epoch, as Tempo has them; ns are taken too. Raises BadInput."""
    start, end = (_time(name, parameters.get(name, "")) for name in ("start", "end"))
    if start is None and end is None:
        return None, None
    start, end = start or 0, _MAX_NS if end is None else end
    if start >= end:
        raise BadInput("start must be before end", code="bad_parameter")
    return start, end


def _from_tags(tags: str) -> Query:
    """logfmt: `service.name=cart http.status_code=500 "x y"`; all of it holds for one span."""
    span: list[SpanCondition] = []
    named: list[Attribute] = []
    at = 0
    text = tags.rstrip()
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None or match[2] is None:
            raise BadInput(f"tags: {text[at : at + 40].strip()!r} is no key=value", code="bad_parameter")
        key, value = match[1], match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        at = match.end()
        if key == "name":
            span.append(SpanCondition("name", "=", value))
        elif key in ("status", "status.code"):
            if value not in STATUS_WORDS:
                raise BadInput(f"tags: {key} is one of {', '.join(STATUS_WORDS)}", code="bad_parameter")
            span.append(SpanCondition("status", "=", value))
        elif key == "error" and value == "true":
            span.append(SpanCondition("status", "=", "error"))
        elif key == "service.name":
            span.append(SpanCondition("service", "=", value))
        elif key in ("root.name", "root.service.name"):
            raise BadInput(f"tags: {key} is not answered", code="unsupported_query")
        else:
            span.append(SpanCondition("attr", "=", value, key))
        named.append(attribute_of(f".{key}"))
    return Query(span=tuple(span), named=tuple(named))


def _length(name: str, text: str) -> int:
    try:
        return duration_ns(text)
    except BadInput as error:
        raise BadInput(f"{name}: {error}", code="bad_parameter") from error


def _number(name: str, text: str, default: int) -> int:
    if not text:
        return default
    if re.fullmatch(r"\d{1,9}", text) is None or not int(text):
        raise BadInput(f"{name}: {text[:40]!r} is no whole number above 0", code="bad_parameter")
    return int(text)


def _time(name: str, text: str) -> int | None:
    if not text:
        return None
    if re.fullmatch(r"\d{1,19}(\.\d{1,9})?", text) is None:
        raise BadInput(f"{name}: {text[:40]!r} is no time in seconds since the epoch", code="bad_parameter")
    whole, _, fraction = text.partition(".")
    number = int(whole)
    if number > 10**14:  # more seconds than years anybody means: nanoseconds
        return min(number, _MAX_NS)
    return min(number * _NS + int(fraction.ljust(9, "0") or 0), _MAX_NS)
