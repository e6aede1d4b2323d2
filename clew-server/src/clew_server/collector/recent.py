"""Reads spans by trace id from the log, so that a trace can be shown before it is stored."""

from __future__ import annotations

import bisect
import os
from collections.abc import Hashable, Iterable, Iterator

from clew_server.collector import record
from clew_server.collector.wal import Segment, Wal
from clew_server.errors import BadInput
from clew_server.model.otlp_raw import parse_raw
from clew_server.model.stored import StoredSpan
from clew_server.store.contract import StoredTrace

_READ_BYTES = 1 << 20


class RecentReader:
    """A TraceReader over the log. Ask it *before* the store: a segment leaves the log only when the store has it."""

    def __init__(self, wal: Wal) -> None:
        self._wal = wal

    def get(self, trace_id: bytes) -> list[StoredSpan]:
        """Every span of the trace that the log still holds, repeated ones included; empty when there is none."""
        return list(self.read(trace_id).spans)

    def read(self, trace_id: bytes) -> StoredTrace:
        """See TraceReader.read."""
        found: list[StoredSpan] = []
        state: list[tuple[str, int]] = []
        for segment, file, numbers in self._records(b"\x0a\x10" + trace_id):
            for number in numbers:
                start, end = segment.record_range(number)
                found += _spans(os.pread(file, end - start, start), b"\x0a\x10" + trace_id)
                state.append((segment.path.name, number))
        return StoredTrace(found, None, tuple(state))

    def state(self, trace_id: bytes) -> Hashable:
        """See TraceReader.state: the records in which the trace is."""
        records = self._records(b"\x0a\x10" + trace_id)
        return tuple((segment.path.name, number) for segment, _, numbers in records for number in numbers)

    def _records(self, needle: bytes) -> Iterator[tuple[Segment, int, Iterable[int]]]:
        """Segments with the trace: its file, open until the next one is asked for, and the numbers of its records in it."""
        for segment in self._wal.segments():
            # Under the log's lock only for a segment that still grows; found numbers stay true, records never move.
            with self._wal.changed:
                heads = segment.heads
                numbers = None if heads is None else list(segment.records_of(heads, needle))
            if numbers == []:
                continue
            try:
                file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # stored since: the store has it
            try:
                yield segment, file, _search(file, segment, needle) if numbers is None else numbers
            finally:
                os.close(file)


def _search(file: int, segment: Segment, needle: bytes) -> Iterator[int]:
    """Numbers of the records in which the bytes occur, by reading the file: piece by piece, so that others get their turn."""
    start, size, last = 0, segment.size_bytes, -1
    while start < size:
        piece = os.pread(file, min(_READ_BYTES + len(needle) - 1, size - start), start)
        at = piece.find(needle)
        while at >= 0:
            number = bisect.bisect_right(segment.record_ends, start + at)
            if number != last:
                last = number
                yield number
            at = piece.find(needle, at + 1)
        start += _READ_BYTES


def _spans(data: bytes, needle: bytes) -> Iterator[StoredSpan]:
    """The trace's spans in one record, every byte as it is."""
    read = record.read_record(data, 0)
    if read is None:
        return
    try:
        request = parse_raw(data[read.body : read.mark])
    except BadInput:
        return
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                if span.startswith(needle):
                    yield StoredSpan(
                        resource=resource.resource,
                        resource_schema_url=resource.schema_url.decode("utf-8", "replace"),
                        scope=scope.scope,
                        scope_schema_url=scope.schema_url.decode("utf-8", "replace"),
                        span=span,
                        received_unix_nano=read.arrival_unix_nano,
                    )
