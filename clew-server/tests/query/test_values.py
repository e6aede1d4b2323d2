"""Values of one attribute in a trace: of the spans, else of their resources, each once."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
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
            span.attributes.append(KeyValue(key=key, value=_kept(value)))
        stored.append(StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), T0))
    return trace_from_spans(stored)


def _kept(value: Any) -> AnyValue:
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_kept(one) for one in value]))
    if isinstance(value, dict):
        pairs = [KeyValue(key=key, value=_kept(one)) for key, one in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


def test_each_value_is_given_once_in_the_order_of_the_rows_numbers_as_text() -> None:
    one = trace({"bank": "north"}, {"bank": 7}, {}, {"bank": "north"}, {"bank": "south"}, {"bank": ""})
    assert values(one, "bank") == ["north", "7", "south"]
    assert values(one, "absent") == []


def test_a_span_without_the_attribute_has_that_of_its_resource() -> None:
    assert values(trace({"zone": "a"}, {}, {}, zone="b"), "zone") == ["a", "b"]
    assert values(trace({"zone": "a"}, zone="b"), "zone") == ["a"]


def test_old_and_new_names_of_an_attribute_are_one_key() -> None:
    both = {"http.method": "GET", "http.request.method": "PUT"}
    one = trace({"http.method": "POST"}, both, {"http.request.method": 7, "http.method": "HEAD"}, {"http.method": 8})
    for key in ("http.method", "http.request.method"):
        assert values(one, key) == ["POST", "PUT", "7", "8"]
        assert groups(one, key).most == [Group("7", [2]), Group("8", [3]), Group("POST", [0]), Group("PUT", [1])]
    assert values(trace({"http.request.method": "", "http.method": "GET"}), "http.request.method") == ["GET"]
    resource = Resource()
    resource.attributes.add(key="deployment.environment").value.string_value = "prod"
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=T0, end_time_unix_nano=T0)
    of_resource = StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), T0)
    assert values(trace_from_spans([of_resource]), "deployment.environment.name") == ["prod"]


def test_lists_are_their_elements_maps_are_json_and_numbers_as_a_query_writes_them() -> None:
    one = trace({"v": ["a", 1, {"x": 1.5}]}, {"v": []}, {"v": "a"}, {"v": ["é", ""]})
    assert values(one, "v") == ["a", "1", '{"x": 1.5}', "é"]
    assert values(trace({"v": [str(n) for n in range(50)]}), "v") == [str(n) for n in range(MOST_VALUES)]
    assert values(trace({"v": {"x": [b"\0\xff"]}}), "v") == ['{"x": ["AP8="]}']
    assert values(trace({"v": 1e21}, {"v": 2.0}, {"v": b"\0"}), "v") == ["1e+21", "2.0", "AA=="]
    assert values(trace({"v": []}, zone="b"), "v") == []
    assert values(trace({"zone": []}, zone="b"), "zone") == ["b"]


def test_a_span_with_a_list_is_in_one_group() -> None:
    one = trace({"v": ["a", "b"]}, {"v": ["a", "b"]}, {"v": "a"}, {"v": []}, {"v": {}})
    assert groups(one, "v") == Groups([Group('["a", "b"]', [0, 1]), Group("a", [2])], 0, 2)


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
