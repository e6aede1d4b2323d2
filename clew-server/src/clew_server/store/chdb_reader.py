"""A trace out of chDB: its rows of `chunks`, and the bytes of its resources and scopes, which are few and remembered."""

from __future__ import annotations

import struct
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from clew_server.errors import Unavailable
from clew_server.store import queries
from clew_server.store.connections import LIMIT_CODES, EngineError, Pool
from clew_server.store.contract import StoredSpan

GUARD_RAILS: Final = " SETTINGS max_threads=2, max_execution_time=10, max_memory_usage=1500000000, readonly=1"
"""Appended to every question. readonly=1 also blocks file() and url()."""

_REMEMBERED_BYTES: Final = 32 << 20
_IDS_AT_ONCE: Final = 5_000


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
        size = self.varint()
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

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._resources = _Remembered()
        self._scopes = _Remembered()

    def get(self, trace_id: bytes) -> list[StoredSpan]:
        """See TraceReader.get. Raises StoreFailed, Unavailable."""
        rows = RowBinary(self._ask("trace_chunks", {"id": trace_id.hex()}))
        pieces = []
        while rows.more():
            pieces.append((rows.uint32(), rows.uint64s(), rows.uint64s(), rows.uint64s(), rows.string()))
        resources = self._blobs("resources_by_id", self._resources, {key for piece in pieces for key in piece[1]})
        scopes = self._blobs("scopes_by_id", self._scopes, {key for piece in pieces for key in piece[2]})
        found: list[StoredSpan] = []
        for received_s, resource_ids, scope_ids, lengths, raw in pieces:
            received_ns = received_s * 1_000_000_000
            start = 0
            for resource_id, scope_id, end in zip(resource_ids, scope_ids, accumulate(lengths), strict=True):
                resource, resource_url = resources[resource_id]
                scope, scope_url = scopes[scope_id]
                found.append(StoredSpan(resource, resource_url, scope, scope_url, raw[start:end], received_ns))
                start = end
        return found

    def _blobs(self, name: str, remembered: _Remembered, ids: set[int]) -> dict[int, tuple[bytes, str]]:
        found = remembered.known(ids)
        missing = sorted(ids - found.keys())
        for at in range(0, len(missing), _IDS_AT_ONCE):
            some = missing[at : at + _IDS_AT_ONCE]
            rows = RowBinary(self._ask(name, {"ids": "[" + ",".join(map(str, some)) + "]"}))
            fresh = {}
            while rows.more():
                key = rows.uint64()
                fresh[key] = (rows.string(), rows.string().decode("utf-8", "replace"))
            remembered.add(fresh)
            found.update(fresh)
        # Bytes of a resource and their span are of one arrival day and one statement; only an expiry between the
        # two questions can part them. The span is then shown without.
        for key in ids - found.keys():
            found[key] = (b"", "")
        return found

    def _ask(self, name: str, parameters: dict[str, str]) -> bytes:
        try:
            return self._pool.run(queries.statement(name) + GUARD_RAILS, parameters, "RowBinary")
        except EngineError as error:
            if error.code in LIMIT_CODES:
                raise Unavailable(f"The store did not answer in time: {error}") from error
            raise
