"""A flipped bit in a part of the store: questions answer the rest and say what is missing."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.completion import ValuesAsked
from clew_server.model.search import Search, SpanCondition
from clew_server.model.usual import Operation
from clew_server.store import chdb_completion
from clew_server.store.connections import EngineError
from clew_server.store.contract import TracesLike

BY_START = "by_start.proj/data.bin"
KEY_SETS = "key_sets.proj/data.bin"
SERVICE = Search((SpanCondition("service", "=", "damaged"),), limit=1000)


def request(trace_ids: list[bytes], service: str = "damaged") -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    for trace_id in trace_ids:
        now = time.time_ns()
        scope.spans.add(
            trace_id=trace_id, span_id=os.urandom(8), name="GET /", kind=2, start_time_unix_nano=now, end_time_unix_nano=now + 5
        )  # fmt: skip
    return made


class Halves:
    """Two segments that stay two parts in each table, and their trace ids."""

    def __init__(self, opened: Any) -> None:
        self.opened = opened
        chance = random.Random(3)
        self.first, self.second = ([chance.randbytes(16) for _ in range(300)] for _ in range(2))
        self.both = chance.randbytes(16)
        self.in_first: dict[str, str] = {}
        for half in (self.first, self.second):
            for table in ("chunks", "spans", "traces", "origins", "red"):
                opened.store._connections.write.run(f"SYSTEM STOP MERGES {table}")
            opened.put([request([*half, self.both], service="damaged")])
            if half is self.first:
                self.in_first = dict(
                    opened.ask("SELECT table, path FROM system.parts WHERE active AND database=currentDatabase()")
                )

    def flip(self, table: str, file: str = "data.bin") -> Path:
        """Change some bits of the first half's part of the table, as a bad disk does; every block has one."""
        path = Path(self.in_first[table]) / file
        content = bytearray(path.read_bytes())
        for at in range(20, len(content), 50):
            content[at] ^= 4
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def halves(opened: Any) -> Halves:
    return Halves(opened)


@pytest.fixture
def mended(halves: Halves) -> Any:
    before = [Path(path) / "data.bin" for path in halves.in_first.values()]
    before += [Path(halves.in_first["traces"]) / BY_START, Path(halves.in_first["spans"]) / KEY_SETS]
    kept = {}
    for path in before:
        with contextlib.suppress(FileNotFoundError):  # a part that was merged is removed some time later
            kept[path] = path.read_bytes()
    yield
    for path, content in kept.items():
        with contextlib.suppress(FileNotFoundError):
            path.write_bytes(content)
    halves.opened.store._connections.write.run("SYSTEM DROP MARK CACHE")
    halves.opened.store._connections.write.run("SYSTEM DROP UNCOMPRESSED CACHE")


def hexes(ids: list[bytes]) -> set[str]:
    return {trace_id.hex() for trace_id in ids}


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("table", ["traces", "spans"])
def test_a_search_answers_the_rest_and_names_the_damaged_part(halves: Halves, table: str) -> None:
    reader = halves.opened.store.reader
    assert reader.find(SERVICE).complete
    halves.flip(table)
    page = reader.find(SERVICE)
    assert not page.complete
    assert f"of table {table} cannot be read" in page.reason
    assert hexes(halves.second) <= {trace.trace_id for trace in page.traces}
    assert not hexes(halves.first) & {trace.trace_id for trace in page.traces}


@pytest.mark.usefixtures("mended")
def test_the_newest_traces_are_those_of_the_rest_where_the_order_by_start_is_damaged(halves: Halves) -> None:
    reader = halves.opened.store.reader
    newest = Search(limit=1000)
    assert {one.trace_id for one in reader.find(newest).traces} == hexes([*halves.first, *halves.second, halves.both])
    halves.flip("traces", BY_START)
    page = reader.find(newest)
    assert not page.complete
    assert "of table traces cannot be read" in page.reason
    found = {trace.trace_id for trace in page.traces}
    assert hexes(halves.second) <= found
    assert not hexes(halves.first) & found
    assert reader.get(halves.first[0]), "a trace by its id does not need it"


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("name", ["data.bin", "primary.cidx"])
def test_completion_offers_what_the_rest_has_and_names_the_damaged_part(halves: Halves, name: str) -> None:
    completion, run = halves.opened.store.completion, halves.opened.store._connections.write.run
    (path,) = Path(halves.in_first["spans"]).glob(name)
    content = path.read_bytes()
    halves.flip("spans") if name == "data.bin" else path.write_bytes(bytes(len(content)))
    run("SYSTEM UNLOAD PRIMARY KEY spans")
    try:
        for found in (
            completion.attribute_keys(Search()),
            completion.attribute_values(Search(), ValuesAsked("of_resource", "service.name")),
        ):
            assert not found.complete
            assert "of table spans cannot be read" in found.reason
            assert [one.spans for one in found.found] == [301]
    finally:
        path.write_bytes(content)
        run("SYSTEM UNLOAD PRIMARY KEY spans")


@pytest.mark.usefixtures("mended")
def test_completion_looks_at_the_spans_of_the_rest_where_their_counted_keys_are_damaged(
    halves: Halves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 100)
    completion = halves.opened.store.completion
    keys = completion.attribute_keys(Search())
    assert (keys.complete, [one.spans for one in keys.found]) == (True, [602])
    halves.flip("spans", KEY_SETS)
    keys = completion.attribute_keys(Search())
    assert "of table spans cannot be read" in keys.reason
    assert [(one.key, one.spans) for one in keys.found] == [("service.name", 301)]
    question = halves.opened.store.reader.question()
    assert completion._services_with(Search(), ValuesAsked("attr", "nobody has it"), question) is None


