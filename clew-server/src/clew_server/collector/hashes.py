"""Hashes of recently accepted request bodies, so that a repeated body is acknowledged and not written again."""

from __future__ import annotations

import threading

_BUCKET_S = 60


class RecentHashes:
    """A set whose entries expire, in steps of a minute. Safe for threads.

    Times are seconds of a monotonic clock: when the wall clock jumps, nothing is forgotten early or kept for ever.
    """

    def __init__(self, remember_s: int) -> None:
        self._remember_s = remember_s
        self._buckets: dict[int, set[bytes]] = {}
        self._lock = threading.Lock()

    def add(self, request_hash: bytes, now_s: float) -> None:
        """Remember a body that is durable now."""
        bucket = int(now_s) // _BUCKET_S
        with self._lock:
            hashes = self._buckets.get(bucket)
            if hashes is None:
                self._forget(bucket)
                hashes = self._buckets[bucket] = set()
            hashes.add(request_hash)

    def has(self, request_hash: bytes, now_s: float) -> bool:
        """Whether this body was accepted in the last `remember_s` (up to a minute longer)."""
        oldest = self._oldest(int(now_s) // _BUCKET_S)
        with self._lock:
            return any(request_hash in hashes for bucket, hashes in self._buckets.items() if bucket >= oldest)

    def _oldest(self, bucket: int) -> int:
        return bucket - self._remember_s // _BUCKET_S

    def _forget(self, newest: int) -> None:
        for bucket in [b for b in self._buckets if b < self._oldest(newest)]:
            del self._buckets[bucket]

    def __len__(self) -> int:
        with self._lock:
            return sum(len(hashes) for hashes in self._buckets.values())
