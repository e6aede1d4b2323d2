"""Spans at random whose heads hold all that a head can, and bytes that are no span."""

from __future__ import annotations

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

IDS = st.binary(min_size=8, max_size=8)
VALUES = st.one_of(
    st.sampled_from(["OK", "200", "503", "UNAVAILABLE", ""]).map(lambda text: AnyValue(string_value=text)),
    st.sampled_from([0, 2, 200, 404, 503]).map(lambda number: AnyValue(int_value=number)),
)
ATTRIBUTES = st.lists(
    st.builds(
        KeyValue, key=st.sampled_from(["http.response.status_code", "rpc.grpc.status_code", "a", "Z"]), value=VALUES
    ),
    max_size=2,
)
EVENT = st.sampled_from([Span.Event(), Span.Event(name="exception"), Span.Event(name="note")])
SPANS = st.builds(
    lambda **fields: Span(trace_id=b"t" * 16, **fields),
    span_id=IDS,
    parent_span_id=st.one_of(st.just(b""), IDS, st.binary(max_size=9)),
    trace_state=st.sampled_from(["", "a=1"]),
    name=st.one_of(st.sampled_from(["GET /", "x" * 200]), st.text(max_size=5)),
    kind=st.integers(0, 5),
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=ATTRIBUTES,
    events=st.lists(EVENT, max_size=2),
    links=st.lists(st.sampled_from([Span.Link(), Span.Link(span_id=b"l" * 8)]), max_size=2),
    status=st.builds(Status, code=st.integers(0, 2), message=st.sampled_from(["", "Zjz"])),
)
BROKEN = st.sampled_from(
    [
        b"\x0a\xff",
        b"\x0a\x10short",
        Span(name="cut off").SerializeToString()[:-1],
        b"\x2a\x01\xff",
        b"\x7a\x02\x18",
        b"\x5a\x03\x1a\x02\x0a exception",
    ]
)
