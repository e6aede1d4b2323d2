"""A trace in Jaeger's JSON: every field of OTLP in its place, times in whole microseconds, nothing that JSON cannot hold."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.api.jaeger.traces import tag, trace_pieces
from clew_server.model.otlp_read import otlp_json_pieces
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans

T0 = 1_795_000_000_000_000_000
TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")


def shown(*spans: StoredSpan, unreadable: str | None = None) -> dict[str, Any]:
    trace = trace_from_spans(list(spans), unreadable=unreadable)
    return dict(json.loads(b"".join(trace_pieces(trace))))


def stored(span: Span, *, service: str | None = "shop", scope: InstrumentationScope | None = None) -> StoredSpan:
    resource = Resource()
    if service is not None:
        resource.attributes.add(key="service.name").value.string_value = service
    resource.attributes.add(key="host.name").value.string_value = "h1"
    raw = (scope or InstrumentationScope()).SerializeToString()
    return StoredSpan(resource.SerializeToString(), "", raw, "", span.SerializeToString(), T0)


def plain(number: int = 1, **fields: Any) -> Span:
    span_id = number.to_bytes(8, "big")
    given = {"start_time_unix_nano": T0, "end_time_unix_nano": T0 + 5_000, "name": "work", **fields}
    return Span(trace_id=TRACE_ID, span_id=span_id, **given)


def test_a_whole_span_is_written_field_by_field() -> None:
    span = plain(
        2,
        parent_span_id=(1).to_bytes(8, "big"),
        name='GET "/"',
        kind=2,
        start_time_unix_nano=T0 + 1_999,
        end_time_unix_nano=T0 + 1_999 + 2_345_678,
        trace_state="a=b",
        flags=0x101,
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
    )
    span.attributes.add(key="http.route").value.string_value = "/päy"
    span.status.code = 2  # type: ignore[assignment]
    span.status.message = "boom"
    event = span.events.add(name="exception", time_unix_nano=T0 + 2_500, dropped_attributes_count=4)
    event.attributes.add(key="exception.type").value.string_value = "ValueError"
    span.events.add(time_unix_nano=T0, name="log").attributes.add(key="event").value.string_value = "own"
    span.links.add(trace_id=b"\0" * 8 + b"12345678", span_id=b"abcdefgh")
    link = span.links.add(trace_id=TRACE_ID, span_id=b"\x01" * 8, trace_state="c=d")
    link.attributes.add(key="opentracing.ref_type").value.string_value = "child_of"
    link.attributes.add(key="why").value.string_value = "batch"
    scope = InstrumentationScope(name="lib", version="1.2")
    scope.attributes.add(key="tier").value.int_value = 3

    trace = shown(stored(plain(1)), stored(span, scope=scope))
    assert trace["traceID"] == TRACE_ID.hex()
    assert trace["warnings"] is None
    assert trace["processes"] == {
        "p1": {"serviceName": "shop", "tags": [{"key": "host.name", "type": "string", "value": "h1"}]}
    }
    (made,) = (one for one in trace["spans"] if one["spanID"] == "0000000000000002")
    assert made == {
        "traceID": TRACE_ID.hex(),
        "spanID": "0000000000000002",
        "flags": 1,
        "operationName": 'GET "/"',
        "references": [
            {"refType": "CHILD_OF", "traceID": TRACE_ID.hex(), "spanID": "0000000000000001"},
            {"refType": "FOLLOWS_FROM", "traceID": b"12345678".hex(), "spanID": b"abcdefgh".hex()},
            {"refType": "CHILD_OF", "traceID": TRACE_ID.hex(), "spanID": "0101010101010101"},
        ],
        "startTime": T0 // 1_000 + 1,
        "duration": 2_345,
        "tags": [
            {"key": "http.route", "type": "string", "value": "/päy"},
            {"key": "span.kind", "type": "string", "value": "server"},
            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
            {"key": "error", "type": "bool", "value": True},
            {"key": "otel.status_description", "type": "string", "value": "boom"},
            {"key": "otel.scope.name", "type": "string", "value": "lib"},
            {"key": "otel.scope.version", "type": "string", "value": "1.2"},
            {"key": "otel.scope.tier", "type": "int64", "value": 3},
            {"key": "w3c.tracestate", "type": "string", "value": "a=b"},
            {"key": "otel.dropped_attributes_count", "type": "int64", "value": 1},
            {"key": "otel.dropped_events_count", "type": "int64", "value": 2},
            {"key": "otel.dropped_links_count", "type": "int64", "value": 3},
        ],
        "logs": [
            {
                "timestamp": T0 // 1_000 + 2,
                "fields": [
                    {"key": "event", "type": "string", "value": "exception"},
                    {"key": "exception.type", "type": "string", "value": "ValueError"},
                    {"key": "otel.dropped_attributes_count", "type": "int64", "value": 4},
                ],
            },
            {"timestamp": T0 // 1_000, "fields": [{"key": "event", "type": "string", "value": "own"}]},
            {
                "timestamp": T0 // 1_000 + 1,
                "fields": [
                    {"key": "event", "type": "string", "value": "link"},
                    {"key": "trace_id", "type": "string", "value": TRACE_ID.hex()},
                    {"key": "span_id", "type": "string", "value": "0101010101010101"},
                    {"key": "why", "type": "string", "value": "batch"},
                    {"key": "w3c.tracestate", "type": "string", "value": "c=d"},
                ],
            },
        ],
        "processID": "p1",
        "warnings": None,
    }


@pytest.mark.parametrize(
    ("said", "kinds"),
    [("follows_from", ["FOLLOWS_FROM"]), ("child_of", ["CHILD_OF"]), ("", ["CHILD_OF", "FOLLOWS_FROM"])],
)
def test_a_link_that_says_that_it_is_the_reference_to_the_parent_is_the_only_one(said: str, kinds: list[str]) -> None:
    parent, span = plain(1), plain(2, parent_span_id=(1).to_bytes(8, "big"))
    link = span.links.add(trace_id=TRACE_ID, span_id=parent.span_id)
    if said:
        link.attributes.add(key="opentracing.ref_type").value.string_value = said
    trace = shown(stored(parent), stored(span))
    (made,) = (one for one in trace["spans"] if one["spanID"] == "0000000000000002")
    named = {"traceID": TRACE_ID.hex(), "spanID": "0000000000000001"}
    assert made["references"] == [{"refType": kind, **named} for kind in kinds]


def test_every_field_of_otlp_is_shown_somewhere() -> None:
    """A field that OTLP adds fails here, so that somebody gives it a place."""
    assert {field.name for field in Span.DESCRIPTOR.fields} == {
        "trace_id", "span_id", "trace_state", "parent_span_id", "flags", "name", "kind", "start_time_unix_nano",
        "end_time_unix_nano", "attributes", "dropped_attributes_count", "events", "dropped_events_count", "links",
        "dropped_links_count", "status",
    }  # fmt: skip
    assert {field.name for field in Span.Event.DESCRIPTOR.fields} == {
        "time_unix_nano", "name", "attributes", "dropped_attributes_count",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (AnyValue(string_value='"\\\n'), "string", '"\\\n'),
        (AnyValue(int_value=2**53 - 1), "int64", 2**53 - 1),
        (AnyValue(int_value=2**53), "int64", str(2**53)),
        (AnyValue(int_value=-(2**63)), "int64", str(-(2**63))),
        (AnyValue(bool_value=False), "bool", False),
        (AnyValue(double_value=72.5), "float64", 72.5),
        (AnyValue(double_value=math.nan), "float64", "NaN"),
        (AnyValue(double_value=-math.inf), "float64", "-Inf"),
        (AnyValue(bytes_value=b"\0\x01\xff"), "binary", "AAH/"),
        (AnyValue(), "string", ""),
        (
            AnyValue(array_value={"values": [AnyValue(int_value=1), AnyValue(string_value="ü"), AnyValue()]}),
            "string",
            '[1,"ü",null]',
        ),
        (
            AnyValue(kvlist_value={"values": [KeyValue(key="a", value=AnyValue(bool_value=True))]}),
            "string",
            '{"a":true}',
        ),
    ],
)
def test_a_value_keeps_its_type(value: AnyValue, kind: str, written: object) -> None:
    assert json.loads(tag(KeyValue(key="k", value=value))) == {"key": "k", "type": kind, "value": written}


def test_spans_of_one_resource_are_of_one_process_and_a_service_has_a_name() -> None:
    scope = InstrumentationScope(name="other")
    trace = shown(
        stored(plain(1)), stored(plain(2), scope=scope), stored(plain(3), service=None), stored(plain(4), service="")
    )
    names = {key: process["serviceName"] for key, process in trace["processes"].items()}
    assert sorted(names.values()) == ["shop", "unknown_service", "unknown_service"]
    assert {span["spanID"][-1]: names[span["processID"]] for span in trace["spans"]} == {
        "1": "shop",
        "2": "shop",
        "3": "unknown_service",
        "4": "unknown_service",
    }


def test_what_is_odd_about_a_span_is_a_warning() -> None:
    trace = shown(
        stored(plain(1, parent_span_id=b"\x09" * 8)),
        stored(plain(2, name="twin")),
        stored(plain(2, name="other twin")),
        stored(plain(3, end_time_unix_nano=T0 - 1)),
        stored(plain(4, start_time_unix_nano=5, end_time_unix_nano=9)),
        unreadable="a part is gone",
    )
    assert trace["warnings"] == ["spans may be missing: a part is gone"]
    found = {(span["spanID"][-1], span["operationName"]): span["warnings"] for span in trace["spans"]}
    assert found["1", "work"] == ["the parent span 0909090909090909 is not in this trace"]
    assert found["2", "twin"] == found["2", "other twin"] == ["another span of this trace has the same span ID"]
    assert found["3", "work"] == ["the end that was sent is before the start: shown without a duration"]
    assert found["4", "work"] == [
        "the start that was sent is none between the years 2000 and 2100: shown at its arrival"
    ]


def test_a_large_trace_comes_in_pieces_that_are_one_text() -> None:
    trace = trace_from_spans([stored(plain(number, name="n" * 100)) for number in range(1, 2_001)])
    pieces = list(trace_pieces(trace))
    assert len(pieces) > 2
    assert max(map(len, pieces)) < 400_000
    assert len(json.loads(b"".join(pieces))["spans"]) == 2_000


@pytest.mark.parametrize("seed", range(20))
def test_any_trace_has_the_spans_ids_and_times_that_otlp_has(seed: int) -> None:
    """As `/api/v1` and `/api/v3` show it, which write what came."""
    chance = random.Random(seed)
    came = []
    for number in range(1, chance.randint(2, 30)):
        start = T0 + chance.randrange(10**10)
        span = plain(
            number,
            name=chance.choice(["", "a", 'quote " and \\', "ü\n"]),
            parent_span_id=chance.choice([b"", bytes(8), chance.randint(1, 40).to_bytes(8, "big")]),
            kind=chance.randrange(6),
            start_time_unix_nano=start,
            end_time_unix_nano=start + chance.choice([0, 1, 999, 1_000, 10**9]),
        )
        for _ in range(chance.randrange(3)):
            span.events.add(name=chance.choice(["", "e"]), time_unix_nano=start)
            span.links.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8))
        came.append(stored(span, service=chance.choice(["web", "bank", None])))
    trace = trace_from_spans(came)
    jaeger = json.loads(b"".join(trace_pieces(trace)))
    resources = json.loads(b"".join(otlp_json_pieces(trace.stored)))["resourceSpans"]
    expected = {}
    for resource in resources:
        named = {pair["key"]: pair["value"]["stringValue"] for pair in resource["resource"]["attributes"]}
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            parent = span.get("parentSpanId", "").strip("0") and span["parentSpanId"]
            links = [(link["traceId"], link["spanId"]) for link in span.get("links", ())]
            name, service = span.get("name", ""), named.get("service.name", "unknown_service")
            times = begin // 1_000, (end - begin) // 1_000
            expected[span["spanId"]] = name, service, times, parent, links, len(span.get("events", ()))
    made = {}
    for span in jaeger["spans"]:
        references = list(span["references"])
        parent = references.pop(0)["spanID"] if references and references[0]["refType"] == "CHILD_OF" else ""
        service = jaeger["processes"][span["processID"]]["serviceName"]
        links = [(one["traceID"].rjust(32, "0"), one["spanID"]) for one in references]
        times = span["startTime"], span["duration"]
        made[span["spanID"]] = span["operationName"], service, times, parent, links, len(span["logs"])
    assert made == expected
