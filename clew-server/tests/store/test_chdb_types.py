"""Attributes of resources, scopes, events and links are compared by their types, by their texts where rows from before schema steps 17 and 20 have none."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from clew_server.model.completion import ValuesAsked
from clew_server.model.query_tree import SpanPlace
from clew_server.model.search import Search
from clew_server.query.language.parser import parse

VALUES = {
    "integer": AnyValue(int_value=5),
    "double": AnyValue(double_value=5.0),
    "text": AnyValue(string_value="5"),
    "list": AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a"), AnyValue(int_value=5)])),
}
PLACES: dict[str, SpanPlace] = {
    "resource": "of_resource",
    "scope": "of_scope",
    "event": "event_attr",
    "link": "link_attr",
}
KEYS = [*((place, f"{place}.n") for place in PLACES), ("resource", "n")]
"""Keys by the place in which they find something; one without a place finds what resources have."""


@pytest.fixture(scope="module")
def traces(opened: Any) -> dict[str, str]:
    """The place and the name of the value by the id of the trace."""
    found: dict[str, str] = {}
    request = ExportTraceServiceRequest()
    for place in PLACES:
        for name, value in VALUES.items():
            trace_id = os.urandom(16)
            found[trace_id.hex()] = f"{place} {name}"
            group = request.resource_spans.add()
            scope = group.scope_spans.add()
            span = scope.spans.add(
                trace_id=trace_id, span_id=os.urandom(8), name="n", start_time_unix_nano=time.time_ns()
            )
            span.events.add(name="nothing in it")
            span.links.add(trace_id=os.urandom(16), span_id=os.urandom(8))
            of: Any = {"resource": group.resource, "scope": scope.scope}.get(place)
            if of is None:
                of = span.events.add() if place == "event" else span.links.add()
            of.attributes.add(key="before").value.string_value = "5"
            of.attributes.add(key="n").value.CopyFrom(value)
    opened.put([request])
    return found


def found(opened: Any, traces: dict[str, str], place: str, q: str) -> set[str]:
    listed = [traces[one.trace_id] for one in opened.store.reader.find(Search(where=parse(q, int))).traces]
    return {one.removeprefix(f"{place} ") for one in listed if one.startswith(place)}


@pytest.mark.parametrize(("place", "key"), KEYS)
@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('="5"', {"integer", "text", "list"}),
        ("=5", {"integer", "double", "text", "list"}),
        ("=5.0", {"integer", "double", "list"}),
        ("=a", {"list"}),
        ("=a*", {"list"}),
        (">4", {"integer", "double", "text", "list"}),
        (' in (a, "5.0")', {"double", "list"}),
        (" exists", {"integer", "double", "text", "list"}),
        ("=5.*", {"double"}),
        ("=~[.]0$", {"double"}),
        ("=b", set()),
    ],
)
def test_by_type(opened: Any, traces: dict[str, str], place: str, key: str, condition: str, names: set[str]) -> None:
    assert found(opened, traces, place, key + condition) == names


@pytest.mark.parametrize(("place", "key"), KEYS)
def test_none_may_be_equal_for_not_equal(opened: Any, traces: dict[str, str], place: str, key: str) -> None:
    assert found(opened, traces, place, f"{key}!=a") == {"integer", "double", "text"}


@pytest.mark.parametrize("place", PLACES)
def test_values_are_those_of_lists_too(opened: Any, traces: dict[str, str], place: str) -> None:
    counted = opened.store.completion.attribute_values(Search(), ValuesAsked(PLACES[place], "n"))
    assert {one.value: one.spans for one in counted.found} == {"5": 3, "5.0": 1, "a": 1}


def test_lists_are_found_by_an_index(opened: Any, traces: dict[str, str]) -> None:
    condition = "has(arrayFlatten(types_beside),42)=1"
    plan = opened.ask(f"EXPLAIN indexes=1 SELECT count() FROM spans WHERE {condition}")
    assert any("i_list_beside" in line for (line,) in plan)


def test_rows_without_types_are_compared_by_their_texts(opened: Any, traces: dict[str, str]) -> None:
    for sql in ("resources UPDATE attr_types=[]", "spans UPDATE types_beside=[]"):
        opened.store._connections.write.run(f"ALTER TABLE {sql} WHERE 1 SETTINGS mutations_sync=2")
    for place, key in KEYS:
        assert found(opened, traces, place, f'{key}="5"') == {"integer", "double", "text"}
        assert found(opened, traces, place, f"{key}=5.0") == {"integer", "double", "text"}
        assert found(opened, traces, place, f"{key}=a") == set()
        assert found(opened, traces, place, f"{key} exists") == set(VALUES)
