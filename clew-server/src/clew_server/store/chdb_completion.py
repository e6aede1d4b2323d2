"""Keys and values with how many spans have them, fast enough for completion however many spans there are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, NamedTuple, TypeVar

from clew_server.errors import Unavailable
from clew_server.model.completion import (
    Counted,
    KeyCount,
    KeyPlace,
    ValueCount,
    ValuesAsked,
    only_first,
    with_reason,
)
from clew_server.model.families import family
from clew_server.model.query_tree import And, Braces, SpanPlace, SpanTerm, TracePlace, is_of_names, of_one_span
from clew_server.model.search import Search
from clew_server.store import counted_values, key_sets, values_of_spans
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.connections import EngineError
from clew_server.store.counted_values import CountedValues
from clew_server.store.key_sets import KeySets, Quarters
from clew_server.store.orders import bounds
from clew_server.store.spread import Rows, Sample, Spread
from clew_server.store.values_of_spans import Spans, Values
from clew_server.store.where.binding import Bound
from clew_server.store.where.translator import Translator, no_relations

Found = TypeVar("Found")

LOOKED_AT: Final = 16_384
"""Spans that are looked at where there is no query."""
NEWEST: Final = 100
"""Traces whose spans are looked at where there is one."""
THOROUGHLY: Final = 262_144
"""Spans that are looked at for values that are to be found thoroughly: 0.1 to 0.2 s of CPU (docs/benchmarks.md)."""
_NEWEST_THOROUGHLY: Final = 1_000
_THOROUGH_S: Final = 2.0
"""Somebody waits for it who has been told some values already."""
_RARE: Final = 16
"""One of so many spans has what few have, or less."""
_ENOUGH: Final = LOOKED_AT // _RARE
"""Of so many spans values are shown as a sample has them; of fewer the services that have the key are looked at."""
_MOST_SERVICES: Final = 100
_MAX_KEYS: Final = 10_000
_MOST_REMEMBERED: Final = 20_000
"""Resources whose keys are remembered."""
_SECOND_NS: Final = 1_000_000_000
_MINUTE_S: Final = 60
_HOUR_NS: Final = 3_600 * _SECOND_NS
_KEYS_OF: Final[Mapping[SpanPlace | TracePlace, KeyPlace]] = {
    "attr": "span",
    "of_span": "span",
    "of_scope": "scope",
    "event_attr": "event",
    "link_attr": "link",
}
_IN_RED: Final = ("service", "name", "kind")
_MAY_BE_RARE: Final = (
    "attr",
    "of_span",
    "of_resource",
    "of_scope",
    "event_attr",
    "link_attr",
    "event",
    "scope",
    "status_message",
)


class _LookedAt(NamedTuple, Generic[Found]):
    """What was found of spans, and the reason why these are not all that were asked for, None where they are."""

    found: Found
    reason: str | None = None
    of_many: bool = False


class ChdbCompletion:
    """The store's TraceCompletion. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces
        self._spread = Spread()
        self._counted_parts: tuple[Rows | None, Mapping[str, int]] = None, {}
        """What was counted of these rows, which are remembered for a moment, by part."""
        self._keys_of_resource: dict[int, list[str]] = {}
        """By the hash of all that a resource says: what is known of one stays so."""

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        """See TraceCompletion."""
        question = self._traces.question()
        try:
            sets, reason, of_many = self._key_sets(search, question)
            keys_of_resource = self._of_resources(sets.resources, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        found = key_sets.counted(sets, keys_of_resource)
        if sets.reason is not None:
            reason = with_reason(reason, sets.reason)
        if len(found) > _MAX_KEYS:
            reason = with_reason(reason, f"the first {_MAX_KEYS:,} keys")
        return _counted(found[:_MAX_KEYS], reason, of_many, question)

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        """See TraceCompletion."""
        question = self._traces.question(_THOROUGH_S) if asked.thorough else self._traces.question()
        try:
            if values_of_spans.COLUMNS.get(asked.place) in _IN_RED and is_of_names(search.where):
                looked_at = _LookedAt(self._of_names(search, asked, question))
            else:
                looked_at = self._of_values(search, asked, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        rows, reason, of_many = looked_at
        found = values_of_spans.merged(rows, asked)
        if len(rows) > asked.limit:
            reason = with_reason(reason, only_first(asked.limit))
        return _counted(found[: asked.limit], reason, of_many, question)

    def _of_values(self, search: Search, asked: ValuesAsked, question: Question) -> _LookedAt[Values]:
        def ask(spans: Spans) -> tuple[int, Values]:
            return values_of_spans.read(spans, asked, question)

        kept = None if asked.thorough else self._of_kept(search, asked, question)
        # Of a query else the newest traces are looked at, which are fewer.
        if kept is not None and (kept.are_enough or (search.where is not None and kept.seen >= NEWEST)):
            return _LookedAt(kept.values, kept.reason, of_many=True)
        if kept is not None and kept.of * _RARE < self._rows(search, question).of_the_hours:
            looked_at = _LookedAt(kept.values, kept.reason, of_many=True)
        else:
            looked_at = self._of_spans(search, question, ask, [], thorough=asked.thorough)
            if looked_at.reason is None or search.where is not None or _spans_of(looked_at) >= _ENOUGH:
                return looked_at
        # A sample misses what few spans have.
        try:
            more = self._of_rare(search, asked, looked_at, question, ask)
        except Stopped:
            return looked_at
        return more if more.reason is None or _spans_of(more) >= _spans_of(looked_at) else looked_at

    def _of_rare(
        self,
        search: Search,
        asked: ValuesAsked,
        sample: _LookedAt[Values],
        question: Question,
        ask: Callable[[Spans], tuple[int, Values]],
    ) -> _LookedAt[Values]:
        """Of what hardly any span of a sample has, if any: in the services whose spans have it, or in the newest of these spans."""
        if asked.place not in _MAY_BE_RARE:
            return sample
        if search.where is None:
            services = self._services_with(search, asked, question)
            if services:
                return self._of_spans(search, question, ask, [], services, thorough=asked.thorough)
            if services is not None:
                return _LookedAt(sample.found, of_many=True)
            if sample.found:
                return sample
        has_it = SpanTerm(asked.place, "exists", (), asked.key, asked.exact)
        of_service = search.where.inside if isinstance(search.where, Braces) else None
        where = Braces(has_it if of_service is None else And((of_service, has_it)))
        return self._of_spans(replace(search, where=where), question, ask, [], thorough=asked.thorough)

    def _of_kept(self, search: Search, asked: ValuesAsked, question: Question) -> CountedValues | None:
        """Of the spans that were kept of each set of keys when they were stored. None where these are few, or not all were stored so."""
        quarters = self._quarters(search, question)
        if quarters is None:
            return None
        bound: dict[str, str] = {}
        of_services = _condition(search, bound, question)
        with contextlib.suppress(EngineError):  # a file of what was counted is damaged; spans may not be
            return counted_values.of_quarters(quarters, of_services, bound, asked, question)
        return None

    def _services_with(self, search: Search, asked: ValuesAsked, question: Question) -> list[str] | None:
        """The services whose spans have a key there. None where that was not counted, there are very many, or a resource has it."""
        place = _KEYS_OF.get(asked.place)
        keys = (asked.key,) if asked.exact else family(asked.key)
        if place is None or (asked.place == "attr" and values_of_spans.is_of_resources(keys, question)):
            return None
        quarters = self._quarters_of(search, question)
        if quarters is None:
            return None
        try:
            services = quarters.services(place, keys, _MOST_SERVICES + 1)
        except EngineError:  # a file of what was counted is damaged
            return None
        # Where only some quarters were read, others may have it.
        return None if len(services) > _MOST_SERVICES or (quarters.reason and not services) else services

    def _rows(self, search: Search, question: Question) -> Rows:
        return self._spread.rows(LOOKED_AT, _window(search), question)

    def _of_names(self, search: Search, asked: ValuesAsked, question: Question) -> list[list[Any]]:
        """Of services, operations and kinds, which are counted by the minute."""
        bound = _minutes(search)
        condition = _condition(search, bound, question)
        conditions, begins = values_of_spans.matching(asked, "v", bound)
        return question.rows(
            "names_counted",
            {**bound, "limit": str(asked.limit + 1)},
            COLUMN=values_of_spans.COLUMNS[asked.place],
            NAME_CONDITIONS=condition,
            VALUE_CONDITIONS=conditions,
            BEGINS=begins,
        )

    def _key_sets(self, search: Search, question: Question) -> _LookedAt[KeySets]:
        """The sets of keys of the search's spans: of many spans those that were counted when they were stored, where they were."""
        quarters = self._quarters(search, question)
        if quarters is not None:
            bound: dict[str, str] = {}
            of_services = _condition(search, bound, question)
            with contextlib.suppress(EngineError):  # a file of what was counted is damaged; spans may not be
                sets = quarters.key_sets(of_services, bound)
                if sets is not None:
                    return _LookedAt(sets, quarters.reason, of_many=True)

        def ask(spans: Spans) -> tuple[int, KeySets]:
            found = key_sets.of_spans(spans.bound, spans.words, question)
            return found.spans, found

        return self._of_spans(search, question, ask, KeySets([]))

    def _quarters(self, search: Search, question: Question) -> Quarters | None:
        """What was counted of the keys of all or some services, where the time has so many spans that a sample would be looked at."""
        if not is_of_names(search.where, ("service",)):
            return None
        from_ns, to_ns = bounds(search)
        rows = self._rows(search, question)
        hours = (to_ns - 1) // _HOUR_NS - from_ns // _HOUR_NS + 1
        are_many = rows.of_the_hours * (to_ns - from_ns) > LOOKED_AT * hours * _HOUR_NS
        return self._quarters_of(search, question) if are_many else None

    def _quarters_of(self, search: Search, question: Question) -> Quarters | None:
        rows = self._rows(search, question)
        known, counted_parts = self._counted_parts
        if rows is not known:
            counted_parts = {part: int(counted) for part, counted in question.rows("counted_parts", {})}
            self._counted_parts = rows, counted_parts
        return Quarters.of(*bounds(search), rows, counted_parts, question)

    def _of_resources(self, resources: set[int], question: Question) -> Mapping[int, Sequence[str]]:
        """The keys of these resources; those that are not known lack."""
        known = self._keys_of_resource
        if unknown := resources - known.keys():
            listed = "[" + ",".join(map(str, sorted(unknown))) + "]"
            found = {int(one): keys for one, keys in question.rows("keys_of_resources", {"resources": listed})}
            known = {**known, **found}  # a new one: others may be reading that
            self._keys_of_resource = known if len(known) <= _MOST_REMEMBERED else found
        return known

    def _of_spans(
        self,
        search: Search,
        question: Question,
        ask: Callable[[Spans], tuple[int, Found]],
        nothing: Found,
        services: Sequence[str] = (),
        *,
        thorough: bool = False,
    ) -> _LookedAt[Found]:
        """What a statement finds of spans of the search, `nothing` where there are none. `ask` says how many spans it saw, too.

        `services`: without a query, those whose spans are looked at; none: all of them.
        """
        bound = _window(search)
        if search.where is None:
            of_services = f"service IN ({','.join(map(Bound(bound).text, services))})" if services else "1"

            def look(sample: Sample) -> tuple[int, Found]:
                return ask(Spans(sample.condition, of_services, {**bound, **sample.bound}))

            found, seen, every = self._spread.looked_at(THOROUGHLY if thorough else LOOKED_AT, bound, question, look)
            if every == 1:
                return _LookedAt(found, of_many=thorough or bool(services))
            of_which = " of the services that have it" if services else ""
            return _LookedAt(found, f"counted in {seen:,} of about {seen * every:,} spans{of_which}", of_many=True)
        traces, reason = self._traces.newest(
            replace(search, limit=_NEWEST_THOROUGHLY if thorough else NEWEST), question
        )
        if not traces:
            if reason is not None:
                raise Stopped(reason)
            return _LookedAt(nothing)
        bound["ids"] = "[" + ",".join(f"'{trace.trace_id}'" for trace in traces) + "]"
        bound["from_ns"] = str(min(trace.start_unix_nano for trace in traces))
        bound["to_ns"] = str(max(trace.start_unix_nano + trace.duration_ns for trace in traces) + 1)
        conditions = f"trace_id IN {IDS}"
        braces = of_one_span(search.where)
        if braces is not None:
            conditions += f" AND {Translator(question, bound, no_relations).of_braces(braces)}"
        return _LookedAt(ask(Spans("1", conditions, bound))[1], reason, of_many=thorough or reason is not None)


def _spans_of(looked_at: _LookedAt[Values]) -> int:
    """How many spans have the values that were found."""
    return sum(int(spans) for *_, spans in looked_at.found)


def _condition(search: Search, bound: dict[str, str], question: Question) -> str:
    """What a search says of the names of one span, if anything: a condition, its parameters added to `bound`."""
    if not isinstance(search.where, Braces):
        return "1"
    return Translator(question, bound, no_relations).of_braces(search.where)


def _window(search: Search) -> dict[str, str]:
    """The time of a search as parameters."""
    from_ns, to_ns = bounds(search)
    return {"from_ns": str(from_ns), "to_ns": str(to_ns)}


def _minutes(search: Search) -> dict[str, str]:
    """The minutes that hold the time of a search."""
    from_ns, to_ns = bounds(search)
    return {
        "from_s": str(from_ns // _SECOND_NS // _MINUTE_S * _MINUTE_S),
        "to_s": str((to_ns - 1) // _SECOND_NS),
    }


def _counted(found: Sequence[Any], reason: str | None, of_many: bool, question: Question) -> Counted[Any]:
    reasons = [one for one in (reason, question.missing()) if one]
    return Counted(found, not reasons, "; ".join(reasons) or None, of_many)
