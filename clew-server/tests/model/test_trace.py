"""A trace as rows: the rows of given ids, and which ids can be a parent's."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.columns import MISSING, ROOT
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans

T0 = 1_795_000_000_000_000_000


def trace_of(ids: Iterable[tuple[bytes, bytes]]) -> Trace:
    """Of spans with these ids and parents' ids, one starting after the other."""
    spans = [
        Span(span_id=own, parent_span_id=above, start_time_unix_nano=T0 + at, end_time_unix_nano=T0 + 100)
        for at, (own, above) in enumerate(ids)
    ]
    return trace_from_spans(StoredSpan(b"", "", b"", "", span.SerializeToString(), 0) for span in spans)


# Of so few bytes that the end of one id and the beginning of the next are often an id too.
IDS = st.lists(st.sampled_from((0, 1)), min_size=8, max_size=8).map(bytes)


@given(
    st.lists(st.one_of(IDS, st.binary(max_size=3)), max_size=12),
    st.lists(st.one_of(IDS, st.just(b"\1")), max_size=3),
    st.data(),
)
def test_rows_of_ids_are_those_of_every_span_that_has_one(
    own: list[bytes], others: list[bytes], data: st.DataObject
) -> None:
    trace = trace_of((one, b"") for one in own)
    asked = others + data.draw(st.lists(st.sampled_from(own or [b""]), max_size=6))
    assert trace.rows_of(asked) == [row for row, span_id in enumerate(trace.span_ids) if span_id in asked]


def test_a_span_whose_parent_id_is_none_odd_or_its_own_is_a_root_whatever_ids_there_are() -> None:
    odd, none, good = b"odd", bytes(8), b"8 bytes."
    trace = trace_of(
        [
            (good, b""),
            (none, none),
            (odd, odd),
            (b"child  1", none),
            (b"child  2", odd),
            (b"child  3", good),
            (b"child  4", b"unknown."),
        ]
    )
    assert dict(zip(trace.span_ids, trace.parent, strict=True)) == {
        good: ROOT,
        none: ROOT,
        odd: ROOT,
        b"child  1": ROOT,
        b"child  2": ROOT,
        b"child  3": trace.rows_of([good])[0],
        b"child  4": MISSING,
    }
