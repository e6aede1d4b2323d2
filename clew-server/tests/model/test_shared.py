"""Zipkin's shared spans in a trace: the server's side and what ran in it hang where they belong, whatever request brought them."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.receivers.zipkin.v2_json import decode_v2_json

US = 1_795_346_323_000_000


def span(span_id: str, parent: str = "", service: str = "back", at: int = 0, **fields: Any) -> dict[str, Any]:
    made = {"traceId": "1", "id": span_id, "name": f"{service} {span_id}", "timestamp": US + at, "duration": 100 - at}
    made |= {"localEndpoint": {"serviceName": service}, **fields}
    return {**made, "parentId": parent} if parent else made


ROOT = span("a", service="front")
CLIENT = span("b", "a", "front", 10, kind="CLIENT")
SERVER = span("b", "a", "back", 20, kind="SERVER", shared=True)
CHILD = span("c", "b", "back", 30)
FRONTS = span("d", "b", "front", 40)


def trace(*requests: list[dict[str, Any]]) -> Trace:
    """The trace of spans that came in these requests."""
    messages = [
        ExportTraceServiceRequest.FromString(decode_v2_json(json.dumps(request).encode()).request)
        for request in requests
    ]
    stored = [
        StoredSpan(group.resource.SerializeToString(), "", b"", "", one.SerializeToString(), 0)
        for message in messages
        for group in message.resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    ]
    return trace_from_spans(stored)


def parents(found: Trace) -> dict[str, str]:
    """The name of each span's parent, with its kind where two have one name; empty for a root, `?` for a missing one."""
    names = [found.name_of(row) for row in range(len(found.parent))]
    return {
        names[row]: names[parent] if parent >= 0 else "" if parent == -1 else "?"
        for row, parent in enumerate(found.parent)
    }


def test_every_way_to_divide_a_trace_into_requests_makes_the_same_tree() -> None:
    spans = [ROOT, CLIENT, SERVER, CHILD, FRONTS]
    wanted = {"front a": "", "front b": "front a", "back b": "front b", "back c": "back b", "front d": "front b"}
    assert parents(trace(spans)) == wanted
    for order in permutations(spans):
        assert parents(trace(*[[one] for one in order])) == wanted


def test_a_server_whose_client_is_not_there_hangs_on_the_parent_that_was_reported() -> None:
    wanted = {"front a": "", "back b": "front a", "back c": "back b"}
    assert parents(trace([ROOT], [SERVER], [CHILD])) == wanted
    assert parents(trace([CHILD, SERVER], [ROOT])) == wanted


def test_a_server_of_which_nothing_above_is_there_is_a_root_or_misses_its_parent() -> None:
    alone = span("b", "", "back", 20, kind="SERVER", shared=True)
    assert parents(trace([alone], [CHILD])) == {"back b": "", "back c": "back b"}
    assert parents(trace([SERVER], [CHILD])) == {"back b": "?", "back c": "back b"}


def test_of_a_call_within_one_service_the_children_stay_where_they_were_put() -> None:
    client = span("b", "a", "back", 10, kind="CLIENT", name="call")
    found = parents(trace([client], [SERVER], [CHILD]))
    assert (found["back b"], found["back c"]) == ("call", "call")
    assert parents(trace([client, SERVER, CHILD]))["back c"] == "back b"
