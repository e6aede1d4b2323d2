"""Keys and values for completion, counted by hand."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.model.completion import ValuesAsked
from clew_server.model.families import family
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.query.remembered_answers import RENEWED_AFTER_S
from clew_server.query.remembered_completion import RememberedCompletion
from clew_server.store import chdb_completion, key_sets

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, SECOND, Known, Row, elements, holds, made, pairs, parsed, put_all, start_of, text_of

pytestmark = pytest.mark.timeout(600)

ALL = 1_000


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(11), 60)
    put_all(opened, requests)
    return opened.store.completion, known


def rows_of(known: Known, text: str = "") -> list[Row]:
    """Spans for which a query of one pair of braces holds."""
    node = parsed("{" + text + "}")
    return [row for rows in known.traces.values() for row in rows if holds(node, [row])]


def texts(attributes: Iterable[tuple[str, AnyValue]], key: str) -> list[str]:
    """Values under all names of a key; those of equal value and type once, of a list its elements."""
    found = {value.SerializeToString(): value for name, value in attributes if name in family(key)}
    return [text for value in found.values() for text in {text_of(one) for one in elements(value)}]


def own_or_of_resource(row: Row, key: str) -> list[str]:
    own = pairs(row.span.attributes)
    if any(name in family(key) for name, _ in own):
        return texts(own, key)
    return texts(row.resource, key)


def counted(rows: Iterable[Row], of: Any) -> dict[str, int]:
    return dict(Counter(text for row in rows for text in of(row) if len(text) <= 1024))


def values(completion: Any, place: str, key: str = "", text: str = "", **asked: Any) -> dict[str, int]:
    found = completion.attribute_values(
        Search(where=parsed(text)), ValuesAsked(place, key, limit=asked.pop("limit", ALL), **asked)
    )
    assert found.complete, found.reason
    assert len({one.value for one in found.found}) == len(found.found)
    return {one.value: one.spans for one in found.found}


@pytest.mark.parametrize("key", ["n", "ratio", "text", "ok", "bytes", "tags", "http.request.method", "zone", "absent"])
def test_values_of_an_attribute_are_counted_by_span_under_all_its_names(shop: Any, key: str) -> None:
    completion, known = shop
    rows = rows_of(known)
    assert values(completion, "attr", key) == counted(rows, lambda row: own_or_of_resource(row, key))
    assert values(completion, "of_span", key) == counted(rows, lambda row: texts(pairs(row.span.attributes), key))


def test_values_of_an_attribute_by_its_exact_name_are_those_of_this_name(shop: Any) -> None:
    completion, _ = shop
    found = values(completion, "of_span", "http.request.method", exact=True)
    assert set(found) == {"GET", "POST"}
    assert set(values(completion, "of_span", "http.request.method")) == {"GET", "POST", "PUT"}


@pytest.mark.parametrize(
    "text", ["", "service=cart", "cart kind=server", "service=~^[Cc]art$ status=error", "n exists"]
)
def test_services_operations_kinds_and_status_are_counted_with_and_without_a_query(shop: Any, text: str) -> None:
    completion, known = shop
    rows = rows_of(known, text)
    columns: list[tuple[str, Any]] = [
        ("service", lambda row: [row.service]),
        ("name", lambda row: [row.span.name]),
        ("kind", lambda row: [KIND_WORDS[row.span.kind]]),
        ("status", lambda row: [STATUS_WORDS[row.span.status.code]]),
        ("scope", lambda row: [row.scope]),
        ("status_message", lambda row: [row.span.status.message]),
        ("event", lambda row: {event.name for event in row.span.events}),
    ]
    for place, of in columns:
        expected = counted(rows, of)
        found = values(completion, place, text=text)
        assert {v: n for v, n in found.items() if v} == {v: n for v, n in expected.items() if v}, place


def test_values_that_begin_with_the_prefix_come_before_those_that_hold_it_and_then_by_count(shop: Any) -> None:
    completion, known = shop
    found = completion.attribute_values(Search(), ValuesAsked("name", prefix="p", limit=ALL))
    expected = counted(rows_of(known), lambda row: [row.span.name])
    holding = [text for text in expected if "p" in text.lower()]
    holding.sort(key=lambda text: (not text.lower().startswith("p"), -expected[text], text))
    assert [one.value for one in found.found] == holding == ["GET /pay"]
    first = completion.attribute_values(Search(), ValuesAsked("name", prefix="", limit=2))
    assert [one.spans for one in first.found] == sorted(expected.values(), reverse=True)[:2]
    assert (first.complete, first.reason) == (False, "the first 2 values")


def test_an_element_of_a_list_is_found_by_its_prefix(shop: Any) -> None:
    completion, _ = shop
    assert set(values(completion, "attr", "tags", prefix="b")) == {"b" * 200}


def test_values_of_events_links_and_scopes_are_counted(shop: Any) -> None:
    completion, known = shop
    rows = rows_of(known)
    for place, parts in (("event_attr", lambda row: row.span.events), ("link_attr", lambda row: row.span.links)):

        def of_parts(row: Row, parts: Any = parts) -> list[str]:
            return texts([one for part in parts(row) for one in pairs(part.attributes)], "k")

        assert values(completion, place, "k") == counted(rows, of_parts) != {}
    assert (
        values(completion, "of_scope", "zone") == counted(rows, lambda row: texts(row.scope_attributes, "zone")) != {}
    )


QUARTER = 900 * SECOND


@pytest.mark.parametrize("looked_at", [None, 1], ids=["few", "many"])
@pytest.mark.parametrize("text", ["", "service=cart", "service!=cart", "service=~^[cC]", "service=nobody"])
def test_keys_are_counted_by_span_in_each_place(
    shop: Any, text: str, looked_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few spans by looking at them, of many by what was counted when they were stored."""
    completion, known = shop
    if looked_at is not None:
        monkeypatch.setattr(chdb_completion, "LOOKED_AT", looked_at)
        monkeypatch.setattr(completion, "_of_spans", None)  # none is looked at
    starts = [start_of(rows) for rows in known.traces.values()]
    search = Search(from_unix_nano=min(starts) // QUARTER * QUARTER, to_unix_nano=2 * NOW, where=parsed(text))
    found = completion.attribute_keys(search)
    assert found.complete, found.reason
    assert found.of_many == (looked_at is not None)
    rows = rows_of(known, text)
    expected: Counter[tuple[str, str]] = Counter()
    for row in rows:
        resource = {k for k, _ in row.resource} | ({"service.name"} if row.service else set())
        expected.update({("resource", key) for key in resource})
        expected.update({("event", k) for e in row.span.events for k, _ in pairs(e.attributes)})
        expected.update({("link", k) for e in row.span.links for k, _ in pairs(e.attributes)})
        expected.update({("scope", k) for k, _ in row.scope_attributes})
        expected.update({("span", k) for k, _ in pairs(row.span.attributes)})
    counts = {(one.place, one.key): one.spans for one in found.found}
    if looked_at is not None:
        # Of spans with the same keys from resources with different ones it is not known how many come from which.
        about = {key: spans for key, spans in counts.items() if key[0] == "resource"}
        assert all(abs(spans - expected[key]) <= max(2, expected[key] / 10) for key, spans in about.items())
        counts |= {key: expected[key] for key in about}
    assert counts == expected
    if text != "service=nobody":
        types = {one.key: one.type for one in found.found if one.place == "span"}
        assert (types["n"], types["text"], types["ok"], types["tags"]) == ("number", "text", "boolean", "list")


def test_of_very_many_sets_of_keys_those_of_most_spans_are_counted_and_that_is_said(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    completion, _ = shop
    search = Search(from_unix_nano=0, to_unix_nano=2 * NOW)
    every = completion.attribute_keys(search)
    assert (every.complete, every.reason) == (True, None)
    monkeypatch.setattr(key_sets, "MOST_SETS", 5)
    some = completion.attribute_keys(search)
    assert (some.complete, some.reason) == (False, "keys are those of the 5 sets of keys that most spans have")
    assert 0 < sum(one.spans for one in some.found) < sum(one.spans for one in every.found)
    monkeypatch.undo()
    monkeypatch.setattr(chdb_completion, "_MAX_KEYS", 3)
    first = completion.attribute_keys(search)
    assert (first.complete, list(first.found)) == (False, list(every.found[:3]))
    assert first.reason == "the first 3 keys"


def test_keys_of_more_resources_than_are_remembered_are_counted_all_the_same(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    completion, _ = shop
    search = Search(from_unix_nano=0, to_unix_nano=2 * NOW)
    every = completion.attribute_keys(search)
    assert any(one.place == "resource" for one in every.found)
    monkeypatch.setattr(chdb_completion, "_MOST_REMEMBERED", 1)
    for _ in range(2):
        completion._keys_of_resource = dict(list(completion._keys_of_resource.items())[:1])
        assert completion.attribute_keys(search) == every


def test_the_time_of_the_search_bounds_what_is_counted(shop: Any) -> None:
    completion, known = shop
    nothing = completion.attribute_values(Search(from_unix_nano=NOW + 10**6 * SECOND), ValuesAsked("attr", "n"))
    assert (list(nothing.found), nothing.complete) == ([], True)
    newest = max(row.span.start_time_unix_nano for rows in known.traces.values() for row in rows)
    found = completion.attribute_keys(Search(from_unix_nano=newest))
    assert 0 < len(found.found) < 15


def test_a_query_over_several_spans_counts_all_spans_of_its_traces(shop: Any) -> None:
    completion, known = shop
    text = "{service=cart} and {failed=true}"
    node = parsed(text)
    matching = [rows for rows in known.traces.values() if holds(node, rows)]
    expected = counted([row for rows in matching for row in rows], lambda row: [STATUS_WORDS[row.span.status.code]])
    assert values(completion, "status", text=text) == expected


LONG_AGO = (NOW - 10**6 * SECOND) // (3600 * SECOND) * 3600 * SECOND


@pytest.fixture(scope="module")
def many(shop: Any, opened: Any) -> list[tuple[int, int]]:
    """Spans within two hours, most of them in one minute of the first, in three parts: start and the value of `tenth`."""
    spans: list[tuple[int, int]] = []
    for part in range(3):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "many"
        group.resource.attributes.add(key="host").value.string_value = f"h{part}"
        scope = group.scope_spans.add()
        for number in range(7_000):
            at = part * 7_000 + number
            start = LONG_AGO + at * 3 if at % 10 < 9 else LONG_AGO + 60 * SECOND + at * 300_000_000
            span = scope.spans.add(trace_id=at.to_bytes(16, "big"), span_id=b"s" * 8, name=f"op {number // 700}")
            span.start_time_unix_nano = span.end_time_unix_nano = start
            span.attributes.add(key="tenth").value.int_value = at % 10
            spans.append((start, at % 10))
        opened.put([request])
    return spans


def without_counted_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a version before schema step 21 stored spans of the time."""
    monkeypatch.setattr(key_sets.Quarters, "of", lambda *_: None)


def of_tenth_and_host(keys: Any) -> dict[tuple[str, str], int]:
    return {(one.place, one.key): one.spans for one in keys.found if one.key in ("tenth", "host")}


def test_of_many_spans_a_share_spread_over_them_is_counted_and_said(
    shop: Any, many: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    completion, _ = shop
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 5_000)
    search = Search(from_unix_nano=LONG_AGO, to_unix_nano=LONG_AGO + 7200 * SECOND)
    with monkeypatch.context() as context:
        without_counted_keys(context)
        found = completion.attribute_values(search, ValuesAsked("attr", "tenth"))
    looked_at = sum(one.spans for one in found.found)
    assert 2_500 <= looked_at <= 7_500
    assert not found.complete
    assert found.reason.startswith(f"counted in {looked_at:,} of about ")
    assert 15_000 <= int(found.reason.split()[-2].replace(",", "")) <= 27_000
    assert {one.value for one in found.found} == {str(n) for n in range(10)}
    assert found.of_many
    # Keys of such a time are counted exactly, too, where they were counted when the spans were stored.
    keys = completion.attribute_keys(search)
    assert (keys.complete, keys.of_many) == (True, True)
    assert of_tenth_and_host(keys) == {("span", "tenth"): 21_000, ("resource", "host"): 21_000}
    without_counted_keys(monkeypatch)
    keys = completion.attribute_keys(search)
    assert (keys.complete, keys.reason) == (False, found.reason)  # the same spans
    assert of_tenth_and_host(keys) == {("span", "tenth"): looked_at, ("resource", "host"): looked_at}
    # Names are counted exactly however many there are.
    names = completion.attribute_values(search, ValuesAsked("name"))
    assert [one.spans for one in names.found] == [2_100] * 10
    assert not names.of_many


@pytest.mark.parametrize("wanted", [2_500, 10_000])
def test_of_any_time_all_spans_are_counted_or_about_as_many_as_are_looked_at(
    shop: Any, many: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    completion, _ = shop
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", wanted)
    random_ = random.Random(wanted)
    whole = 0
    for _ in range(20):
        ends = sorted(LONG_AGO + int(7_200 * SECOND * random_.random() ** random_.choice((1, 9, 30))) for _ in range(2))
        expected = Counter(str(value) for start, value in many if ends[0] <= start < ends[1])
        search = Search(from_unix_nano=ends[0], to_unix_nano=ends[1])
        found = completion.attribute_values(search, ValuesAsked("attr", "tenth", limit=ALL))
        looked_at = sum(one.spans for one in found.found)
        if found.complete:
            whole += 1
            assert {one.value: one.spans for one in found.found} == expected
        else:
            assert 2 * looked_at >= wanted
            assert all(one.spans <= expected[one.value] for one in found.found)
    assert 0 < whole < 20


def test_of_a_query_that_many_traces_match_the_newest_are_looked_at(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    completion, known = shop
    monkeypatch.setattr(chdb_completion, "NEWEST", 3)
    node = parsed("status=error")
    found = completion.attribute_values(Search(where=node), ValuesAsked("event", limit=ALL))
    assert (found.complete, found.reason) == (False, "looked at the newest 3 traces that match")
    matching = [rows for rows in known.traces.values() if holds(node, rows)]
    newest = sorted(matching, key=start_of, reverse=True)[:3]
    rows = [row for rows in newest for row in rows if row.span.status.code == 2]
    assert {one.value: one.spans for one in found.found} == counted(rows, lambda r: {e.name for e in r.span.events})


@pytest.fixture(scope="module")
def with_a_rare_key(opened: Any) -> Search:
    start = LONG_AGO + 20 * 3_600 * SECOND
    put_with_key(opened, "busy", "usual", 9_000, start)
    put_with_key(opened, "a-rare", "seldom", 1, start + SECOND)
    return Search(from_unix_nano=start, to_unix_nano=start + 3_600 * SECOND)


@pytest.mark.parametrize("are_counted", [True, False])
def test_values_that_a_sample_misses_are_found(
    opened: Any, with_a_rare_key: Search, are_counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the services whose spans have the key; where these are not known, in the newest spans that have it."""
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 2_000)
    completion = opened.store.completion
    if not are_counted:
        without_counted_keys(monkeypatch)
    else:
        assert "seldom" in {one.key for one in completion.attribute_keys(with_a_rare_key).found}
    for place in ("attr", "of_span"):
        found = completion.attribute_values(with_a_rare_key, ValuesAsked(place, "seldom"))
        assert [(one.value, one.spans) for one in found.found] == [("1", 1)]
        assert (found.complete, found.reason, found.of_many) == (True, None, are_counted)
        nobody = completion.attribute_values(with_a_rare_key, ValuesAsked(place, "nobody has it"))
        assert (list(nobody.found), nobody.complete) == ([], True)
    usual = completion.attribute_values(with_a_rare_key, ValuesAsked("attr", "usual"))
    assert usual.of_many
    assert usual.reason.startswith("counted in ")


def test_of_a_key_that_few_spans_have_the_services_that_have_it_are_looked_at(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 2_000)
    start = LONG_AGO + 30 * 3_600 * SECOND
    put_with_key(opened, "busy", "usual", 40_000, start)
    put_with_key(opened, "some", "few", 3_000, start + SECOND)
    search = Search(from_unix_nano=start, to_unix_nano=start + 3_600 * SECOND)
    completion = opened.store.completion
    found = completion.attribute_values(search, ValuesAsked("attr", "few"))
    (one,) = found.found
    assert 1_000 <= one.spans <= 3_000
    assert found.reason is None or found.reason.endswith(" spans of the services that have it")
    assert found.complete == (one.spans == 3_000)
    assert found.of_many


def put_with_key(opened: Any, service: str, key: str, spans: int, start: int) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(trace_id=(start + number).to_bytes(16, "big"), span_id=b"k" * 8, name="op")
        span.start_time_unix_nano = span.end_time_unix_nano = start + number
        span.attributes.add(key=key).value.int_value = 1
    put_all(opened, [request])


def test_of_many_spans_what_comes_while_somebody_types_is_suggested_without_waiting_for_the_count(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 2_000)
    start = LONG_AGO + 10 * 3_600 * SECOND
    search = Search(from_unix_nano=start, to_unix_nano=start + 3_600 * SECOND)
    now_s = 0.0
    completion = RememberedCompletion(opened.store.completion, opened.store.writer.inserted, clock_s=lambda: now_s)

    def keys() -> set[str]:
        return {one.key for one in completion.attribute_keys(search).found if one.place == "span"}

    put_with_key(opened, "first", "known", 3_000, start)
    assert completion.attribute_keys(search).of_many
    put_with_key(opened, "second", "since", 4_096, start + SECOND)
    assert keys() == {"known"}
    # The clock stands still from here, so that the answer does not end with its time.
    now_s = RENEWED_AFTER_S
    deadline = time.monotonic() + 100
    while keys() != {"known", "since"}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    completion.close()
