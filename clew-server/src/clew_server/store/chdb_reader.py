"""Reads a trace from chDB: its rows of `chunks`, and the bytes of its resources and scopes, which are few and cached."""

from __future__ import annotations

import struct
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from itertools import accumulate, pairwise
from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.stored import Origin, StoredSpan, StoredSpans
from clew_server.store.asking import MAX_EXECUTION_S, Question, Stopped, Tables
from clew_server.store.connections import Pool
from clew_server.store.contract import StoredTrace

_REMEMBERED_BYTES: Final = 64 << 20
_IDS_AT_ONCE: Final = 5_000
_SECOND_NS: Final = 1_000_000_000


class RowBinary:
    """Reads ClickHouse's RowBinary from the start to the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        """Is there another row?"""
        return self._at < len(self._data)

    def varint(self) -> int:
        """A LEB128 number, the length of what follows."""
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def uint32(self) -> int:
        """A UInt32."""
        return self._number("<I", 4)

    def uint64(self) -> int:
        """A UInt64."""
        return self._number("<Q", 8)

    def _number(self, form: str, size: int) -> int:
        value: int = struct.unpack_from(form, self._data, self._at)[0]
        self._at += size
        return value

    def string(self) -> bytes:
        """A String."""
        return self.fixed(self.varint())

    def fixed(self, size: int) -> bytes:
        """A FixedString, or so many bytes of anything."""
        start = self._at
        self._at += size
        return self._data[start : self._at]

    def uint64s(self) -> array[int]:
        """An Array(UInt64)."""
        size = 8 * self.varint()
        start = self._at
        self._at += size
        values = array("Q")
        values.frombytes(self._data[start : self._at])
        return values


class _Remembered:
    """Bytes and schema_url by id, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, tuple[bytes, str]] = OrderedDict()
        self._bytes = 0

    def known(self, ids: Iterable[int]) -> dict[int, tuple[bytes, str]]:
        with self._lock:
            found = {}
            for key in ids:
                entry = self._entries.get(key)
                if entry is not None:
                    self._entries.move_to_end(key)
                    found[key] = entry
            return found

    def add(self, entries: dict[int, tuple[bytes, str]]) -> None:
        with self._lock:
            for key, entry in entries.items():
                if key not in self._entries:
                    self._bytes += len(entry[0]) + len(entry[1]) + 200
                self._entries[key] = entry
            while self._bytes > _REMEMBERED_BYTES:
                _, (raw, url) = self._entries.popitem(last=False)
                self._bytes -= len(raw) + len(url) + 200


class ChdbReader:
    """The store's TraceReader. Safe for several threads."""

    def __init__(
        self, pool: Pool, *, tables: Tables | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._clock_s = clock_s
        self._tables = tables or Tables(pool)
        self._origins = _Remembered()

    def question(self, seconds: float = MAX_EXECUTION_S) -> Question:
        """The statements of one answer, to be given within so many seconds."""
        return Question(self._pool, self._tables, seconds=seconds, clock_s=self._clock_s)

    def get(self, trace_id: bytes) -> list[StoredSpan]:
        """Every span of the trace that can be read. Raises StoreFailed, Unavailable."""
        return list(self.read(trace_id).spans)

    def read(self, trace_id: bytes) -> StoredTrace:
        """See TraceReader.read."""
        question = self.question()
        try:
            return self._read(trace_id, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    def state(self, trace_id: bytes) -> Hashable:
        """See TraceReader.state: rows of the trace, spans in them, sum of their arrivals; and what is damaged."""
        question = self.question()
        try:
            (found,) = question.rows("trace_state", {"id": trace_id.hex()})
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        missing = question.missing()
        return (*map(int, found), missing) if missing else tuple(map(int, found))

    def spans_known(self, trace_id: bytes) -> int:
        """See TraceStore.spans_known."""
        try:
            return int(self.question().rows("traces_known", {"id": trace_id.hex()})[0][0])
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    def _read(self, trace_id: bytes, question: Question) -> StoredTrace:
        rows = RowBinary(question.ask("trace_chunks", {"id": trace_id.hex()}, "RowBinary"))
        pieces = []
        while rows.more():
            pieces.append((rows.uint32(), rows.uint64s(), rows.uint64s(), rows.uint64s(), rows.string()))
        wanted = {key for piece in pieces for ids in (piece[1], piece[2]) for key in ids}
        origins = self._origin_bytes(wanted, question)
        unknown = wanted - origins.keys()
        origins.update(dict.fromkeys(unknown, (b"", "")))
        found = StoredSpans()
        without_origin: list[int] = []
        numbers: dict[tuple[int, int], int] = {}
        for received_s, of_resource, of_scope, lengths, raw in pieces:
            pairs = list(zip(of_resource, of_scope, strict=True))
            for pair in set(pairs) - numbers.keys():
                (resource, resource_url), (scope, scope_url) = origins[pair[0]], origins[pair[1]]
                numbers[pair] = found.number_of(Origin(resource, resource_url, scope, scope_url))
            if unknown:
                without_origin += [at for at, pair in enumerate(pairs, len(found)) if not unknown.isdisjoint(pair)]
            spans = [raw[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
            found.add(spans, list(map(numbers.__getitem__, pairs)), [received_s * _SECOND_NS] * len(pairs))
        state = len(pieces), len(found), sum(piece[0] for piece in pieces)
        return StoredTrace(found, question.missing(), state, without_origin)

    def _origin_bytes(self, ids: set[int], question: Question) -> dict[int, tuple[bytes, str]]:
        """Bytes and schema_url of resources and scopes by their ids, which are hashes of both; of those that are there."""
        found = self._origins.known(ids)
        missing = sorted(ids - found.keys())
        for at in range(0, len(missing), _IDS_AT_ONCE):
            some = missing[at : at + _IDS_AT_ONCE]
            rows = RowBinary(question.ask("origins_by_id", {"ids": "[" + ",".join(map(str, some)) + "]"}, "RowBinary"))
            fresh = {}
            while rows.more():
                key = rows.uint64()
                fresh[key] = (rows.string(), rows.string().decode("utf-8", "replace"))
            self._origins.add(fresh)
            found.update(fresh)
        return found
