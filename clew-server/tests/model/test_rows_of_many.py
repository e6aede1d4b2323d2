"""The rows that numpy makes of a large trace are those that are made span by span."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model import rows_of_many as module
from clew_server.model import trace as trace_module
from clew_server.model.rows import MARKS, rows_of
from clew_server.model.rows_of_many import rows_of_many
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import trace_from_spans

T0 = 1_795_000_000_000_000_000
RECEIVED = T0 + 10**10
# So few ids that many spans share one, name themselves, or stand in a ring.
IDS = st.integers(1, 9).map(lambda number: number.to_bytes(8, "big"))
TIMES = st.one_of(
    st.integers(0, 9).map(lambda at: T0 + at * 10**6), st.sampled_from([0, 1, T0 - 1, 2**62, 2**63, 2**64 - 1])
)
MARKED = st.sampled_from(
    [
        ("zipkin.id", "0000000000000001"),
        ("zipkin.id", "0000000000000002"),
        ("zipkin.parent_id", "0000000000000003"),
        ("origin.span.id", "0"),
        ("origin.span.id", "0.1"),
        ("origin.span.id", "0.1.1"),
    ]
).map(lambda pair: KeyValue(key=pair[0], value=AnyValue(string_value=pair[1])))
SPAN = st.builds(
    lambda **fields: Span(trace_id=b"t" * 16, **fields),
    span_id=IDS,
    parent_span_id=st.one_of(IDS, IDS, IDS, st.sampled_from([b"", bytes(8), b"missing."])),
    name=st.sampled_from(["", "a", "b", "c"]),
    kind=st.integers(0, 7),
    start_time_unix_nano=TIMES,
    end_time_unix_nano=TIMES,
    status=st.builds(Span().status.__class__, code=st.sampled_from([0, 0, 1, 2])),
    attributes=st.one_of(st.just([]), st.just([]), st.lists(MARKED, max_size=2)),
)
RAW = st.one_of(SPAN.map(Span.SerializeToString), SPAN.map(Span.SerializeToString), st.just(b"\x0a\xff"))


def stored(raw: list[bytes]) -> StoredSpans:
    return StoredSpans(
        StoredSpan(b"", "", b"%d" % (at % 2), "", one, RECEIVED + at) for at, one in enumerate(raw)
    ).distinct()


def check(raw: list[bytes]) -> None:
    spans, marks = stored(raw), frozenset(MARKS)
    found = rows_of_many(spans, marks)
    expected = rows_of(spans, marks)
    # Without a span that parses there is nothing to make arrays of.
    assert found == (expected if expected.places else None)


@settings(max_examples=60)
@given(st.lists(RAW, min_size=1, max_size=14))
def test_rows_of_many_spans_are_those_made_span_by_span(raw: list[bytes]) -> None:
    check(raw)


def test_trees_of_many_levels_are_ordered_span_by_span_to_the_same_rows() -> None:
    chance = random.Random(7)
    spans = [
        Span(
            trace_id=b"t" * 16,
            span_id=number.to_bytes(8, "big"),
            parent_span_id=max(0, number - chance.randrange(1, 4)).to_bytes(8, "big"),
            start_time_unix_nano=T0 + number // 3,
            end_time_unix_nano=T0 + 10**6 - number,
        ).SerializeToString()
        for number in range(1, 400)
    ]
    chance.shuffle(spans)
    check(spans)
    levels, module._MOST_LEVELS = module._MOST_LEVELS, 100
    try:
        check(spans)
    finally:
        module._MOST_LEVELS = levels


def test_a_large_trace_is_made_with_arrays_and_one_with_an_id_that_has_no_place_in_them_is_shown_too() -> None:
    spans = [
        Span(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), start_time_unix_nano=T0 + number)
        for number in range(1, trace_module.MANY + 1)
    ]
    rows = rows_of_many(stored([one.SerializeToString() for one in spans]), frozenset())
    assert rows is not None
    assert trace_from_spans(stored([one.SerializeToString() for one in spans])).span_ids == rows.span_ids
    spans[5].span_id = b"odd"
    odd = stored([one.SerializeToString() for one in spans])
    assert rows_of_many(odd, frozenset()) is None
    assert trace_from_spans(odd).span_ids[5] == b"odd"
