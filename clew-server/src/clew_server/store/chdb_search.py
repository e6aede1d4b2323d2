"""Finds traces in chDB: newest first, in widening windows, with exact pages; says where it stopped."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from clew_server.errors import BadInput, Unavailable
from clew_server.model.query_tree import Relation
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search, SpanCondition
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_count import IDS, counted
from clew_server.store.chdb_reader import ChdbReader
from clew_server.store.contract import Names, Page, TraceSummary
from clew_server.store.peers import may_name, peer_of
from clew_server.store.where.relations import holds_in
from clew_server.store.where.translator import Translator

FIRST_START_NS: Final = 946_684_800_000_000_000
"""Starts before 2000 or from 2100 on are stored under the arrival instead, so all starts lie between these."""
LAST_START_NS: Final = 4_102_444_800_000_000_000

_WINDOWS_NS: Final = tuple(s * 1_000_000_000 for s in (300, 1_800, 10_800, 86_400, 7 * 86_400, 60 * 86_400))
_PEER: Final = f"if(kind=2,attrs['peer.service'],{peer_of('attrs')})"
_MAX_UINT64: Final = (1 << 64) - 1


class ChdbTraces(ChdbReader):
    """The store's TraceReader and TraceSearch. Safe for several threads."""

    def services(self) -> Names[str]:
        """See TraceSearch."""
        rows, missing = self._names("services", {})
        return Names([name for (name,) in rows], missing)

    def operations(self, service: str) -> Names[tuple[str, str]]:
        """See TraceSearch."""
        rows, missing = self._names("operations", {"service": _hex(service)})
        return Names(sorted((name, KIND_WORDS[kind]) for name, kind in rows), missing)

    def _names(self, name: str, parameters: dict[str, str]) -> tuple[list[list[Any]], str | None]:
        question = self.question()
        try:
            return question.rows(name, parameters), question.missing()
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    def find(self, search: Search) -> Page:
        """See TraceSearch. Raises BadInput for a cursor that is not one of ours, StoreFailed, Unavailable.

        When a guard rail stops it, the page has what was found, `complete` is false, and `next` goes on from there.
        `complete` is false as well where spans could not be counted or files of the store are damaged: `reason` says it.
        """
        question = self.question()
        oldest_ns = max(FIRST_START_NS, search.from_unix_nano or 0)
        after = _cursor_read(search.cursor) if search.cursor is not None else None
        before_ns = LAST_START_NS + 1  # an hour's arrival may lie past the last start; no start does
        open_above = search.to_unix_nano is None and search.span_to_unix_nano is None and after is None
        if search.to_unix_nano is not None:
            before_ns = min(before_ns, search.to_unix_nano)
        if search.span_to_unix_nano is not None:
            before_ns = min(before_ns, search.span_to_unix_nano)  # no span starts before its trace
        if after is not None:
            before_ns = min(before_ns, after[0] + 1)
        found: list[TraceSummary] = []
        reached_ns = before_ns
        stopped_by: str | None = None
        try:
            in_window = self._in_window(search, after, question)
            for width_ns in (*_WINDOWS_NS, LAST_START_NS):
                newest_ns = self._newest_start(oldest_ns, reached_ns, question)
                if newest_ns is None:
                    reached_ns = oldest_ns
                    break
                # Traces that began before the spans that are looked for are few: their windows need not widen step by step.
                is_last = search.span_from_unix_nano is not None and newest_ns < search.span_from_unix_nano
                from_ns = oldest_ns if is_last else max(oldest_ns, newest_ns - width_ns)
                found += in_window(from_ns, reached_ns, search.limit + 1 - len(found), open_above)
                reached_ns = from_ns
                if len(found) > search.limit or from_ns <= oldest_ns:
                    break
        except Stopped as stopped:
            stopped_by = f"{stopped}; traces that start before {iso(reached_ns)} were not looked at"
        more = None
        if len(found) > search.limit:
            more = _cursor_written(found[search.limit - 1].start_unix_nano, found[search.limit - 1].trace_id)
            stopped_by = None
        elif stopped_by and reached_ns < before_ns:
            more = _cursor_written(reached_ns, "0" * 32)
        page, uncounted = counted(found[: search.limit], question)
        reasons = [reason for reason in (stopped_by, uncounted, question.missing()) if reason]
        return Page(page, more, not reasons, "; ".join(reasons) or None)

    def _in_window(
        self, search: Search, after: tuple[int, str] | None, question: Question
    ) -> Callable[[int, int, int, bool], list[TraceSummary]]:
        """How to ask for the traces that start in a window: (from_ns, to_ns, limit, is it the open end) → summaries."""
        bound: dict[str, str] = {}
        whole = [f"d{c.op}{_number(bound, c.value)}" for c in search.trace]
        if after is not None:
            bound["after_ns"], bound["after_id"] = str(after[0]), after[1]
            whole.append(
                "(s<NS({after_ns:Int64}) OR (s=NS({after_ns:Int64}) AND trace_id<toFixedString(unhex({after_id:String}),16)))"
            )
        trace_conditions = " AND ".join(whole) or "1"
        only = _span_window(search, bound)
        one = self.span_conditions(search, bound, question)
        if only is not None:
            one.append(only)
        if search.where is not None:
            return self._by_query(search, bound, whole, one, question)
        span_conditions = " AND ".join(one)

        def ask(from_ns: int, to_ns: int, limit: int, open_above: bool) -> list[TraceSummary]:
            window = {**bound, "from_ns": str(from_ns), "to_ns": str(to_ns), "limit": str(limit)}
            if not one:
                rows = question.rows("traces_newest", window, TRACE_CONDITIONS=trace_conditions)
            else:
                span_window = self._spans_of(window, open_above or only is not None, question)
                rows = question.rows(
                    "traces_with_span",
                    window,
                    SPAN_WINDOW=span_window,
                    SPAN_CONDITIONS=span_conditions,
                    TRACE_CONDITIONS=trace_conditions,
                )
            return [_summary(row) for row in rows]

        return ask

    def _by_query(
        self, search: Search, bound: dict[str, str], whole: list[str], one: list[str], question: Question
    ) -> Callable[[int, int, int, bool], list[TraceSummary]]:
        """The same as `_in_window` for a search in the query language; `one` are conditions on one span beside it."""
        assert search.where is not None
        relations: list[Relation] = []

        def related(relation: Relation) -> str:
            relations.append(relation)
            return f"trace_id IN {IDS.replace('ids', f'related{len(relations) - 1}')}"

        translator = Translator(question, bound, related)
        where = translator.where(search.where)
        masks = [translator.masks(relation) for relation in relations]

        def ask(from_ns: int, to_ns: int, limit: int, open_above: bool) -> list[TraceSummary]:
            window = {**bound, "from_ns": str(from_ns), "to_ns": str(to_ns), "limit": str(limit)}
            spans_in = self._spans_of(window, open_above or search.span_from_unix_nano is not None, question)
            sets = [where.sets(spans_in)]
            if one:
                sets.append(
                    f"trace_id IN (SELECT trace_id FROM spans WHERE {spans_in} AND start!=FRAGMENT AND {' AND '.join(one)})"
                )
            if not where.is_bounded and not one:
                sets.append(
                    "trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))"
                )
            for at, relation in enumerate(relations):
                window[f"related{at}"] = _related(relation, masks[at], window, spans_in, question)
            rows = question.rows(
                "traces_where",
                window,
                TRACE_SETS=" AND ".join(sets),
                TRACE_CONDITIONS=" AND ".join([*whole, where.whole(spans_in)]),
            )
            return [_summary(row) for row in rows]

        return ask

    def span_conditions(self, search: Search, bound: dict[str, str], question: Question) -> list[str]:
        """The conditions on a span as SQL, whose values are added to `bound`. Raises as `Question.rows`."""
        places = self._places(search, question)
        return [self._span_condition(condition, bound, question, places) for condition in search.span]

    def _span_condition(
        self,
        condition: SpanCondition,
        bound: dict[str, str],
        question: Question,
        places: dict[tuple[str, str], tuple[bool, bool]],
    ) -> str:
        if condition.field == "dur":
            return f"duration{condition.op}{_number(bound, int(condition.value))}"
        if condition.op == "!=":
            return f"NOT ({self._equality(condition, bound, question, places)})"
        return self._equality(condition, bound, question, places)

    def _equality(
        self,
        condition: SpanCondition,
        bound: dict[str, str],
        question: Question,
        places: dict[tuple[str, str], tuple[bool, bool]],
    ) -> str:
        if condition.field == "kind":
            return f"kind={_number(bound, KIND_WORDS.index(str(condition.value)))}"
        if condition.field == "status":
            return f"status={_number(bound, STATUS_WORDS.index(str(condition.value)))}"
        value = bound_text(bound, str(condition.value))
        if condition.field in ("service", "name", "status_message", "scope"):
            return f"{condition.field}={value}"
        if condition.field == "link_trace":
            return f"has(link_traces,toFixedString(unhex({value}),16))"
        if condition.field == "event":
            return _event_condition(condition, bound, value)
        if condition.field == "peer":
            return f"({may_name(value)} AND {_PEER}={value})"
        if condition.field == "mark":
            of_resource = f"res_key IN (SELECT res_key FROM resources WHERE mapContains(attrs,{value}))"
            return f"(mapContains(attrs,{value}) OR {of_resource} OR {_event_condition(condition, bound, value)})"
        key = bound_text(bound, condition.key)
        pair = f"arrayExists((k,v)->k={key} AND v={value}, mapKeys(attrs), mapValues(attrs))"
        # The index says in which granules a value is, and nothing of those in which it is not.
        of_span = f"EQ({key},{value})" if condition.op == "=" else pair
        of_resource = f"res_key IN (SELECT res_key FROM resources WHERE {pair})"
        if condition.field == "of_span":
            return of_span
        if condition.field == "of_resource":
            return of_resource
        if condition.field == "anywhere":
            in_resources, beside = places[condition.key, str(condition.value)]
            if beside:
                return _anywhere_condition(condition, bound, key, value)
        else:
            hexes = {"key": _hex(condition.key), "value": _hex(str(condition.value))}
            in_resources = bool(question.rows("resources_with", hexes)[0][0])
        if not in_resources:
            return of_span
        return f"({of_span} OR {of_resource})"

    def _places(self, search: Search, question: Question) -> dict[tuple[str, str], tuple[bool, bool]]:
        """For each attribute looked for anywhere: whether a resource has it, and whether a scope, event or link the search may reach.

        Asked once, and first: the index on the attributes of spans is of no use beside an OR.
        """
        sought = [(one.key, str(one.value)) for one in search.span if one.field == "anywhere"]
        if not sought:
            return {}
        bound: dict[str, str] = {}
        pairs = [f"(k={bound_text(bound, key)} AND v={bound_text(bound, value)})" for key, value in sought]
        window = [_span_window(search, bound) or "1"]
        window += [
            f"{one.field}={bound_text(bound, str(one.value))}"
            for one in search.span
            if one.field in ("service", "name") and one.op == "="
        ]

        def each(template: str) -> str:
            return ",".join(f"max({template.replace('PAIR', pair)})" for pair in pairs)

        in_one = "arrayExists((k,v)->PAIR, mapKeys(attrs), mapValues(attrs))"
        in_some = "arrayExists(e->arrayExists((k,v)->PAIR, mapKeys(e), mapValues(e)), maps)"
        words = {"IN_RESOURCES": each(in_one), "BESIDE": each(in_some), "SPAN_WINDOW": " AND ".join(window)}
        ((resources, beside),) = question.rows("places_of_attributes", bound, **words)
        return dict(zip(sought, zip(map(bool, resources), map(bool, beside), strict=True), strict=True))

    def _newest_start(self, from_ns: int, before_ns: int, question: Question) -> int | None:
        if from_ns >= before_ns:
            return None
        window = {"from_ns": str(from_ns), "to_ns": str(before_ns)}
        count, newest_ns = question.rows("newest_start", window)[0]
        return int(newest_ns) if count else None

    def _spans_of(self, window: dict[str, str], open_above: bool, question: Question) -> str:
        """The condition that bounds the spans of the traces in a window, whose parameters it adds to.

        A span may start long after its trace did: up to the newest end of these traces, if the end is not open.
        """
        if not open_above:
            end_ns = self._newest_end(int(window["from_ns"]), int(window["to_ns"]), question)
            if end_ns < LAST_START_NS:
                window["end_ns"] = str(end_ns + 1)
                return "H(NS({from_ns:Int64}),NS({end_ns:Int64}))"
        return "FROM_HOUR(NS({from_ns:Int64}))"

    def _newest_end(self, from_ns: int, to_ns: int, question: Question) -> int:
        window = {"from_ns": str(from_ns), "to_ns": str(to_ns)}
        _, end_ns = question.rows("newest_end", window)[0]
        return int(end_ns)


