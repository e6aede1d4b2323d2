"""Failures of the running server, kept until they are over; shown by status, metrics, readiness and the UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

from clew_server.status import TroubleStatus

KINDS: Final = {
    "log": "new spans are refused, because the log cannot be written",
    "log_damage": "spans that had been acknowledged were lost from the log",
    "agents_damage": "names that agents said once were lost: spans may show numbers in their place",
    "log_foreign": "the log's folder holds what clew did not write",
    "writer": "acknowledged spans wait in the log, because they cannot be stored",
    "store_damage": "stored spans were lost, or can be read in part only",
    "retention": "old data does not give way",
    "disk_cap": "the folder cannot be kept below --max-disk",
    "clock": "nothing is dropped by age, because the clock is ahead of the newest arrival",
    "query": "questions were answered with an error",
}
"""Each kind of trouble and what it means for the user. The names are labels of metrics: they stay."""


@dataclass(slots=True)
class Trouble:
    """One kind of failure: how often it has occurred since `since`, the time of the last one, and its message; times in ns since the epoch."""

    what: str
    since_unix_nano: int
    last_unix_nano: int
    count: int
    message: str

    def status(self) -> TroubleStatus:
        """As the status shows it."""
        return TroubleStatus(**{one.name: getattr(self, one.name) for one in fields(TroubleStatus)})

    def as_text(self) -> str:
        """One line that may be shown without a token: what it means, not the message, which may hold paths and values."""
        return f"{self.what}: {KINDS[self.what]}"


class Troubles:
    """All current failures, by kind. Safe for threads."""

    def __init__(
        self, *, clock_ns: Callable[[], int] = time.time_ns, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._now: dict[str, Trouble] = {}
        self._ends_s: dict[str, float] = {}

    def note(self, what: str, message: str, *, fades_after_s: float | None = None) -> None:
        """It was met once more. It stays until `settle`, or until it was not met for `fades_after_s`."""
        assert what in KINDS, what
        now_ns = self._clock_ns()
        with self._lock:
            self._fade()
            known = self._now.get(what)
            if known is None:
                self._now[what] = Trouble(what, now_ns, now_ns, 1, message)
            else:
                known.last_unix_nano, known.message = now_ns, message
                known.count += 1
            if fades_after_s is not None:
                self._ends_s[what] = self._monotonic_s() + fades_after_s

    def observe(self, what: str, message: str | None, *, count: int = 1, since_unix_nano: int | None = None) -> None:
        """What another part of the server counts itself, as it is now: `count` times so far; no message: all is well."""
        assert what in KINDS, what
        with self._lock:
            if message is None:
                self._now.pop(what, None)
                return
            now_ns = self._clock_ns()
            known = self._now.get(what)
            if known is None or (known.count, known.message) != (count, message):
                since_ns = since_unix_nano or (known.since_unix_nano if known else now_ns)
                self._now[what] = Trouble(what, since_ns, now_ns, count, message)

    def settle(self, what: str) -> None:
        """Remove the failure: it works again."""
        with self._lock:
            self._now.pop(what, None)
            self._ends_s.pop(what, None)

    def now(self) -> list[Trouble]:
        """What is wrong now, in the order of KINDS."""
        with self._lock:
            self._fade()
            return [self._now[what] for what in KINDS if what in self._now]

    def _fade(self) -> None:
        now_s = self._monotonic_s()
        for what in [what for what, end_s in self._ends_s.items() if now_s >= end_s]:
            del self._ends_s[what]
            self._now.pop(what, None)
