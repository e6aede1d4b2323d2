"""A search for traces from its parameters: `q` in the query language, and the plain ones. Pure: now is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from clew_server.model.lengths import MAX_NS
from clew_server.model.query_tree import Braces, Node, SpanTerm, TraceTerm, Value, all_of, conjuncts
from clew_server.model.search import SORTS, STATUS_WORDS, Search, Sort
from clew_server.model.times import bad_parameter, range_from_texts, time_from_text
from clew_server.query.language.parser import parse
from clew_server.query.language.values import number

MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 50


def search_from_parameters(
    *,
    q: str | None = None,
    service: str | None = None,
    operation: str | None = None,
    status: str | None = None,
    min_duration_ms: str | None = None,
    max_duration_ms: str | None = None,
    attr: Sequence[str] = (),
    from_: str | None = None,
    to: str | None = None,
    limit: str | int | None = None,
    cursor: str | None = None,
    sort: str | None = None,
    now_unix_nano: int,
) -> Search:
    """The search that `q` and the plain parameters mean together; an absent or empty one asks nothing.

    The plain ones hold for one span, the one of `q` where `q` is about one span. Raises BadInput: code `bad_query` with the position in
    `q`, or `bad_parameter` with the parameter's name in its message.
    """
    where = parse(q or "", lambda text: time_from_text("trace.start", text, now_unix_nano))
    span: list[Node] = []
    trace: list[Node] = []
    if service:
        span.append(SpanTerm("service", "=", (Value(service),)))
    if operation:
        span.append(SpanTerm("name", "=", (Value(operation),)))
    if status:
        if status.lower() not in STATUS_WORDS:
            raise bad_parameter("status", status, f"wants one of {', '.join(STATUS_WORDS)}")
        span.append(SpanTerm("status", "=", (Value(status.lower()),)))
    for pair in attr:
        key, colon, value = pair.partition(":")
        if not colon or not key:
            raise bad_parameter("attr", pair, "wants KEY:VALUE; the key ends at the first colon")
        span.append(SpanTerm("attr", "=", (Value(value, number(value)),), key))
    if min_duration_ms:
        shortest_ns = _milliseconds("min_duration_ms", min_duration_ms)
        trace.append(TraceTerm("duration", ">=", (Value(min_duration_ms, Decimal(shortest_ns)),)))
    if max_duration_ms:
        longest_ns = _milliseconds("max_duration_ms", max_duration_ms)
        trace.append(TraceTerm("duration", "<=", (Value(max_duration_ms, Decimal(longest_ns)),)))
    if sort and sort not in SORTS:
        raise bad_parameter("sort", sort, f"wants one of {', '.join(SORTS)}")
    from_unix_nano, to_unix_nano = range_from_texts(from_, to, now_unix_nano)
    return Search(
        where=_joined(where, span, trace),
        from_unix_nano=from_unix_nano,
        to_unix_nano=to_unix_nano,
        limit=limit_from_text(limit),
        cursor=cursor or None,
        sort=cast(Sort, sort or "-start"),
    )


def _joined(where: Node | None, span: list[Node], trace: list[Node]) -> Node | None:
    parts = list(conjuncts(where)) if where is not None else []
    if span:
        of_spans = [at for at, part in enumerate(parts) if not isinstance(part, TraceTerm)]
        only = parts[of_spans[0]] if len(of_spans) == 1 else None
        if isinstance(only, Braces) and only.inside is not None:
            parts[of_spans[0]] = Braces(all_of(*span, only.inside))
        else:
            parts.append(Braces(all_of(*span)))
    parts += trace
    return all_of(*parts) if parts else None


def _milliseconds(name: str, text: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise bad_parameter(name, text, "wants a number of milliseconds")
    return int(min(value, Decimal(MAX_NS // 1_000_000)) * 1_000_000)


def limit_from_text(given: str | int | None, default: int = DEFAULT_LIMIT) -> int:
    """How many are wanted, 1 to 1,000; `default` where that was not said. Raises BadInput."""
    if given is None or given == "":
        return default
    text = str(given)
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_LIMIT):
        raise bad_parameter("limit", text, f"wants a number from 1 to {MAX_LIMIT}")
    return int(text)
