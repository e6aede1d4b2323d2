"""Text in the spans of one trace: whatever is shown of a span is found, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.query.find import MOST_FOUND, find

T0 = 1_795_000_000_000_000_000


def stored(number: int, *, host: str = "n1") -> tuple[Span, StoredSpan]:
    span = Span(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8, "big"),
        name="name of it",
        start_time_unix_nano=T0 + number,
        end_time_unix_nano=T0 + number + 10,
    )
    resource = Resource()
    resource.attributes.add(key="host.name").value.string_value = host
    scope = InstrumentationScope(name="Clew.sqlite3").SerializeToString()
    return span, StoredSpan(resource.SerializeToString(), "", scope, "", b"", T0)


def trace_of(*spans: tuple[Span, StoredSpan]) -> Trace:
    return trace_from_spans(rest._replace(span=span.SerializeToString()) for span, rest in spans)


def everything() -> tuple[Span, StoredSpan]:
    span, rest = stored(2, host="North-7")
    span.attributes.add(key="payment.bank").value.string_value = "Zürich ÄG"
    span.attributes.add(key="retries").value.int_value = 4711
    span.attributes.add(key="share").value.double_value = 0.125
    span.attributes.add(key="most").value.double_value = float("inf")
    span.attributes.add(key="count").value.double_value = 3e16
    span.attributes.add(key="cached").value.bool_value = True
    span.attributes.add(key="ids").value.array_value.values.add().string_value = "sku-99"
    span.attributes.add(key="map").value.kvlist_value.values.add(key="inner").value.string_value = "Deep"
    span.events.add(name="exception").attributes.add(key="exception.message").value.string_value = "no such table"
    span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8).attributes.add(key="why").value.string_value = "batched"
    span.status.message = "it broke"
    return span, rest


@pytest.mark.parametrize(
    "text",
    ["payment.BANK", "zürich", "äg", "471", "0.125", "Infinity", "3e+16", "30000000000000000", "true", "SKU-99", "inner", "deep", "exception", "no such table", "batched", "IT broke", "north-7"],
)  # fmt: skip
def test_a_text_is_found_wherever_it_stands_in_a_span(text: str) -> None:
    assert find(trace_of(stored(1), everything(), stored(3)), text).rows == [1]


@pytest.mark.parametrize("text", ["name of it", "nowhere", "4712", "false", "payment.bank.x"])
def test_what_does_not_stand_in_it_is_not_found(text: str) -> None:
    assert find(trace_of(stored(1), everything()), text).rows == []


def test_the_scope_is_searched_too() -> None:
    assert find(trace_of(stored(1), stored(2)), "clew.SQLITE3").rows == [0, 1]


@pytest.mark.parametrize("text", ["", "  ", "x" * 201])
def test_a_text_that_cannot_be_meant_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        find(trace_of(stored(1)), text)


def test_of_a_hundred_thousand_spans_the_first_are_named_and_the_rest_is_said() -> None:
    spans = []
    for number in range(1, MOST_FOUND + 2):
        span, rest = stored(number)
        span.attributes.add(key="k").value.string_value = "needle"
        spans.append((span, rest))
    trace = trace_of(*spans)
    found = find(trace, "needle")
    assert len(found.rows) == MOST_FOUND
    assert not found.is_complete
    assert find(trace, "not there").rows == []

    def cpu_s(work: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(3):
            before = time.thread_time()
            work()
            best = min(best, time.thread_time() - before)
        return best

    parsing_s = cpu_s(lambda: [Span.FromString(raw) for raw in trace.stored.raw])
    assert cpu_s(lambda: find(trace, "not there")) < parsing_s, "spans without the text are not parsed"
