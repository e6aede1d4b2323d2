"""Attributes of resources are compared by their types, and by their text where rows from before schema step 17 have none."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search
from clew_server.query.language.parser import parse


def request_with(trace_id: bytes, **attributes: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in attributes.items():
        into = group.resource.attributes.add(key=key).value
        for one in value if isinstance(value, list) else [value]:
            at = into.array_value.values.add() if isinstance(value, list) else into
            setattr(at, {int: "int_value", float: "double_value", str: "string_value"}[type(one)], one)
    group.scope_spans.add().spans.add(
        trace_id=trace_id, span_id=os.urandom(8), name="n", start_time_unix_nano=time.time_ns()
    )
    return request


@pytest.fixture(scope="module")
def traces(opened: Any) -> dict[str, str]:
    """Names of resources by the ids of their traces."""
    ids = {name: os.urandom(16) for name in ("integer", "double", "text", "list")}
    opened.put(
        [
            request_with(ids["integer"], n=5),
            request_with(ids["double"], n=5.0),
            request_with(ids["text"], n="5"),
            request_with(ids["list"], n=["a", 5]),
        ]
    )
    return {trace_id.hex(): name for name, trace_id in ids.items()}


def found(opened: Any, traces: dict[str, str], q: str) -> set[str]:
    return {traces[one.trace_id] for one in opened.store.reader.find(Search(where=parse(q, int))).traces}


@pytest.mark.parametrize("place", ["n", "resource.n"])
@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('="5"', {"integer", "text", "list"}),
        ("=5", {"integer", "double", "text", "list"}),
        ("=5.0", {"integer", "double", "list"}),
        ("=a", {"list"}),
        ("!=a", {"integer", "double", "text"}),
        (" exists", {"integer", "double", "text", "list"}),
        ("=b", set()),
    ],
)
def test_by_type(opened: Any, traces: dict[str, str], place: str, condition: str, names: set[str]) -> None:
    assert found(opened, traces, place + condition) == names


def test_rows_without_types_are_compared_by_their_text(opened: Any, traces: dict[str, str]) -> None:
    opened.store._connections.write.run("ALTER TABLE resources UPDATE attr_types=[] WHERE 1 SETTINGS mutations_sync=2")
    assert found(opened, traces, 'resource.n="5"') == {"integer", "double", "text"}
    assert found(opened, traces, "n=5.0") == {"integer", "double", "text"}
    assert found(opened, traces, "n=a") == set()
