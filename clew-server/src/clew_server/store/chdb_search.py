"""Finds traces in chDB: by start in widening windows, else among all of the time, with exact pages; says where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from typing import Any, Final, TypeVar

from clew_server.errors import Unavailable
from clew_server.model.search import KIND_WORDS, Search
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.chdb_again import put
from clew_server.store.chdb_count import IDS, counted
from clew_server.store.chdb_population import ROWS_OF_A_TRACE, ChdbPopulation, Chosen
from clew_server.store.connections import Pool
from clew_server.store.contract import Names, Page, TraceSummary
from clew_server.store.listings import NOTHING, Listing, Listings
from clew_server.store.orders import (
    LAST_START_NS,
    ORDERS,
    Condition,
    Cursor,
    Order,
    bounds,
    read_cursor,
    written_cursor,
)
from clew_server.store.steps import Steps
from clew_server.store.where.binding import hexed

_MORE_LISTED: Final = 12
"""Traces that are listed beyond a page of the newest ones: some of them have rows that are older than those looked at."""
_MORE_TO_LOOK_AT: Final = 4_000
"""Traces in the first window where not every one is listed."""
_STORED_WITHIN_S: Final = 60
"""So long after it came a span is stored, or later where the store has no room: then a trace that moved up because of it may lack."""
_CAME_SINCE: Final = "trace_id IN (SELECT trace_id FROM traces WHERE received>=toDateTime({since_s:UInt32},'UTC'))"
One = TypeVar("One")


class ChdbTraces(ChdbPopulation):
    """The store's TraceReader and TraceSearch. Safe for several threads."""

    def __init__(
        self, pool: Pool, *, tables: Tables | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(pool, tables=tables, clock_s=clock_s)
        self._listings = Listings()

    def services(self) -> Names[str]:
        """See TraceSearch."""
        rows, missing = self._names("services", {})
        return Names([name for (name,) in rows], missing)

    def operations(self, service: str) -> Names[tuple[str, str]]:
        """See TraceSearch."""
        rows, missing = self._names("operations", {"service": hexed(service)})
        return Names(sorted((name, KIND_WORDS[kind]) for name, kind in rows), missing)

    def _names(self, name: str, parameters: dict[str, str]) -> tuple[list[list[Any]], str | None]:
        question = self.question()
        try:
            return question.rows(name, parameters), question.missing()
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    def find(self, search: Search) -> Page:
        """See TraceSearch. Raises BadInput for a cursor that is not one of ours, StoreFailed, Unavailable.

        When a guard rail stops it, the page has what was found, `complete` is false, and `next` goes on from there where the order
        is by start. `complete` is false as well where spans could not be counted or files of the store are damaged: `reason` says it.
        """
        question, now_s = self.question(), time.time()
        order = ORDERS[search.sort]
        cursor = read_cursor(search.cursor, search.sort) if search.cursor is not None else None
        after = cursor.last if cursor is not None else None
        listing = self._listings.up_to(cursor.listing) if cursor is not None else NOTHING
        if order.by_start:
            found, stopped_by, reached_ns = self._by_start(search, order, after, question, listing)
        else:
            found, stopped_by, reached_ns = *self._by_whole(search, order, after, question, listing), None
        moved, unknown = self._moved(search, order, after, question, listing, found)
        more = None
        found = [*moved, *found]
        page, uncounted = counted(found[: search.limit], question)
        if uncounted and order.by_spans:
            stopped_by = "where this page ends in the order of spans is not known"
        elif len(found) > search.limit:
            last = page[-1]
            more = (order.of(last), last.trace_id) if len(page) > len(moved) else after
            stopped_by = None
        elif stopped_by and reached_ns is not None:
            more = reached_ns if order.descends else reached_ns - 1, "0" * 32
        reasons = [reason for reason in (stopped_by, unknown, uncounted, question.missing()) if reason]
        following = None
        if more is not None:
            is_all = len(moved) <= search.limit and unknown is None
            name = self._listings.add(
                cursor.listing if cursor is not None else None,
                [trace.trace_id for trace in page],
                first_s=now_s if listing.first_s is None else listing.first_s,
                looked_s=now_s if is_all else listing.looked_s,
            )
            following = written_cursor(search.sort, Cursor(*more, name))
        return Page(page, following, not reasons, "; ".join(reasons) or None)

    def _moved(
        self,
        search: Search,
        order: Order,
        after: tuple[int, str] | None,
        question: Question,
        listing: Listing,
        found: Sequence[TraceSummary],
    ) -> tuple[list[TraceSummary], str | None]:
        """Traces that stand before the cursor now and were listed nowhere, one more than the limit at most, and why some may lack.

        More of their spans came since: they were after the cursor when the pages before it were listed. What is listed first comes to
        stand later in the other orders. Traces that begin after the first page was asked for are new.
        """
        if not order.moves_up or after is None or listing.first_s is None:
            return [], None
        since = {"since_s": str(max(0, int(listing.looked_s - _STORED_WITHIN_S)))}
        before_first = {**since, "first_ns": str(int(listing.first_s * 1e9))}
        try:
            if not question.rows("came_since", since)[0][0]:
                return [], None
            until = order.up_to(after)
            beside = Condition(f"{until.sql} AND s<NS({{first_ns:Int64}})", {**until.bound, **before_first})
            from_ns, to_ns = bounds(search)
            if order.by_start:
                to_ns = min(to_ns, after[0] + 1)
            chosen = self.population(search, question, beside)(from_ns, to_ns, to_ns > LAST_START_NS)
            chosen = chosen._replace(sets=f"{chosen.sets} AND {_CAME_SINCE}")
            limit = search.limit + 1
            # Those that were listed stand there too.
            looked_at = limit + len(found) + listing.traces
            but = {one.trace_id for one in found}
            moved = self._first(chosen, order, limit, question, listing, but, looked_at)
            while order.by_spans and moved:
                # By the sums of the summaries also some that come after the cursor.
                exact, uncounted = counted(moved, question)
                if uncounted is not None:
                    raise Stopped(uncounted)
                before = [one for one in exact if (one.spans, one.trace_id) >= after]
                if len(moved) < limit or len(before) > search.limit:
                    return before, None
                limit *= 2
                moved = self._first(chosen, order, limit, question, listing, but, looked_at)
        except Stopped as stopped:
            return [], f"{stopped}; traces of which more spans came since the first page may lack"
        return moved, None

    def newest(self, search: Search, question: Question) -> tuple[list[TraceSummary], str | None]:
        """The newest traces, `search.limit` at most, and the reason why they are not all, None when they are.

        Their spans are counted as often as they came.
        """
        found, stopped_by, _ = self._by_start(search, ORDERS["-start"], None, question, NOTHING)
        if len(found) > search.limit:
            stopped_by = f"looked at the newest {search.limit} traces that match"
        return found[: search.limit], stopped_by

    def _by_start(
        self, search: Search, order: Order, after: tuple[int, str] | None, question: Question, listing: Listing
    ) -> tuple[list[TraceSummary], str | None, int | None]:
        """Traces in widening windows, one more than the limit; what stopped it, and the start that it reached, where that is a progress."""
        begin_ns, end_ns = bounds(search)
        # An hour's arrival may lie past the last start; no start does.
        open_above = search.to_unix_nano is None and search.span_to_unix_nano is None and after is None
        if search.span_to_unix_nano is not None:
            end_ns = min(end_ns, search.span_to_unix_nano)  # no span starts before its trace
        if after is not None and order.descends:
            end_ns = min(end_ns, after[0] + 1)
        elif after is not None:
            begin_ns = max(begin_ns, after[0])
        found: list[TraceSummary] = []
        from_ns = to_ns = reached_ns = first_ns = end_ns if order.descends else begin_ns
        try:
            population = self.population(search, question, order.after(after) if after is not None else None)
            steps = Steps(_MORE_TO_LOOK_AT if _looks_for(search) else search.limit + 1)
            if order.descends and after is None and not _looks_for(search) and search.span_to_unix_nano is None:
                found, reached_ns = self._of_newest_rows(begin_ns, end_ns, order, search.limit + 1, question)
            while not steps.is_over and len(found) <= search.limit:
                few = steps.is_first
                nearest = self._next(begin_ns, end_ns, order, reached_ns, steps, question)
                if nearest is None:
                    break
                next_ns, width_ns = nearest
                if order.descends:
                    # Traces that began before the spans that are looked for are few: their windows need not widen step by step.
                    is_last = search.span_from_unix_nano is not None and next_ns < search.span_from_unix_nano
                    from_ns, to_ns = begin_ns if is_last else max(begin_ns, next_ns - width_ns), reached_ns
                else:
                    from_ns, to_ns = reached_ns, min(end_ns, next_ns + width_ns + 1)
                chosen = population(from_ns, to_ns, open_above and order.descends, few=few)
                missing = search.limit + 1 - len(found)
                more = self._listed(chosen, order.sql, missing, question, listing)
                steps.note(len(more), missing)
                found += more
                reached_ns = from_ns if order.descends else to_ns
        except Stopped as stopped:
            side = "before" if order.descends else "from"
            reason = f"{stopped}; traces that start {side} {iso(reached_ns)} were not looked at"
            return found, reason, reached_ns if reached_ns != first_ns else None
        return found, None, None

    def _of_newest_rows(
        self, begin_ns: int, end_ns: int, order: Order, limit: int, question: Question
    ) -> tuple[list[TraceSummary], int]:
        """The newest traces by one statement, where no condition leaves any out, and the start from which on these are all.

        They are fewer than `limit` where there are not more, or where too many rows are of the same traces.
        """
        traces, rows = limit + _MORE_LISTED, (limit + _MORE_LISTED) * ROWS_OF_A_TRACE
        bound = {"from_ns": str(begin_ns), "to_ns": str(end_ns), "limit": str(traces), "rows": str(rows)}
        listed = question.rows("traces_newest", bound, ORDER_OF_TRACES=order.sql)
        is_all = len(listed) < traces and sum(int(row[-2]) for row in listed) < rows
        reached_ns = begin_ns if is_all else min(int(row[-1]) for row in listed) + 1
        found = [one for one in (_summary(row[:-2]) for row in listed) if one.start_unix_nano >= reached_ns]
        return found[:limit], reached_ns

    def _by_whole(
        self, search: Search, order: Order, after: tuple[int, str] | None, question: Question, listing: Listing
    ) -> tuple[list[TraceSummary], str | None]:
        """Traces in an order that only all of them decide: first the ids of the page, then what is listed of these."""
        try:
            time_ns, open_above = bounds(search), search.to_unix_nano is None
            population = self.population(search, question, order.after(after) if after is not None else None)
            chosen = population(*time_ns, open_above)
            found = self._first(chosen, order, search.limit + 1, question, listing)
            if order.by_spans:
                # Until here by the sums of the summaries, which count some spans again. Every trace found has at least as many
                # spans as the smallest of them, so only traces with larger sums can come before one of them.
                exact, uncounted = counted(found, question)
                if uncounted is not None:
                    raise Stopped(uncounted)
                is_page = len(found) > search.limit
                exactly = population(*time_ns, open_above, min(trace.spans for trace in exact) if is_page else 1)
                if exactly != chosen:
                    found = self._first(exactly, order, search.limit + 1, question, listing)
        except Stopped as stopped:
            return [], f"{stopped}; in this order all traces of the time are looked at first: choose a shorter one"
        return found, None

    def _first(
        self,
        chosen: Chosen,
        order: Order,
        limit: int,
        question: Question,
        listing: Listing,
        but: Set[str] = frozenset(),
        looked_at: int = 0,
    ) -> list[TraceSummary]:
        """The first so many traces in the order that were not listed yet and are not among `but`; `looked_at` at once at least."""
        sql = put(order.sql, chosen.words)
        words = {"TRACE_SETS": chosen.sets, "TRACE_CONDITIONS": chosen.conditions, "ORDER_OF_TRACES": sql}

        def ids_of(count: int) -> list[str]:
            rows = question.rows("traces_ordered", {**chosen.bound, "limit": str(count)}, **words)
            return [trace_id for (trace_id,) in rows]

        ids = _not_listed(ids_of, str, limit, listing, but, looked_at)
        if not ids:
            return []
        listed = "[" + ",".join(f"'{trace_id}'" for trace_id in ids) + "]"
        these = Chosen(f"trace_id IN {IDS}", "1", {"ids": listed})
        found = {one.trace_id: one for one in self._listed(these, "trace_id", len(ids), question, NOTHING)}
        return [found[trace_id] for trace_id in ids if trace_id in found]

    def _listed(
        self, chosen: Chosen, order: str, limit: int, question: Question, listing: Listing
    ) -> list[TraceSummary]:
        """The first so many traces in the order that were not listed yet."""
        words = {"TRACE_SETS": chosen.sets, "TRACE_CONDITIONS": chosen.conditions, "ORDER_OF_TRACES": order}

        def traces_of(count: int) -> list[TraceSummary]:
            return [
                _summary(row) for row in question.rows("traces_listed", {**chosen.bound, "limit": str(count)}, **words)
            ]

        return _not_listed(traces_of, lambda trace: trace.trace_id, limit, listing)

    def _next(
        self, begin_ns: int, end_ns: int, order: Order, reached_ns: int, steps: Steps, question: Question
    ) -> tuple[int, int] | None:
        """Where the next window begins on the way, and its length; None where no trace is left.

        Traces are asked for where their distance decides the length, and where there may be a long time without any to pass over.
        """
        left_ns = reached_ns - begin_ns if order.descends else end_ns - reached_ns
        if left_ns <= 0:
            return None
        width_ns = None if steps.is_first else steps.width_ns()
        if width_ns is not None and width_ns >= left_ns:
            return reached_ns, width_ns
        nearest = self._nearest(begin_ns, end_ns, order, reached_ns, steps.traces, question)
        if nearest is None:
            return None
        next_ns, last_ns = nearest
        if width_ns is None:
            width_ns = steps.width_ns(LAST_START_NS if last_ns is None else abs(last_ns - next_ns))
        return next_ns, width_ns


def _not_listed(
    first: Callable[[int], list[One]],
    id_of: Callable[[One], str],
    limit: int,
    listing: Listing,
    but: Set[str] = frozenset(),
    looked_at: int = 0,
) -> list[One]:
    """Of what `first` gives, which is asked for as many as are needed, the first so many that were not listed yet and are not among `but`."""
    count = max(limit, looked_at)
    while True:
        found = first(count)
        left = listing.without(id_of(one) for one in found) - but
        kept = [one for one in found if id_of(one) in left]
        if len(found) < count or len(kept) >= limit:
            return kept[:limit]
        count *= 2


def _looks_for(search: Search) -> bool:
    """Whether not every trace of the time is listed."""
    return search.where is not None or bool(search.span) or search.span_from_unix_nano is not None


def _summary(row: Sequence[Any]) -> TraceSummary:
    trace_id, start_ns, duration_ns, spans, errors, services, later, service, name = row
    return TraceSummary(
        trace_id=trace_id,
        start_unix_nano=int(start_ns),
        duration_ns=int(duration_ns),
        spans=int(spans),
        errors=int(errors),
        root_service=service,
        root_name=name,
        has_root=not later,
        services=tuple(services),
    )


def iso(time_ns: int) -> str:
    seconds = min(time_ns // 1_000_000_000, LAST_START_NS // 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
