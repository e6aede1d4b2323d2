"""Zipkin's v1 model: one span with both sides of a call becomes two, annotations tell kinds and times, addresses the other side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.receivers.zipkin.decoder import decode

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from zipkin_bytes import HEADS, PARENT_ID, SPAN_ID, TRACE_ID, to_json

FRONT = {"serviceName": "front", "ipv4": "10.0.0.1", "port": 1111}
BACK = {"serviceName": "back", "ipv4": "10.0.0.2", "port": 80}
T = 1_795_346_323_000_000


def v1(*annotations: tuple[str, int, Any], tags: dict[str, Any] | None = None, **fields: Any) -> list[Span]:
    """The spans of one v1 span with these annotations (value, µs after T, endpoint)."""
    span = {
        "traceId": TRACE_ID,
        "id": SPAN_ID,
        "parentId": PARENT_ID,
        "name": "call",
        "annotations": [
            {"value": value, "timestamp": T + at, **({"endpoint": endpoint} if endpoint else {})}
            for value, at, endpoint in annotations
        ],
        "binaryAnnotations": [
            {"key": key, "value": value, **({"endpoint": endpoint} if endpoint else {})}
            for key, (value, endpoint) in (tags or {}).items()
        ],
        **fields,
    }
    batch = decode(to_json(span), HEADS["v1.json"])
    message = ExportTraceServiceRequest.FromString(batch.request)
    return [one for group in message.resource_spans for scope in group.scope_spans for one in scope.spans]


def times(span: Span) -> tuple[int, int]:
    """Start and end in µs after T."""
    return span.start_time_unix_nano // 1000 - T, span.end_time_unix_nano // 1000 - T


def events(span: Span) -> list[tuple[str, int]]:
    return [(event.name, event.time_unix_nano // 1000 - T) for event in span.events]


def attributes(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_a_client_span_has_the_times_of_cs_and_cr() -> None:
    (span,) = v1(("cs", 10, FRONT), ("cr", 60, FRONT), tags={"sa": (True, BACK)})
    assert (span.kind, times(span), events(span)) == (3, (10, 60), [])
    assert attributes(span)["peer.service"] == "back"
    assert span.span_id.hex() == SPAN_ID


def test_the_spans_own_times_go_before_those_of_its_annotations_which_become_events() -> None:
    (span,) = v1(("cs", 10, FRONT), ("cr", 60, FRONT), timestamp=T + 7, duration=60)
    assert (times(span), events(span)) == ((7, 67), [("cs", 10), ("cr", 60)])
    (span,) = v1(("cs", 10, FRONT), ("cr", 60, FRONT), timestamp=T + 9, duration=50)
    assert (times(span), events(span)) == ((9, 59), [])


def test_a_server_span_with_its_own_times_is_a_root_and_without_them_shared() -> None:
    (own,) = v1(("sr", 10, BACK), ("ss", 60, BACK), timestamp=T + 10, duration=50, tags={"ca": (True, FRONT)})
    assert (own.kind, times(own), own.span_id.hex(), own.parent_span_id.hex()) == (2, (10, 60), SPAN_ID, PARENT_ID)
    assert attributes(own)["peer.service"] == "front"
    (shared,) = v1(("sr", 10, BACK), ("ss", 60, BACK))
    assert (times(shared), shared.parent_span_id.hex()) == ((10, 60), SPAN_ID)
    assert shared.span_id.hex() != SPAN_ID
    assert attributes(shared)["zipkin.parent_id"] == PARENT_ID


def test_a_span_of_both_sides_becomes_two() -> None:
    both = [("cs", 10, FRONT), ("sr", 20, BACK), ("ss", 50, BACK), ("cr", 60, FRONT), ("query", 30, BACK)]
    client, server = v1(
        *both,
        timestamp=T + 10,
        duration=50,
        tags={"http.path": ("/x", BACK), "retries": ("1", FRONT), "any": ("2", None)},
    )
    assert (client.kind, times(client), events(client)) == (3, (10, 60), [])
    assert (server.kind, times(server), events(server)) == (2, (20, 50), [("query", 30)])
    assert server.parent_span_id == client.span_id
    assert {"retries", "any"} <= set(attributes(client))
    assert attributes(server)["url.path"] == "/x"


def test_both_sides_in_one_service_are_two_spans_as_well() -> None:
    spans = v1(("cs", 10, BACK), ("sr", 20, BACK), ("ss", 50, BACK), ("cr", 60, BACK))
    assert [(span.kind, times(span)) for span in spans] == [(3, (10, 60)), (2, (20, 50))]


def test_a_missing_beginning_is_inferred_where_the_end_is_the_spans_own() -> None:
    (span,) = v1(("cr", 60, FRONT), timestamp=T + 10, duration=50)
    assert (span.kind, times(span), events(span)) == (3, (10, 60), [])


def test_an_unfinished_call_has_a_beginning_only() -> None:
    (span,) = v1(("cs", 10, FRONT))
    assert (span.kind, times(span)) == (3, (10, 10))
    (span,) = v1(("ss", 50, BACK), timestamp=T + 10)
    assert (span.kind, times(span), events(span)) == (2, (10, 10), [("ss", 50)])


def test_messages_are_producers_and_consumers_timed_by_the_wire() -> None:
    (sent,) = v1(("ms", 10, FRONT), ("ws", 15, FRONT), tags={"ma": (True, BACK)})
    assert (sent.kind, times(sent), attributes(sent)["peer.service"]) == (4, (10, 15), "back")
    (got,) = v1(("wr", 20, BACK), ("mr", 28, BACK))
    assert (got.kind, times(got), events(got)) == (5, (20, 28), [])
    sent, got = v1(("ms", 10, FRONT), ("mr", 28, BACK))
    assert (sent.kind, times(sent), got.kind, times(got)) == (4, (10, 10), 5, (28, 28))
    assert got.parent_span_id == sent.span_id


def test_core_annotations_without_an_endpoint_are_events_and_so_are_wire_times_of_calls() -> None:
    (span,) = v1(("cs", 10, None), timestamp=T, duration=5)
    assert (span.kind, events(span)) == (1, [("cs", 10)])
    (span,) = v1(("cs", 10, FRONT), ("ws", 12, FRONT), ("wr", 58, FRONT), ("cr", 60, FRONT))
    assert events(span) == [("ws", 12), ("wr", 58)]
    (span,) = v1(("cs", 10, FRONT), ("cs", 11, FRONT), ("cr", 60, FRONT))
    assert events(span) == [("cs", 11)]


def test_a_local_span_takes_its_service_from_lc() -> None:
    (span,) = v1(timestamp=T, duration=5, tags={"lc": ("", FRONT)})
    assert (span.kind, times(span), attributes(span)["network.local.port"]) == (1, (0, 5), 1111)
    assert "lc" not in attributes(span)
    (span,) = v1(timestamp=T, duration=5, tags={"lc": ("component", FRONT)})
    assert attributes(span)["lc"] == "component"


def test_addresses_without_core_annotations_tell_the_other_side() -> None:
    (span,) = v1(timestamp=T, duration=5, tags={"ca": (True, FRONT), "sa": ("1", BACK)})
    assert (span.kind, attributes(span)["peer.service"], attributes(span)["network.local.port"]) == (1, "back", 1111)
    (span,) = v1(timestamp=T, duration=5, tags={"sa": (True, BACK)})
    assert (span.kind, attributes(span)["peer.service"]) == (1, "back")
    (span,) = v1(timestamp=T, duration=5, tags={"ca": (True, FRONT)})
    assert (span.kind, attributes(span)["client.port"]) == (2, 1111)


def test_an_address_that_is_nobodys_other_side_is_an_attribute() -> None:
    (span,) = v1(("cs", 10, FRONT), ("cr", 60, FRONT), tags={"ca": (True, BACK), "sa": (True, FRONT)})
    assert attributes(span)["zipkin.ca"] == "back 10.0.0.2:80"
    assert "peer.service" not in attributes(span)


def test_who_else_said_something_is_kept() -> None:
    (span,) = v1(
        ("cs", 10, FRONT),
        ("cr", 60, FRONT),
        ("odd", 30, {"serviceName": "x", "ipv6": "::1", "port": 5}),
        tags={"k": ("v", {"serviceName": "y"})},
    )
    assert attributes(span.events[0]) == {"zipkin.endpoint": "x [::1]:5"}
    assert attributes(span)["zipkin.endpoint.k"] == "y"


def test_a_span_that_names_no_service_is_of_the_requests_only_one() -> None:
    def services(*named: str) -> list[str]:
        spans: list[Any] = [
            {
                "traceId": "1",
                "id": str(number),
                "annotations": [{"value": "x", "timestamp": T, "endpoint": {"serviceName": name}}],
            }
            for number, name in enumerate(named, 1)
        ]
        batch = decode(to_json(*spans, {"traceId": "1", "id": "99", "timestamp": T, "duration": 1}), HEADS["v1.json"])
        message = ExportTraceServiceRequest.FromString(batch.request)
        return [
            attributes(group.resource).get("service.name", "")
            for group in message.resource_spans
            for scope in group.scope_spans
            for _ in scope.spans
        ]

    assert services("a", "a") == ["a", "a", "a"]
    assert services("a", "b") == ["a", "b", ""]


def test_a_local_child_of_a_shared_server_hangs_on_the_server_though_it_names_no_service() -> None:
    server = {
        "traceId": "1",
        "id": "2",
        "annotations": [{"value": value, "timestamp": T, "endpoint": BACK} for value in ("sr", "ss")],
    }
    local = {"traceId": "1", "id": "3", "parentId": "2", "timestamp": T, "duration": 1}
    batch = decode(to_json(local, server), HEADS["v1.json"])
    message = ExportTraceServiceRequest.FromString(batch.request)
    spans = {span.kind: span for group in message.resource_spans for scope in group.scope_spans for span in scope.spans}
    assert spans[1].parent_span_id == spans[2].span_id