@pytest.mark.usefixtures("mended")
def test_damage_is_logged_once_however_many_questions_meet_it(halves: Halves, caplog: pytest.LogCaptureFixture) -> None:
    halves.flip("traces")
    reader = type(halves.opened.store.reader)(halves.opened.store.reader._pool)
    for _ in range(3):
        assert not reader.find(SERVICE).complete
    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 1


@pytest.mark.usefixtures("mended")
def test_pages_over_damage_go_on_to_the_end(halves: Halves) -> None:
    halves.flip("traces")
    found: list[str] = []
    cursor = None
    while True:
        page = halves.opened.store.reader.find(Search(SERVICE.span, limit=50, cursor=cursor))
        assert not page.complete
        found += [trace.trace_id for trace in page.traces]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(hexes([*halves.second, halves.both]))


@pytest.mark.usefixtures("mended")
def test_a_page_is_found_though_the_bytes_of_its_traces_cannot_be_counted(halves: Halves) -> None:
    halves.flip("chunks")
    page = halves.opened.store.reader.find(SERVICE)
    assert "of table chunks cannot be read" in page.reason
    assert {trace.trace_id for trace in page.traces} == hexes([*halves.first, *halves.second, halves.both])
    assert {(trace.trace_id == halves.both.hex(), trace.spans) for trace in page.traces} == {(True, 2), (False, 1)}


@pytest.mark.usefixtures("mended")
def test_a_trace_by_its_id_is_what_can_be_read_and_says_what_is_missing(halves: Halves) -> None:
    reader = halves.opened.store.reader
    assert reader.read(halves.both).unreadable is None
    halves.flip("chunks")
    for trace_id, spans in ((halves.second[5], 1), (halves.both, 1), (halves.first[5], 0)):
        read = reader.read(trace_id)
        assert len(read.spans) == spans
        assert spans == 1 or "of table chunks" in str(read.unreadable)
    assert reader.spans_known(halves.first[5]) == 1
    assert reader.spans_known(halves.both) == 2
    assert reader.spans_known(os.urandom(16)) == 0


@pytest.mark.usefixtures("mended")
def test_names_come_from_the_parts_that_can_be_read_and_say_what_is_missing(halves: Halves) -> None:
    reader = halves.opened.store.reader
    assert reader.services().missing is None
    halves.flip("red")
    assert "damaged" in reader.services().found
    assert reader.operations("damaged").found == [("GET /", "server")]
    for names in (reader.services(), reader.operations("damaged")):
        assert "of table red cannot be read" in str(names.missing)


@pytest.mark.usefixtures("mended")
def test_what_is_usual_comes_from_the_parts_that_can_be_read_and_says_what_is_missing(halves: Halves) -> None:
    usual, operation = halves.opened.store.usual, Operation("damaged", "GET /")
    at = time.time_ns() + 120 * 10**9  # so that the minutes of all spans are over, and count by `red`
    whole = usual.durations([operation], at)
    assert (whole.found[operation, None].count, whole.missing) == (602, None)
    like = TracesLike(operation, 2, True, b"\1" * 16, 602)
    assert usual.within(like, [operation], at).missing is None
    for table in ("red", "spans"):
        halves.flip(table)
    half = usual.durations([operation], at)
    assert half.found[operation, None].count == 301
    assert f"part {Path(halves.in_first['red']).name} of table red" in half.missing
    within = usual.within(like, [operation], at)
    assert within.found[operation].traces == within.sampled == 200
    assert f"part {Path(halves.in_first['spans']).name} of table spans" in within.missing


@pytest.mark.usefixtures("mended")
def test_a_missing_file_is_damage_as_well(halves: Halves) -> None:
    (Path(halves.in_first["traces"]) / "data.bin").unlink()
    page = halves.opened.store.reader.find(SERVICE)
    assert "of table traces cannot be read" in page.reason
    assert hexes(halves.second) <= {trace.trace_id for trace in page.traces}


def test_a_failure_that_is_no_damage_is_not_hidden(halves: Halves) -> None:
    question = halves.opened.store.reader.question()
    with pytest.raises(EngineError, match=r"UNKNOWN_IDENTIFIER"):
        question.rows(
            "traces_listed", {"limit": "1"}, TRACE_SETS="1", TRACE_CONDITIONS="no_such_column", ORDER_OF_TRACES="s"
        )
    assert question.missing() is None


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("table", ["spans", "chunks", "traces"])
def test_a_damaged_part_stops_no_segment_that_has_to_be_looked_for(opened: Any, halves: Halves, table: str) -> None:
    """What cannot be read proves nothing; else everything that is in the log after a start would stay there for ever."""
    trace_id = os.urandom(16)
    segment = opened.segment([request([trace_id], service=f"beside {table}")])
    halves.flip(table)
    for path in Path(halves.in_first[table]).glob("proof*"):
        path.write_bytes(b"\0" * path.stat().st_size)
    for statement in ("chunks", "search"):
        opened.store.writer.ensure(segment, statement)
        opened.store.writer.ensure(segment, statement)
    found = opened.store.reader.find(Search((SpanCondition("service", "=", f"beside {table}"),)))
    assert [(trace.trace_id, trace.spans) for trace in found.traces] == [(trace_id.hex(), 1)]
    assert len(opened.store.reader.get(trace_id)) == 1
