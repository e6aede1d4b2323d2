"""A real chDB in a temporary folder, one for each test file (a process has one at a time), and segments to put in."""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import varint
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import SegmentFile

MARK_FIELD = 1000
DAY = 86_400 * 10**9


def record(request: ExportTraceServiceRequest | bytes, sequence: int, arrival_unix_nano: int) -> bytes:
    """One record of a segment as docs/formats/wal.md draws it, without the hash and the checksum, which the store skips."""
    body = request if isinstance(request, bytes) else request.SerializeToString()
    mark = b"\x09" + struct.pack("<Q", sequence) + b"\x11" + struct.pack("<Q", arrival_unix_nano)
    body += varint(MARK_FIELD << 3 | 2) + varint(len(mark)) + mark
    return varint(len(body)) + body


class StoreUnderTest:
    """An open store and what tests need around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ChdbStore(folder / "chdb", schema_folder=folder / "schema", writers=2, readers=2)
        self._numbers = itertools.count(1)
        self.opened_unix_nano = time.time_ns()

    def segment(
        self, requests: Sequence[ExportTraceServiceRequest | bytes], arrival_unix_nano: int | None = None
    ) -> SegmentFile:
        number = next(self._numbers)
        arrival = self._now() if arrival_unix_nano is None else arrival_unix_nano
        path = self.folder / f"{number:020}.otlp"
        path.write_bytes(b"".join(record(request, at, arrival) for at, request in enumerate(requests)))
        return SegmentFile(path, path.name)

    def _now(self) -> int:
        """Now, or the end of the day on which the store was opened: at midnight parts would be of two days, and never merged."""
        return min(time.time_ns(), self.opened_unix_nano // DAY * DAY + DAY - 1)

    def put(
        self, requests: Sequence[ExportTraceServiceRequest | bytes], arrival_unix_nano: int | None = None
    ) -> SegmentFile:
        """Store the requests as one segment, in both forms."""
        segment = self.segment(requests, arrival_unix_nano)
        self.store.writer.write(segment, "chunks")
        self.store.writer.write(segment, "search")
        return segment

    def put_spans(
        self, spans: int, *, arrival_unix_nano: int | None = None, start_unix_nano: int | None = None
    ) -> SegmentFile:
        """Store so many spans of the service `cart`, each a trace, that start now if not otherwise said."""
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "cart"
        scope = group.scope_spans.add()
        for _ in range(spans):
            span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="n")
            span.start_time_unix_nano = time.time_ns() if start_unix_nano is None else start_unix_nano
        return self.put([request], arrival_unix_nano)

    def ask(self, sql: str) -> list[list[str]]:
        """Rows of a statement of the test's own."""
        assert self.store._connections is not None
        output = self.store._connections.read.run(sql, None, "TSV").decode()
        return [line.split("\t") for line in output.splitlines()]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    under_test = StoreUnderTest(tmp_path_factory.mktemp("store"))
    under_test.store.open()
    # Answers may take as long as a busy machine needs: what is asked is whether they are right. What stops them has tests of its own.
    reader: Any = under_test.store.reader
    question = reader.question
    reader.question = lambda seconds=0.0: question(max(300.0, seconds))
    yield under_test
    under_test.store.close()
