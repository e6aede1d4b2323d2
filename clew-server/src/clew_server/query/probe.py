"""Checks that the store answers, on a thread and a connection of its own, so that users' queries cannot delay the check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

_WITHIN_S: Final = 5.0


class Probe:
    """`call` returns when the store has answered and raises where it does not. Calls run one at a time."""

    def __init__(self, call: Callable[[], None], *, within_s: float = _WITHIN_S) -> None:
        self._call = call
        self._within_s = within_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="clew-probe")
        self._running: Future[None] | None = None

    async def failure(self) -> str | None:
        """Why the store is not ready, None when it is. Call it from one event loop only."""
        if self._running is None or self._running.done():
            try:
                self._running = self._pool.submit(self._call)
            except RuntimeError:
                return "the server is stopping"
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._running)), self._within_s)
        except TimeoutError:
            return f"the store did not answer within {self._within_s:g} s"
        except Exception as error:  # whatever the engine raises: not ready, and the reason is its own
            return f"the store does not answer: {' '.join(str(error).split())[:500]}"
        return None

    def close(self) -> None:
        """Stop checking; a call that is running ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