def _related(
    relation: Relation, masks: tuple[str, str], window: dict[str, str], spans_in: str, question: Question
) -> str:
    """The ids of the traces in which a relation holds that asks for descendants, as an array of hex texts.

    Raises Stopped where there are more spans than are looked at.
    """
    bits, sets = (text.replace("WINDOW_OF_SPANS", spans_in) for text in masks)
    started = "trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))"
    rows = question.rows(
        "spans_of_relations", window, SPAN_WINDOW=spans_in, TRACE_SETS=f"{started} AND {sets}", MASK=bits
    )
    found = [trace_id for trace_id, spans in rows if holds_in(relation, [(a, b, int(mask)) for a, b, mask in spans])]
    return "[" + ",".join(f"'{trace_id}'" for trace_id in found) + "]"


def _span_window(search: Search, bound: dict[str, str]) -> str | None:
    """The condition on a span's start that the search names; None where it names none."""
    if search.span_from_unix_nano is None or search.span_to_unix_nano is None:
        return None
    bound["span_from_ns"] = str(min(max(FIRST_START_NS, search.span_from_unix_nano), LAST_START_NS))
    bound["span_to_ns"] = str(min(max(FIRST_START_NS, search.span_to_unix_nano), LAST_START_NS))
    return "H(NS({span_from_ns:Int64}),NS({span_to_ns:Int64}))"


