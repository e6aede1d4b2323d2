"""The parameters of Tempo's searches as searches of ours. Pure: now is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clew_server.api.tempo.attributes import Attribute, attribute_of
from clew_server.api.tempo.spansets import where
from clew_server.api.tempo.tokens import duration_ns
from clew_server.api.tempo.traceql import Query, parse
from clew_server.errors import BadInput
from clew_server.model.query_tree import ANY, Braces, Node, Op, SpanTerm, TraceTerm, Value, all_of
from clew_server.model.search import STATUS_WORDS, Search
from clew_server.query.language.parameters import MAX_LIMIT
from clew_server.query.language.values import number

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
    """At most so many of the spans that the query finds."""


def search_from_parameters(parameters: Mapping[str, str]) -> TempoSearch:
    """The search of `/api/search`: `q`, or `tags`, `minDuration`, `maxDuration`. Raises BadInput, whose message names the parameter."""
    q, tags = parameters.get("q", ""), parameters.get("tags", "")
    if q and tags:
        raise BadInput("give q or tags, not both", code="bad_parameter")
    query = parse(q) if q else _from_tags(tags)
    if query.metric is not None:
        raise BadInput("a metric is answered by /api/metrics/query_range", code="bad_query")
    found = where(query.spansets)
    parts = [] if found is None else [found]
    bounds: tuple[tuple[str, Op], ...] = (("minDuration", ">="), ("maxDuration", "<="))
    for name, op in bounds:
        if text := parameters.get(name):
            parts.append(TraceTerm("duration", op, (Value(text, Decimal(_length(name, text))),)))
    start, end = time_window(parameters)
    search = Search(
        where=all_of(*parts) if parts else None,
        limit=min(_number("limit", parameters.get("limit", ""), DEFAULT_LIMIT), MAX_LIMIT),
        span_from_unix_nano=start,
        span_to_unix_nano=end,
    )
    spans = min(_number("spss", parameters.get("spss", ""), DEFAULT_SPANS), _MOST_SPANS)
    return TempoSearch(search, query, spans)


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
    terms: list[Node] = []
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
        terms.append(_tag(key, value))
        named.append(attribute_of(f".{key}"))
    return Query(Braces(all_of(*terms)) if terms else ANY, named=tuple(named))


def _tag(key: str, value: str) -> Node:
    same = (Value(value),)
    if key in ("status", "status.code"):
        if value not in STATUS_WORDS:
            raise BadInput(f"tags: {key} is one of {', '.join(STATUS_WORDS)}", code="bad_parameter")
        return SpanTerm("status", "=", same)
    if key == "error" and value == "true":
        return SpanTerm("status", "=", (Value("error"),))
    if key == "name":
        return SpanTerm("name", "=", same)
    if key == "service.name":
        return SpanTerm("service", "=", same)
    if key == "root.name":
        return TraceTerm("root_name", "=", same)
    if key == "root.service.name":
        return TraceTerm("root_service", "=", same)
    return SpanTerm("attr", "=", (Value(value, number(value)),), key, True)


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
