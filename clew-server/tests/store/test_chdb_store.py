"""Writing and reading by id: nothing is lost, nothing is stored twice, odd times are kept, refusals are told apart."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from clew_server.model.otlp_read import trace_as_otlp
from clew_server.model.search import Search, SpanCondition
from clew_server.model.stored import StoredSpans
from clew_server.store import chdb_writer
from clew_server.store.chdb import ChdbStore
from clew_server.store.chdb_views import TABLES_OF
from clew_server.store.chdb_writer import proof_of
from clew_server.store.connections import EngineError
from clew_server.store.contract import SegmentFile, SegmentRefused, StoreFailed, StoreUnusable

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
COUNTS = (
    "SELECT (SELECT sum(length(res)) FROM chunks), (SELECT count() FROM spans), (SELECT sum(spans) FROM traces),"
    " (SELECT sum(n) FROM red)"
)


def simple(
    service: str = "cart",
    *,
    trace_id: bytes | None = None,
    spans: int = 1,
    start_unix_nano: int | None = None,
    duration_ns: int = SECOND,
    error: bool = False,
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    trace_id = trace_id or os.urandom(16)
    for _ in range(spans):
        start = time.time_ns() if start_unix_nano is None else start_unix_nano
        span = scope.spans.add(
            trace_id=trace_id, span_id=os.urandom(8), name="GET /", kind=2, start_time_unix_nano=start
        )
        span.end_time_unix_nano = start + duration_ns
        if error:
            span.status.code = 2
    return request


def id_of(request: ExportTraceServiceRequest) -> bytes:
    return request.resource_spans[0].scope_spans[0].spans[0].trace_id


def filled(message: Message, depth: int = 0) -> None:
    """Set every field the descriptor has; of a oneof every choice is made somewhere (see `any_values`)."""
    for field in message.DESCRIPTOR.fields:
        name = field.name
        if field.message_type is not None:
            if field.is_repeated:
                if field.message_type.full_name == AnyValue.DESCRIPTOR.full_name:
                    for value in any_values(depth + 1):
                        getattr(message, name).add().CopyFrom(value)
                elif field.message_type.name == "KeyValue":
                    for at, value in enumerate(any_values(depth + 1)):
                        pair = getattr(message, name).add(key=f"key{at}", key_strindex=at)
                        pair.value.CopyFrom(value)
                else:
                    for _ in range(2):
                        filled(getattr(message, name).add(), depth + 1)
            else:
                filled(getattr(message, name), depth + 1)
        else:
            value = plain(field)
            if field.is_repeated:
                getattr(message, name).extend([value, value])
            else:
                setattr(message, name, value)


def plain(field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return os.urandom({"trace_id": 16, "span_id": 8, "parent_span_id": 8}.get(field.name, 5))
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"{field.name} é\n\t'\\"
    if field.type == FieldDescriptor.TYPE_ENUM:
        return 2
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return 0.1
    return 1_700_000_000_000_000_000 if field.type == FieldDescriptor.TYPE_FIXED64 else 7


def any_values(depth: int) -> list[AnyValue]:
    values = [
        AnyValue(),
        AnyValue(string_value=""),
        AnyValue(string_value="x" * 20_000),
        AnyValue(bool_value=False),
        AnyValue(bool_value=True),
        AnyValue(int_value=0),
        AnyValue(int_value=-(2**63)),
        AnyValue(double_value=float("inf")),
        AnyValue(double_value=0.0),
        AnyValue(bytes_value=b"\0\xff"),
        AnyValue(string_value_strindex=3),
    ]
    if depth < 4:
        nested = AnyValue()
        filled(nested.array_value, depth + 1)
        lists = AnyValue()
        filled(lists.kvlist_value, depth + 1)
        values += [nested, lists]
    return values


def fields_set(message: Message, seen: set[str]) -> set[str]:
    for field, value in message.ListFields():
        seen.add(field.full_name)
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                fields_set(one, seen)
    return seen


def all_fields(descriptor: Descriptor, seen: set[str]) -> set[str]:
    for field in descriptor.fields:
        if field.full_name not in seen:
            seen.add(field.full_name)
            if field.message_type is not None:
                all_fields(field.message_type, seen)
    return seen


def test_every_field_of_otlp_and_unknown_ones_come_back_as_they_came(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    filled(request)
    assert fields_set(request, set()) == all_fields(ExportTraceServiceRequest.DESCRIPTOR, set())
    trace_id = os.urandom(16)
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.trace_id = trace_id
                unknown = b"\xc2\x3e\x03new"  # field 1000 of a span, length 3
                span.MergeFromString(unknown)
        group.resource.MergeFromString(b"\xc2\x3e\x03new")
    opened.put([request])
    back = ExportTraceServiceRequest.FromString(trace_as_otlp(opened.store.reader.get(trace_id)))

    def flat(whole: ExportTraceServiceRequest) -> list[tuple[bytes, str, bytes, str, bytes]]:
        return sorted(
            (
                group.resource.SerializeToString(),
                group.schema_url,
                scope.scope.SerializeToString(),
                scope.schema_url,
                span.SerializeToString(),
            )
            for group in whole.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        )

    assert flat(back) == flat(request)
    assert all(b"\xc2\x3e\x03new" in span and b"\xc2\x3e\x03new" in resource for resource, *_, span in flat(back))


def test_a_trace_that_is_not_there_is_empty(opened: Any) -> None:
    assert opened.store.reader.get(os.urandom(16)) == []


def test_a_segment_stored_again_changes_nothing_also_on_the_next_day(opened: Any) -> None:
    last_second = (time.time_ns() // DAY - 2) * DAY - SECOND
    requests = [simple(spans=3, error=True), simple(spans=2)]
    segment = opened.put(requests, arrival_unix_nano=last_second)
    before = opened.ask(COUNTS)
    # The mark, not the clock, says the day: whenever it is stored again, it is the same block of the same partition.
    for _ in range(2):
        for statement in ("search", "chunks", "search"):
            opened.store.writer.ensure(segment, statement)
    assert opened.ask(COUNTS) == before
    assert len(set(before[0])) == 1
    assert len(opened.store.reader.get(id_of(requests[0]))) == 3


SEARCH_TABLES = TABLES_OF["search"].tables


@pytest.mark.parametrize(
    ("statement", "there"),
    [
        *(("search", set(SEARCH_TABLES) - {table}) for table in SEARCH_TABLES),
        *(("search", {"spans", table}) for table in SEARCH_TABLES[1:]),
        ("search", {"red"}),
        *(("chunks", set(TABLES_OF["chunks"].tables) - {table}) for table in TABLES_OF["chunks"].tables),
        ("chunks", set()),
        ("search", set()),
    ],
)
def test_what_a_failed_attempt_left_out_is_stored_and_what_it_stored_is_not_stored_twice(
    opened: Any, statement: Any, there: set[str]
) -> None:
    """The attempt that reached some tables only is made with the chain of views that leads nowhere else."""
    writer = opened.store.writer
    service = f"half {statement} {sorted(there)}"
    segment = opened.segment([simple(service, spans=3), simple(service), ExportTraceServiceRequest()])
    if there:
        writer._repair.run(statement, sorted(there), lambda source: writer._insert(segment, statement, source))
    all_tables = TABLES_OF[statement].tables
    assert set(writer._missing(segment, statement)) == set(all_tables) - there
    for _ in range(2):
        writer.ensure(segment, statement)
        assert writer._missing(segment, statement) == []
    if statement == "search":
        ours = f"WHERE service='{service.replace(chr(39), chr(92) + chr(39))}'"
        sums = opened.ask(
            f"SELECT (SELECT count() FROM spans {ours}), (SELECT sum(spans) FROM traces WHERE has(services,'{service.replace(chr(39), chr(92) + chr(39))}')),"
            f" (SELECT sum(n) FROM red {ours}), (SELECT uniqExact(res_key) FROM resources {ours})"
        )
        assert sums == [["4", "4", "4", "1"]]
    else:
        assert opened.ask(f"SELECT count() FROM chunks WHERE proof={proof_of(segment.token)}") == [["1"]]
        assert len(opened.store.reader.get(id_of_segment(segment))) == 3
    assert opened.ask("SELECT count() FROM system.tables WHERE startsWith(name,'repair_')") == [["0"]]
    writer.ensure(segment, "chunks" if statement == "search" else "search")


@pytest.mark.parametrize(
    ("table", "file"),
    [
        *itertools.product(["chunks", "spans", "red"], ["data.bin", "primary.cidx", "columns.txt", "count.txt"]),
        *itertools.product(["traces"], ["by_start.proj/data.bin", "by_start.proj/columns.txt"]),
    ],
)
def test_a_part_that_the_disk_did_not_take_whole_is_noticed_at_once_and_stored_again(
    opened: Any, monkeypatch: pytest.MonkeyPatch, table: str, file: str
) -> None:
    """The engine counts a write() that fails and goes on: the part gets its name and is short. Cut here right after the insert."""
    writer = opened.store.writer
    statement: Any = "chunks" if table == "chunks" else "search"
    service = f"short {table} {file}"
    segment = opened.segment([simple(service, spans=3)])
    run = writer._run

    def cut_after(sql: str) -> None:
        run(sql)
        if sql.startswith(("INSERT", "--")):
            ((path,),) = opened.ask(
                f"SELECT path FROM system.parts WHERE active AND table='{table}' AND min_block_number=max_block_number"
                " ORDER BY modification_time DESC, min_block_number DESC LIMIT 1"
            )
            (Path(path) / file).write_bytes(b"")

    for stopped in TABLES_OF[statement].tables:
        opened.store._connections.write.run(f"SYSTEM STOP MERGES {stopped}")
    with monkeypatch.context() as patched:
        patched.setattr(writer, "_run", cut_after)
        patched.setattr(chdb_writer, "failed_writes", lambda pool: writer._failed_writes + 1)
        with pytest.raises(StoreFailed, match="disk"):
            writer.write(segment, statement)
    assert writer._missing(segment, statement) == [table]
    writer.ensure(segment, statement)
    assert writer._missing(segment, statement) == []
    writer.ensure(segment, "chunks" if statement == "search" else "search")
    for started in TABLES_OF[statement].tables:
        opened.store._connections.write.run(f"SYSTEM START MERGES {started}")
    (trace,) = opened.store.reader.find(Search(span=(SpanCondition("service", "=", service),))).traces
    assert trace.spans == len(opened.store.reader.get(id_of_segment(segment))) == 3


def id_of_segment(segment: SegmentFile) -> bytes:
    """The trace id of its first span."""
    data = segment.path.read_bytes()
    return data[(at := data.index(b"\x0a\x10") + 2) : at + 16]


@pytest.mark.parametrize(
    "start_unix_nano",
    [0, 1, 1_680_000_000 * SECOND, 946_684_800 * SECOND - 1, 4_102_444_800 * SECOND, 2**64 - 1 - SECOND],
)
def test_a_span_of_an_odd_time_is_stored_once_and_found(opened: Any, start_unix_nano: int) -> None:
    service = f"odd {start_unix_nano}"
    request = simple(service, start_unix_nano=start_unix_nano)
    opened.put([request])
    assert len(opened.store.reader.get(id_of(request))) == 1
    page = opened.store.reader.find(Search(span=(SpanCondition("service", "=", service),)))
    assert [trace.trace_id for trace in page.traces] == [id_of(request).hex()]
    assert page.traces[0].duration_ns == (SECOND if start_unix_nano else 0)


def test_spans_over_more_than_ninety_days_are_found_and_are_one_trace(opened: Any) -> None:
    trace_id, now = os.urandom(16), time.time_ns()
    requests = [simple("long", trace_id=trace_id, start_unix_nano=now - days * DAY) for days in (0, 1, 100, 500)]
    opened.put(requests)
    (trace,) = opened.store.reader.find(Search(span=(SpanCondition("service", "=", "long"),))).traces
    assert (trace.spans, trace.start_unix_nano, trace.duration_ns) == (4, now - 500 * DAY, 500 * DAY + SECOND)


def test_a_duration_beyond_all_clocks_does_not_hide_the_trace(opened: Any) -> None:
    request = simple("endless", start_unix_nano=time.time_ns(), duration_ns=0)
    request.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano = 2**64 - 1
    opened.put([request])
    search = Search(span=(SpanCondition("service", "=", "endless"),), to_unix_nano=time.time_ns() + DAY)
    assert len(opened.store.reader.find(search).traces) == 1


def test_the_same_span_in_two_requests_counts_once_by_id_and_in_a_listed_trace(opened: Any) -> None:
    once = simple("twice", spans=2, error=True)
    more = simple("twice", trace_id=id_of(once))
    more.resource_spans[0].scope_spans[0].spans.extend(once.resource_spans[0].scope_spans[0].spans)
    opened.put([once])
    opened.put([more])
    assert len(StoredSpans(opened.store.reader.get(id_of(once))).distinct()) == 3
    (trace,) = opened.store.reader.find(Search(span=(SpanCondition("service", "=", "twice"),))).traces
    assert (trace.spans, trace.errors) == (3, 2)


def test_two_different_spans_with_one_id_both_stay(opened: Any) -> None:
    request = simple()
    first = request.resource_spans[0].scope_spans[0].spans[0]
    second = request.resource_spans[0].scope_spans[0].spans.add()
    second.CopyFrom(first)
    second.name = "another"
    opened.put([request])
    assert len(StoredSpans(opened.store.reader.get(first.trace_id)).distinct()) == 2


def broken_inside() -> bytes:
    span = Span(trace_id=os.urandom(16), span_id=b"12345678").SerializeToString() + b"\x2a\x7fshort"
    scope_spans = b"\x12" + bytes([len(span)]) + span
    group = b"\x12" + bytes([len(scope_spans)]) + scope_spans
    return b"\x0a" + bytes([len(group)]) + group


@pytest.mark.parametrize(
    ("damage", "statement"),
    [
        (lambda segment: segment[:-5], "chunks"),
        (lambda segment: segment[:-5], "search"),
        (lambda segment: segment + b"\x05\xff\xff\xff\xff\xff", "search"),
    ],
)
def test_a_record_the_engine_cannot_read_is_refused_and_nothing_is_stored(
    opened: Any, damage: Callable[[bytes], bytes], statement: Any
) -> None:
    segment = opened.segment([simple(), simple()])
    segment.path.write_bytes(damage(segment.path.read_bytes()))
    before = opened.ask(COUNTS)
    with pytest.raises(SegmentRefused):
        opened.store.writer.write(segment, statement)
    assert opened.ask(COUNTS) == before


def test_a_span_broken_inside_is_refused_by_the_search_form(opened: Any) -> None:
    segment = opened.segment([simple(), broken_inside()])
    before = opened.ask(COUNTS)
    with pytest.raises(SegmentRefused):
        opened.store.writer.write(segment, "search")
    assert opened.ask(COUNTS) == before


def test_a_file_that_is_not_there_is_a_failure_to_repeat_not_a_refusal(opened: Any) -> None:
    with pytest.raises(StoreFailed):
        opened.store.writer.write(SegmentFile(opened.folder / "absent.otlp", "absent"), "chunks")


@pytest.mark.parametrize("name", ["br{a,b}", "st*r", "why?", "we:ird"])
def test_a_path_the_engine_reads_as_a_pattern_is_refused_before_anything_is_lost(
    opened: Any, tmp_path: Path, name: str
) -> None:
    """Such a path matches no file, and the statement stores nothing without a word."""
    folder = tmp_path / name
    with pytest.raises(StoreUnusable, match="pattern"):
        ChdbStore(folder / "chdb", schema_folder=folder / "schema").open()
    with pytest.raises(StoreFailed, match="pattern"):
        opened.store.writer.write(SegmentFile(folder / "1.otlp", "1"), "chunks")
    assert not folder.exists()


@pytest.mark.parametrize("output", ["TSV", "RowBinary", "JSONCompactEachRow"])
def test_rows_of_a_statement_that_failed_are_not_in_the_next_answer(opened: Any, output: str) -> None:
    assert opened.store._connections is not None
    pool = opened.store._connections.read
    late = "SELECT number, throwIf(number>=150000) FROM numbers(200000) SETTINGS max_block_size=1000, max_threads=1"
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(EngineError):
                pool.run(late, None, output)
        for number in range(5):
            assert pool.run(f"SELECT {number}", None, "TSV") == f"{number}\n".encode()


def test_closing_ends_what_still_runs(tmp_path: Path) -> None:
    """In a process of its own: this one has a store open. An interpreter that ends while a query runs crashes."""
    program = (
        "import pathlib, sys, threading, time\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from conftest import StoreUnderTest\n"
        "from clew_server.errors import Unavailable\n"
        "from clew_server.store.contract import StoreFailed\n"
        "one = StoreUnderTest(pathlib.Path(sys.argv[1]))\n"
        "one.store.open()\n"
        "def ask():\n"
        "    try: one.ask('SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number)=1')\n"
        "    except (StoreFailed, Unavailable): print('ended', flush=True)\n"
        "thread = threading.Thread(target=ask)\n"
        "thread.start()\n"
        "while one.store._connections.read._waiting == 0: time.sleep(0.01)\n"
        "one.store.close()\n"
        "thread.join()\n"
        "print('closed')\n"
    )
    here = str(Path(__file__).parent)
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), here], capture_output=True, text=True, timeout=100
    )
    assert (answer.stdout.split(), answer.returncode) == (["ended", "closed"], 0), answer.stderr


def test_runs_of_a_segment_have_tokens_of_their_own(opened: Any) -> None:
    requests = [simple("runs"), simple("runs")]
    for at, request in enumerate(requests):
        run = opened.segment([request])
        for _ in range(2):
            for statement in ("chunks", "search"):
                opened.store.writer.ensure(SegmentFile(run.path, f"whole/{at}-{at}"), statement)
    assert len(opened.store.reader.find(Search(span=(SpanCondition("service", "=", "runs"),))).traces) == 2


def test_the_form_of_a_group_without_scope_or_resource_comes_back(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    bare = ResourceSpans()
    bare.scope_spans.add().spans.add(trace_id=os.urandom(16), span_id=b"12345678", name="bare")
    request.resource_spans.append(bare)
    opened.put([request])
    assert trace_as_otlp(opened.store.reader.get(id_of(request))) == request.SerializeToString()


def test_the_sums_of_all_forms_agree_and_nothing_lies_in_the_working_directory(opened: Any) -> None:
    (counts,) = opened.ask(COUNTS)
    assert len(set(counts)) == 1
    assert int(counts[0]) == opened.store.maintenance.statistics().stored_spans
    assert not Path("__cache__").exists()


def test_an_open_folder_is_refused_to_a_second_process(opened: Any) -> None:
    program = (
        "import pathlib, sys\n"
        "from clew_server.store.chdb import ChdbStore\n"
        "from clew_server.store.contract import StoreUnusable\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n    ChdbStore(folder / 'chdb', schema_folder=folder / 'schema').open()\n"
        "except StoreUnusable:\n    print('refused')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(opened.folder)], capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.strip() == "refused", answer.stderr


def test_a_closed_store_opens_again_with_all_its_spans_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    """In a process of its own: this one has a store open."""
    program = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from conftest import StoreUnderTest\n"
        "from test_chdb_store import simple, id_of\n"
        "from clew_server.store.contract import StoreUnusable\n"
        "one = StoreUnderTest(pathlib.Path(sys.argv[1]))\n"
        "one.store.open()\n"
        "request = simple()\n"
        "one.put([request])\n"
        "one.store.close()\n"
        "one.store.close()\n"
        "one.store.open()\n"
        "print(len(one.store.reader.get(id_of(request))))\n"
        "one.store._connections.write.run(\"INSERT INTO schema_steps VALUES (9999, 'future')\")\n"
        "one.store.close()\n"
        "try:\n    one.store.open()\n"
        "except StoreUnusable as error:\n    print('newer' in str(error))\n"
    )
    here = str(Path(__file__).parent)
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), here], capture_output=True, text=True, timeout=100
    )
    assert answer.stdout.split() == ["1", "True"], answer.stderr


OLD_FOLDER = """
import sys
from clew_server.store import chdb_views, migrate
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import SegmentFile
from pathlib import Path
old = tuple(step for step in migrate.steps() if step.number < 8)
migrate.steps = lambda: old
chdb_views.TABLES_OF["chunks"] = chdb_views.Target("raw_in", ("chunks", "resources_raw", "scopes_raw"))
store = ChdbStore(Path(sys.argv[1]) / "chdb", schema_folder=Path(sys.argv[1]) / "schema")
store.open()
for path, statement in zip(sys.argv[2::2], sys.argv[3::2]):
    store.writer.write(SegmentFile(Path(path), Path(path).name), statement)
