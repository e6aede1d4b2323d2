"""From the log to the store: in time, in order, again and again until it is in, and never two ways."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record
from clew_server.collector.wal import Wal
from clew_server.collector.writer import Writer
from clew_server.errors import Unavailable
from clew_server.store.contract import RecordRefused, SegmentFile, Statement, StoreFailed


class ScriptedStore:
    """A TraceWriter that keeps what it is given by token, and fails as it is told."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, Statement], bytes] = {}
        self.calls: list[tuple[str, Statement]] = []
        self.failures: list[Exception] = []
        self.strict = False
        self.gate = threading.Event()
        self.gate.set()

    def write(self, segment: SegmentFile, statement: Statement) -> None:
        assert self.gate.wait(20)
        self.calls.append((segment.token, statement))
        if self.failures:
            raise self.failures.pop(0)
        data = segment.path.read_bytes()
        found = record.scan(data)
        assert found.end == len(data)
        if self.strict and statement == "search":
            for one in found.records:
                try:
                    ExportTraceServiceRequest.FromString(data[one.body : one.mark])
                except Exception as error:
                    raise RecordRefused("code 444") from error
        self.stored[segment.token, statement] = data


StartWriter = Callable[..., Writer]


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator[StartWriter]:
    writers: list[Writer] = []

    def start(wal: Wal, store: ScriptedStore, **options: Any) -> Writer:
        options = {"flush_after_s": 60.0, "first_retry_s": 0.01, **options}
        writer = Writer(wal, store, dead_letter_folder=tmp_path / "dead-letter", **options)
        writer.start()
        writers.append(writer)
        return writer

    yield start
    for writer in writers:
        writer.stop()


def put(wal: Wal, body: bytes, spans: int = 1) -> None:
    wal.append(body, spans, wal.body_hash(body)).result(10)


