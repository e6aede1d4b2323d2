"""Columns of many spans say what each span says by itself."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from odd_spans import BROKEN, SPANS
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.model import head_columns as module
from clew_server.model.columns import EVENTS, FAILED, LINKS
from clew_server.model.failed import is_failed
from clew_server.model.head_columns import HeadColumns, head_columns


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