store.close()
"""


def test_a_folder_of_an_older_schema_shows_what_it_holds_and_takes_what_its_log_still_has(
    opened: Any, tmp_path: Path
) -> None:
    """One segment is stored in both forms, of another only the bytes by trace: by tables that are no longer written."""
    stored, half = simple("old", spans=2), simple("older", spans=3)
    stored.resource_spans[0].scope_spans[0].scope.name = half.resource_spans[0].scope_spans[0].scope.name = "library"
    segments = [opened.segment([stored]), opened.segment([half])]
    arguments = [str(segments[0].path), "chunks", str(segments[0].path), "search", str(segments[1].path), "chunks"]
    subprocess.run([sys.executable, "-c", OLD_FOLDER, str(tmp_path), *arguments], check=True, timeout=120)
    check = (
        "import sys; from pathlib import Path\n"
        "from clew_server.store.chdb import ChdbStore\n"
        "from clew_server.store.contract import SegmentFile\n"
        "from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope\n"
        "folder, first, second, *ids = sys.argv[1:]\n"
        "store = ChdbStore(Path(folder) / 'chdb', schema_folder=Path(folder) / 'schema')\n"
        "store.open()\n"
        "one = SegmentFile(Path(second), Path(second).name)\n"
        "assert store.reader.services().found == ['old']\n"
        "assert store.reader.operations('old').found == [('GET /', 'server')]\n"
        "for is_missing in (True, False):\n"
        "    read = [store.reader.get(bytes.fromhex(i)) for i in ids]\n"
        "    assert [len(r) for r in read] == [2, 3], read\n"
        "    assert {InstrumentationScope.FromString(s.scope).name for r in read for s in r} == {'library'}\n"
        "    assert [b'old' in s.resource for r in read for s in r] == [True] * 5\n"
        "    assert [store.writer.ensure(one, form) for form in ('chunks', 'search')] == [is_missing] * 2\n"
        "assert store.reader.services().found == ['old', 'older']\n"
        "store.close()\n"
    )
    ids = [request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex() for request in (stored, half)]
    arguments = [str(tmp_path), *(str(segment.path) for segment in segments), *ids]
    subprocess.run([sys.executable, "-c", check, *arguments], check=True, timeout=120)


def test_the_state_of_a_trace_changes_when_its_spans_do_and_not_by_merges(opened: Any) -> None:
    request = simple()
    trace = id_of(request)
    reader = opened.store.reader
    states = [reader.state(trace)]
    for _ in range(3):
        opened.put([request])
        states.append(reader.state(trace))
        opened.put([simple()])
        assert reader.state(trace) == states[-1]
    assert len(set(states)) == 4
    assert reader.read(trace).state == states[-1]
    opened.ask("OPTIMIZE TABLE chunks FINAL")
    assert reader.state(trace) == states[-1]


def test_a_span_whose_resource_is_not_there_is_read_and_named(opened: Any) -> None:
    request = simple()
    request.resource_spans[0].resource.attributes.add(key="unique").value.string_value = os.urandom(8).hex()
    opened.put([request])
    raw = request.resource_spans[0].resource.SerializeToString().hex()
    opened.store._connections.write.run(
        f"ALTER TABLE origins DELETE WHERE raw=unhex('{raw}') SETTINGS mutations_sync=1"
    )
    found = opened.store.reader.read(id_of(request))
    assert found.without_origin == [0]
    assert [one.resource for one in found.spans] == [b""]
    opened.put([request])
    assert opened.store.reader.read(id_of(request)).without_origin == []
