"""Stored bytes back as OTLP and as OTLP JSON."""

from __future__ import annotations

import base64
import json

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from clew_server.model.otlp_read import (
    failed,
    otlp_json_pieces,
    otlp_pieces,
    spans_as_otlp_json,
    trace_as_otlp,
    trace_as_otlp_json,
)
from clew_server.model.stored import StoredSpan, StoredSpans

BROKEN = b"\x0a\xff"


def example() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for service in ("cart", "payment"):
        group = request.resource_spans.add(schema_url="https://resource")
        group.resource.attributes.add(key="service.name").value.string_value = service
        group.resource.dropped_attributes_count = 2
        for version in ("1", "2"):
            scope = group.scope_spans.add(schema_url="https://scope")
            scope.scope.name, scope.scope.version = "lib", version
            for number in (1, 2):
                span = scope.spans.add(
                    trace_id=b"t" * 16,
                    span_id=(service[:3] + version + str(number)).ljust(8).encode(),
                    parent_span_id=b"parent--",
                    trace_state="a=b",
                    flags=257,
                    name="näme",
                    kind=3,
                    start_time_unix_nano=2**63 + 5,
                    end_time_unix_nano=2**64 - 1,
                    dropped_attributes_count=1,
                    dropped_events_count=2,
                    dropped_links_count=3,
                )
                for at, value in enumerate(values()):
                    span.attributes.add(key=f"k{at}").value.CopyFrom(value)
                span.events.add(time_unix_nano=7, name="e").attributes.add(key="x").value.int_value = -1
                span.links.add(trace_id=b"l" * 16, span_id=b"linked--", trace_state="c=d", flags=1)
                span.status.message, span.status.code = "m", 2
    return request


def values() -> list[AnyValue]:
    nested = AnyValue()
    nested.array_value.values.add().int_value = 2**53 + 1
    nested.array_value.values.add().kvlist_value.values.add(key="in").value.bytes_value = b"\0\xff"
    return [
        AnyValue(),
        AnyValue(string_value=""),
        AnyValue(bool_value=False),
        AnyValue(int_value=-(2**63)),
        AnyValue(double_value=0.0),
        AnyValue(double_value=float("nan")),
        AnyValue(double_value=float("-inf")),
        AnyValue(bytes_value=b""),
        nested,
    ]


def stored(request: ExportTraceServiceRequest) -> list[StoredSpan]:
    return [
        StoredSpan(
            group.resource.SerializeToString(),
            group.schema_url,
            scope.scope.SerializeToString(),
            scope.schema_url,
            span.SerializeToString(),
            5,
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def test_a_trace_comes_back_byte_for_byte_with_repeated_spans_once() -> None:
    request = example()
    assert trace_as_otlp(stored(request) + stored(request)) == request.SerializeToString()


def test_unknown_fields_stay() -> None:
    spans = [
        span._replace(span=span.span + b"\xc2\x3e\x03new", resource=span.resource + b"\xc2\x3e\x03new")
        for span in stored(example())
    ]
    assert trace_as_otlp(spans).count(b"\xc2\x3e\x03new") == len(spans) + 2


def test_the_json_form_says_the_same_as_the_protobuf_form() -> None:
    request = example()
    parsed = json.loads(trace_as_otlp_json(stored(request)))
    first = parsed["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert first["traceId"] == (b"t" * 16).hex()
    assert first["parentSpanId"] == b"parent--".hex()
    assert first["links"][0]["spanId"] == b"linked--".hex()
    assert (first["kind"], first["status"], first["flags"]) == (3, {"message": "m", "code": 2}, 257)
    assert first["endTimeUnixNano"] == str(2**64 - 1)
    assert [pair["value"] for pair in first["attributes"]] == [
        {},
        {"stringValue": ""},
        {"boolValue": False},
        {"intValue": str(-(2**63))},
        {"doubleValue": 0.0},
        {"doubleValue": "NaN"},
        {"doubleValue": "-Infinity"},
        {"bytesValue": ""},
        {
            "arrayValue": {
                "values": [
                    {"intValue": str(2**53 + 1)},
                    {"kvlistValue": {"values": [{"key": "in", "value": {"bytesValue": "AP8="}}]}},
                ]
            }
        },
    ]

    def ids_in_base64(value: object) -> object:
        """OTLP JSON writes ids in hex, Protobuf's own JSON reads base64: the one difference."""
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(inner)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else ids_in_base64(inner)
                for key, inner in value.items()
            }
        return [ids_in_base64(inner) for inner in value] if isinstance(value, list) else value

    back = json_format.ParseDict(ids_in_base64(parsed), TracesData())  # type: ignore[arg-type]
    assert back.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True)


def test_asked_spans_only_also_where_the_bytes_are_in_another_order() -> None:
    spans = stored(example())
    odd = (
        Span(name="odd").SerializeToString()
        + Span(trace_id=b"t" * 16).SerializeToString()
        + Span(span_id=b"oddorder").SerializeToString()
    )
    spans.append(spans[0]._replace(span=odd))
    wanted = [Span.FromString(spans[3].span).span_id, b"oddorder", b"unknown-"]
    parsed = json.loads(spans_as_otlp_json(spans, wanted))
    found = [
        span["spanId"] for group in parsed["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]
    ]
    assert sorted(found) == sorted(span_id.hex() for span_id in wanted[:2])


def test_a_span_that_does_not_parse_costs_only_itself_and_is_counted() -> None:
    request = example()
    spans = [*stored(request), stored(request)[0]._replace(span=BROKEN)]
    assert trace_as_otlp(spans) == request.SerializeToString()
    assert json.loads(trace_as_otlp_json(spans)) == json.loads(trace_as_otlp_json(spans[:-1]))
    assert [failed(span.span) for span in spans] == [True] * 8 + [False]


def test_a_large_trace_comes_in_pieces_that_are_its_whole_put_together() -> None:
    spans = []
    for number in range(3_000):
        span = Span(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name="n" * 200, kind=3)
        span.attributes.add(key="url.path").value.string_value = f"/{number}"
        resource = stored(example())[number % 2 * 4].resource
        spans.append(StoredSpan(resource, "", b"", "", span.SerializeToString(), 0))
    for form, least in ((otlp_pieces, 3), (otlp_json_pieces, 4)):
        pieces = list(form(StoredSpans(spans)))
        assert len(pieces) >= least
        assert max(map(len, pieces)) < 300_000
    request = ExportTraceServiceRequest.FromString(b"".join(otlp_pieces(StoredSpans(spans))))
    parsed = json.loads(b"".join(otlp_json_pieces(StoredSpans(spans))))
    names = [
        [span["spanId"] for scope in group["scopeSpans"] for span in scope["spans"]]
        for group in parsed["resourceSpans"]
    ]
    assert names == [
        [span.span_id.hex() for scope in group.scope_spans for span in scope.spans] for group in request.resource_spans
    ]
    assert sorted(name for some in names for name in some) == sorted(
        Span.FromString(span.span).span_id.hex() for span in spans
    )


def test_no_spans_are_an_empty_request() -> None:
    assert trace_as_otlp([]) == b""
    assert json.loads(trace_as_otlp_json([])) == {"resourceSpans": []}
