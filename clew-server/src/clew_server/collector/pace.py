"""When a segment is sealed: as late as its spans are still found soon enough. No I/O.

To store a small segment costs the same whatever is in it, so fewer cost less.
"""

from __future__ import annotations

from typing import Final

_LATER: Final = 1.1
_FORGOTTEN: Final = 0.8


class Pace:
    """Follows how long segments take to be stored. Not for several threads at once."""

    def __init__(self, flush_after_s: float, stored_within_s: float) -> None:
        """A segment is sealed `flush_after_s` after its first record, or up to a tenth later where it will then be stored
        `stored_within_s` after that record.
        """
        self._flush_after_s = flush_after_s
        self._stored_within_s = stored_within_s
        self._takes_s = stored_within_s
        """The longest of late. Until something was stored: too long to wait any longer."""

    def sealed_after_s(self) -> float:
        """How long after its first record a segment is sealed."""
        soon_enough_s = self._stored_within_s - self._takes_s
        return min(self._flush_after_s * _LATER, max(self._flush_after_s, soon_enough_s))

    def stored(self, took_s: float) -> None:
        """A segment was stored in so many seconds. One that took long counts at once, and less after each one that did not."""
        self._takes_s = max(took_s, _FORGOTTEN * self._takes_s)
