"""The hand-written encoder against google.protobuf: the same bytes for the same message."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from clew.otlp import decode, encode

INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 2**64 - 1)
SCALARS = st.none() | st.text() | st.booleans() | INT64 | st.floats(allow_nan=False) | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
ATTRIBUTES = st.dictionaries(st.text(min_size=1), VALUES, max_size=6)
COUNTS = st.integers(0, 2**32 - 1)


def from_proto(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [from_proto(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: from_proto(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)


def attributes_from_proto(items: Any) -> dict[str, Any]:
    return {item.key: from_proto(item.value) for item in items}


@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(value: int) -> None:
    encoded = encode.varint(value)
    assert decode.read_varint(encoded, 0) == (value, len(encoded))
    assert len(encoded) == max(1, math.ceil(value.bit_length() / 7))


@given(st.text(), VALUES)
def test_a_key_value_is_written_as_protobuf_writes_it(key: str, value: Any) -> None:
    encoded = encode.key_value(key, value)
    parsed = KeyValue.FromString(encoded)
    assert parsed.key == key
    assert from_proto(parsed.value) == value
    assert parsed.SerializeToString() == encoded


@given(VALUES)
def test_a_value_read_by_our_decoder_is_the_value_written(value: Any) -> None:
    assert decode.any_value(encode.any_value(value)) == value


@pytest.mark.parametrize("length", [0, 1, 120, 121, 122, 125, 126, 127, 128, 129, 16383, 16384, 70000])
def test_lengths_that_take_one_byte_more_are_written_right(length: int) -> None:
    for value in ("x" * length, b"x" * length, ["x" * length]):
        encoded = encode.key_value("key", value)
        parsed = KeyValue.FromString(encoded)
        assert from_proto(parsed.value) == value
        assert parsed.SerializeToString() == encoded


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**40])
def test_an_integer_beyond_64_bits_becomes_its_decimal_text(value: int) -> None:
    assert AnyValue.FromString(encode.any_value(value)).string_value == str(value)


def test_a_lone_surrogate_does_not_make_the_message_unreadable() -> None:
    encoded = encode.key_value("k\udc00", "v\ud800")
    parsed = KeyValue.FromString(encoded)
    assert (parsed.key, parsed.value.string_value) == ("k?", "v?")


def test_a_nan_stays_one() -> None:
    assert math.isnan(AnyValue.FromString(encode.any_value(math.nan)).double_value)


def test_keys_made_of_data_do_not_fill_the_cache_without_end() -> None:
    for number in range(10_000):
        encode.key_value(f"key-{number}", 1)
    assert len(encode._keys) <= 4096
    assert KeyValue.FromString(encode.key_value("key-9999", 1)).key == "key-9999"


@given(TIMES, st.text(), ATTRIBUTES, COUNTS)
def test_an_event_is_written_as_protobuf_writes_it(
    time_ns: int, name: str, attributes: dict[str, Any], dropped: int
) -> None:
    encoded = encode.event(time_ns, name, attributes, dropped)
    parsed = trace_pb2.Span.Event.FromString(encoded)
    assert (parsed.time_unix_nano, parsed.name, parsed.dropped_attributes_count) == (time_ns, name, dropped)
    assert attributes_from_proto(parsed.attributes) == attributes
    assert parsed.SerializeToString() == encoded


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1), st.text(), ATTRIBUTES, COUNTS, COUNTS)
def test_a_link_is_written_as_protobuf_writes_it(
    trace_id: int, span_id: int, state: str, attributes: dict[str, Any], dropped: int, flags: int
) -> None:
    encoded = encode.link(trace_id, span_id, state, attributes, dropped, flags)
    parsed = trace_pb2.Span.Link.FromString(encoded)
    assert int.from_bytes(parsed.trace_id, "big") == trace_id
    assert int.from_bytes(parsed.span_id, "big") == span_id
    assert (parsed.trace_state, parsed.dropped_attributes_count, parsed.flags) == (state, dropped, flags)
    assert attributes_from_proto(parsed.attributes) == attributes
    assert parsed.SerializeToString() == encoded


@given(st.text(), st.text(), ATTRIBUTES, COUNTS)
def test_a_scope_is_written_as_protobuf_writes_it(
    name: str, version: str, attributes: dict[str, Any], dropped: int
) -> None:
    encoded = encode.scope(name, version, attributes, dropped)
    parsed = InstrumentationScope.FromString(encoded)
    assert (parsed.name, parsed.version, parsed.dropped_attributes_count) == (name, version, dropped)
    assert attributes_from_proto(parsed.attributes) == attributes
    assert parsed.SerializeToString() == encoded


@given(
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    trace_state=st.text(),
    parent_span_id=st.integers(0, 2**64 - 1),
    name=st.text(),
    kind=st.integers(1, 5),
    start_ns=TIMES,
    end_ns=st.integers(1, 2**64 - 1),
    items=ATTRIBUTES,
    dropped_attributes=COUNTS,
    dropped_events=COUNTS,
    dropped_links=COUNTS,
    status_code=st.integers(0, 2),
    status_message=st.text(),
    flags=st.integers(1, 2**32 - 1),
    resource_attributes=ATTRIBUTES,
)
def test_a_whole_request_is_written_as_protobuf_writes_it(
    dropped_events: int, dropped_links: int, resource_attributes: dict[str, Any], **span: Any
) -> None:
    events = encode.span_events([encode.event(5, "e", {"k": 1})], dropped_events)
    links = encode.span_links([encode.link(1, 2, "", {}, 0, 0x100)], dropped_links)
    spans = [encode.span_in_scope(events=events, links=links, **span)]
    scopes = [encode.scope_spans(encode.scope("s", "1", {}), spans, "http://scope")]
    encoded = encode.request(encode.resource(resource_attributes), scopes, "http://resource")

    request = ExportTraceServiceRequest.FromString(encoded)
    assert request.SerializeToString() == encoded
    (resource_spans,) = request.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    (parsed,) = scope_spans.spans
    assert attributes_from_proto(resource_spans.resource.attributes) == resource_attributes
    assert (resource_spans.schema_url, scope_spans.schema_url) == ("http://resource", "http://scope")
    assert parsed.trace_id == span["trace_id"].to_bytes(16, "big")
    assert parsed.span_id == span["span_id"].to_bytes(8, "big")
    assert int.from_bytes(parsed.parent_span_id, "big") == span["parent_span_id"]
    assert (parsed.trace_state, parsed.name, parsed.kind) == (span["trace_state"], span["name"], span["kind"])
    assert (parsed.start_time_unix_nano, parsed.end_time_unix_nano) == (span["start_ns"], span["end_ns"])
    assert attributes_from_proto(parsed.attributes) == span["items"]
    assert parsed.dropped_attributes_count == span["dropped_attributes"]
    assert (parsed.dropped_events_count, parsed.dropped_links_count) == (dropped_events, dropped_links)
    assert [event.name for event in parsed.events] == ["e"]
    assert [link.flags for link in parsed.links] == [0x100]
    assert parsed.flags == span["flags"]
    assert parsed.status.code == span["status_code"]
    assert parsed.status.message == (span["status_message"] if span["status_code"] else "")


def test_every_field_number_is_the_one_of_the_proto() -> None:
    from clew.otlp import fields

    span = trace_pb2.Span.DESCRIPTOR.fields_by_name
    for name, number in {
        "trace_id": fields.SPAN_TRACE_ID,
        "span_id": fields.SPAN_SPAN_ID,
        "trace_state": fields.SPAN_TRACE_STATE,
        "parent_span_id": fields.SPAN_PARENT_SPAN_ID,
        "name": fields.SPAN_NAME,
        "kind": fields.SPAN_KIND,
        "start_time_unix_nano": fields.SPAN_START,
        "end_time_unix_nano": fields.SPAN_END,
        "attributes": fields.SPAN_ATTRIBUTES,
        "dropped_attributes_count": fields.SPAN_DROPPED_ATTRIBUTES,
        "events": fields.SPAN_EVENTS,
        "dropped_events_count": fields.SPAN_DROPPED_EVENTS,
        "links": fields.SPAN_LINKS,
        "dropped_links_count": fields.SPAN_DROPPED_LINKS,
        "status": fields.SPAN_STATUS,
        "flags": fields.SPAN_FLAGS,
    }.items():
        assert span[name].number == number
    assert {name for name in span if span[name].number > fields.SPAN_FLAGS} == set()
