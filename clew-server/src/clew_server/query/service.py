"""The questions the product answers about traces: what is stored and what is still in the log, as one.

Every answer is made on a bounded pool of threads: neither the store nor the building of a large trace holds the loop. Searches
have a pool of their own, so that many of them do not hold up a trace by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

from clew_server.analysis.brief import Brief, brief
from clew_server.analysis.range_findings import RangeFinding, failing_finding, slower_finding
from clew_server.errors import BadInput, Damaged, NotFound, Unavailable
from clew_server.model import otlp_read
from clew_server.model.completion import Counted, ValueCount, ValuesAsked
from clew_server.model.dependency import Dependencies
from clew_server.model.facts import NOTHING_KNOWN, Known
from clew_server.model.pinpoint import late
from clew_server.model.points import MOST_POINTS, Points, Versions, latest_versions, newer_versions
from clew_server.model.query_tree import Braces, is_of_names
from clew_server.model.rates import Rates, RatesAsked
from clew_server.model.red import Red, RedAsked, usual_step_ns
from clew_server.model.search import Search
from clew_server.model.series import Series, SeriesAsked
from clew_server.model.stored import StoredSpan
from clew_server.model.summary import Box, Summary
from clew_server.model.trace import Trace
from clew_server.model.usual import NOTHING, Durations, Operation, Usual
from clew_server.query.completion import NOT_COUNTED, NOT_LISTED, WORDS, KeyFound, keys_found, words_found
from clew_server.query.late_names import search_with_late_names, with_late_names
from clew_server.query.nothing import Excluded, left_out, written_condition
from clew_server.query.remembered_completion import RememberedCompletion
from clew_server.query.spelling import spelled
from clew_server.query.traces import KEPT_FOR_S, Traces
from clew_server.query.usual import usual_for
from clew_server.store.cancelling import CURRENT, Cancellation
from clew_server.store.contract import (
    Holding,
    Names,
    Page,
    Similar,
    TraceCompletion,
    TraceDependencies,
    TraceRates,
    TraceReader,
    TraceRed,
    TraceSearch,
    TraceSimilar,
    TraceStore,
    TraceSummaries,
    TraceSummary,
    TraceUsual,
    TraceValues,
    TraceVersions,
)

MAX_SPANS_ASKED: Final = 100
MOST_SIMILAR: Final = 5
MAX_SPANS_OF_A_BRIEF: Final = 10_000
"""Traces with more spans are not read for a list of results, in which there are many."""
SEARCH_THREADS: Final = 3
LOOKUP_THREADS: Final = 2
_MAX_WAITING: Final = 64
_MAX_NAMES: Final = 1_000
_BEFORE_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _BEFORE_NS

T = TypeVar("T")


class Answer(NamedTuple):
    """The bytes of a trace in some form; `incomplete` is a sentence about what damage took from it, None when nothing."""

    body: bytes
    incomplete: str | None


class Skipped(NamedTuple):
    """Why nothing is said of a trace, in a sentence."""

    reason: str


class Pieces(NamedTuple):
    """The bytes of a trace in some form, in pieces; `incomplete` as in `Answer`."""

    pieces: AsyncIterator[bytes]
    incomplete: str | None


class Baseline(NamedTuple):
    """What is usual for one operation; `missing` says what of the store could not be read, None when all could."""

    durations: Durations
    missing: str | None


@dataclass(frozen=True, slots=True)
class QueryStatistics:
    """Counted since the start."""

    running: int
    refused: int
    unreadable_spans: int


class _Lane:
    """Threads for one kind of question, and a bounded number of questions that wait for them."""

    def __init__(
        self, name: str, threads: int, max_waiting: int, on_failure: Callable[[Exception], None] | None
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"clew-{name}")
        self._cancelling = ThreadPoolExecutor(1, thread_name_prefix=f"clew-{name}-cancel")
        self._on_failure = on_failure
        self._most = threads + max_waiting
        self._totals = asyncio.Semaphore(max(1, threads - 1))
        self._lock = threading.Lock()
        self.running = 0
        self.refused = 0

    async def run_totals(self, call: Callable[[], T]) -> T:
        """As `run`, for a question about all matches: one thread is left for others, which would wait behind many such ones for long."""
        self._begin(waits=False)
        try:
            await self._totals.acquire()
        except asyncio.CancelledError:
            self._done()
            raise
        loop = asyncio.get_running_loop()

        def free(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._totals.release)

        return await self._on_thread(call, free)

    async def run(self, call: Callable[[], T], *, waits: bool = False) -> T:
        """What the call returns. Raises Unavailable when too many wait; not with `waits`, for an answer that has begun."""
        self._begin(waits=waits)
        return await self._on_thread(call)

    def _begin(self, *, waits: bool) -> None:
        with self._lock:
            if self.running >= self._most and not waits:
                self.refused += 1
                raise Unavailable("Too many questions are waiting.")
            self.running += 1

    async def _on_thread(self, call: Callable[[], T], free: Callable[[Future[T]], None] = lambda _: None) -> T:
        """`free` is called when the thread is, or when none is needed any more."""
        try:
            cancellation = Cancellation()
            context = contextvars.copy_context()
            context.run(CURRENT.set, cancellation)
            future = self._pool.submit(context.run, call)
        except RuntimeError:
            self._done()
            free(Future())
            raise Unavailable("The server is stopping.") from None
        future.add_done_callback(free)
        # Counted until the thread is free again, also when the asker went away meanwhile.
        future.add_done_callback(self._ended)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # The asker has gone away: what runs in the engine for it is ended, on a thread, since that takes its time.
            with contextlib.suppress(RuntimeError):
                self._cancelling.submit(cancellation.cancel)
            raise

    def _ended(self, future: Future[T]) -> None:
        self._done()
        error = None if future.cancelled() else future.exception()
        expected = error is None or isinstance(error, BadInput | NotFound | Unavailable)
        if self._on_failure is not None and isinstance(error, Exception) and not expected:
            self._on_failure(error)

    def _done(self) -> None:
        with self._lock:
            self.running -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._cancelling.shutdown(wait=False, cancel_futures=True)


class QueryService:
    """Answers from the store and the log together. Every method raises Unavailable when too many wait already.

    A trace id is text: 32 hex digits in any case, dashes allowed (BadInput else); 16 digits are taken as the lower half.
    """

    def __init__(
        self,
        store: TraceStore,
        search: TraceSearch,
        recent: TraceReader,
        *,
        usual: TraceUsual | None = None,
        rates: TraceRates | None = None,
        dependencies: TraceDependencies | None = None,
        values: TraceValues | None = None,
        completion: TraceCompletion | None = None,
        stored: Callable[[], int] = lambda: 0,
        summaries: TraceSummaries | None = None,
        red: TraceRed | None = None,
        versions: TraceVersions | None = None,
        similar: TraceSimilar | None = None,
        known: Known = NOTHING_KNOWN,
        search_threads: int = SEARCH_THREADS,
        lookup_threads: int = LOOKUP_THREADS,
        max_waiting: int = _MAX_WAITING,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """`max_waiting` searches wait at most, and as many other questions. Without `usual` nothing is compared.
        `known`: what agents have said of the numbers in their spans. `stored` is another number when anything was stored since.

        `on_failure` is told, on any thread, of every question that ends with an error that is not the asker's.
        """
        self._traces = Traces(store, recent, known=known)
        self._known = known
        self._search = search
        self._usual = usual
        self._rates = rates
        self._dependencies = dependencies
        self._values = values
        self._completion = None if completion is None else RememberedCompletion(completion, stored)
        self._summaries = summaries
        self._red = red
        self._versions = versions
        self._similar = similar
        self._searches = _Lane("search", search_threads, max_waiting, on_failure)
        self._lookups = _Lane("lookup", lookup_threads, max_waiting, on_failure)
        self._briefs = _Lane("brief", 1, max_waiting, on_failure)
        self._sweep: asyncio.TimerHandle | None = None

    async def get_trace(self, trace_id: str) -> list[StoredSpan]:
        """Every span of the trace once, in no order.

        Raises NotFound when there is none, Damaged when search knows some and none can be read, BadInput for a malformed id.
        """
        wanted = trace_id_from_text(trace_id)
        return list((await self._look_up(lambda: self._traces.get(wanted))).stored)

    async def trace(self, trace_id: str, view: Callable[[Trace], T]) -> T:
        """What `view` makes of the trace, on a thread of this service. Raises as `get_trace`, and what `view` raises."""
        wanted = trace_id_from_text(trace_id)
        return await self._look_up(lambda: view(self._traces.get(wanted)))

    async def kept_view(self, trace_id: str, view: Callable[[Trace], T]) -> T:
        """As `trace`, for a module's function of the trace alone: its result is kept with the trace."""
        wanted = trace_id_from_text(trace_id)
        return await self._look_up(lambda: self._traces.view(wanted, view))

    async def similar(self, trace_id: str) -> list[Similar]:
        """Traces that were probably meant by an id that is none here, or by a part of one; none for what is no id at all.

        Raises StoreFailed, Unavailable.
        """
        store, digits = self._similar, trace_id.strip().replace("-", "").lower()
        if store is None or re.fullmatch(r"[0-9a-f]{8,32}", digits) is None:
            return []
        return await self._lookups.run(lambda: store.similar(digits, MOST_SIMILAR))

    async def explain(self, trace_id: str, view: Callable[[Trace, Usual], T]) -> T:
        """What `view` makes of the trace and what is usual around it, on a thread of this service.

        Where the store does not say what is usual, `view` gets that nothing is known. Raises as `trace`.
        """

        def compared(trace: Trace) -> T:
            return view(trace, NOTHING if self._usual is None else usual_for(trace, self._usual))

        return await self.trace(trace_id, compared)

    async def brief(self, trace_id: str, view: Callable[[Trace, Brief], T]) -> T | Skipped:
        """What `view` makes of the trace and the two answers about it, or why there is none; on a thread for these alone.

        Raises BadInput for a malformed id, Unavailable, StoreFailed, and what `view` raises.
        """
        wanted = trace_id_from_text(trace_id)

        def build() -> T | Skipped:
            count = self._traces.count(wanted)
            if count > MAX_SPANS_OF_A_BRIEF:
                return Skipped(f"It has {count:,} spans; up to {MAX_SPANS_OF_A_BRIEF:,} are read for a list.")
            try:
                trace = self._traces.get(wanted)
            except (NotFound, Damaged) as error:
                return Skipped(str(error))
            return view(trace, brief(trace))

        return await self._look_up(build, lane=self._briefs)

    async def baseline(self, operation: Operation, kind: int | None, at_unix_nano: int) -> Baseline:
        """Durations of an operation, of one kind (OTLP's number) or of all, in the hour before and the same hour a day earlier."""
        usual = self._usual
        if usual is None:
            raise Unavailable("This server has no store that says what is usual.")

        def ask() -> Baseline:
            found, missing = usual.durations([operation], at_unix_nano)
            of_all = found[operation, None]
            nothing = Durations(0, 0, None, None, None, of_all.from_unix_nano, of_all.to_unix_nano)
            return Baseline(of_all if kind is None else found.get((operation, kind), nothing), missing)

        return await self._lookups.run(ask)

    async def pieces(self, trace_id: str, form: Callable[[Trace], Iterator[bytes]]) -> Pieces:
        """What `form` makes of the trace, piece after piece, each made on a thread of this service when it is asked for.

        So a slow asker holds no thread, and one that goes away ends it. Raises as `get_trace`, before the first piece.
        """
        wanted = trace_id_from_text(trace_id)
        trace = await self._look_up(lambda: self._traces.get(wanted))
        return Pieces(self._made(form(trace)), trace.unreadable)

    async def _made(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (piece := await self._lookups.run(lambda: next(pieces, None), waits=True)) is not None:
            yield piece

    async def spans(self, trace_id: str, span_ids: Sequence[bytes]) -> Answer:
        """These spans of the trace (ids of 8 bytes, at most 100; unknown ones are left out) as OTLP JSON.

        Raises as `get_trace`, and BadInput for too many.
        """
        if len(span_ids) > MAX_SPANS_ASKED:
            raise BadInput(f"At most {MAX_SPANS_ASKED} spans at once, not {len(span_ids)}.", code="too_many")

        def found(trace: Trace) -> Answer:
            asked = trace.stored.take(trace.rows_of(span_ids))
            return Answer(b"".join(otlp_read.otlp_json_pieces(asked)), trace.unreadable)

        return await self.trace(trace_id, found)

    async def search(self, search: Search) -> Page:
        """A page of traces in the search's order. Raises BadInput for a cursor that is not of this order."""
        return await self._searches.run(lambda: self._search.find(self._named(search)))

    async def summary(self, search: Search, box: Box | None) -> Summary:
        """Figures about all traces that the search finds. Raises BadInput, Unavailable, StoreFailed."""
        store = self._summaries
        if store is None:
            raise Unavailable("This server has no store that counts traces.")
        return await self._searches.run_totals(lambda: store.summary(self._named(search), box))

    async def excluded(self, search: Search, q: str) -> Excluded | None:
        """Of a search that finds nothing, the condition without which most traces match; None where none does without one.

        Raises BadInput, Unavailable, StoreFailed.
        """
        where, summaries, completion = search.where, self._summaries, self._completion
        if where is None or summaries is None:
            return None

        def ask() -> Excluded | None:
            tried = left_out(where)
            counts = [summaries.matched(self._named(replace(search, where=rest))) for _, rest in tried]
            if not max(counts, default=0):
                return None
            most = max(counts)
            condition, rest = tried[counts.index(most)]
            text, position = written_condition(q, condition, where)
            there, what = (None, None) if completion is None else spelled(condition, rest, search, completion)
            return Excluded(text, position, most, there, what)

        return await self._searches.run_totals(ask)

    async def findings(self, search: Search) -> list[RangeFinding]:
        """What is wrong in the search's time, two findings at most. Of a query about more than names, nothing is said.

        Both ends of the time are given. Raises BadInput, Unavailable, StoreFailed.
        """
        store, from_ns, to_ns = self._red, search.from_unix_nano, search.to_unix_nano
        if store is None or from_ns is None or to_ns is None or from_ns >= to_ns or not is_of_names(search.where):
            return []
        step_ns = usual_step_ns(to_ns - from_ns)

        def ask() -> list[RangeFinding]:
            failing = store.failing(search, step_ns, max(_BEFORE_NS, step_ns))
            found = (failing_finding(failing, from_ns, to_ns, step_ns), slower_finding(store.beside(search)))
            return [one for one in found if one is not None]

        return await self._searches.run_totals(ask)

    async def points(self, search: Search) -> Points:
        """Single traces that match, up to `MOST_POINTS`. Raises BadInput, Unavailable, StoreFailed."""
        store = self._summaries
        if store is None:
            raise Unavailable("This server has no store that counts traces.")
        return await self._searches.run_totals(lambda: store.points(self._named(search), MOST_POINTS))

    async def versions(self, from_unix_nano: int, to_unix_nano: int) -> Versions:
        """Versions of services first seen in a time, of services that had others in the day before it, or earlier in it.

        Up to `MOST_VERSIONS`, the latest. Raises Unavailable, StoreFailed.
        """
        store = self._versions
        if store is None:
            raise Unavailable("This server has no store that knows versions of services.")
        seen = await self._searches.run_totals(lambda: store.versions(from_unix_nano - _DAY_NS, to_unix_nano))
        return latest_versions(newer_versions(seen.found, from_unix_nano), seen.missing)

    async def red(self, asked: RedAsked) -> Red:
        """Rate, failures and durations over time. Raises BadInput, Unavailable, StoreFailed."""
        store = self._red
        if store is None:
            raise Unavailable("This server has no store that counts calls.")
        return await self._searches.run_totals(lambda: store.red(replace(asked, search=self._named(asked.search))))

    async def keys(self, search: Search, prefix: str, limit: int) -> Counted[KeyFound]:
        """Keys that a query may ask for: see `query.completion.keys_found`. Raises BadInput, Unavailable, StoreFailed."""
        store = self._known_completion()
        return await self._lookups.run(lambda: keys_found(store.attribute_keys(self._named(search)), prefix, limit))

    async def key_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        """Values of a key with how many spans have them. Raises as `keys`."""
        store = self._known_completion()
        if asked.place in NOT_LISTED:
            return Counted([], True, None)
        if asked.place in NOT_COUNTED:
            return words_found(asked.place, Counted([], True, None), asked.prefix)
        if asked.place in WORDS:
            counted = await self._lookups.run(lambda: store.attribute_values(self._named(search), asked))
            return words_found(asked.place, counted, asked.prefix)
        return await self._lookups.run(lambda: store.attribute_values(self._named(search), asked))

    def _known_completion(self) -> TraceCompletion:
        if self._completion is None:
            raise Unavailable("This server has no store that counts keys and values.")
        return self._completion

    async def rates(self, asked: RatesAsked) -> Rates:
        """Calls, failures and durations over time. Raises Unavailable, StoreFailed."""
        store = self._rates
        if store is None:
            raise Unavailable("This server has no store that counts calls.")
        return await self._searches.run_totals(lambda: store.rates(asked))

    async def dependencies(self, from_unix_nano: int, to_unix_nano: int) -> Dependencies:
        """Which services called which in the time from one to before the other. Raises Unavailable, StoreFailed."""
        asked = self._dependencies
        if asked is None:
            raise Unavailable("This server has no store that knows which services call which.")
        return await self._searches.run_totals(lambda: asked.dependencies(from_unix_nano, to_unix_nano))

    async def attribute_keys(self, from_unix_nano: int, to_unix_nano: int) -> Names[tuple[str, str]]:
        """See TraceValues.keys; those of all spans, where they are counted. Raises Unavailable, StoreFailed."""
        values, completion = self._known_values(), self._known_completion()
        search = Search(from_unix_nano=from_unix_nano, to_unix_nano=to_unix_nano)

        def keys() -> Names[tuple[str, str]]:
            counted = completion.attribute_keys(search)
            if not counted.complete:
                return values.keys(from_unix_nano, to_unix_nano)
            return Names(
                sorted((one.place, one.key) for one in counted.found if one.place in ("span", "resource", "event")),
                None,
            )

        return await self._searches.run(keys)

    async def attribute_values(
        self, place: str, key: str, from_unix_nano: int, to_unix_nano: int, limit: int
    ) -> Names[tuple[str, str]]:
        """See TraceValues."""
        values = self._known_values()
        return await self._searches.run(lambda: values.values(place, key, from_unix_nano, to_unix_nano, limit))

    async def names(self, limit: int) -> Names[str]:
        """Names of operations of all services, sorted."""
        values = self._known_values()
        return await self._lookups.run(lambda: values.names(limit))

    async def series(self, asked: SeriesAsked) -> Series:
        """Counts and durations over time. Raises BadInput for too many points."""
        values = self._known_values()
        return await self._searches.run(
            lambda: values.series(replace(asked, where=with_late_names(asked.where, late(self._known))))
        )

    async def holding(
        self, filters: Sequence[Braces], traces: Sequence[TraceSummary], search: Search
    ) -> Mapping[str, Holding]:
        """For each of these traces, which of its spans satisfy each of the braces. See TraceValues."""
        values = self._known_values()

        def ask() -> Mapping[str, Holding]:
            names = late(self._known)
            return values.holding([with_late_names(one, names) for one in filters], traces, search)

        return await self._searches.run(ask)

    def _named(self, search: Search) -> Search:
        """The search with what agents said of spans after these had been stored."""
        return search_with_late_names(search, late(self._known)) if search.where is not None or search.span else search

    def _known_values(self) -> TraceValues:
        if self._values is None:
            raise Unavailable("This server has no store that knows values of attributes.")
        return self._values

    async def services(self) -> Names[str]:
        """Names of all services, sorted."""
        return await self._lookups.run(self._search.services)

    async def operations(self, service: str) -> Names[tuple[str, str]]:
        """(name, kind word) of a service's operations, sorted; empty for an unknown service."""
        return await self._lookups.run(lambda: self._search.operations(service))

    async def resource_keys(self) -> Names[str]:
        """Names of the attributes of resources, at most 1,000, sorted."""
        values = self._known_values()
        return await self._lookups.run(lambda: values.resource_keys(_MAX_NAMES))

    async def resource_values(self, key: str) -> Names[str]:
        """Values of an attribute of resources, the 1,000 most frequent, sorted; none for an unknown one."""
        values = self._known_values()
        found = await self._lookups.run(lambda: values.values("resource", key, 0, 0, _MAX_NAMES))
        return Names(sorted(text for _, text in found.found), found.missing)

    async def peers(self, service: str, from_unix_nano: int, to_unix_nano: int) -> Names[str]:
        """Other sides of a service's calls, as its own spans in that time name them, at most 1,000, sorted."""
        values = self._known_values()
        return await self._searches.run(lambda: values.peers(service, from_unix_nano, to_unix_nano, _MAX_NAMES))

    def statistics(self) -> QueryStatistics:
        """What runs or waits now, what was refused, and spans that could not be read."""
        lanes = (self._searches, self._lookups, self._briefs)
        return QueryStatistics(
            sum(lane.running for lane in lanes), sum(lane.refused for lane in lanes), self._traces.broken
        )

    def close(self) -> None:
        """Refuse further questions. Running ones end by themselves; the store waits for them when it closes."""
        self._searches.close()
        self._lookups.close()
        self._briefs.close()
        if self._completion is not None:
            self._completion.close()

    async def _look_up(self, call: Callable[[], T], *, lane: _Lane | None = None) -> T:
        """As `_Lane.run`; the traces that it leaves in memory are released when no question needs them any more."""
        try:
            return await (lane or self._lookups).run(call)
        finally:
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(KEPT_FOR_S, self._forget_unused)

    def _forget_unused(self) -> None:
        self._sweep = None
        self._traces.forget_unused()
        if self._traces.size_bytes:
            self._sweep = asyncio.get_running_loop().call_later(KEPT_FOR_S, self._forget_unused)


def trace_id_from_text(text: str) -> bytes:
    """The 16 bytes of a trace id: 32 hex digits in any case, with or without dashes, or 16 (64-bit ids).

    Raises BadInput, code `bad_id`, for anything else and for the id of zeros.
    """
    digits = text.strip().replace("-", "")
    if re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}", digits) is None or not digits.strip("0"):
        raise BadInput(f"{text[:80]!r} is not a trace id: it has 32 hex digits.", code="bad_id")
    return bytes.fromhex(digits.rjust(32, "0"))
