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
from clew_server.collector.splitting import Splits
from clew_server.collector.wal import Wal
from clew_server.collector.writer import Writer
from clew_server.errors import Unavailable
from clew_server.store.contract import SegmentFile, SegmentRefused, Statement, StoreFailed


class ScriptedStore:
    """A TraceWriter that keeps what it is given by token, and fails as it is told."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, Statement], bytes] = {}
        self.calls: list[tuple[str, Statement]] = []
        self.hows: list[str] = []
        self.spans: list[tuple[Statement, bytes, bytes]] = []
        self.poisons: set[bytes] = set()
        self.failures: list[Exception] = []
        self.strict = False
        self.gate = threading.Event()
        self.gate.set()

    def write(self, segment: SegmentFile, statement: Statement) -> None:
        self._write(segment, statement, "write")

    def ensure(self, segment: SegmentFile, statement: Statement) -> bool:
        self._write(segment, statement, "ensure")
        return True

    def _write(self, segment: SegmentFile, statement: Statement, how: str) -> None:
        assert self.gate.wait(100)
        self.calls.append((segment.token, statement))
        self.hows.append(how)
        if self.failures:
            raise self.failures.pop(0)
        if how == "ensure" and (segment.token, statement) in self.stored:
            return
        data = segment.path.read_bytes()
        found = record.scan(data)
        assert found.end == len(data)
        spans = []
        for one in found.records:
            try:
                request = ExportTraceServiceRequest.FromString(data[one.body : one.mark])
            except Exception as error:
                if self.strict and statement == "search":
                    raise SegmentRefused("code 444", certain=True) from error
                continue
            if any(poison in data[one.body : one.mark] for poison in self.poisons):
                raise SegmentRefused("code 999", certain=False)
            for group in request.resource_spans:
                spans += [(statement, one.trace_id, one.span_id) for scope in group.scope_spans for one in scope.spans]
        assert (segment.token, statement) not in self.stored
        self.spans += spans
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
    wal.append(body, spans, wal.body_hash(body)).result(100)


def test_flush_returns_when_both_forms_are_stored_and_the_segment_is_gone(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    writer = start_writer(wal, store)
    put(wal, request_of(1, 3), 3)
    name = wal.segments()[0].name
    asyncio.run(writer.flush(100))
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


def test_how_long_the_oldest_span_waits_does_not_jump_with_the_clock(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    """By the monotonic clock while the process lives; what an earlier process left has waited since its arrival."""
    clock_ns, monotonic_s = [1_800_000_000 * 10**9], [100.0]
    wal = open_wal(clock_ns=lambda: clock_ns[0], monotonic_s=lambda: monotonic_s[0])
    store.gate.clear()
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    monotonic_s[0] += 3
    for jump_s in (86_400 * 365, -86_400 * 700):
        clock_ns[0] += jump_s * 10**9
        assert writer.statistics().oldest_unstored_ms == 3_000
    wal.seal()
    wal.close()
    clock_ns[0] = 1_800_000_007 * 10**9
    again = open_wal(clock_ns=lambda: clock_ns[0], monotonic_s=lambda: monotonic_s[0])
    assert again.statistics().oldest_unstored_s == 7
    monotonic_s[0] += 2
    assert again.statistics().oldest_unstored_s == 9
    store.gate.set()


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
    asyncio.run(writer.flush(100))


def test_a_lone_span_is_stored_when_its_time_has_come(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    start_writer(wal, store, flush_after_s=0.05)
    began = time.monotonic()
    put(wal, request_of(1))
    with wal.changed:
        assert wal.changed.wait_for(lambda: not wal.segments(), 100)
    assert time.monotonic() - began >= 0.05
    assert len(store.stored) == 2


def test_many_spans_do_not_wait_for_the_time(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    start_writer(wal, store, flush_spans=10)
    put(wal, request_of(1, 10), 10)
    with wal.changed:
        assert wal.changed.wait_for(lambda: not wal.segments(), 100)
    assert len(store.stored) == 2


def test_an_idle_writer_uses_no_processor_time(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    best_of: Callable[..., float],
) -> None:
    wal = open_wal()
    start_writer(wal, store)
    put(wal, request_of(1))
    # These threads only: an engine another test opened may still have some of its own in this process.
    clocks = [
        time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.ident and t.name.startswith("clew-w")
    ]
    assert len(clocks) == 3

    def cpu_share() -> float:
        began_s, began_cpu_s = time.monotonic(), sum(map(time.clock_gettime, clocks))
        threading.Event().wait(0.3)
        return (sum(map(time.clock_gettime, clocks)) - began_cpu_s) / (time.monotonic() - began_s)

    best_of(0.1, cpu_share)


def test_a_failure_is_repeated_whole_with_the_same_token_until_it_works(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    store.failures = [StoreFailed("memory"), StoreFailed("disk"), RuntimeError("anything")]
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    name = wal.segments()[0].name
    asyncio.run(writer.flush(100))
    assert store.calls == [(name, "chunks")] * 4 + [(name, "search")]
    assert writer.statistics().failures == 3
    assert writer.statistics().last_error == "RuntimeError: anything"


def test_a_refusal_for_unknown_reasons_is_looked_into_and_stored_when_it_does_not_come_again(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
) -> None:
    wal = open_wal()
    store.failures = [SegmentRefused("code 999", certain=False)]
    writer = start_writer(wal, store)
    put(wal, request_of(1))
    name = wal.segments()[0].name
    asyncio.run(writer.flush(100))
    assert store.calls == [(name, "chunks"), (f"{name}/0-0", "chunks"), (name, "search")]
    assert not (tmp_path / "dead-letter").exists()


def test_a_record_refused_for_unknown_reasons_is_set_aside_once_another_goes_in_and_holds_nobody_up(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
) -> None:
    wal = open_wal()
    poisoned = request_of(7, 1, "poison")
    store.poisons = {b"poison"}
    writer = start_writer(wal, store, threads=1, longest_retry_s=0.05)
    put(wal, poisoned)
    wal.seal()
    (held,) = wal.sealed()
    with wal.changed:
        assert wal.changed.wait_for(lambda: writer.statistics().failures >= 3, 100)
    # Alone it may be the store's fault, so it stays in the log.
    assert not (tmp_path / "dead-letter").exists()
    assert writer.statistics().failing_since_unix_nano is not None
    put(wal, request_of(8, 2))
    asyncio.run(writer.flush(100))
    assert [path.name for path in (tmp_path / "dead-letter").glob("*.otlp")] == [f"{held.name}-000000.otlp"]
    assert writer.statistics().dead_letter_spans == 1
    assert writer.statistics().failing_since_unix_nano is None
    assert len([one for one in store.spans if one[0] == "search"]) == 2


def test_of_a_request_only_the_span_that_is_refused_is_set_aside(
    open_wal: Callable[..., Wal],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove = Splits.remove

    def remove_late(splits: Splits) -> None:
        time.sleep(0.2)  # a disk that is slow just here: `flush` must wait for it all the same
        remove(splits)

    monkeypatch.setattr(Splits, "remove", remove_late)
    wal = open_wal()
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(40):
        name = "poison" if number in (3, 30) else "good"
        scope.spans.add(trace_id=bytes([1] * 16), span_id=bytes([number + 1] * 8), name=name)
    store.poisons = {b"poison"}
    writer = start_writer(wal, store)
    put(wal, request.SerializeToString(), 40)
    name = wal.segments()[0].name
    asyncio.run(writer.flush(100))
    for statement in ("chunks", "search"):
        stored = [span_id[0] - 1 for form, _, span_id in store.spans if form == statement]
        assert sorted(stored) == [number for number in range(40) if number not in (3, 30)]
    folder = tmp_path / "dead-letter"
    assert sorted(path.name for path in folder.glob("*.json")) == [f"{name}-000000.3.json", f"{name}-000000.30.json"]
    reason = json.loads((folder / f"{name}-000000.30.json").read_text())
    assert (reason["record"], reason["span"], reason["spans"], reason["form"]) == (0, 30, 1, "chunks")
    assert (writer.statistics().stored_spans, writer.statistics().dead_letter_spans) == (38, 2)
    assert not list(wal.folder.glob("*.split"))


def test_when_everything_is_refused_for_unknown_reasons_nothing_is_set_aside(
    open_wal: Callable[..., Wal],
    request_of: Callable[..., bytes],
    store: ScriptedStore,
    start_writer: StartWriter,
    tmp_path: Path,
) -> None:
    """A store that is broken in a way nobody knows refuses every record: then it is not the records' doing."""
    wal = open_wal()
    store.poisons = {b"op"}
    writer = start_writer(wal, store, longest_retry_s=0.05)
    for seed in range(100):
        put(wal, request_of(seed))
    wal.seal()
    with wal.changed:
        assert wal.changed.wait_for(lambda: writer.statistics().failures >= 3, 100)
    store.poisons = set()
    asyncio.run(writer.flush(100))
    assert not (tmp_path / "dead-letter").exists()
    assert sorted(trace_id for form, trace_id, _ in store.spans if form == "search") == [
        (seed + 1).to_bytes(16, "big") for seed in range(100)
    ]


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
    asyncio.run(writer.flush(100))
    assert store.calls[:2] == [(name, "chunks"), (name, "search")]
    assert sorted(trace_id[-1] for form, trace_id, _ in store.spans if form == "search") == [1, 2, 4]
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


