"""Random spans with every type of attribute, and an evaluator of queries that looks at every span. It shares no code with the store."""

from __future__ import annotations

import base64
import math
import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.failed import exceptions, failing_code
from clew_server.model.families import family
from clew_server.model.query_tree import And, Braces, Node, Not, Or, Relation, SpanTerm, TraceTerm, Value
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.query.language.parser import parse

SECOND = 1_000_000_000
NOW = time.time_ns()


def parsed(text: str) -> Node | None:
    """A query in the server's language, as of `NOW`."""
    return parse(text, lambda _: NOW)


def put_all(opened: Any, requests: Iterable[ExportTraceServiceRequest]) -> None:
    """Store each request apart."""
    for request in requests:
        opened.put([request])


SERVICES = ["cart", "Cart", "payment", "süd 'o\\n", ""]
NAMES = ["GET /", "GET /pay", "a*b", "50%_\\", "line\nbreak", ""]


def string(text: str) -> AnyValue:
    return AnyValue(string_value=text)


def listed(*values: AnyValue) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=values))


ATTRIBUTES: dict[str, list[AnyValue]] = {
    "n": [AnyValue(int_value=n) for n in (0, -5, 5, 200, 2**63 - 1, 2**63 - 2, -(2**63))],
    "ratio": [AnyValue(double_value=d) for d in (0.5, 5.0, 200.0, 1e21, -0.0, float("inf"), float("nan"), 1e-7)],
    "text": [
        string(t) for t in ("5", "5.0", "200", "", "x" * 300, "GET /pay", "NaN", "1e3", " 5", "0x10", "a\nb", "ü%")
    ],
    "ok": [AnyValue(bool_value=True), AnyValue(bool_value=False)],
    "bytes": [AnyValue(bytes_value=b"\xd7\x6d\xf8"), AnyValue(bytes_value=b"")],
    "tags": [
        listed(),
        listed(string("a"), string("b" * 200)),
        listed(AnyValue(int_value=5), AnyValue(double_value=5.0)),
        listed(string("5"), AnyValue(bool_value=True), AnyValue()),
    ],
    "http.method": [string("GET"), string("PUT")],
    "http.request.method": [string("GET"), string("POST")],
    "http.response.status_code": [AnyValue(int_value=n) for n in (200, 404, 503)],
    "http.status_code": [string("500"), AnyValue(int_value=301)],
    "rpc.status_code": [string("UNAVAILABLE"), string("OK"), AnyValue(int_value=503), string("not_found")],
    "rpc.grpc.status_code": [AnyValue(int_value=n) for n in (0, 5, 14)],
    "zone": [string("north"), string("5")],
}
VALUES = [value for values in ATTRIBUTES.values() for value in values]
RESOURCE = ["n", "ratio", "text", "http.method", "zone", "tags", "ok"]
KEYS = [*ATTRIBUTES, "absent"]


@dataclass
class Row:
    """A span as it was sent, its log records beside it."""

    span: Span
    service: str
    resource: list[tuple[str, AnyValue]]
    scope: str
    scope_attributes: list[tuple[str, AnyValue]]
    logs: list[Span.Event] = field(default_factory=list)


@dataclass
class Known:
    traces: dict[str, list[Row]]