def test_flush_returns_when_both_forms_are_stored_and_the_segment_is_gone(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    writer = start_writer(wal, store)
    put(wal, request_of(1, 3), 3)
    name = wal.segments()[0].name
    asyncio.run(writer.flush(10))
    assert store.calls == [(name, "chunks"), (name, "search")]
    assert store.stored[name, "chunks"] == store.stored[name, "search"]
    assert wal.segments() == []
    assert not list(wal.folder.glob("*.otlp"))
    figures = writer.statistics()
    assert (figures.stored_spans, figures.backlog_bytes, figures.backlog_spans, figures.oldest_unstored_ms) == (
        3,
        0,
        0,
        0,
    )
    asyncio.run(writer.flush(0.0))  # nothing to wait for


def test_flush_says_when_its_time_is_over(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    store.gate.clear()
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    with pytest.raises(Unavailable, match="not stored within"):
        asyncio.run(writer.flush(0.05))
    assert writer.statistics().backlog_spans == 1
    store.gate.set()
    asyncio.run(writer.flush(10))


def test_a_lone_span_is_stored_when_its_time_has_come(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    start_writer(wal, store, flush_after_s=0.05)
    began = time.monotonic()
    put(wal, request_of(1))
    with wal.changed:
        assert wal.changed.wait_for(lambda: not wal.segments(), 10)
    assert time.monotonic() - began >= 0.05
    assert len(store.stored) == 2


def test_many_spans_do_not_wait_for_the_time(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    start_writer(wal, store, flush_spans=10)
    put(wal, request_of(1, 10), 10)
    with wal.changed:
        assert wal.changed.wait_for(lambda: not wal.segments(), 10)
    assert len(store.stored) == 2


def test_an_idle_writer_uses_no_processor_time(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    start_writer(wal, store)
    put(wal, request_of(1))
    # These threads only: an engine another test opened may still have some of its own in this process.
    clocks = [
        time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.ident and t.name.startswith("clew-w")
    ]
    assert len(clocks) == 3
    began = sum(map(time.clock_gettime, clocks))
    threading.Event().wait(0.3)
    assert sum(map(time.clock_gettime, clocks)) - began < 0.03


def test_a_failure_is_repeated_whole_with_the_same_token_until_it_works(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    store.failures = [StoreFailed("memory"), StoreFailed("disk"), RuntimeError("anything")]
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    name = wal.segments()[0].name
    asyncio.run(writer.flush(20))
    assert store.calls == [(name, "chunks")] * 4 + [(name, "search")]
    assert writer.statistics().failures == 3
    assert writer.statistics().last_error == "RuntimeError: anything"


def test_a_refusal_our_parser_does_not_share_is_repeated_like_any_failure(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
) -> None:
    wal = open_wal()
    store.failures = [RecordRefused("code 33")]
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    asyncio.run(writer.flush(20))
    assert [statement for _, statement in store.calls] == ["chunks", "chunks", "search"]
    assert not (tmp_path / "dead-letter").exists()


# Field 1 with a span inside whose name is not UTF-8: readable one level deep, refused by the generated parser.
BROKEN = bytes.fromhex("0a07 1205 1203 2a01ff")


def test_a_broken_record_is_set_aside_and_the_rest_goes_in_as_runs(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
) -> None:
    wal = open_wal()
    store.strict = True
    for body in (request_of(0), request_of(1), BROKEN, request_of(3), BROKEN):
        put(wal, body)
    name = wal.segments()[0].name
    writer = start_writer(wal, store)
    asyncio.run(writer.flush(20))
    assert store.calls == [(name, "chunks"), (name, "search"), (f"{name}/0-1", "search"), (f"{name}/3-3", "search")]
    kept = b"".join(store.stored[token, "search"] for token in (f"{name}/0-1", f"{name}/3-3"))
    assert [kept[one.body : one.mark] for one in record.scan(kept).records] == [
        request_of(0),
        request_of(1),
        request_of(3),
    ]
    folder = tmp_path / "dead-letter"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}-00000{number}.{kind}" for number in (2, 4) for kind in ("json", "otlp")
    ]
    (dead,) = record.scan((folder / f"{name}-000002.otlp").read_bytes()).records
    assert dead.sequence == 2
    reason = json.loads((folder / f"{name}-000002.json").read_text())
    assert (reason["segment"], reason["record"], reason["spans"]) == (name, 2, 1)
    assert reason["reason"]
    figures = writer.statistics()
    assert (figures.dead_letter_spans, figures.stored_spans) == (2, 3)
    assert wal.segments() == []
    assert not list(wal.folder.glob("*.part"))


def test_a_failure_amid_a_split_repeats_the_same_split(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    for body in (request_of(0), BROKEN, request_of(2)):
        put(wal, body)
    name = wal.segments()[0].name
    store.failures = [RecordRefused("444"), StoreFailed("disk"), RecordRefused("444")]
    writer = start_writer(wal, store, threads=1)
    asyncio.run(writer.flush(20))
    assert [token for token, statement in store.calls if statement == "chunks"] == [
        name,
        f"{name}/0-0",
        name,
        f"{name}/0-0",
        f"{name}/2-2",
    ]
    assert writer.statistics().dead_letter_spans == 1


def test_what_an_earlier_process_left_is_stored_under_the_same_tokens(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    for seed in range(3):
        put(wal, request_of(seed, 2), 2)
        wal.seal()
    names = [segment.name for segment in wal.sealed()]
    wal.close()
    wal = open_wal()
    writer = start_writer(wal, store)
    asyncio.run(writer.flush(10))
    assert {token for token, _ in store.stored} == set(names)
    assert writer.statistics().stored_spans == 6


def test_stop_does_not_wait_for_a_store_that_fails_for_ever(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    store.failures = [StoreFailed("for ever")] * 1000
    writer = start_writer(wal, store, first_retry_s=30.0)
    put(wal, request_of(1))
    wal.seal()
    with wal.changed:
        assert wal.changed.wait_for(lambda: store.calls, 10)
    began = time.monotonic()
    writer.stop()
    assert time.monotonic() - began < 5
    assert len(wal.sealed()) == 1
