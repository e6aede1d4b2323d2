"""The writer with the real store: what went through the log is in chDB, once, also around a record chDB refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clew_server.collector.recent import RecentReader
from clew_server.collector.wal import Wal
from clew_server.collector.writer import Writer
from clew_server.store.chdb import ChdbStore

# A span whose name promises more bytes than there are: no parser reads it.
BROKEN = bytes.fromhex("0a07 1205 1203 2a05ff")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbStore]:
    folder = tmp_path_factory.mktemp("store")
    store = ChdbStore(folder / "chdb", schema_folder=folder / "schema")
    store.open()
    yield store
    store.close()


def trace_id(seed: int) -> bytes:
    return (seed + 1).to_bytes(16, "big")


def put(wal: Wal, body: bytes, spans: int) -> None:
    wal.append(body, spans, wal.body_hash(body)).result(100)


def test_spans_move_from_the_log_to_the_store_without_a_gap_or_a_change(
    tmp_path: Path, store: ChdbStore, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for seed in range(5):
        put(wal, request_of(seed, 3), 3)
    from_log = {seed: RecentReader(wal).get(trace_id(seed)) for seed in range(5)}
    writer = Writer(wal, store.writer, dead_letter_folder=tmp_path / "dead-letter")
    writer.start()
    asyncio.run(writer.flush(200))
    for seed in range(5):
        assert RecentReader(wal).get(trace_id(seed)) == []
        stored = store.reader.get(trace_id(seed))
        assert sorted(one[:5] for one in stored) == sorted(one[:5] for one in from_log[seed])
        assert len(stored) == 3
    writer.stop()


def test_a_log_replayed_whole_stores_nothing_twice(
    tmp_path: Path, store: ChdbStore, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for seed in range(100, 103):
        put(wal, request_of(seed, 2), 2)
    wal.seal()
    (segment,) = wal.sealed()
    copy = segment.path.read_bytes()
    wal.close()
    for _ in range(3):
        segment.path.write_bytes(copy)
        wal = open_wal()
        writer = Writer(wal, store.writer, dead_letter_folder=tmp_path / "dead-letter")
        writer.start()
        asyncio.run(writer.flush(200))
        writer.stop()
        wal.close()
    assert [len(store.reader.get(trace_id(seed))) for seed in range(100, 103)] == [2, 2, 2]


def test_a_record_chdb_refuses_is_set_aside_and_its_neighbours_are_stored_once(
    tmp_path: Path, store: ChdbStore, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    put(wal, request_of(200, 2), 2)
    put(wal, BROKEN, 1)
    put(wal, request_of(201, 2), 2)
    wal.seal()
    (segment,) = wal.sealed()
    copy = segment.path.read_bytes()
    for _ in range(2):
        writer = Writer(wal, store.writer, dead_letter_folder=tmp_path / "dead-letter")
        writer.start()
        asyncio.run(writer.flush(200))
        writer.stop()
        assert writer.statistics().dead_letter_spans == 1
        wal.close()
        segment.path.write_bytes(copy)
        wal = open_wal()
    assert [len(store.reader.get(trace_id(seed))) for seed in (200, 201)] == [2, 2]
    assert len(list((tmp_path / "dead-letter").glob("*.otlp"))) == 1


def test_a_record_whose_values_the_engine_cannot_hold_is_set_aside_and_the_others_are_stored(
    tmp_path: Path, store: ChdbStore, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    """Two million empty attributes: both parsers read them, the engine's functions refuse an array of that size."""
    attributes = b"\x0a\x00" * 2_000_000
    size = len(attributes)
    length = bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21))
    huge = b"\x0a" + length + attributes
    outer = len(huge)
    spans = bytes.fromhex("121e 121c 0a10") + bytes([7] * 16) + bytes.fromhex("1208") + bytes([7] * 8)
    outer += len(spans)
    poison = (
        b"\x0a"
        + bytes((outer & 127 | 128, outer >> 7 & 127 | 128, outer >> 14 & 127 | 128, outer >> 21))
        + huge
        + spans
    )
    wal = open_wal()
    for seed in range(300, 310):
        put(wal, request_of(seed, 2), 2)
        if seed == 304:
            put(wal, poison, 1)
    writer = Writer(wal, store.writer, dead_letter_folder=tmp_path / "dead-letter")
    writer.start()
    asyncio.run(writer.flush(120))
    writer.stop()
    assert [len(store.reader.get(trace_id(seed))) for seed in range(300, 310)] == [2] * 10
    figures = writer.statistics()
    assert figures.failing_since_unix_nano is None
    assert figures.stored_spans + figures.dead_letter_spans == 21
    assert len(store.reader.get(bytes([7] * 16))) == 1  # only the search form refuses it
