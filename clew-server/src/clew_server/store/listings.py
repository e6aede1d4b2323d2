"""Which traces the pages before a cursor listed, and when: so that the pages behind it list none again. In memory, bounded. No I/O."""

from __future__ import annotations

import secrets
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

MAX_TRACES: Final = 1_000_000
MAX_PAGES: Final = 10_000
"""So much is remembered, 8 bytes a trace and some hundred a page; the pages that nobody went on from for longest are forgotten first."""


class _Listed(NamedTuple):
    """A page that was listed, and from which one it went on."""

    before: str | None
    first_s: float
    looked_s: float
    hashes: array[int]


class Listing(NamedTuple):
    """The pages up to a cursor, as far as they are remembered."""

    first_s: float | None
    """When the first of them was asked for, in s since the epoch; None where that is not known any more."""
    looked_s: float
    """Up to when it was looked for traces that had come to stand before a page that was listed already."""
    pages: Sequence[array[int]]

    @property
    def traces(self) -> int:
        """How many were listed."""
        return sum(map(len, self.pages))

    def without(self, trace_ids: Iterable[str]) -> set[str]:
        """Those of the traces that no page listed."""
        left = {hash(trace_id): trace_id for trace_id in trace_ids}
        for page in self.pages:
            for listed in left.keys() & page:
                del left[listed]
        return set(left.values())


NOTHING: Final = Listing(None, 0.0, ())


class Listings:
    """Listings by the names that cursors carry. Safe for several threads.

    A page's name is of that page, and what it lists never changes: several may go on from one cursor, each in its own way, or again.
    """

    def __init__(self, *, max_traces: int = MAX_TRACES, max_pages: int = MAX_PAGES) -> None:
        self._max_traces, self._max_pages = max_traces, max_pages
        self._pages: OrderedDict[str, _Listed] = OrderedDict()
        self._traces = 0
        self._lock = threading.Lock()

    def up_to(self, name: str | None) -> Listing:
        """The listing that ends with the page of this name; NOTHING where it is not known."""
        with self._lock:
            last = self._pages.get(name or "")
            if last is None:
                return NOTHING
            pages = []
            at: str | None = name
            while at is not None and (page := self._pages.get(at)) is not None:
                self._pages.move_to_end(at)
                pages.append(page.hashes)
                at = page.before
            return Listing(last.first_s, last.looked_s, pages)

    def add(self, before: str | None, trace_ids: Iterable[str], *, first_s: float, looked_s: float) -> str:
        """Remembers a page that went on from the page `before`, and gives it a name."""
        name = secrets.token_hex(8)
        hashes = array("q", [hash(trace_id) for trace_id in trace_ids])
        with self._lock:
            self._pages[name] = _Listed(before, first_s, looked_s, hashes)
            self._traces += len(hashes)
            while len(self._pages) > self._max_pages or self._traces > self._max_traces:
                _, forgotten = self._pages.popitem(last=False)
                self._traces -= len(forgotten.hashes)
        return name
