"""The spans of a trace for which a search's conditions hold: what Tempo shows below each trace it lists. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.api.tempo.traceql import Attribute
from clew_server.model.attributes import find
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, SpanCondition
from clew_server.model.text import value_text
from clew_server.model.trace import Trace


class Matcher:
    """Conditions over one trace."""

    def __init__(self, trace: Trace, conditions: Sequence[SpanCondition]) -> None:
        self._trace = trace
        self._conditions = conditions
        self._resources: dict[bytes, Resource] = {}

    def rows(self) -> Iterable[int]:
        """Rows for whose span all conditions hold."""
        return (row for row in range(len(self._trace)) if self._holds(row))

    def value(self, row: int, attribute: Attribute) -> AnyValue | None:
        """The value of an attribute or an intrinsic of a row; None where it has none."""
        trace, key = self._trace, attribute.key
        if attribute.place == "intrinsic":
            span = trace.span(row)
            known = {
                "name": trace.name_of(row),
                "status": _word(STATUS_WORDS, span.status.code),
                "kind": _word(KIND_WORDS, trace.kind[row]),
                "statusMessage": span.status.message,
            }
            return AnyValue(string_value=known[key]) if key in known else None
        of_span = find(trace.span(row).attributes, key) if attribute.place in ("span", "any") else None
        if of_span is None and attribute.place in ("resource", "any"):
            return find(self._resource(row).attributes, key)
        return of_span

    def _holds(self, row: int) -> bool:
        trace = self._trace
        span: Span | None = None
        for one in self._conditions:
            if one.field == "dur":
                holds = _compared(trace.duration_ns[row], one.op, int(one.value))
            elif one.field in ("service", "name", "kind"):
                known = {"service": trace.service_of, "name": trace.name_of, "kind": self._kind_of}
                holds = (known[one.field](row) == one.value) is (one.op == "=")
            else:
                span = span or trace.span(row)
                holds = self._holds_inside(one, span, row) is (one.op == "=")
            if not holds:
                return False
        return True

    def _kind_of(self, row: int) -> str:
        return _word(KIND_WORDS, self._trace.kind[row])

    def _holds_inside(self, one: SpanCondition, span: Span, row: int) -> bool:
        """Whether the equality that a condition is about holds."""
        if one.field == "status":
            return _word(STATUS_WORDS, span.status.code) == one.value
        if one.field == "status_message":
            return span.status.message == one.value
        if one.field == "scope":
            scope = self._trace.stored.origins[self._trace.stored.origin[row]].scope
            return InstrumentationScope.FromString(scope).name == one.value
        if one.field == "event":
            if one.key:
                return any(_has(event.attributes, one) for event in span.events)
            return any(event.name == one.value for event in span.events)
        if one.field in ("attr", "of_span") and _has(span.attributes, one):
            return True
        return one.field in ("attr", "of_resource") and _has(self._resource(row).attributes, one)

    def _resource(self, row: int) -> Resource:
        stored = self._trace.stored
        raw = stored.origins[stored.origin[row]].resource
        found = self._resources.get(raw)
        if found is None:
            found = self._resources[raw] = Resource.FromString(raw)
        return found


def _has(attributes: Iterable[KeyValue], one: SpanCondition) -> bool:
    return any(pair.key == one.key and value_text(pair.value) == one.value for pair in attributes)


def _word(words: Sequence[str], number: Any) -> str:
    return words[number] if 0 <= number < len(words) else words[0]


def _compared(number: int, op: str, other: int) -> bool:
    if op in ("=", "!="):
        return (number == other) is (op == "=")
    if op in (">", ">="):
        return number > other or (op == ">=" and number == other)
    return number < other or (op == "<=" and number == other)
