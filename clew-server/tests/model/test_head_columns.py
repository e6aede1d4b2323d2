"""Columns of many spans say what each span says by itself."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.model import head_columns as module
from clew_server.model.columns import EVENTS, FAILED, LINKS
from clew_server.model.failed import is_failed
from clew_server.model.head_columns import HeadColumns, head_columns

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


def alone(spans: list[bytes]) -> HeadColumns:
    """The same, each span parsed by itself with OTLP's own message."""
    found = HeadColumns()
    for place, raw in enumerate(spans):
        try:
            span = Span.FromString(raw)
        except DecodeError:
            continue
        found.places.append(place)
        found.ids.append(span.span_id)
        found.parent_ids.append(span.parent_span_id)
        found.names.append(span.name)
        found.kinds.append(span.kind)
        found.starts_unix_nano.append(span.start_time_unix_nano)
        found.ends_unix_nano.append(span.end_time_unix_nano)
        found.flags.append(
            FAILED * is_failed(span.status.code, span.events[-1].SerializeToString() if span.events else None, raw)
            | EVENTS * bool(span.events)
            | LINKS * bool(span.links)
        )
    return found


@settings(deadline=None)
@given(st.lists(st.one_of(SPANS.map(Span.SerializeToString), BROKEN), max_size=12))
def test_columns_are_what_each_span_says_by_itself_and_broken_ones_are_left_out(spans: list[bytes]) -> None:
    assert head_columns(spans) == alone(spans)


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_runs_of_any_length_make_the_same_columns(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    spans = [
        Span(
            trace_id=b"t" * 16,
            span_id=number.to_bytes(8, "big"),
            name=f"name {number % 3}" * (number + 1),
            kind=number % 6,  # type: ignore[arg-type]
            status=Status(code=number % 3),  # type: ignore[arg-type]
        ).SerializeToString()
        for number in range(20)
    ]
    spans[4] = b"\x0a\xff"
    expected = alone(spans)
    monkeypatch.setattr(module, "_SPANS_AT_ONCE", at_once)
    assert head_columns(spans) == expected
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", 150)
    assert head_columns(spans) == expected


def test_equal_names_are_one_object() -> None:
    spans = [
        Span(span_id=number.to_bytes(8, "big"), name="GET /" + "cart").SerializeToString() for number in range(1, 2_500)
    ]
    assert len(set(map(id, head_columns(spans).names))) == 1


def test_no_spans_have_no_columns() -> None:
    assert head_columns([]) == HeadColumns()