def made(chance: random.Random, count: int) -> tuple[Known, list[ExportTraceServiceRequest]]:
    requests = [ExportTraceServiceRequest() for _ in range(5)]
    traces: dict[str, list[Row]] = {}
    for _ in range(count):
        trace_id = chance.randbytes(16)
        begin = NOW - int(chance.choice([50, 250, 200_000]) * SECOND * (0.1 + chance.random()))
        rows: list[Row] = []
        ids = (
            [bytes([0] * 7 + [n + 1]) for n in range(6)]
            if chance.random() < 0.5
            else [chance.randbytes(8) for _ in range(6)]
        )
        for at in range(chance.choice([1, 2, 4, 6])):
            scope_spans = ExportTraceServiceRequest().resource_spans.add()
            service = chance.choice(SERVICES)
            resource = [
                (key, chance.choice(ATTRIBUTES[key])) for key in chance.sample(RESOURCE, chance.choice([0, 1, 2]))
            ]
            if service:
                scope_spans.resource.attributes.add(key="service.name").value.string_value = service
            for key, value in resource:
                scope_spans.resource.attributes.add(key=key).value.CopyFrom(value)
            scope = scope_spans.scope_spans.add()
            scope.scope.name = chance.choice(["", "lib", "other lib"])
            scope_attributes = [("zone", chance.choice(VALUES))] if chance.random() < 0.2 else []
            for key, value in scope_attributes:
                scope.scope.attributes.add(key=key).value.CopyFrom(value)
            start = begin + (chance.choice([0, 1, SECOND, 4_000 * SECOND]) if at else 0)
            span = scope.spans.add(
                trace_id=trace_id,
                span_id=ids[at],
                name=chance.choice(NAMES),
                kind=chance.randrange(6),
                start_time_unix_nano=start,
                end_time_unix_nano=start + chance.choice([0, 1, 1_500_000, 500_000_000, 3 * SECOND]),
            )
            if at or chance.random() < 0.2:
                span.parent_span_id = chance.choice([*ids[:at], ids[5], chance.randbytes(8)])
            span.status.code = chance.choice([0, 0, 0, 1, 2])  # type: ignore[assignment]
            span.status.message = chance.choice(["", "", "no money"])
            for key in chance.sample(sorted(ATTRIBUTES), chance.randrange(5)):
                for value in chance.sample(ATTRIBUTES[key], min(len(ATTRIBUTES[key]), chance.choice([1, 1, 1, 2]))):
                    span.attributes.add(key=key).value.CopyFrom(value)
            logs: list[Span.Event] = []
            for _ in range(chance.choice([0, 0, 0, 1, 2])):
                event = Span.Event(name=chance.choice(["exception", "retry", "db"]))
                for key in chance.choice([["k"], ["k"], ["k", "other"], ["other", "k", "k"]]):
                    event.attributes.add(key=key).value.CopyFrom(chance.choice(VALUES))
                if chance.random() < 0.5:
                    span.events.append(event)
                    continue
                event.attributes.add(key="clew.from").value.string_value = "log"
                if chance.random() < 0.5:
                    event.attributes.add(key="log.severity_number").value.int_value = chance.choice([9, 17])
                if chance.random() < 0.5:
                    event.attributes.add(key="exception.type").value.string_value = "KeyError"
                logs.append(event)
                fragment = (
                    chance.choice(requests)
                    .resource_spans.add()
                    .scope_spans.add()
                    .spans.add(
                        trace_id=trace_id, span_id=span.span_id, start_time_unix_nano=start, end_time_unix_nano=start
                    )
                )
                fragment.attributes.add(key="clew.fragment").value.string_value = "log"
                fragment.events.append(event)
            if traces and chance.random() < 0.1:
                link = span.links.add(
                    trace_id=bytes.fromhex(chance.choice(sorted(traces))), span_id=chance.randbytes(8)
                )
                for _ in range(chance.randrange(3)):
                    link.attributes.add(key="k").value.CopyFrom(chance.choice(VALUES))
            chance.choice(requests).resource_spans.add().CopyFrom(scope_spans)
            rows.append(Row(span, service, resource, scope.scope.name, scope_attributes, logs))
        traces[trace_id.hex()] = rows
    return Known(traces), requests


# The evaluator


def text_of(value: AnyValue) -> str:
    """As OTLP's JSON writes it, without quotes."""
    which = value.WhichOneof("value")
    if which == "bool_value":
        return "true" if value.bool_value else "false"
    if which == "int_value":
        return str(value.int_value)
    if which == "double_value":
        special = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
        return special.get(repr(value.double_value), repr(value.double_value))
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return value.string_value


