"""Figures about all traces of a search against counting by hand: totals, percentiles, every cell of the heatmap, every facet."""

from __future__ import annotations

import bisect
import os
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from clew_server.model.families import FAMILIES
from clew_server.model.points import Point
from clew_server.model.search import Search
from clew_server.model.summary import Box, Summary, Totals
from clew_server.query.language.parser import parse
from clew_server.store import chdb_summary

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import (
    NOW,
    SECOND,
    Known,
    Row,
    duration_of,
    holds,
    is_failed,
    made,
    pairs,
    parsed,
    put_all,
    start_of,
    text_of,
)
from random_queries import drawn, times

SUMMARIES = int(os.environ.get("CLEW_SUMMARIES", "6"))
FIRST_SEED = int(os.environ.get("CLEW_SEED", "0"))

pytestmark = pytest.mark.timeout(600)

NEWEST = {name: family[0] for family in FAMILIES for name in family}
QUERIES = [
    "",
    "service=cart",
    "{kind=client} and {failed=true}",
    "{root=true} >> {n exists}",
    "{failed=false} and trace.services>0",  # of trace.spans a span that came twice counts twice
]

Traces = dict[str, list[Row]]


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(21), 50)
    put_all(opened, [*requests, requests[1]])  # one of them twice
    return opened.store.summaries, known


def matching(known: Known, text: str, from_ns: int = 0, to_ns: int = 1 << 62) -> Traces:
    node = parsed(text)
    return {one: rows for one, rows in known.traces.items() if from_ns <= start_of(rows) < to_ns and holds(node, rows)}


def has_failed(rows: list[Row]) -> bool:
    return any(is_failed(row) for row in rows)


def is_in(rows: list[Row], box: Box | None) -> bool:
    return box is not None and (
        box.from_unix_nano <= start_of(rows) < box.to_unix_nano
        and box.shortest_ns <= duration_of(rows) < box.longest_ns
    )


def totals_of(traces: Traces, box: Box | None) -> Totals:
    return Totals(
        len(traces),
        sum(map(has_failed, traces.values())),
        sum(is_in(rows, box) for rows in traces.values()),
        sum(is_in(rows, box) and has_failed(rows) for rows in traces.values()),
    )


def cells_of(summary: Summary, traces: Traces) -> list[tuple[int, int, int, int]]:
    x_ns, y_ns = summary.heatmap.x_unix_nano, summary.heatmap.y_ns
    count: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    for rows in traces.values():
        cell = bisect.bisect_right(x_ns, start_of(rows)) - 1, bisect.bisect_right(y_ns, duration_of(rows)) - 1
        assert 0 <= cell[0] < len(x_ns) - 1
        assert 0 <= cell[1] < len(y_ns) - 1
        count[cell] += 1
        failed[cell] += has_failed(rows)
    return sorted((*cell, count[cell], failed[cell]) for cell in count)


def items_of(row: Row) -> set[tuple[str, str, str]]:
    span = row.span
    words = {
        "service": row.service,
        "name": span.name,
        "kind": ["unspecified", "internal", "server", "client", "producer", "consumer"][span.kind],
        "status": ["unset", "ok", "error"][span.status.code],
    }
    items = {("language", key, value) for key, value in words.items()}
    for place, attributes in (("span", pairs(span.attributes)), ("resource", row.resource)):
        for key, value in attributes:
            if value.WhichOneof("value") in ("string_value", "bool_value", "int_value"):
                items.add((place, NEWEST.get(key, key), text_of(value)))
    return items


def facets_of(traces: Traces, box: Box | None) -> dict[tuple[str, str], dict[str, tuple[int, int, int]]]:
    found: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for rows in traces.values():
        for place, key, value in set().union(*map(items_of, rows)):
            counts = found[place, key][value]
            counts[0] += 1
            counts[1] += has_failed(rows)
            counts[2] += is_in(rows, box)
    return {one: {value: (a, b, c) for value, (a, b, c) in values.items()} for one, values in found.items()}


def check(summary: Summary, traces: Traces, box: Box | None) -> None:
    assert summary.totals == totals_of(traces, box)
    lengths = sorted(map(duration_of, traces.values()))
    assert list(summary.lengths_ns) == [lengths[int(level * len(lengths))] for level in (0.5, 0.95, 0.99)]
    assert list(summary.heatmap.cells) == cells_of(summary, traces)


def points_of(traces: Traces) -> list[Point]:
    return [Point(start_of(rows), duration_of(rows), has_failed(rows), one) for one, rows in traces.items()]


def counted(summary: Summary) -> dict[tuple[str, str], dict[str, tuple[int, int, int]]]:
    for facet in summary.facets:
        counts = [value.traces for value in facet.values]
        assert counts == sorted(counts, reverse=True)
    return {
        (one.place, one.key): {v.value: (v.traces, v.failed, v.selected) for v in one.values} for one in summary.facets
    }


@pytest.mark.parametrize("text", QUERIES)
def test_every_figure_equals_counting_by_hand(shop: Any, text: str) -> None:
    summaries, known = shop
    traces = matching(known, text)
    middle = sorted(map(duration_of, traces.values()))[len(traces) // 2]
    box = Box(NOW - 200 * SECOND, NOW + SECOND, 1, middle + 1)
    summary = summaries.summary(Search(where=parsed(text)), box)
    assert summary.complete, summary.reason
    check(summary, traces, box)
    assert summary.facets_of == summary.totals
    assert counted(summary) == facets_of(traces, box)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SUMMARIES))
