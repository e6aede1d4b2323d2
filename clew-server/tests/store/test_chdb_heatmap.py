"""Heatmaps are exact whatever the lengths and starts are, and usually cost one look at the traces."""

from __future__ import annotations

import bisect
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search
from clew_server.model.summary import COLUMNS, ROWS, Box, Summary, length_edges, time_edges
from clew_server.store.asking import Question

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, SECOND, parsed

HOUR = 3_600 * SECOND
DAY = 24 * HOUR
MS = 1_000_000


class Trace(NamedTuple):
    """Its spans: after how long each starts and how long it lasts. Each comes in a request of its own, so `traces` has a row of each."""

    spans: list[tuple[int, int]]
    failed: bool = False
    needs_a_look: bool = False
    """It has a status code that does not say by itself whether the span failed."""

    @property
    def length_ns(self) -> int:
        return max(after + length for after, length in self.spans)


def some(lengths: list[int]) -> list[Trace]:
    return [Trace([(0, length)], failed=number % 3 == 0) for number, length in enumerate(lengths)]


def usual(count: int) -> list[Trace]:
    chance = random.Random(count)
    return some([round(MS * 10 ** (4 * chance.random())) for _ in range(count)])


GROUPS = {
    "usual": usual(300),
    "in parts": [
        *some([MS + number for number in range(60)]),
        Trace([(0, MS), (5 * SECOND, MS), (2 * SECOND, 7)], failed=True),
        Trace([(0, MS), (3 * DAY, 2 * MS)]),
    ],
    "a long one": [*some([2 * MS + number * 10_007 for number in range(200)]), Trace([(0, 400 * DAY)])],
    "equal": some([5 * MS] * 20),
    "nothing": some([0] * 7),
    "nanoseconds": some([0, 0, 1, 2, 3, 3, 4, 5]),
    "narrow": some([10**12 + number**2 for number in range(100)]),
    "one": some([123_456_789]),
    "to be looked at": [
        *some([MS * number for number in range(1, 30)]),
        *(Trace([(0, MS * number)], failed=number % 2 == 0, needs_a_look=True) for number in range(1, 12)),
    ],
    "nobody": [],
}
FIRST_NS = NOW - NOW % DAY - 30 * DAY


def begin_of(group: str) -> int:
    return FIRST_NS + list(GROUPS).index(group) * DAY


