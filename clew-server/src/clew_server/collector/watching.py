"""Reads accepted requests once more, beside the intake, for whoever wants to know what is in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from clew_server.collector.intake import Batch

T = TypeVar("T")
_log = logging.getLogger(__name__)
MOST_WAITING_BYTES = 32 << 20


class Watcher(Generic[T]):
    """One thread that reads; what it has read is given to a function in the event loop.

    It never keeps a sender waiting: while more than `MOST_WAITING_BYTES` wait to be read, requests are left out.
    """

    def __init__(self, read: Callable[[bytes], T], give: Callable[[T], None]) -> None:
        """`read` takes a canonical request of traces and is called in the thread."""
        self._read = read
        self._give = give
        self._waiting_bytes = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="clew-watch")

    def saw(self, batch: Batch) -> None:
        """Read this request soon. Belongs to the event loop."""
        size = len(batch.request)
        if batch.signal != "traces" or self._waiting_bytes + size > MOST_WAITING_BYTES:
            return
        self._waiting_bytes += size
        reading = asyncio.get_running_loop().run_in_executor(self._pool, self._read, batch.request)
        reading.add_done_callback(lambda done: self._done(done, size))

    def close(self) -> None:
        """Stop the thread; what waits is not read."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, reading: asyncio.Future[T], size: int) -> None:
        self._waiting_bytes -= size
        if reading.cancelled():
            return
        try:
            self._give(reading.result())
        except Exception:
            _log.exception("an accepted request could not be looked at; it is stored all the same")
