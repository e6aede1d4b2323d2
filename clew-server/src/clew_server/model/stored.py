"""A span as it is stored: the bytes that came, untouched. The one form in which spans go from room to room."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, overload

_SEARCHED_AT_ONCE: Final = 1_000
_JOINED_BYTES: Final = 4 << 20
"""Larger spans are not copied for a search."""


class StoredSpan(NamedTuple):
    """One span as it came: serialized OTLP `Span`, `Resource` and `InstrumentationScope` bytes, untouched."""

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str
    span: bytes
    received_unix_nano: int
    """Arrival; whole seconds when it comes from the store."""


class Origin(NamedTuple):
    """What many spans share: the bytes of a resource and of a scope, and their schema URLs."""

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


class StoredSpans(Sequence[StoredSpan]):
    """Many spans as columns: of 100,000 spans as objects of their own the collector of garbage would look at each, again and again.

    `raw`, `origin` (an index in `origins`, in which nothing is twice) and `received_unix_nano` have one entry a span.
    """

    __slots__ = ("_is_distinct", "_numbers", "origin", "origins", "raw", "received_unix_nano")

    def __init__(self, spans: Iterable[StoredSpan] = ()) -> None:
        self.raw: list[bytes] = []
        self.origin: list[int] = []
        self.received_unix_nano: list[int] = []
        self.origins: list[Origin] = []
        self._numbers: dict[Origin, int] = {}
        self._is_distinct = False
        self.extend(spans)

    def extend(self, spans: Iterable[StoredSpan]) -> None:
        """Add spans at the end."""
        if isinstance(spans, StoredSpans):
            here = [self.number_of(origin) for origin in spans.origins]
            self.add(spans.raw, [here[number] for number in spans.origin], spans.received_unix_nano)
            return
        self._is_distinct = False
        for resource, resource_url, scope, scope_url, raw, received in spans:
            self.raw.append(raw)
            self.origin.append(self.number_of(Origin(resource, resource_url, scope, scope_url)))
            self.received_unix_nano.append(received)

    def add(self, raw: Sequence[bytes], origin: Sequence[int], received_unix_nano: Sequence[int]) -> None:
        """Add columns at the end. `origin`: numbers from `number_of`."""
        self._is_distinct = False
        self.raw += raw
        self.origin += origin
        self.received_unix_nano += received_unix_nano

    def number_of(self, origin: Origin) -> int:
        """The number of an origin here, which gets one if it had none."""
        number = self._numbers.setdefault(origin, len(self.origins))
        if number == len(self.origins):
            self.origins.append(origin)
        return number

    def take(self, order: Sequence[int]) -> StoredSpans:
        """The spans at these places, in this order."""
        taken = StoredSpans()
        taken.origins, taken._numbers = self.origins[:], self._numbers.copy()
        raw, origin, received = self.raw, self.origin, self.received_unix_nano
        taken.raw = list(map(raw.__getitem__, order))
        taken.origin = list(map(origin.__getitem__, order))
        taken.received_unix_nano = list(map(received.__getitem__, order))
        return taken

    def held(self, texts: Iterable[bytes]) -> frozenset[bytes]:
        """Those of the texts that the bytes of any span hold. One that spans hold only in part, one after the other, may be among them.

        Many spans are searched at once, which takes a fifth of the time that each by itself does.
        """
        wanted, found = set(texts), set[bytes]()
        for at in range(0, len(self.raw), _SEARCHED_AT_ONCE):
            some: Sequence[bytes] = self.raw[at : at + _SEARCHED_AT_ONCE]
            if sum(map(len, some)) <= _JOINED_BYTES:
                some = (b"".join(some),)
            found.update(text for text in wanted - found for raw in some if raw.find(text) >= 0)
        return frozenset(found)

    def distinct(self) -> StoredSpans:
        """Each span once, with its first arrival. Equal means: resource, scope, both schema URLs and every byte of the span."""
        if self._is_distinct or len(set(self.raw)) == len(self.raw):
            self._is_distinct = True
            return self
        first: dict[tuple[bytes, int], int] = {}
        received = self.received_unix_nano
        for at, key in enumerate(zip(self.raw, self.origin, strict=True)):
            other = first.setdefault(key, at)
            if received[at] < received[other]:
                first[key] = at
        found = self.take(list(first.values()))
        found._is_distinct = True
        return found

    def fingerprint(self) -> int:
        """A number that is equal for equal spans in any order, whatever their arrivals; in this process only."""
        shared = [hash(origin) | 1 for origin in self.origins]
        return sum(map(operator.mul, map(hash, self.raw), map(shared.__getitem__, self.origin)))

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, at: int) -> StoredSpan: ...
    @overload
    def __getitem__(self, at: slice) -> StoredSpans: ...
    def __getitem__(self, at: int | slice) -> StoredSpan | StoredSpans:
        if isinstance(at, slice):
            return self.take(range(*at.indices(len(self))))
        resource, resource_url, scope, scope_url = self.origins[self.origin[at]]
        return StoredSpan(resource, resource_url, scope, scope_url, self.raw[at], self.received_unix_nano[at])

    def __iter__(self) -> Iterator[StoredSpan]:
        return (self[at] for at in range(len(self)))
