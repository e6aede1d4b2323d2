"""Values of one attribute in a trace: of the spans, else of their resources, each once."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.query.values import MOST_GROUPS, MOST_VALUES, Group, Groups, groups, values

T0 = 1_795_000_000_000_000_000


def trace(*spans: dict[str, Any], zone: str = "") -> Trace:
    resource = Resource()
    if zone:
        resource.attributes.add(key="zone").value.string_value = zone
    stored = []
    for at, attributes in enumerate(spans):
        span = Span(
            trace_id=b"t" * 16,
            span_id=(at + 1).to_bytes(8, "big"),
            parent_span_id=(1).to_bytes(8, "big") if at else b"",
            name="n",
            start_time_unix_nano=T0 + at,
            end_time_unix_nano=T0 + 100,
        )
        for key, value in attributes.items():
            kept = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
            span.attributes.append(KeyValue(key=key, value=kept))
        stored.append(StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), T0))
    return trace_from_spans(stored)


def test_each_value_is_given_once_in_the_order_of_the_rows_numbers_as_text() -> None:
    one = trace({"bank": "north"}, {"bank": 7}, {}, {"bank": "north"}, {"bank": "south"}, {"bank": ""})
    assert values(one, "bank") == ["north", "7", "south"]
    assert values(one, "absent") == []


def test_a_span_without_the_attribute_has_that_of_its_resource() -> None:
    assert values(trace({"zone": "a"}, {}, {}, zone="b"), "zone") == ["a", "b"]
    assert values(trace({"zone": "a"}, zone="b"), "zone") == ["a"]


def test_of_many_values_the_first_are_given() -> None:
    assert values(trace(*({"n": number} for number in range(50))), "n") == [str(n) for n in range(MOST_VALUES)]


def test_spans_are_grouped_by_their_value_the_most_frequent_first() -> None:
    one = trace({"bank": "south"}, {"bank": "north"}, {"bank": 7}, {}, {"bank": "north"}, {"bank": ""})
    assert groups(one, "bank") == Groups([Group("north", [1, 4]), Group("7", [2]), Group("south", [0])], 0, 2)
    assert groups(one, "absent") == Groups([], 0, 6)
    assert groups(trace({"zone": "a"}, {}, {}, zone="b"), "zone") == Groups([Group("b", [1, 2]), Group("a", [0])], 0, 0)


def test_of_very_many_values_those_of_few_spans_are_only_counted() -> None:
    spans = [{"n": "often"}, *({"n": f"{number:03}"} for number in range(MOST_GROUPS + 5)), {"n": "often"}]
    found = groups(trace(*spans), "n")
    assert found.most[0] == Group("often", [0, len(spans) - 1])
    assert [one.value for one in found.most[1:]] == [f"{number:03}" for number in range(MOST_GROUPS - 1)]
    assert (found.other, found.without) == (6, 0)
