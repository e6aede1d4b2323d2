"""Which spans failed, as the store keeps it: every kind of code beside the model, and spans from before it was kept."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.model.search import Search
from clew_server.store.migrate import steps

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, Row, is_failed, parsed

KEYS = [
    "http.response.status_code",
    "http.status_code",
    "http.other.status_code",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "rpc.status_code",
    "status_code",
]
TEXTS = [
    "200",
    "399",
    "400",
    "404",
    "500",
    "599",
    "0",
    "5",
    "13",
    "16",
    "99",
    "0500",
    "1500",
    "5xx",
    "+50",
    "-50",
    " 50",
    "",
    "OK",
]
TEXTS += ["ok", "INTERNAL", "unavailable", "NOT_FOUND", "NONSENSE", "9" * 12]
VALUES = [AnyValue(string_value=text) for text in TEXTS]
VALUES += [AnyValue(int_value=number) for number in (0, 1, 5, 13, 200, 399, 404, 500, 503, 5000, -1, -500, 1 << 62)]
VALUES += [AnyValue(double_value=500.0), AnyValue(bool_value=True), AnyValue(bytes_value=b"500")]


@pytest.fixture(scope="module")
def failed_and_all(opened: Any) -> tuple[Any, set[str], set[str]]:
    """The store, the ids of traces that hold a failed span by the model, and all ids; each trace is one span."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    wanted = set()
    cases = itertools.chain(
        ((kind, 0, [(key, value)]) for kind in (0, 2, 3) for key in KEYS for value in VALUES),
        ((2, status, [("http.status_code", AnyValue(int_value=500))]) for status in (1, 2)),
        (
            (3, 0, [("http.status_code", AnyValue(int_value=200)), ("rpc.status_code", AnyValue(int_value=2))])
            for _ in "1"
        ),
        (
            (2, 0, [("http.status_code", AnyValue(int_value=200)), ("http.status_code", AnyValue(int_value=500))])
            for _ in "1"
        ),
        ((1, status, []) for status in (0, 1, 2)),
    )
    for number, (kind, status, attributes) in enumerate(cases, 1):
        span = spans.add(trace_id=number.to_bytes(16, "big"), span_id=b"s" * 8, name="call", kind=kind)  # type: ignore[arg-type]
        span.start_time_unix_nano, span.end_time_unix_nano = NOW + number, NOW + number + 1
        span.status.code = status  # type: ignore[assignment]
        for key, value in attributes:
            span.attributes.add(key=key, value=value)
        if number % 7 == 0:
            event = span.events.add(name="exception" if number % 2 else "message")
            if number % 3 == 0:
                event.attributes.add(key="clew.from").value.string_value = "log"
                event.attributes.add(key="exception.type").value.string_value = "ValueError"
                event.attributes.add(key="log.severity_number").value.int_value = 17 if number % 5 else 9
        if is_failed(Row(span, "", [], "", [])):
            wanted.add(span.trace_id.hex())
    opened.put([request])
    assert 100 < len(wanted) < len(spans) - 100
    return opened, wanted, {span.trace_id.hex() for span in spans}


def check(opened: Any, wanted: set[str], every: set[str]) -> None:
    def found(text: str) -> set[str]:
        page = opened.store.reader.find(Search(where=parsed(text), limit=1_000))
        assert page.complete, page.reason
        return {trace.trace_id for trace in page.traces}

    assert found("failed=true") == wanted
    assert found("failed=false") == every - wanted
    totals = opened.store.summaries.summary(Search(), None).totals
    assert (totals.matched, totals.failed) == (len(every), len(wanted))


def test_a_span_failed_by_the_store_where_it_failed_by_the_model(failed_and_all: Any) -> None:
    check(*failed_and_all)


def test_of_usual_codes_it_is_known_when_a_span_arrives(failed_and_all: Any) -> None:
    opened, _, _ = failed_and_all
    usual = "mapKeys(attrs)[1]='http.response.status_code' AND length(mapValues(attrs)[1])=3 AND empty(event_names)"
    assert opened.ask(f"SELECT arraySort(groupUniqArray(outcome)) FROM spans WHERE {usual}") == [["[0,2]"]]


def test_of_spans_from_before_the_store_kept_it_the_same_is_found(failed_and_all: Any) -> None:
    opened, wanted, every = failed_and_all
    run = opened.store._connections.write.run
    for view in ("mv_columns_of_spans", "mv_resources", "mv_traces", "mv_red"):
        run(f"DROP VIEW {view}")
    for table, columns in (
        ("spans", ("outcome", "kept")),
        ("traces", ("outcome", "kept")),
        ("red", ("estimated", "estimated_errors")),
        ("chunks", ("span_hashes",)),
    ):
        for column in columns:
            run(f"ALTER TABLE {table} DROP COLUMN {column}")
    for text in (text for step in steps() if step.number >= 14 for text in step.statements):
        run(text)
    assert opened.ask("SELECT DISTINCT outcome FROM traces") == [["1"]]
    check(opened, wanted, every)
    # And beside spans that come later.
    late = ExportTraceServiceRequest()
    span = late.resource_spans.add().scope_spans.add().spans.add(trace_id=b"L" * 16, span_id=b"s" * 8)
    span.start_time_unix_nano, span.end_time_unix_nano = NOW, NOW + 1
    span.status.code = 2  # type: ignore[assignment]
    opened.put([late, late])
    check(opened, wanted | {(b"L" * 16).hex()}, every | {(b"L" * 16).hex()})
