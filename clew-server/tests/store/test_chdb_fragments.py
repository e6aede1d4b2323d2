"""Fragments in the store: found by their events, shown with their trace, counted nowhere, proved and repaired like spans."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search, SpanCondition
from clew_server.model.trace import trace_from_spans
from clew_server.receivers.contract import PROTOBUF
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.signals import LOGS
from clew_server.store.chdb_views import TABLES_OF

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FIGURES = (
    "SELECT (SELECT sum(spans) FROM traces), (SELECT sum(errors) FROM traces), (SELECT sum(n) FROM red),"
    " (SELECT sum(errors) FROM red)"
)


def trace(service: str, *span_ids: bytes, trace_id: bytes, failed: bool = False) -> ExportTraceServiceRequest:
    """A server span and its children."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    start = time.time_ns()
    for number, span_id in enumerate(span_ids):
        span = scope.spans.add(trace_id=trace_id, span_id=span_id, name=f"op {number}", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = start + number, start + number + SECOND
        span.parent_span_id = span_ids[0] if number else b""
        if failed:
            span.status.code = 2
    return request


def log(service: str, trace_id: bytes, *span_ids: bytes, name: str = "exception", at_unix_nano: int = 0) -> bytes:
    """What is written to the log for records of these spans."""
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    records = group.scope_logs.add().log_records
    for span_id in span_ids:
        record = records.add(trace_id=trace_id, span_id=span_id, event_name=name, severity_text="ERROR")
        record.time_unix_nano = at_unix_nano or time.time_ns()
        record.attributes.add(key="exception.type").value.string_value = f"{service}.Broken"
    batch = decode_otlp(message.SerializeToString(), PROTOBUF, LOGS)
    assert batch.fragments == len(span_ids)
    return batch.request


def found(opened: Any, *conditions: SpanCondition) -> list[str]:
    return [one.trace_id for one in opened.store.reader.find(Search(span=conditions)).traces]


def event(value: str, key: str = "") -> SpanCondition:
    return SpanCondition("event", "=", value, key)


@pytest.mark.parametrize("order", ["with it", "before it", "after it", "a day after it"])
def test_a_fragment_is_found_with_its_span_and_counts_nowhere(opened: Any, order: str) -> None:
    service, trace_id, ids = f"shop {order}", os.urandom(16), [os.urandom(8) for _ in range(3)]
    span_request = trace(service, *ids, trace_id=trace_id, failed=True)
    fragment = log(f"logger of {service}", trace_id, ids[1])
    before, stored_before = opened.ask(FIGURES)[0], opened.store.maintenance.statistics().stored_spans
    now = time.time_ns()
    if order == "with it":
        opened.put([fragment, span_request])
    else:
        requests: list[Any] = [fragment, span_request] if order == "before it" else [span_request, fragment]
        for at, one in enumerate(requests):
            opened.put([one], now - DAY + at * DAY if order == "a day after it" else now)
    assert [int(a) - int(b) for a, b in zip(opened.ask(FIGURES)[0], before, strict=True)] == [3, 3, 3, 3]
    assert opened.store.maintenance.statistics().stored_spans - stored_before == 3
    assert opened.store.maintenance.losses(()) == []
    names = opened.store.reader
    assert service in names.services().found
    assert f"logger of {service}" not in names.services().found
    assert names.operations(f"logger of {service}").found == []

    listed = opened.store.reader.find(Search(span=(SpanCondition("service", "=", service),))).traces
    assert [(one.trace_id, one.services, one.has_root, one.root_name) for one in listed] == [
        (trace_id.hex(), (service,), True, "op 0")
    ]
    assert (listed[0].spans, listed[0].errors, listed[0].duration_ns) == (3, 3, SECOND + 2)

    broken = event(f"logger of {service}.Broken", "exception.type")
    assert found(opened, broken) == [trace_id.hex()]
    assert found(opened, broken, event("exception"), SpanCondition("name", "=", "op 1")) == [trace_id.hex()]
    assert found(opened, broken, SpanCondition("name", "=", "op 2")) == []
    assert found(opened, broken, event("log", "clew.from"), SpanCondition("service", "=", service)) == [trace_id.hex()]
    assert found(opened, SpanCondition("service", "=", f"logger of {service}")) == []
    assert found(opened, event("no such event"), SpanCondition("service", "=", service)) == []
    whole = trace_from_spans(opened.store.reader.get(trace_id))
    assert (len(whole), whole.awaited) == (3, 0)


def test_events_of_spans_are_found_by_name_and_attribute(opened: Any) -> None:
    service, trace_id = "eventful", os.urandom(16)
    request = trace(service, *[os.urandom(8) for _ in range(2)], trace_id=trace_id)
    for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
        one = span.events.add(name=f"happened {number}")
        one.attributes.add(key="odd'key").value.int_value = number
    opened.put([request])
    for number in range(2):
        assert found(opened, event(f"happened {number}")) == [trace_id.hex()]
        assert found(opened, event(str(number), "odd'key"), event(f"happened {number}")) == [trace_id.hex()]
        assert found(opened, event(str(number), "odd'key"), event(f"happened {1 - number}")) == []


def test_a_trace_of_fragments_only_is_none(opened: Any) -> None:
    trace_id = os.urandom(16)
    before = opened.ask(FIGURES)
    opened.put([log("lonely", trace_id, os.urandom(8))])
    assert opened.ask(FIGURES) == before
    assert found(opened, event("lonely.Broken", "exception.type")) == []
    assert trace_id.hex() not in found(opened)
    assert opened.store.reader.spans_known(trace_id) == 0
    whole = trace_from_spans(opened.store.reader.get(trace_id))
    assert (len(whole), whole.awaited) == (0, 1)
    assert opened.store.maintenance.losses(()) == []


def test_counts_of_a_page_leave_fragments_out_also_where_spans_came_twice(opened: Any) -> None:
    service, trace_id, ids = "twice", os.urandom(16), [os.urandom(8) for _ in range(3)]
    request = trace(service, *ids, trace_id=trace_id, failed=True)
    mixed = trace(service, ids[0], trace_id=trace_id)  # the same id again, and this one did not fail
    fragment = log(service, trace_id, *ids)
    for one in (request, fragment, request, mixed, fragment, log(service, trace_id, ids[0])):
        opened.put([one])
    (listed,) = opened.store.reader.find(Search(span=(SpanCondition("service", "=", service),))).traces
    assert (listed.spans, listed.errors) == (4, 3)
    assert len(trace_from_spans(opened.store.reader.get(trace_id))) == 4


def _insert(writer: Any, segment: Any, statement: Any, source: str) -> None:
    writer._insert(segment, statement, source)


@pytest.mark.parametrize("statement", ["search", "chunks"])
@pytest.mark.parametrize("there", [None, "first", "last"])
def test_a_segment_of_fragments_is_proved_in_every_table_and_repaired(
    opened: Any, statement: Any, there: str | None
) -> None:
    """Also where a fragment is the segment's first row, which carries the proof."""
    writer, all_tables = opened.store.writer, TABLES_OF[statement].tables
    for with_span in (False, True):
        service, trace_id, span_id = f"proof {statement} {there} {with_span}", os.urandom(16), os.urandom(8)
        requests: list[Any] = [log(service, trace_id, span_id)]
        if with_span:
            requests.append(trace(service, span_id, trace_id=trace_id))
        segment = opened.segment(requests)
        before = opened.ask(FIGURES)[0]
        if there is not None:
            tables = [all_tables[0 if there == "first" else -1]]
            writer._repair.run(statement, tables, partial(_insert, writer, segment, statement))
            assert set(writer._missing(segment, statement)) == set(all_tables) - set(tables)
        assert writer.ensure(segment, statement) is True
        assert writer.ensure(segment, statement) is False
        other = "chunks" if statement == "search" else "search"
        writer.write(segment, other)
        assert [int(a) - int(b) for a, b in zip(opened.ask(FIGURES)[0], before, strict=True)] == [
            int(with_span),
            0,
            int(with_span),
            0,
        ]
        assert found(opened, event(f"{service}.Broken", "exception.type")) == [trace_id.hex()] * with_span


def test_any_client_may_send_fragments_and_odd_ones_count_nowhere_either(opened: Any) -> None:
    """A fragment is known by its attribute alone: this one has all that a span has."""
    service, trace_id, span_id = "whole", os.urandom(16), os.urandom(8)
    odd = trace(service, span_id, trace_id=trace_id, failed=True)
    odd.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="other").value.int_value = 1
    odd.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="clew.fragment").value.bool_value = True
    odd.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000 * SECOND
    before = opened.ask(FIGURES)
    opened.put([odd])
    assert opened.ask(FIGURES) == before
    assert found(opened, SpanCondition("service", "=", service)) == []
    opened.put([trace(service, span_id, trace_id=trace_id)])
    (listed,) = opened.store.reader.find(Search(span=(SpanCondition("service", "=", service),))).traces
    assert (listed.spans, listed.errors, listed.duration_ns) == (1, 0, SECOND)


