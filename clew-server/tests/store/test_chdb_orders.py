"""Pages in every order: each trace once, as counting by hand orders them, with spans that came late, twice and split over requests."""

from __future__ import annotations

import functools
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from clew_server.errors import BadInput
from clew_server.model.search import SORTS, Search, Sort
from clew_server.store.asking import Question

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, SECOND, Known, duration_of, holds, made, parsed, put_all, start_of

pytestmark = pytest.mark.timeout(600)

OTHERS: list[tuple[Sort, str]] = [
    ("-spans", ""),
    ("-spans", "trace.spans>1"),
    ("-spans", "trace.spans<4"),
    ("-spans", "trace.errors=1"),
    ("start", "{root=true} >> {failed=true}"),
]


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(3), 45)
    put_all(
        opened, [*requests, requests[0], requests[2], requests[2]]
    )  # as exporters send again whose answers were lost
    return opened.store.reader, known


def pages(reader: Any, search: dict[str, Any]) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = reader.find(Search(**search, cursor=cursor))
        assert page.complete, page.reason
        found += [trace.trace_id for trace in page.traces]
        if (cursor := page.next) is None:
            return found


@pytest.mark.parametrize(
    ("sort", "text"), [*((sort, "service=cart or kind=client") for sort in SORTS), ("start", ""), ("-dur", ""), *OTHERS]
)
def test_pages_to_the_end_list_every_trace_once_in_the_order_asked_for(shop: Any, sort: Sort, text: str) -> None:
    reader, known = shop
    matching = [one for one, rows in known.traces.items() if holds(parsed(text), rows)]
    keys = {
        "start": lambda one: start_of(known.traces[one]),
        "dur": lambda one: duration_of(known.traces[one]),
        "spans": lambda one: len(known.traces[one]),
    }
    key = keys[sort.lstrip("-")]
    expected = sorted(sorted(matching, reverse=True), key=key, reverse=sort.startswith("-"))
    assert pages(reader, {"where": parsed(text), "sort": sort, "limit": 13}) == expected != []


def test_a_page_that_ends_among_traces_of_as_many_spans_goes_on_with_one_whose_span_came_again(shop: Any) -> None:
    reader, known = shop
    came = {one.trace_id: one.spans for one in reader.newest(Search(limit=100), reader.question())[0]}
    single = sorted(one for one, rows in known.traces.items() if len(rows) == 1)
    again, last = next(one for one in single if came[one] > 1), single[-1]
    search = {"where": parsed(f"trace.id in ({again}, {last})"), "sort": "-spans", "limit": 1}
    assert pages(reader, search) == [last, again]


@pytest.mark.parametrize(
    ("sort", "text", "is_counted"),
    [
        ("-start", "kind=client or failed=true", False),
        ("dur", "trace.duration>1ms trace.services>=1", False),
        ("-start", "trace.spans>=1", False),
        ("-start", "trace.spans>1", True),
        ("-spans", "", True),
    ],
)
def test_other_traces_than_the_page_s_are_counted_only_where_a_condition_or_the_order_needs_it(
    shop: Any, monkeypatch: pytest.MonkeyPatch, sort: Sort, text: str, is_counted: bool
) -> None:
    reader, _ = shop
    asked: list[str] = []
    ask = Question.ask

    def noted(question: Question, name: str, parameters: Any, output: str, **words: str) -> bytes:
        asked.append(name)
        return ask(question, name, parameters, output, **words)

    monkeypatch.setattr(Question, "ask", noted)
    assert reader.find(Search(where=parsed(text), sort=sort, limit=5)).traces
    assert ("traces_again" in asked) is is_counted


@pytest.mark.parametrize("sort", SORTS)
def test_only_traces_that_start_in_the_time_are_in_any_order(shop: Any, sort: Sort) -> None:
    reader, known = shop
    starts = sorted(start_of(rows) for rows in known.traces.values())
    from_ns, to_ns = starts[5], starts[-5]
    found = pages(reader, {"from_unix_nano": from_ns, "to_unix_nano": to_ns, "sort": sort, "limit": 20})
    assert sorted(found) == sorted(one for one, rows in known.traces.items() if from_ns <= start_of(rows) < to_ns)
    nothing = reader.find(Search(from_unix_nano=NOW + 10**6 * SECOND, sort=sort))
    assert (list(nothing.traces), nothing.next, nothing.complete) == ([], None, True)


def test_a_cursor_goes_on_in_its_own_order_only(shop: Any) -> None:
    reader, _ = shop
    cursors = {sort: reader.find(Search(sort=sort, limit=1)).next for sort in SORTS}
    assert len(set(cursors.values())) == len(SORTS)
    for sort in SORTS:
        for other in set(SORTS) - {sort}:
            with pytest.raises(BadInput) as refused:
                reader.find(Search(sort=sort, cursor=cursors[other]))
            assert refused.value.code == "bad_cursor"


def test_an_order_that_needs_all_traces_says_so_where_there_is_no_time_for_them(opened: Any) -> None:
    reader = opened.store.reader
    unbounded, reader.question = reader.question, functools.partial(type(reader).question, reader, seconds=-1.0)
    try:
        page = reader.find(Search(sort="-dur"))
    finally:
        reader.question = unbounded
    assert (list(page.traces), page.next, page.complete) == ([], None, False)
    assert "choose a shorter one" in page.reason