def elements(value: AnyValue) -> list[AnyValue]:
    return list(value.array_value.values) if value.WhichOneof("value") == "array_value" else [value]


NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number_of(value: AnyValue) -> Decimal | float | None:
    """For comparisons by order."""
    which = value.WhichOneof("value")
    if which == "int_value":
        return Decimal(value.int_value)
    if which == "double_value":
        return value.double_value
    if which == "string_value" and NUMBER.fullmatch(value.string_value):
        if re.fullmatch(r"[+-]?[0-9]{1,38}", value.string_value):
            return Decimal(int(value.string_value))
        return float(value.string_value)
    return None


def ordered(left: Any, op: str, right: Any) -> bool:
    if isinstance(left, float):
        right = float(right)
    return bool({">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[op])


def text_matches(text: str, op: str, values: tuple[Value, ...]) -> bool:
    if op == "=~":
        return re.search(values[0].text, text) is not None
    return any(
        re.fullmatch(".*".join(map(re.escape, one.pieces)), text, re.DOTALL) is not None
        if one.pieces
        else text == one.text
        for one in values
    )


def value_matches(value: AnyValue, term: SpanTerm) -> bool:
    if term.op in (">", ">=", "<", "<="):
        number, limit = number_of(value), term.values[0].number
        if number is None or limit is None or limit.is_nan() or number != number:
            return False
        return ordered(number, term.op, limit)
    if text_matches(text_of(value), term.op, term.values):
        return True
    if term.op not in ("=", "in"):
        return False
    which = value.WhichOneof("value")
    for one in term.values:
        if one.number is None or one.pieces:
            continue
        if which == "int_value" and one.number.is_finite() and one.number == value.int_value:
            return True
        if which == "double_value":
            double = value.double_value
            if one.number.is_nan():
                if double != double:
                    return True
            elif math.isinf(double) or not double:
                if one.number == Decimal(double):
                    return True
            elif float(one.number) == double:
                return True
    return False


def some(attributes: list[tuple[str, AnyValue]], term: SpanTerm) -> bool:
    keys = {term.key} if term.exact else set(family(term.key))
    found = [value for key, value in attributes if key in keys]
    if term.op == "exists":
        return bool(found)
    return any(value_matches(one, term) for value in found for one in elements(value))


def pairs(attributes: Any) -> list[tuple[str, AnyValue]]:
    return [(pair.key, pair.value) for pair in attributes]


def is_failed(row: Row) -> bool:
    whole = Span()
    whole.CopyFrom(row.span)
    whole.events.extend(row.logs)
    by_itself = bool(exceptions(whole)) or failing_code(row.span) is not None
    return row.span.status.code == 2 or (row.span.status.code == 0 and by_itself)


def start_of(rows: list[Row]) -> int:
    return min(row.span.start_time_unix_nano for row in rows)


def duration_of(rows: list[Row]) -> int:
    return max(row.span.end_time_unix_nano for row in rows) - start_of(rows)


def span_term(row: Row, term: SpanTerm) -> bool:
    span, values = row.span, term.values
    place, op = term.place, term.op
    events = [*span.events, *row.logs]
    if place == "names":
        if values[0].pieces:
            pattern = ".*".join(re.escape(piece) for piece in values[0].pieces)
            return any(re.search(pattern, text, re.DOTALL | re.IGNORECASE) for text in (row.service, span.name))
        return any(values[0].text.lower() in text.lower() for text in (row.service, span.name))
    texts = {"service": row.service, "name": span.name, "scope": row.scope, "status_message": span.status.message}
    if place in texts:
        if op == "exists":  # each span has a service and a name, empty ones too
            return place in ("service", "name") or bool(texts[place])
        return text_matches(texts[place], op, values)
    if place == "kind":
        return any(KIND_WORDS[span.kind] == one.text for one in values)
    if place == "status":
        return any(STATUS_WORDS[span.status.code] == one.text for one in values)
    if place == "dur":
        duration = Decimal(span.end_time_unix_nano - span.start_time_unix_nano)
        if op in ("=", "in"):
            return any(one.number == duration for one in values)
        return ordered(duration, op, values[0].number)
    if place in ("id", "parent"):
        of_it = (span.span_id if place == "id" else span.parent_span_id).hex()
        return bool(of_it) if op == "exists" else bool(of_it) and text_matches(of_it, op, values)
    if place == "root":
        return (not span.parent_span_id) == (values[0].text == "true")
    if place == "failed":
        return is_failed(row) == (values[0].text == "true")
    if place == "event":
        return any(op == "exists" or text_matches(event.name, op, values) for event in events)
    if place == "event_attr":
        return any(some(pairs(event.attributes), term) for event in events)
    if place == "link_trace":
        return any(op == "exists" or text_matches(link.trace_id.hex(), op, values) for link in span.links)
    if place == "link_attr":
        return any(some(pairs(link.attributes), term) for link in span.links)
    if place == "of_scope":
        return some(row.scope_attributes, term)
    own = pairs(span.attributes)
    resource = [*row.resource, *([("service.name", string(row.service))] if row.service else [])]
    if place == "of_span":
        return some(own, term)
    if place == "of_resource":
        return some(resource, term)
    keys = {term.key} if term.exact else set(family(term.key))
    return some(own, term) if any(key in keys for key, _ in own) else some(resource, term)


def holds(node: Node | None, rows: list[Row], row: Row | None = None) -> bool:
    if node is None:
        return True
    if isinstance(node, And):
        return all(holds(part, rows, row) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(part, rows, row) for part in node.parts)
    if isinstance(node, Not):
        return not holds(node.part, rows, row)
    if isinstance(node, Braces):
        return any(holds(node.inside, rows, one) for one in rows)
    if isinstance(node, Relation):
        return bool(related(node, rows))
    if isinstance(node, SpanTerm):
        assert row is not None
        return span_term(row, node)
    return trace_term(node, rows)


def related(node: Relation, rows: list[Row]) -> list[Row]:
    reached = [row for row in rows if holds(node.first.inside, rows, row)]
    for op, braces in node.steps:
        found = []
        for row in rows:
            if not holds(braces.inside, rows, row):
                continue
            if op == ">":
                ok = any(one.span.span_id == row.span.parent_span_id for one in reached)
            elif op == "~":
                ok = any(
                    one.span.parent_span_id == row.span.parent_span_id != b"" and one.span.span_id != row.span.span_id
                    for one in reached
                )
            else:
                ok = any(one in reached for one in ancestors(row, rows))
            if ok:
                found.append(row)
        reached = found
    return reached


def ancestors(row: Row, rows: list[Row]) -> list[Row]:
    by_id = {one.span.span_id: one for one in rows}
    found: list[Row] = []
    while (above := by_id.get(row.span.parent_span_id)) is not None and above not in found:
        found.append(above)
        row = above
    return found


def trace_term(term: TraceTerm, rows: list[Row]) -> bool:
    first = min(
        rows,
        key=lambda r: (
            bool(r.span.parent_span_id),
            r.span.start_time_unix_nano,
            r.service,
            r.span.name,
            r.span.end_time_unix_nano,
        ),
    )
    numbers = {
        "start": start_of(rows),
        "duration": duration_of(rows),
        "spans": len(rows),
        "errors": sum(row.span.status.code == 2 for row in rows),
        "services": len({row.service for row in rows}),
    }
    if term.place in numbers:
        number = Decimal(numbers[term.place])
        if term.op in ("=", "in"):
            return any(one.number == number for one in term.values)
        return ordered(number, term.op, term.values[0].number)
    text = {"root_service": first.service, "root_name": first.span.name, "id": rows[0].span.trace_id.hex()}[term.place]
    return text_matches(text, term.op, term.values)