STEP_8 = """
import sys
from clew_server.store import chdb_views, migrate
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import SegmentFile
from pathlib import Path
old = tuple(step for step in migrate.steps() if step.number < 9)
migrate.steps = lambda: old
store = ChdbStore(Path(sys.argv[1]) / "chdb", schema_folder=Path(sys.argv[1]) / "schema")
store.open()
for path in sys.argv[2:]:
    for statement in ("chunks", "search"):
        store.writer.write(SegmentFile(Path(path), Path(path).name), statement)
store.close()
"""

NOW = """
import sys
from clew_server.model.trace import trace_from_spans
from clew_server.model.search import Search, SpanCondition
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import SegmentFile
from pathlib import Path
folder, first, second, trace_id = sys.argv[1:]
store = ChdbStore(Path(folder) / "chdb", schema_folder=Path(folder) / "schema")
store.open()
old, new = (SegmentFile(Path(path), Path(path).name) for path in (first, second))
for statement in ("chunks", "search"):
    assert store.writer.ensure(old, statement) is False
    assert store.writer.ensure(new, statement) is True
page = store.reader.find(Search(span=(SpanCondition("event", "=", "exception"), SpanCondition("name", "=", "op 1"))))
assert [(one.trace_id, one.spans) for one in page.traces] == [(trace_id, 2)], page
whole = trace_from_spans(store.reader.get(bytes.fromhex(trace_id)))
assert (len(whole), whole.awaited) == (2, 0)
assert store.reader.services().found == ["old"]
assert store.maintenance.statistics().stored_spans == 2
assert store.maintenance.losses(()) == []
store.close()
"""


def test_a_folder_of_the_schema_before_takes_fragments_of_the_spans_it_holds(opened: Any, tmp_path: Path) -> None:
    trace_id, ids = os.urandom(16), [os.urandom(8) for _ in range(2)]
    first = opened.segment([trace("old", *ids, trace_id=trace_id)])
    second = opened.segment([log("new", trace_id, ids[1])])
    subprocess.run([sys.executable, "-c", STEP_8, str(tmp_path), str(first.path)], check=True, timeout=120)
    arguments = [str(tmp_path), str(first.path), str(second.path), trace_id.hex()]
    subprocess.run([sys.executable, "-c", NOW, *arguments], check=True, timeout=120)