def test_a_failure_amid_a_division_or_a_restart_goes_on_with_the_same_parts(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    """A part that is stored must never be stored again inside a larger one, though the larger one may work by then."""
    wal = open_wal()
    for body in (request_of(0), BROKEN, request_of(2)):
        put(wal, body)
    name = wal.segments()[0].name
    refused = SegmentRefused("444", certain=True)
    store.failures = [refused, *[StoreFailed("disk")] * 1000]
    writer = start_writer(wal, store, threads=1)
    wal.seal()
    with wal.changed:
        assert wal.changed.wait_for(lambda: writer.statistics().failures >= 2, 100)
    writer.stop()
    wal.close()
    store.failures = []
    store.strict = True
    wal = open_wal()
    writer = start_writer(wal, store, threads=1)
    asyncio.run(writer.flush(100))
    stored = [token for token, statement in store.stored if statement == "chunks"]
    assert sorted(stored) == [f"{name}/0-1", f"{name}/2-2"]
    assert sorted(trace_id[-1] for form, trace_id, _ in store.spans if form == "search") == [1, 3]
    assert writer.statistics().dead_letter_spans == 1


def test_only_a_segment_s_first_attempt_goes_in_without_a_look_at_what_is_there(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    put(wal, request_of(1))
    wal.seal()
    wal.close()
    wal = open_wal()
    store.failures = [StoreFailed("disk")]
    writer = start_writer(wal, store, threads=1)
    put(wal, request_of(2))
    asyncio.run(writer.flush(100))
    assert store.hows == ["ensure", "ensure", "ensure", "write", "write"]
    put(wal, request_of(3))
    store.failures = [StoreFailed("disk")]
    asyncio.run(writer.flush(100))
    assert store.hows[5:] == ["write", "ensure", "write"]


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
    asyncio.run(writer.flush(100))
    assert {token for token, _ in store.stored} == set(names)
    assert writer.statistics().stored_spans == 6


def test_stop_does_not_wait_for_a_store_that_fails_for_ever(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], store: ScriptedStore, start_writer: StartWriter
) -> None:
    wal = open_wal()
    store.failures = [StoreFailed("for ever")] * 1000
    writer = start_writer(wal, store, first_retry_s=300.0, longest_retry_s=300.0)
    put(wal, request_of(1))
    wal.seal()
    with wal.changed:
        assert wal.changed.wait_for(lambda: store.calls, 100)
    began = time.monotonic()
    writer.stop(timeout_s=200)
    assert time.monotonic() - began < 100
    assert len(wal.sealed()) == 1


def test_segments_that_are_large_together_are_stored_one_after_the_other(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes], start_writer: StartWriter
) -> None:
    class Counting(ScriptedStore):
        def __init__(self) -> None:
            super().__init__()
            self.now: set[str] = set()
            self.together: set[frozenset[str]] = set()

        def _write(self, segment: SegmentFile, statement: Statement, how: str) -> None:
            self.now.add(segment.token)
            time.sleep(0.02)  # so that the other thread would have come, were it let
            self.together.add(frozenset(self.now))
            super()._write(segment, statement, how)
            self.now.discard(segment.token)

    wal, store = open_wal(), Counting()
    for seed in range(8):
        put(wal, request_of(seed))
        wal.seal()
    asyncio.run(start_writer(wal, store, at_once_bytes=1).flush(100))
    assert store.together == {frozenset({token}) for token, _ in store.calls}
    assert len({trace_id for _, trace_id, _ in store.spans}) == 8