def _anywhere_condition(condition: SpanCondition, bound: dict[str, str], key: str, value: str) -> str:
    """A condition on an attribute of the span, its resource, its scope, some event or some link."""

    def among(attributes: str) -> str:
        return f"arrayExists((k,v)->k={key} AND v={value}, mapKeys({attributes}), mapValues({attributes}))"

    places = [among("attrs"), among("scope_attrs"), f"arrayExists(e->{among('e')},link_attrs)"]
    places.append(_event_condition(condition, bound, value))
    places.append(f"res_key IN (SELECT res_key FROM resources WHERE {among('attrs')})")
    return f"({' OR '.join(places)})"


def _event_condition(condition: SpanCondition, bound: dict[str, str], value: str) -> str:
    """A condition on some event of the span, or of a fragment of it, wherever and whenever that came."""
    some = f"has(event_names,{value})"
    if condition.key:
        of_one = f"arrayExists((k,v)->k={bound_text(bound, condition.key)} AND v={value}, mapKeys(e), mapValues(e))"
        some = f"arrayExists(e->{of_one},event_attrs)"
    return f"({some} OR (trace_id,span_id) IN (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {some}))"


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()


def bound_text(bound: dict[str, str], value: str) -> str:
    """Bind a text, in hex: no escaping to get wrong."""
    name = f"text{len(bound)}"
    bound[name] = _hex(value)
    return f"unhex({{{name}:String}})"


def _number(bound: dict[str, str], value: int) -> str:
    name = f"number{len(bound)}"
    bound[name] = str(min(max(value, 0), _MAX_UINT64))
    return f"{{{name}:UInt64}}"


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


def _cursor_written(start_ns: int, trace_id: str) -> str:
    return base64.urlsafe_b64encode(f"1.{start_ns}.{trace_id}".encode()).decode().rstrip("=")


def _cursor_read(cursor: str) -> tuple[int, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    parts = re.fullmatch(r"1\.(\d{1,19})\.([0-9a-f]{32})", text)
    if parts is None:
        raise BadInput("cursor: not one that an earlier answer gave as `next`.", code="bad_cursor")
    return min(int(parts.group(1)), LAST_START_NS), parts.group(2)


def iso(time_ns: int) -> str:
    seconds = min(time_ns // 1_000_000_000, LAST_START_NS // 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