Starts = list[tuple[int, Trace]]


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, dict[str, Starts]]:
    chance = random.Random(5)
    requests: defaultdict[int, ExportTraceServiceRequest] = defaultdict(ExportTraceServiceRequest)
    known: dict[str, Starts] = {}
    for group, traces in GROUPS.items():
        known[group] = [(begin_of(group) + chance.randrange(HOUR), trace) for trace in traces]
        for start, trace in known[group]:
            trace_id = chance.randbytes(16)
            for number, (after, length) in enumerate(trace.spans):
                resources = requests[number].resource_spans.add()
                resources.resource.attributes.add(key="service.name").value.string_value = group
                span = resources.scope_spans.add().spans.add(
                    trace_id=trace_id, span_id=chance.randbytes(8), name="op", kind=2
                )
                span.start_time_unix_nano, span.end_time_unix_nano = start + after, start + after + length
                if trace.needs_a_look:
                    span.attributes.add(key="rpc.grpc.status_code").value.int_value = 13 if trace.failed else 5
                elif trace.failed and number == 0:
                    span.status.code = 2
    for request in requests.values():
        opened.put([request])
    return opened.store.summaries, known


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that are asked."""
    names: list[str] = []
    ask = Question.ask

    def noted(self: Question, name: str, *args: Any, **words: str) -> bytes:
        names.append(name)
        return ask(self, name, *args, **words)

    monkeypatch.setattr(Question, "ask", noted)
    return names


def check(summary: Summary, traces: Starts, from_ns: int | None, to_ns: int | None) -> None:
    assert summary.complete, summary.reason
    x_ns, y_ns = list(summary.heatmap.x_unix_nano), list(summary.heatmap.y_ns)
    assert (summary.totals.matched, summary.totals.failed) == (len(traces), sum(trace.failed for _, trace in traces))
    lengths = sorted(trace.length_ns for _, trace in traces)
    assert list(summary.lengths_ns) == [lengths[int(level * len(lengths))] for level in (0.5, 0.95, 0.99)]
    assert (y_ns[0], y_ns[-1]) == (lengths[0], lengths[-1] + 1)
    assert y_ns == sorted(set(y_ns))
    assert (len(length_edges(lengths[0], lengths[-1])) - 1) / 2 <= len(y_ns) - 1 <= ROWS
    starts = [start for start, _ in traces]
    assert x_ns == time_edges(min(starts) if from_ns is None else from_ns, max(starts) + 1 if to_ns is None else to_ns)
    assert len(x_ns) <= COLUMNS + 2
    count: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    for start, trace in traces:
        cell = bisect.bisect_right(x_ns, start) - 1, bisect.bisect_right(y_ns, trace.length_ns) - 1
        count[cell] += 1
        failed[cell] += trace.failed
    assert list(summary.heatmap.cells) == sorted((*cell, count[cell], failed[cell]) for cell in count)


@pytest.mark.parametrize("group", [group for group, traces in GROUPS.items() if traces])
@pytest.mark.parametrize("end", ["given", "open"])
def test_every_cell_of_a_time_equals_counting_by_hand(shop: Any, group: str, end: str) -> None:
    summaries, known = shop
    from_ns = begin_of(group)
    to_ns = from_ns + HOUR if end == "given" else None
    where = None if end == "given" else parsed(f'service="{group}"')
    summary = summaries.summary(Search(where=where, from_unix_nano=from_ns, to_unix_nano=to_ns), None)
    check(summary, known[group], from_ns, to_ns)


@pytest.mark.parametrize("group", ["usual", "in parts"])
def test_a_box_selects_inside_cells(shop: Any, group: str) -> None:
    summaries, known = shop
    traces: Starts = known[group]
    middle = sorted(start for start, _ in traces)[len(traces) // 2]
    length = sorted(trace.length_ns for _, trace in traces)[len(traces) // 3]
    begin = begin_of(group)
    summary = summaries.summary(
        Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), Box(middle, begin + HOUR, length, 1 << 62)
    )
    check(summary, traces, begin, begin + HOUR)
    inside = [trace.failed for start, trace in traces if start >= middle and trace.length_ns >= length]
    assert (summary.totals.selected, summary.totals.selected_failed) == (len(inside), sum(inside))


def test_all_there_is_has_columns_of_all_the_time(shop: Any) -> None:
    summaries, known = shop
    check(summaries.summary(Search(), None), [one for traces in known.values() for one in traces], None, None)


def test_of_lengths_in_a_short_range_each_is_in_its_row(shop: Any) -> None:
    summaries, known = shop
    begin = begin_of("usual")
    traces = [(start, trace) for start, trace in known["usual"] if 100 * MS < trace.length_ns < 130 * MS]
    assert len(traces) > 3
    where = parsed("trace.duration>100ms trace.duration<130ms")
    summary = summaries.summary(Search(where=where, from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
    check(summary, traces, begin, begin + HOUR)


def test_nothing_is_an_answer(shop: Any) -> None:
    begin = begin_of("nobody")
    summary = shop[0].summary(Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
    assert (summary.totals.matched, list(summary.heatmap.cells), summary.complete) == (0, [], True)


def test_usually_the_traces_are_looked_at_once(shop: Any, asked: list[str]) -> None:
    summaries, known = shop
    begin = begin_of("usual")
    summary = summaries.summary(Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
    check(summary, known["usual"], begin, begin + HOUR)
    asked.clear()
    summaries.summary(Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
    assert asked.count("summary_grid") == 1


def test_traces_to_be_looked_at_are_once_it_is_known_that_there_are_some(shop: Any, asked: list[str]) -> None:
    summaries, known = shop
    begin = begin_of("usual")
    summaries.summary(Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
    begin = begin_of("to be looked at")
    grids = []
    for _ in range(2):
        asked.clear()
        summary = summaries.summary(Search(from_unix_nano=begin, to_unix_nano=begin + HOUR), None)
        check(summary, known["to be looked at"], begin, begin + HOUR)
        grids.append(asked.count("summary_grid"))
    assert grids == [2, 1]
