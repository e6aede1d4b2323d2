"""How many traces and spans there were, by the sampling probability that spans carry, counted by hand."""

from __future__ import annotations

import bisect
import random
import sys
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.query_tree import SpanTerm
from clew_server.model.red import Red, RedAsked
from clew_server.model.search import Search
from clew_server.model.summary import Box, Totals

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, SECOND, parsed, put_all

MINUTE = 60 * SECOND
FROM = NOW // MINUTE * MINUTE - 10 * MINUTE
TO = FROM + 20 * MINUTE
STATES = {
    "": None,
    "ot=th:0": Fraction(1),
    "ot=th:8": Fraction(1, 2),
    "ot=th:c": Fraction(1, 4),
    "ot=th:fd70a3d70a3d7": 1 - Fraction(0xFD70A3D70A3D70, 1 << 56),  # one in a hundred
    "ot=th:fffffffffffffe": Fraction(2, 1 << 56),
    "vendor=1 , ot=rv:00000000000001;th:4;x:y": Fraction(3, 4),
    "ot=th:e,other=th:1": Fraction(1, 8),
    "other=th:8": None,
    "xot=th:8": None,
    "ot=xth:8": None,
    "ot=th:": None,
    "ot=th:g": None,
    "ot=th:C": None,
    "ot=th:123456789abcdef": None,
}

Traces = dict[bytes, list[Span]]


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Traces]:
    chance = random.Random(4)
    requests = [ExportTraceServiceRequest() for _ in range(3)]
    traces: Traces = defaultdict(list)
    groups = []
    for request in requests:
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        groups.append(group.scope_spans.add().spans)
    for _ in range(120):
        trace_id = chance.randbytes(16)
        common = chance.choice([*STATES, None, None])
        for _ in range(chance.choice([1, 2, 5])):
            state = chance.choice(list(STATES)) if common is None else common
            span = chance.choice(groups).add(
                trace_id=trace_id, span_id=chance.randbytes(8), name="op", trace_state=state
            )
            span.start_time_unix_nano = FROM + chance.randrange(10 * 60) * SECOND
            span.end_time_unix_nano = span.start_time_unix_nano + chance.randrange(1, 5_000_000_000)
            span.status.code = chance.choice([0, 0, 2])
            span.attributes.add(key="zone").value.string_value = chance.choice("ab")
            traces[trace_id].append(span)
    put_all(opened, requests)
    return opened.store, traces


def adjusted(span: Span) -> Fraction:
    """How many spans it stands for."""
    kept = STATES[span.trace_state]
    return Fraction(1) if kept is None else 1 / kept


def weight(spans: list[Span]) -> Fraction:
    kept = [one for one in (STATES[span.trace_state] for span in spans) if one is not None]
    return 1 / max(kept) if kept else Fraction(1)


def has_failed(spans: list[Span]) -> bool:
    return any(span.status.code == 2 for span in spans)


def start_of(spans: list[Span]) -> int:
    return min(span.start_time_unix_nano for span in spans)


def duration_of(spans: list[Span]) -> int:
    return max(span.end_time_unix_nano for span in spans) - start_of(spans)


def total(traces: Iterable[list[Span]]) -> Fraction:
    return sum((weight(spans) for spans in traces), Fraction(0))


def close(found: int, exact: Fraction) -> bool:
    """Sums are of doubles, which have 53 bits."""
    return abs(found - exact) <= max(Fraction(51, 100), exact / (1 << 48))


@pytest.mark.parametrize("text", ["", "status=error"])
def test_totals_and_cells_are_estimated_by_the_trace_that_is_kept_most_often(shop: Any, text: str) -> None:
    store, traces = shop
    matching = [spans for spans in traces.values() if not text or has_failed(spans)]
    box = Box(FROM, FROM + 5 * MINUTE, 0, 1 << 62)
    selected = [spans for spans in matching if start_of(spans) < box.to_unix_nano]
    summary = store.summaries.summary(Search(where=parsed(text)), box)
    assert summary.complete, summary.reason
    assert summary.totals.matched == len(matching)
    exact = [
        total(some) for one in (matching, selected) for some in (one, [spans for spans in one if has_failed(spans)])
    ]
    found = summary.estimated
    assert found is not None
    counted = [found.matched, found.failed, found.selected, found.selected_failed]
    assert all(map(close, counted, exact)), (counted, exact)
    x_ns, y_ns = summary.heatmap.x_unix_nano, summary.heatmap.y_ns
    cells: dict[tuple[int, int], list[list[Span]]] = defaultdict(list)
    for spans in matching:
        cells[bisect.bisect_right(x_ns, start_of(spans)) - 1, bisect.bisect_right(y_ns, duration_of(spans)) - 1].append(
            spans
        )
    assert [cell[:2] for cell in summary.heatmap.cells] == sorted(cells)
    for cell, (count, failed) in zip(summary.heatmap.cells, summary.heatmap.estimated, strict=True):
        here = cells[cell[0], cell[1]]
        assert close(count, total(here))
        assert close(failed, total(spans for spans in here if has_failed(spans)))


def test_nothing_is_estimated_where_no_trace_says_a_probability(shop: Any) -> None:
    store, traces = shop
    alone = next(one for one, spans in traces.items() if weight(spans) == 1)
    summary = store.summaries.summary(Search(where=parsed(f"trace.id={alone.hex()}")), None)
    assert summary.totals.matched == 1
    assert (summary.estimated, list(summary.heatmap.estimated)) == (None, [])


def test_nothing_that_matches_is_not_estimated(shop: Any) -> None:
    summary = shop[0].summaries.summary(Search(where=parsed("service=nobody")), None)
    assert (summary.totals, summary.estimated) == (Totals(0, 0, 0, 0), None)


@pytest.mark.parametrize(
    ("by", "step_ns"),
    [("service", MINUTE), ("operation", 90 * SECOND), (SpanTerm("of_span", "exists", key="zone"), MINUTE)],
)
def test_calls_over_time_are_estimated_by_minute_and_from_the_spans(shop: Any, by: Any, step_ns: int) -> None:
    store, traces = shop
    spans = [span for one in traces.values() for span in one]
    red: Red = store.red.red(RedAsked(Search(from_unix_nano=FROM, to_unix_nano=TO), by, step_ns))
    assert sum(one.whole.spans for one in red.series) == len(spans)
    for one in red.series:
        here = [span for span in spans if isinstance(by, str) or span.attributes[0].value.string_value == one.value]
        for step, figures in [(None, one.whole), *one.points]:
            some = [span for span in here if step is None or (span.start_time_unix_nano - FROM) // step_ns == step]
            assert figures.spans == len(some)
            assert close(figures.estimated_spans, sum(map(adjusted, some), Fraction(0)))
            failed = [span for span in some if span.status.code == 2]
            assert close(figures.estimated_failed, sum(map(adjusted, failed), Fraction(0)))
