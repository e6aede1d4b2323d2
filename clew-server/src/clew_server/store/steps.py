"""How long the windows are in which traces are looked for, the nearest first, until there are as many as a page takes. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_WIDER: Final = 8
"""How many times as long as the one before it a window is, and at least as long as follows."""
_WIDER_AFTER_NONE: Final = 64
"""The same after a window in which nothing was found."""
_LEAST_NS: Final = tuple(s * 1_000_000_000 for s in (300, 1_800, 6 * 3_600, 7 * 86_400, 60 * 86_400))
_ALL_NS: Final = 1 << 62
_MORE: Final = 2
"""How many times as long as seems to be needed a window is that shall be the last: matching traces come in clusters."""


class Steps:
    """The first window holds so many traces. Each further one is much longer, so that a search for what is rare soon has looked at all
    there is; but after a window with most of what was wanted, one is only as long as the rest seems to need, and as that window."""

    def __init__(self, traces: int) -> None:
        self._of_the_first = traces
        self._wider = [*_LEAST_NS, _ALL_NS]
        self._width_ns = 0
        self._needed_ns: int | None = None
        self._found_some = True
        self._is_first = True

    @property
    def is_first(self) -> bool:
        """Whether no window was chosen yet: only the length of the first one depends on how close traces are."""
        return self._is_first

    @property
    def traces(self) -> int:
        """How far the next window shall reach, in traces: what `width_ns` is told the length of."""
        return self._of_the_first if self._is_first else 1

    @property
    def is_over(self) -> bool:
        """Whether the window before was as long as all there is."""
        return not self._wider and self._needed_ns is None

    def width_ns(self, of_the_traces_ns: int = 0) -> int:
        """The length of the next window; of the first one the time that so many traces take, which only that is told."""
        if self._is_first:
            self._is_first = False
            self._width_ns = of_the_traces_ns
            return of_the_traces_ns
        if self._needed_ns is not None:
            return self._needed_ns
        wider = _WIDER if self._found_some else _WIDER_AFTER_NONE
        self._width_ns = max(self._width_ns * wider, self._wider.pop(0))
        return self._width_ns

    def note(self, found: int, wanted: int) -> None:
        """What came of the window: the next one is shorter where little is missing. Two such ones never follow each other."""
        needed_ns, self._needed_ns = self._needed_ns, None
        self._found_some = found > 0
        if needed_ns is None and found and self._wider:
            self._needed_ns = self._width_ns * max(1, -(-(wanted - found) * _MORE // found))
            if self._needed_ns >= max(self._width_ns * _WIDER, self._wider[0]):
                self._needed_ns = None


class NewestEnds:
    """The newest ends of the traces in the windows of one search, or later times: windows that go back from one to the next ask twice at most."""

    def __init__(self, begin_ns: int, ask: Callable[[int, int], int]) -> None:
        """`ask` tells the newest end of the traces that start from one time to before the other; no window begins before `begin_ns`."""
        self._begin_ns = begin_ns
        self._ask = ask
        self._first_ns: int | None = None
        self._before: tuple[int, int] | None = None
        """A time, and the newest end of all traces of the search before it."""

    def of(self, from_ns: int, to_ns: int) -> int:
        """An end that no trace in the window has passed."""
        if self._first_ns is None or from_ns > self._first_ns:
            self._first_ns = from_ns
            return self._ask(from_ns, to_ns)
        if self._before is None or to_ns > self._before[0]:
            self._before = to_ns, self._ask(self._begin_ns, to_ns)
        return self._before[1]