def test_of_any_query_time_and_box_every_figure_equals_counting_by_hand(shop: Any, seed: int) -> None:
    summaries, known = shop
    chance = random.Random(seed)
    starts = sorted(map(start_of, known.traces.values()))
    from_ns, to_ns = sorted(chance.choice(starts) + chance.choice([0, 1]) for _ in "12")
    if chance.random() < 0.5:
        from_ns, to_ns = starts[0], starts[-1] + 1
    # Of few queries drawn at random something matches; of those in which nothing does one is enough.
    for _ in range(200):
        text = drawn(chance, sorted(known.traces))
        node = parse(text, times)
        traces = {
            one: rows for one, rows in known.traces.items() if from_ns <= start_of(rows) < to_ns and holds(node, rows)
        }
        if traces or seed == FIRST_SEED:
            break
    lengths = sorted(map(duration_of, known.traces.values()))
    shortest, longest = sorted(chance.choice(lengths) + chance.choice([0, 1]) for _ in "12")
    box = Box(*sorted(chance.choice(starts) for _ in "12"), shortest, longest) if chance.random() < 0.7 else None
    summary = summaries.summary(Search(where=node, from_unix_nano=from_ns, to_unix_nano=to_ns), box)
    assert summary.complete, summary.reason
    if not traces:
        assert (summary.totals, list(summary.facets)) == (Totals(0, 0, 0, 0), []), text
        return
    check(summary, traces, box)
    assert summary.facets_of == summary.totals
    assert counted(summary) == facets_of(traces, box), text


def test_a_time_bounds_the_traces_and_the_heatmap(shop: Any) -> None:
    summaries, known = shop
    starts = sorted(start_of(rows) for rows in known.traces.values())
    from_ns, to_ns = starts[10], starts[-5]
    summary = summaries.summary(Search(from_unix_nano=from_ns, to_unix_nano=to_ns), None)
    traces = matching(known, "", from_ns, to_ns)
    check(summary, traces, None)
    assert counted(summary) == facets_of(traces, None)
    edges = summary.heatmap.x_unix_nano
    assert edges[0] <= from_ns < edges[1]
    assert edges[-2] < to_ns <= edges[-1]


def test_nothing_that_matches_is_an_answer(shop: Any) -> None:
    summaries, _ = shop
    summary = summaries.summary(Search(where=parsed("service=nobody")), None)
    assert (summary.totals, summary.complete, list(summary.facets)) == (Totals(0, 0, 0, 0), True, [])


@pytest.mark.parametrize("text", ["", "service=cart"])
@pytest.mark.parametrize("share", [None, 0.5, 2.0])
def test_facets_of_too_many_spans_are_counted_in_a_part_of_the_time_that_is_said(
    shop: Any, monkeypatch: pytest.MonkeyPatch, text: str, share: float | None
) -> None:
    summaries, known = shop
    monkeypatch.setattr(chdb_summary, "FACET_SPANS", 60)
    traces = matching(known, text)
    first, *_, last = sorted(map(start_of, traces.values()))
    box = None if share is None else Box(first, first + round((last - first) * share), 2, 1 << 62)
    summary = summaries.summary(Search(where=parsed(text)), box)
    check(summary, traces, box)
    assert not summary.complete
    assert summary.reason.startswith("facets are counted in the traces that start from ")
    part = matching(known, text, summary.facets_from_unix_nano, summary.facets_to_unix_nano)
    assert 0 < len(part) < len(traces)
    assert summary.facets_of == totals_of(part, box)
    assert counted(summary) == facets_of(part, box)


def test_a_key_with_many_values_is_no_facet(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    summaries, known = shop
    monkeypatch.setattr(chdb_summary, "MOST_VALUES", 3)
    expected = {
        one for one, values in facets_of(known.traces, None).items() if len(values) <= 3 or one[0] == "language"
    }
    assert set(counted(summaries.summary(Search(), None))) == expected


@pytest.mark.parametrize("text", QUERIES)
def test_points_are_the_traces_that_match(shop: Any, text: str) -> None:
    summaries, known = shop
    found = summaries.points(Search(where=parsed(text)), 5_000)
    assert found.complete, found.reason
    assert sorted(found.points) == sorted(points_of(matching(known, text)))


def test_of_more_traces_than_fit_all_that_failed_are_points_and_the_same_others_each_time(shop: Any) -> None:
    summaries, known = shop
    every = points_of(known.traces)
    failed = {one for one in every if one.has_failed}
    limit = (len(failed) + len(every)) // 2
    found = summaries.points(Search(), limit)
    assert len(failed) < limit == len(found.points)
    assert not found.complete
    assert found.reason == f"{limit:,} traces: those that failed first, of the others a sample"
    assert failed < set(found.points) <= set(every)
    assert found == summaries.points(Search(), limit)
    assert all(one.has_failed for one in summaries.points(Search(), len(failed) // 2).points)


def test_traces_that_arrive_while_they_are_counted_make_no_facet_larger_than_all(
    opened: Any, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last of this file: its spans are none of those that the others count by hand.
    summaries, known = shop
    facets_of = summaries._facets

    def later(*args: Any) -> Any:
        _, requests = made(random.Random(22), 20)
        opened.put(requests)
        return facets_of(*args)

    monkeypatch.setattr(summaries, "_facets", later)
    summary = summaries.summary(Search(), Box(0, 1 << 62, 0, 1 << 62))
    assert summary.totals.matched == len(known.traces)
    values = [value for facet in summary.facets for value in facet.values]
    assert values
    assert max(value.traces for value in values) == summary.totals.matched
    assert max(value.failed for value in values) <= summary.totals.failed
    assert max(value.selected for value in values) <= summary.totals.selected
