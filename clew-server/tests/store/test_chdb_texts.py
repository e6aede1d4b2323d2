"""Values of every type, wherever they stand: reading never fails on them, and search and the trace page show one text."""

from __future__ import annotations

import math
import os
import random
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from clew_server.api.skeleton import columns_of
from clew_server.model.search import Search, SpanCondition
from clew_server.model.text import written_double
from clew_server.model.trace import trace_from_spans
from clew_server.store.where.comparing import double_written

VALUES = {
    "text": AnyValue(string_value="süd \u2028 \x85 \N{GRINNING FACE}"),
    "empty": AnyValue(string_value=""),
    "int": AnyValue(int_value=2),
    "large": AnyValue(int_value=-(2**63)),
    "true": AnyValue(bool_value=True),
    "false": AnyValue(bool_value=False),
    "half": AnyValue(double_value=0.5),
    "whole": AnyValue(double_value=3.0),
    "tenth": AnyValue(double_value=-0.1),
    "huge": AnyValue(double_value=1e300),
    "1e16": AnyValue(double_value=1e16),
    "1e20": AnyValue(double_value=1.5e20),
    "1e21": AnyValue(double_value=1e21),
    "1e-6": AnyValue(double_value=0.000001),
    "1e-7": AnyValue(double_value=1.25e-7),
    "tiny": AnyValue(double_value=5e-324),
    "inf": AnyValue(double_value=float("-inf")),
    "nan": AnyValue(double_value=float("nan")),
    "bytes": AnyValue(bytes_value=b"\xff\xfe\x00\n\t"),
    "list": AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="first"), AnyValue(int_value=7)])),
    "no list": AnyValue(array_value=ArrayValue()),
    "map": AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue(string_value="\x02"))])),
    "nothing": AnyValue(),
}


def request(value: AnyValue, trace_id: bytes, number: int) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.CopyFrom(value)
    scope = group.scope_spans.add()
    scope.scope.attributes.add(key="of.scope").value.CopyFrom(value)
    now = time.time_ns()
    span = scope.spans.add(trace_id=trace_id, span_id=os.urandom(8), name=f"n{number}", kind=2)
    span.start_time_unix_nano, span.end_time_unix_nano = now, now + 5
    span.attributes.add(key="of.span").value.CopyFrom(value)
    span.events.add(name="e").attributes.add(key="of.event").value.CopyFrom(value)
    span.links.add(trace_id=trace_id, span_id=b"12345678").attributes.add(key="of.link").value.CopyFrom(value)
    return made


@pytest.fixture(scope="module")
def trace_ids(opened: Any) -> dict[str, bytes]:
    """A trace with each of the values, all stored at once."""
    made = {kind: os.urandom(16) for kind in VALUES}
    opened.put([request(VALUES[kind], made[kind], number) for number, kind in enumerate(VALUES)])
    return made


@pytest.mark.parametrize("kind", VALUES)
def test_a_service_whose_name_is_of_any_type_has_one_name_everywhere(
    opened: Any, trace_ids: dict[str, bytes], kind: str
) -> None:
    number, trace_id = list(VALUES).index(kind), trace_ids[kind]
    reader = opened.store.reader
    (trace,) = reader.find(Search((SpanCondition("name", "=", f"n{number}"),))).traces
    columns = columns_of(trace_from_spans(reader.get(trace_id)))
    assert [trace.root_service] == list(trace.services) == columns["services"]
    assert trace.root_service in reader.services().found
    assert (f"n{number}", "server") in reader.operations(trace.root_service).found
    same = Search((SpanCondition("service", "=", trace.root_service), SpanCondition("name", "=", f"n{number}")))
    assert [found.trace_id for found in reader.find(same).traces] == [trace_id.hex()]


@pytest.mark.parametrize("sql", ["SELECT unhex('ff00c328')", "SELECT [unhex('ff'),'a']", "SELECT unhex('edA080')"])
def test_bytes_of_the_engine_that_are_no_text_are_read_with_replacement_characters(
    opened: Any, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setattr("clew_server.store.queries.statement", lambda name, **words: sql)
    ((value,),) = opened.store.reader.question().rows("any", {})
    assert "\N{REPLACEMENT CHARACTER}" in str(value)


def test_doubles_are_compared_as_json_writes_them(opened: Any) -> None:
    chance = random.Random(7)
    edges = [
        0.0,
        1e16,
        9999999999999998.0,
        1.5e20,
        1e21,
        1e22,
        1e-4,
        9.9e-5,
        1.25e-6,
        1e-6,
        9e-7,
        5e-324,
        1.7e308,
        100.0,
    ]
    drawn = [chance.uniform(1, 10) * 10.0 ** chance.randint(-9, 24) for _ in range(1000)]
    drawn += [float(chance.randint(1, 99)) * 10.0 ** chance.randint(-9, 22) for _ in range(1000)]
    doubles = [sign * one for one in [*edges, math.inf, *drawn] for sign in (1, -1)]
    asked = f"SELECT {double_written('t')} FROM (SELECT toString(arrayJoin({[*doubles, math.nan]})) AS t)"
    assert [text for (text,) in opened.ask(asked)] == [*map(written_double, doubles), "NaN"]
