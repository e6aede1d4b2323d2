"""The interfaces of a store: TraceWriter for the collector, the others for queries."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from clew_server.model.completion import Counted, KeyCount, ValueCount, ValuesAsked
from clew_server.model.dependency import Dependencies
from clew_server.model.points import Points, Version
from clew_server.model.query_tree import Braces
from clew_server.model.rates import Rates, RatesAsked
from clew_server.model.red import Beside, Failing, Red, RedAsked
from clew_server.model.search import Search
from clew_server.model.series import Series, SeriesAsked
from clew_server.model.stored import StoredSpan
from clew_server.model.summary import Box, Summary
from clew_server.model.usual import Durations, Operation, Within

Statement = Literal["chunks", "search"]
Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A durable, sealed file of length-delimited OTLP records with marks (docs/formats/wal.md), spans of one UTC arrival day.

    `token` names the segment, or the run of its records `<segment>/<first>-<last>`: the store finds by it what it has.
    """

    path: Path
    token: str


class StoreFailed(Exception):
    """A statement failed: memory, disk, time-out, a failing view. Some tables may hold its rows: call `ensure` next."""


class SegmentRefused(StoreFailed):
    """The statement failed and it may be for what the segment holds.

    `certain`: the engine's error is about bytes or values (ClickHouse's codes 444, 33, 128, …). Else it is any error that
    is not known to come from disk, time or memory of the machine.
    """

    def __init__(self, message: str, *, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


class StoreCannotRun(Exception):
    """The store cannot run on this machine at all (no AVX2, no wheel): the command ends with 6."""


class StoreUnusable(Exception):
    """The store's folder cannot be opened, or a newer version wrote it; it was left untouched: the command ends with 5."""


class TraceWriter(Protocol):
    """Stores segments. Blocking; call it from a worker thread, never from the event loop or the main thread."""

    def write(self, segment: SegmentFile, statement: Statement) -> None:
        """Store one form of every span of the file, for the first time; return when it is durable.

        Raises StoreFailed, SegmentRefused among it: then some tables may have the rows, and only `ensure` may follow.
        """
        ...

    def ensure(self, segment: SegmentFile, statement: Statement) -> bool:
        """Store what is missing of one form, after an attempt that failed or an end of the process at any moment.

        Looks in each table for what a segment with this token leaves in it, stores it where it is not, and looks again.
        Returns whether anything was missing. Raises as `write`.
        """
        ...


class StoredTrace(NamedTuple):
    """What a reader has of a trace; `unreadable` is a sentence about what damage took from it, None when nothing.

    `state` is the state (`TraceReader.state`) at which this was read.
    """

    spans: Sequence[StoredSpan]
    unreadable: str | None
    state: Hashable
    without_origin: Sequence[int] = ()
    """Places of spans whose resource or scope was not found, so they stand without: while a segment is inserted the engine shows
    spans before their resources; later, damage or an expiry took them."""


class TraceReader(Protocol):
    """Spans by trace id. Implemented by the store and by the collector's log (what is not stored yet). Blocking."""

    def read(self, trace_id: bytes) -> StoredTrace:
        """Every span of the trace that can be read, repeated ones included, in no order. Raises StoreFailed, Unavailable."""
        ...

    def state(self, trace_id: bytes) -> Hashable:
        """A value that changes whenever `read` may find other spans; far cheaper than `read`. Raises as `read`."""
        ...


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One trace in a list of results. Times are ns since the epoch."""

    trace_id: str
    start_unix_nano: int
    duration_ns: int
    spans: int
    errors: int
    root_service: str
    root_name: str
    has_root: bool
    services: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Page:
    """Traces newest first; `next` continues after the last one, None at the end; `complete` false says why in `reason`."""

    traces: Sequence[TraceSummary]
    next: str | None
    complete: bool = True
    reason: str | None = None


class TraceStore(TraceReader, Protocol):
    """The store's side of a trace by its id. Blocking."""

    def spans_known(self, trace_id: bytes) -> int:
        """How many spans of the trace the search form counts: more than none where `read` has none is a loss."""
        ...


class Names(NamedTuple, Generic[Name]):
    """Names, sorted. `missing` says what of the store could not be read, so that some may lack; None when all could."""

    found: list[Name]
    missing: str | None


class TraceSearch(Protocol):
    """Finds traces and names. Blocking."""

    def find(self, search: Search) -> Page: ...
    def services(self) -> Names[str]: ...
    def operations(self, service: str) -> Names[tuple[str, str]]:
        """(name, kind word) of the service, sorted."""
        ...


class UsualDurations(NamedTuple):
    """Durations by operation and kind (OTLP's number; None: all kinds together, there for every operation asked for).

    `missing` says what of the store could not be read, None when all could.
    """

    found: Mapping[tuple[Operation, int | None], Durations]
    missing: str | None


class TracesLike(NamedTuple):
    """Traces of one root operation: those whose root has this name and kind (OTLP's number), but not this one trace.

    `is_root`: their root has no parent; else it has one, as where the caller sends no spans. `roots` is about how many spans the
    root operation has in the hours that are looked at.
    """

    operation: Operation
    kind: int
    is_root: bool
    but: bytes
    roots: int


class UsualWithin(NamedTuple):
    """What operations usually do inside traces, of `sampled` traces; nothing below `ENOUGH` of them. `missing` as above."""

    found: Mapping[Operation, Within]
    sampled: int
    missing: str | None


class TraceRates(Protocol):
    """Rates over time. Blocking."""

    def rates(self, asked: RatesAsked) -> Rates:
        """Points in time with what happened before each. Raises StoreFailed, Unavailable."""
        ...


class TraceUsual(Protocol):
    """What is usual for operations. Blocking."""

    def durations(self, operations: Sequence[Operation], at_unix_nano: int) -> UsualDurations:
        """Of spans that start in the hour before `at_unix_nano` or in the same hour a day earlier.

        The hour begins with a whole minute, so it has up to 61 of them. Raises StoreFailed, Unavailable.
        """
        ...

    def within(self, like: TracesLike, operations: Sequence[Operation], at_unix_nano: int) -> UsualWithin:
        """Of these operations in a sample of such traces that start in the hours of `durations`.

        A delay counts where the parent is a span of one of `operations` too. Raises StoreFailed, Unavailable.
        """
        ...


class TraceDependencies(Protocol):
    """Which services call which. Blocking."""

    def dependencies(self, from_unix_nano: int, to_unix_nano: int) -> Dependencies:
        """Calls that began at or after `from_unix_nano` and before `to_unix_nano`, by the clock of the caller.

        Where there are too many spans to look at, the newest are, and `reason` says so. Raises StoreFailed, Unavailable.
        """
        ...


Holding = Sequence[frozenset[bytes]]
"""For each of some braces the ids of a trace's spans for which they hold."""


class TraceValues(Protocol):
    """What stands in attributes, and counts over time. Blocking; all raise StoreFailed, Unavailable."""

    def keys(self, from_unix_nano: int, to_unix_nano: int) -> Names[tuple[str, str]]:
        """(place, key) of attributes of resources, and of spans and their events that start in that time. Places: `resource`, `span`, `event`."""
        ...

    def values(
        self, place: str, key: str, from_unix_nano: int, to_unix_nano: int, limit: int
    ) -> Names[tuple[str, str]]:
        """(type, text) of the values of an attribute of a `span` or `resource`, the most frequent first. Types: `string`, `int`, `float`, `bool`."""
        ...

    def resource_keys(self, limit: int) -> Names[str]:
        """Names of the attributes that resources have, sorted."""
        ...

    def peers(self, service: str, from_unix_nano: int, to_unix_nano: int, limit: int) -> Names[str]:
        """Other sides of calls, as the service's own spans in that time name them (`model.dependency.PEER_KEYS`), sorted."""
        ...

    def names(self, limit: int) -> Names[str]:
        """Names of operations of all services, sorted."""
        ...

    def series(self, asked: SeriesAsked) -> Series:
        """Counts and durations over time. A span that came in two requests counts twice. Raises BadInput for too many points."""
        ...

    def holding(
        self, filters: Sequence[Braces], traces: Sequence[TraceSummary], search: Search
    ) -> Mapping[str, Holding]:
        """For each of these traces, which of its spans satisfy each of the braces, and start in the search's time for spans.

        Raises BadInput for an expression that is none.
        """
        ...


class TraceCompletion(Protocol):
    """What a query may ask for. Blocking; all raise BadInput for an expression that is none, StoreFailed, Unavailable.

    Spans that start in the search's time are looked at: all of them where they are few, else some that are spread over it; of keys,
    what was counted of all when they were stored. Of a search with a query, the spans of the newest traces that match, and where the
    query is about one span those it holds for. A span that came in two requests counts twice.
    """

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        """Keys of attributes, the most frequent first."""
        ...

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        """Values of a key, those that begin with the prefix first, then the most frequent."""
        ...


class Similar(NamedTuple):
    """A trace whose id differs little from one that was asked for."""

    trace_id: str
    """32 hex digits."""
    because: Literal["beginning", "half", "span_id"]
    """Its id begins alike; the last 16 digits are the same, one of the two padded or cut to 64 bits; one of its spans has this id."""


class TraceSimilar(Protocol):
    """Finds traces whose id was probably meant. Blocking; raises StoreFailed, Unavailable."""

    def similar(self, digits: str, limit: int) -> list[Similar]:
        """The best first, `limit` at most. `digits`: 8 to 32 hex digits in lower case, a whole id or the beginning of one.

        Those with the longest beginning in common, 8 digits at least; for 16 digits, or zeros before them, also those that end with
        them, and the traces of spans with this id. What cannot be found within a second is left out.
        """
        ...


class TraceRed(Protocol):
    """Rate, failures and durations of calls over time. Blocking; all raise StoreFailed, Unavailable.

    Counted by whole minutes, with percentiles from digests, where the query is about names only (`query_tree.is_of_names`) and
    by service or operation. A span that came in two requests counts twice.
    """

    def red(self, asked: RedAsked) -> Red:
        """Of spans: those for which a query about one span holds; of another query all spans of the traces that match.

        Raises BadInput for too many points.
        """
        ...

    def failing(self, search: Search, step_ns: int, before_ns: int) -> list[Failing]:
        """Operations that failed ten times or more, from so long before the search's time on. Its query is about names only."""
        ...

    def beside(self, search: Search) -> list[Beside]:
        """Durations of operations in the last hour of the search's time, or all of it, beside the hour before and the same time a day earlier."""
        ...


class TraceSummaries(Protocol):
    """Figures about all traces that a search finds. Blocking."""

    def summary(self, search: Search, box: Box | None) -> Summary:
        """Totals, lengths and heatmap of all of them, facets of all or of some. Raises BadInput, StoreFailed, Unavailable.

        A span that came in two requests counts once in all of it.
        """
        ...

    def matched(self, search: Search) -> int:
        """How many traces match. Raises as `summary`."""
        ...

    def points(self, search: Search, limit: int) -> Points:
        """Up to `limit` single traces that match. Raises as `summary`."""
        ...


class TraceVersions(Protocol):
    """Versions of services by their spans. Blocking."""

    def versions(self, from_unix_nano: int, to_unix_nano: int) -> Names[Version]:
        """Each version of a service with spans that start in that time, and when its first one does. Raises StoreFailed, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """`damaged_parts` are those that the engine could not load and put aside."""

    stored_spans: int
    disk_bytes: int
    oldest_received_unix_nano: int | None
    damaged_parts: int = 0
    damaged_bytes: int = 0


class Expired(NamedTuple):
    """What one run of retention did and what failed, a sentence for each; and why the cap cannot be held, or None."""

    done: list[str]
    failures: list[str]
    over_cap: str | None


class StoreMaintenance(Protocol):
    """Retention and figures. Blocking."""

    def statistics(self) -> StoreStatistics: ...

    def newest_arrival_unix_nano(self, until_unix_nano: int) -> int | None:
        """The newest arrival that is not after that time; None where there is none."""
        ...

    def losses(self, unsettled_days: Iterable[int]) -> list[str]:
        """What was stored and is no longer there or cannot be read, a sentence for each: tables are compared by day.

        `unsettled_days`: arrival days (since the epoch) of which spans are still being stored; they are left out.
        """
        ...

    def mend_merges(self) -> list[str]:
        """Put back what was merged into parts whose files are short of bytes; a sentence for each that could not be, said once.

        To be called more often than the store removes what it merged, which is after a minute (schema step 13). Raises
        StoreFailed, Unavailable.
        """
        ...

    def expire(self, *, now_unix_nano: int, retention_s: int, max_disk_bytes: int, beside_bytes: int) -> Expired:
        """Drop arrival days past retention, then the oldest while over the cap; of the newest, the oldest arrivals until
        90 % of the cap. At least a tenth of the cap stays of the newest spans, whatever else fills the folder.

        `now_unix_nano` is a time that may be trusted; `beside_bytes` are those of the data folder outside the store's.
        """
        ...
