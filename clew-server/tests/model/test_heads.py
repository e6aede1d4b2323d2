"""The head of a span, and spans of which only that can be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.model.heads import SpanHead, span_without_parts
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import FAILED, trace_from_spans

_BROKEN_ATTRIBUTE = b"\x4a\x02\x0a\x7f"


def _span(**fields: object) -> Span:
    return Span(trace_id=b"t" * 16, span_id=b"s" * 8, **fields)  # type: ignore[arg-type]


@given(
    st.builds(
        _span,
        name=st.text(),
        kind=st.integers(0, 5),
        parent_span_id=st.binary(max_size=9),
        start_time_unix_nano=st.integers(0, 2**64 - 1),
        end_time_unix_nano=st.integers(0, 2**64 - 1),
        status=st.builds(Status, code=st.integers(0, 2), message=st.text()),
        events=st.lists(st.builds(Span.Event, name=st.text()), max_size=2),
        links=st.lists(st.builds(Span.Link, trace_id=st.binary()), max_size=2),
    )
)
def test_the_head_says_what_the_whole_span_says(span: Span) -> None:
    head = SpanHead.FromString(span.SerializeToString())
    for field in (
        "trace_id",
        "span_id",
        "parent_span_id",
        "name",
        "kind",
        "start_time_unix_nano",
        "end_time_unix_nano",
    ):
        assert getattr(head, field) == getattr(span, field)
    assert head.status.code == span.status.code
    assert (len(head.events), len(head.links)) == (len(span.events), len(span.links))


def test_a_span_whose_attributes_do_not_parse_is_shown_without_them() -> None:
    whole = _span(
        name="pay", kind=2, start_time_unix_nano=5, end_time_unix_nano=9, status=Status(code=Status.STATUS_CODE_ERROR)
    )
    raw = whole.SerializeToString() + _BROKEN_ATTRIBUTE
    trace = trace_from_spans([StoredSpan(b"", "", b"", "", raw, 10)])
    assert (len(trace), trace.broken, trace.name_of(0)) == (1, 0, "pay")
    assert trace.flags[0] & FAILED
    assert trace.span(0) == whole == span_without_parts(raw)


def test_a_span_whose_exception_does_not_parse_is_left_out_and_counted() -> None:
    event = Span.Event(name="exception")
    raw = _span(name="pay", events=[event]).SerializeToString() + b"\x5a\x03\x1a\x02\x0a"
    trace = trace_from_spans([StoredSpan(b"", "", b"", "", raw, 10)])
    assert (len(trace), trace.broken) == (0, 1)
