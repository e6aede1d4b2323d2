"""The clock of retention: follows the wall clock but ignores its jumps.

A clock may be wrong for seconds at a start, or for hours while the server runs. What it says of today does no harm; what is
dropped because of it does. So a time that is further ahead than the time that has passed counts only when it has held for a
while. What is dropped for the size of the folder goes from the oldest arrival on and needs no clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

CONFIRM_S: Final = 86_400
"""How long a clock that jumped ahead must keep its time before retention follows it."""
_TOLERANCE_NS: Final = 600 * 1_000_000_000


def passed_ns() -> int:
    """Nanoseconds that have passed since some moment, those in which the machine slept included."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Reading(NamedTuple):
    """Two times, ns since the epoch, equal unless the wall clock is ahead of what is known; and seconds until it counts."""

    trusted_unix_nano: int
    claimed_unix_nano: int
    confirmed_in_s: int

    @property
    def is_ahead(self) -> bool:
        return self.claimed_unix_nano - self.trusted_unix_nano > _TOLERANCE_NS


class RetentionClock:
    """Starts from the newest arrival that is known, goes on with the time that passes, and follows the wall clock."""

    def __init__(
        self,
        newest_arrival_unix_nano: int | None,
        *,
        confirm_s: int = CONFIRM_S,
        clock_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = passed_ns,
    ) -> None:
        """`newest_arrival_unix_nano`: of all arrivals that are not after the wall clock, the newest; None where none is."""
        self.confirm_s = confirm_s
        self._clock_ns = clock_ns
        self._steady_ns = steady_ns
        wall = clock_ns()
        start = wall if newest_arrival_unix_nano is None else min(wall, newest_arrival_unix_nano)
        self._offset = start - steady_ns()
        self._claimed_offset = self._offset
        self._claimed_since = 0

    def read(self) -> Reading:
        """The time now. Call it every minute or so: a clock counts as steady when it was at each of the calls."""
        wall, steady = self._clock_ns(), self._steady_ns()
        offset = wall - steady
        left_ns = 0
        if offset - self._offset <= _TOLERANCE_NS:
            # It goes on, or was set back: less is dropped by that, so it is believed at once.
            self._offset = self._claimed_offset = offset
        else:
            if abs(offset - self._claimed_offset) > _TOLERANCE_NS:
                self._claimed_offset, self._claimed_since = offset, steady
            left_ns = max(0, self._claimed_since + self.confirm_s * 1_000_000_000 - steady)
            if not left_ns:
                self._offset = self._claimed_offset = offset
        return Reading(steady + self._offset, wall, -(-left_ns // 1_000_000_000))
