"""Keys of very many spans, which are counted when spans are stored: none is missing, however few spans have it."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.completion import ValuesAsked
from clew_server.model.search import Search
from clew_server.query.remembered_completion import RememberedCompletion
from clew_server.store import chdb_completion, key_sets
from clew_server.store.migrate import steps

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
DAY = 1_764_374_400 * SECOND  # a midnight


def put(opened: Any, spans: list[tuple[int, str, str, tuple[str, ...]]]) -> None:
    """Start, service, operation, keys of attributes."""
    request = ExportTraceServiceRequest()
    scopes: dict[str, Any] = {}
    for number, (start, service, name, keys) in enumerate(spans):
        if service not in scopes:
            group = request.resource_spans.add()
            group.resource.attributes.add(key="service.name").value.string_value = service
            group.resource.attributes.add(key=f"of.{service}").value.string_value = "r"
            scopes[service] = group.scope_spans.add()
        trace_id = (start + number).to_bytes(16, "big")
        span = scopes[service].spans.add(trace_id=trace_id, span_id=b"k" * 8, name=name)
        span.start_time_unix_nano = span.end_time_unix_nano = start
        for key in keys:
            span.attributes.add(key=key).value.int_value = 1
    opened.put([request])


def test_no_key_is_missing_of_many_services_whose_operations_have_keys_of_their_own(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 4_096)
    chance = random.Random(5)
    services = range(40)
    drawn = chance.choices(services, [1 / (one + 1) for one in services], k=30_000)
    spans = []
    for service in drawn:
        name = f"op {chance.randrange(4)}"
        start = DAY + chance.randrange(24 * HOUR)
        spans.append((start, f"s{service}", name, ("peer", f"s{service}.key", f"s{service}.{name}")))
    for begin in range(0, len(spans), 10_000):
        put(opened, spans[begin : begin + 10_000])
    completion = opened.store.completion

    def found(from_ns: int, to_ns: int) -> dict[tuple[str, str], int]:
        keys = completion.attribute_keys(Search(from_unix_nano=from_ns, to_unix_nano=to_ns))
        assert (keys.complete, keys.of_many) == (True, True), keys.reason
        return {(one.place, one.key): one.spans for one in keys.found}

    def counted(from_ns: int, to_ns: int) -> dict[tuple[str, str], int]:
        counts: Counter[tuple[str, str]] = Counter()
        for start, service, _, keys in spans:
            if from_ns <= start < to_ns:
                counts.update([("span", key) for key in keys])
                counts.update([("resource", "service.name"), ("resource", f"of.{service}")])
        return dict(counts)

    assert len(counted(DAY, DAY + 24 * HOUR)) > 200
    assert found(DAY, DAY + 24 * HOUR) == counted(DAY, DAY + 24 * HOUR)
    opened.store._connections.write.run("OPTIMIZE TABLE spans FINAL")
    assert found(DAY, DAY + 24 * HOUR) == counted(DAY, DAY + 24 * HOUR), "a merge keeps what was counted"
    quarter = HOUR // 4
    assert found(DAY + 5 * HOUR + 1, DAY + 15 * HOUR + 1) == counted(DAY + 5 * HOUR, DAY + 15 * HOUR + quarter)
    assert found(DAY + 5 * HOUR - 1, DAY + 15 * HOUR) == counted(DAY + 5 * HOUR - quarter, DAY + 15 * HOUR)

    # Where they were counted in very many rows, those of some quarters are read, at other times of each hour.
    monkeypatch.setattr(key_sets, "_MOST_ROWS", 3_000)
    some = completion.attribute_keys(Search(from_unix_nano=DAY, to_unix_nano=DAY + 24 * HOUR))
    (every,) = re.findall(r"counted in one of (\d+) quarters of an hour", some.reason)
    assert int(every) in (5, 7)
    chosen = [number for number in range(DAY // quarter, DAY // quarter + 96) if number % int(every) == 0]
    assert {number % 4 for number in chosen} == {0, 1, 2, 3}
    assert {(one.place, one.key) for one in some.found} == set().union(
        *(counted(number * quarter, (number + 1) * quarter) for number in chosen)
    )
    short = completion.attribute_keys(Search(from_unix_nano=DAY, to_unix_nano=DAY + 6 * HOUR))
    assert re.match(r"counted in [\d,]+ of about ", short.reason)
    # However long the time is, where most spans came in a few quarters these are not left out.
    monkeypatch.setattr(key_sets, "_MOST_ROWS", 5)
    long = completion.attribute_keys(Search(from_unix_nano=DAY, to_unix_nano=DAY + 10_000 * 24 * HOUR))
    assert re.match(r"counted in [\d,]+ of about ", long.reason)
    assert len(long.found) > 50
    monkeypatch.undo()

    # What retention deletes of a part is counted no more.
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 1_024)
    opened.store._connections.write.run(
        "ALTER TABLE spans DELETE WHERE service NOT IN ('s1','s2') SETTINGS mutations_sync=1"
    )
    spans = [one for one in spans if one[1] in ("s1", "s2")]
    assert found(DAY, DAY + 24 * HOUR) == counted(DAY, DAY + 24 * HOUR)


@pytest.mark.parametrize("rows", range(1, 60))
def test_quarters_that_are_read_meet_each_time_of_the_day(rows: int) -> None:
    every = key_sets._in_step_with_no_day(rows)
    assert rows <= every < rows + 4
    assert {number % 96 for number in range(0, 96 * every, every)} == set(range(96))


def test_of_a_time_with_spans_from_before_keys_were_counted_some_spans_are_looked_at(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 6_000)
    begin = DAY + 100 * HOUR
    run = opened.store._connections.write.run
    (step,) = [one for one in steps() if one.name == "sets_of_keys"]
    for name in re.findall(r"ADD PROJECTION IF NOT EXISTS (\w+)", " ".join(step.statements)):
        run(f"ALTER TABLE spans DROP PROJECTION {name}")
    put(opened, [(begin + at, "old", "op", ("before",)) for at in range(8_000)])
    for text in step.statements:
        run(text)
    put(opened, [(begin + HOUR + at, "new", "op", ("after",)) for at in range(8_000)])
    completion = opened.store.completion
    with monkeypatch.context() as context:
        context.setattr(key_sets.Quarters, "key_sets", None)  # what was counted is not read
        both = completion.attribute_keys(Search(from_unix_nano=begin, to_unix_nano=begin + 2 * HOUR))
    assert {"before", "after"} <= {one.key for one in both.found}
    monkeypatch.setattr(completion, "_of_spans", None)  # no span is looked at
    after = completion.attribute_keys(Search(from_unix_nano=begin + HOUR, to_unix_nano=begin + 2 * HOUR))
    assert (after.complete, after.of_many) == (True, True)
    assert {one.key: one.spans for one in after.found} == {"after": 8_000, "service.name": 8_000, "of.new": 8_000}


def test_keys_are_counted_of_parts_that_are_merged_while_they_are_asked_for(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 512)
    begin = DAY + 300 * HOUR
    for _ in range(2):
        put(opened, [(begin + at, "merged", "op", ("k",)) for at in range(4_000)])
    completion = opened.store.completion
    search = Search(from_unix_nano=begin, to_unix_nano=begin + HOUR)
    rows = completion._rows(search, opened.store.reader.question())
    opened.store._connections.write.run("OPTIMIZE TABLE spans FINAL")
    found = completion.attribute_keys(search)
    assert completion._rows(search, opened.store.reader.question()) is rows, "they are remembered"
    assert (found.complete, found.reason) == (True, None)
    assert {one.key: one.spans for one in found.found}["k"] == 8_000


def test_a_value_that_a_sample_misses_is_found_once_it_is_typed(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, routes = DAY + 200 * HOUR, 100
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "routes"
    scope = group.scope_spans.add()
    for number in range(14_000):
        route = number % routes
        span = scope.spans.add(trace_id=(begin + number).to_bytes(16, "big"), span_id=b"k" * 8, name=f"GET {route:02}")
        span.start_time_unix_nano = span.end_time_unix_nano = begin + number
        span.attributes.add(key="http.route").value.string_value = f"/{route:02}"
    opened.put([request])
    search = Search(from_unix_nano=begin, to_unix_nano=begin + HOUR)

    def found(completion: RememberedCompletion, prefix: str) -> set[str]:
        asked = ValuesAsked("attr", "http.route", prefix=prefix)
        return {one.value for one in completion.attribute_values(search, asked).found}

    # Which blocks a sample is of depends on where the rows lie, which merges change.
    for looked_at in range(1_024, 3_072, 128):
        monkeypatch.setattr(chdb_completion, "LOOKED_AT", looked_at)
        completion = RememberedCompletion(opened.store.completion, opened.store.writer.inserted)
        try:
            if len(found(completion, "")) < 20:
                break
        finally:
            completion.close()
    else:
        pytest.fail("no sample misses a value")
    assert all(found(completion, f"/{route:02}") == {f"/{route:02}"} for route in range(routes))
