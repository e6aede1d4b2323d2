"""Keys and values with how many spans have them, fast enough for completion however many spans there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.errors import Unavailable
from clew_server.model.completion import (
    Counted,
    KeyCount,
    KeyPlace,
    KeyType,
    ValueCount,
    ValuesAsked,
    only_first,
    with_reason,
)
from clew_server.model.families import family
from clew_server.model.query_tree import Braces, SpanTerm, is_of_names, of_one_span
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.model.text import written_double, written_text
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.orders import bounds
from clew_server.store.spread import Sample, Spread
from clew_server.store.where.attributes import OF_EVENTS, OF_LINKS, OF_SCOPE, elements, types_of
from clew_server.store.where.binding import Bound
from clew_server.store.where.comparing import DOUBLE, LIST
from clew_server.store.where.translator import Translator, no_relations

LOOKED_AT: Final = 16_384
"""Spans that are looked at where there is no query."""
NEWEST: Final = 100
"""Traces whose spans are looked at where there is one."""
_MAX_KEYS: Final = 10_000
_MOST_FORMS: Final = 40_000
"""Sets of keys that spans have together: more than as many spans as are looked at where there is no query."""
_MOST_REMEMBERED: Final = 20_000
"""Resources whose keys are remembered."""
_SECOND_NS: Final = 1_000_000_000
_MINUTE_S: Final = 60
_IN_RED: Final = ("service", "name", "kind")
_TYPES: Final[dict[int, KeyType]] = {10: "text", 16: "boolean", 24: "number", 33: "number", 42: "list", 58: "bytes"}
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
_WINDOW: Final = "H(NS({from_ns:Int64}),NS({to_ns:Int64}))"
_COLUMNS: Final = {
    "service": "service",
    "name": "name",
    "root_service": "service",
    "root_name": "name",
    "kind": "kind",
    "status": "status",
    "scope": "scope",
    "status_message": "status_message",
}


class _Spans(NamedTuple):
    """Some spans, as conditions."""

    sample: str
    conditions: str
    bound: dict[str, str]

    @property
    def words(self) -> dict[str, str]:
        return {"SAMPLE": self.sample, "SPAN_WINDOW": _WINDOW, "SPAN_CONDITIONS": self.conditions}


class _LookedAt(NamedTuple):
    """What a statement found of spans, and the reason why these are not all that were asked for, None where they are."""

    rows: list[list[Any]]
    reason: str | None = None
    sampled: bool = False


class _Seen(NamedTuple):
    """What a statement says of some spans: how many they are, and its other rows."""

    spans: int
    rows: list[list[Any]]


_Ask = Callable[[_Spans], _Seen]
"""A statement about some spans."""


class ChdbCompletion:
    """The store's TraceCompletion. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces
        self._spread = Spread()
        self._keys_of_resource: dict[int, list[str]] = {}
        """By the hash of all that a resource says: what is known of one stays so."""

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        """See TraceCompletion."""
        question = self._traces.question()
        try:
            forms, reason, sampled = self._of_spans(search, question, lambda spans: self._forms(spans, question))
            keys_of_resource = self._of_resources({int(form[5]) for form in forms}, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        found = _keys_of_forms(forms, keys_of_resource)
        if len(forms) == _MOST_FORMS:
            reason = with_reason(reason, f"keys are those of the {_MOST_FORMS:,} sets of keys that most spans have")
        if len(found) > _MAX_KEYS:
            reason = with_reason(reason, only_first(_MAX_KEYS))
        return _counted(found[:_MAX_KEYS], reason, sampled, question)

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        """See TraceCompletion."""
        question = self._traces.question()
        try:
            if _COLUMNS.get(asked.place) in _IN_RED and is_of_names(search.where):
                looked_at = _LookedAt(self._of_names(search, asked, question))
            else:
                looked_at = self._of_values(search, asked, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        rows, reason, sampled = looked_at
        found = _merged(rows, asked)
        if len(rows) > asked.limit:
            reason = with_reason(reason, only_first(asked.limit))
        return _counted(found[: asked.limit], reason, sampled, question)

    def _of_values(self, search: Search, asked: ValuesAsked, question: Question) -> _LookedAt:
        def ask(spans: _Spans) -> _Seen:
            return self._values(spans, asked, question)

        looked_at = self._of_spans(search, question, ask)
        if looked_at.rows or not looked_at.sampled or search.where is not None or asked.place not in _MAY_BE_RARE:
            return looked_at
        # A sample misses what few spans have: the newest that have it are searched for.
        has_it = Braces(SpanTerm(asked.place, "exists", (), asked.key, asked.exact))
        try:
            return self._of_spans(replace(search, where=has_it), question, ask)
        except Stopped:
            return looked_at

    def _of_names(self, search: Search, asked: ValuesAsked, question: Question) -> list[list[Any]]:
        """Of services, operations and kinds, which are counted by the minute."""
        bound = _minutes(search)
        translator = Translator(question, bound, no_relations)
        where = search.where
        condition = translator.of_braces(where) if isinstance(where, Braces) else "1"
        conditions, begins = _matching(asked, "v", bound)
        return question.rows(
            "names_counted",
            {**bound, "limit": str(asked.limit + 1)},
            COLUMN=_COLUMNS[asked.place],
            NAME_CONDITIONS=condition,
            VALUE_CONDITIONS=conditions,
            BEGINS=begins,
        )

    @staticmethod
    def _forms(spans: _Spans, question: Question) -> _Seen:
        rows = question.rows("keys_of_spans", {**spans.bound, "limit": str(_MOST_FORMS)}, **spans.words)
        return _Seen(sum(int(row[-1]) for row in rows), rows)

    def _of_resources(self, resources: set[int], question: Question) -> Mapping[int, Sequence[str]]:
        """The keys of these resources; those that are not known lack."""
        known = self._keys_of_resource
        if unknown := resources - known.keys():
            listed = "[" + ",".join(map(str, sorted(unknown))) + "]"
            found = {int(one): keys for one, keys in question.rows("keys_of_resources", {"resources": listed})}
            known = {**known, **found}  # a new one: others may be reading that
            self._keys_of_resource = known if len(known) <= _MOST_REMEMBERED else found
        return known

    def _values(self, spans: _Spans, asked: ValuesAsked, question: Question) -> _Seen:
        bound = {
            **spans.bound,
            "limit": str(asked.limit + 2),
        }  # the first row is none of them, and one more says that there are more
        keys = [Bound(bound).text(key) for key in ((asked.key,) if asked.exact else family(asked.key))]
        is_key = f"k IN ({','.join(keys)})"
        typed = f"arrayFilter((z,k)->{is_key},arrayZip(attrs.values,attr_types),attrs.keys)"
        words = spans.words
        words["VALUE_CONDITIONS"], words["BEGINS"] = _matching(asked, "v", bound)
        words["VALUE_CONDITIONS"] = f"(t={LIST} OR {words['VALUE_CONDITIONS']})"

        def of_map(attributes: str, types: str) -> str:
            """Values of a map with their types."""
            typed = f"arrayZip(mapValues({attributes}),{types_of(attributes, types)})"
            return f"arrayFilter((z,k)->{is_key},{typed},mapKeys({attributes}))"

        def texts(array: str) -> str:
            return f"arrayMap(x->(toString(x),toUInt8(0)),arrayFilter(x->x!='',{array}))"

        place = asked.place
        if place in ("attr", "of_resource") and self._is_of_resources(is_key, bound, question):
            words["OF_RESOURCE"] = of_map("attrs", "attr_types")
            words["VALUES_OF_SPAN"] = typed if place == "attr" else "CAST([],'Array(Tuple(String,UInt8))')"
            words["HAS_KEY"] = f"hasAny(attrs.keys,[{','.join(keys)}])" if place == "attr" else "0"
            return _seen(question.rows("values_with_resources", bound, **words))
        if place in _COLUMNS:
            words["VALUES_OF_SPAN"] = texts(f"[toString({_COLUMNS[place]})]")
        elif place in ("attr", "of_span"):
            words["VALUES_OF_SPAN"] = typed
        elif place == "of_resource":
            return _Seen(0, [])
        elif place == "event":
            words["VALUES_OF_SPAN"] = texts("event_names")
        else:
            beside = {"of_scope": OF_SCOPE, "event_attr": OF_EVENTS, "link_attr": OF_LINKS}[place]
            of_each = f"arrayMap((m,ts)->{of_map('m', 'ts')},{beside.maps},{beside.types})"
            words["VALUES_OF_SPAN"] = f"arrayFlatten({of_each})"
        return _seen(question.rows("values_of_spans", bound, **words))

    @staticmethod
    def _is_of_resources(is_key: str, bound: dict[str, str], question: Question) -> bool:
        """Whether a resource has the key. Most keys are of spans only, whose values are counted in half the time."""
        condition = f"arrayExists(k->{is_key},mapKeys(attrs))"
        return bool(question.rows("resources_where", bound, RESOURCE_CONDITION=condition)[0][0])

    def _of_spans(self, search: Search, question: Question, ask: _Ask) -> _LookedAt:
        """What a statement finds of spans of the search."""
        from_ns, to_ns = bounds(search)
        bound = {"from_ns": str(from_ns), "to_ns": str(to_ns)}
        if search.where is None:

            def look(sample: Sample) -> tuple[int, list[list[Any]]]:
                return ask(_Spans(sample.condition, "1", {**bound, **sample.bound}))

            rows, seen, every = self._spread.looked_at(LOOKED_AT, bound, question, look)
            if every == 1:
                return _LookedAt(rows)
            return _LookedAt(rows, f"counted in {seen:,} of about {seen * every:,} spans", sampled=True)
        traces, reason = self._traces.newest(replace(search, limit=NEWEST), question)
        if not traces:
            if reason is not None:
                raise Stopped(reason)
            return _LookedAt([])
        bound["ids"] = "[" + ",".join(f"'{trace.trace_id}'" for trace in traces) + "]"
        bound["from_ns"] = str(min(trace.start_unix_nano for trace in traces))
        bound["to_ns"] = str(max(trace.start_unix_nano + trace.duration_ns for trace in traces) + 1)
        conditions = f"trace_id IN {IDS}"
        braces = of_one_span(search.where)
        if braces is not None:
            conditions += f" AND {Translator(question, bound, no_relations).of_braces(braces)}"
        return _LookedAt(ask(_Spans("1", conditions, bound)).rows, reason, sampled=reason is not None)


def _seen(rows: list[list[Any]]) -> _Seen:
    """Of rows of which the first ends with the number of spans; there is none where they are none."""
    return _Seen(int(rows[0][-1]) if rows else 0, rows[1:])


def _keys_of_forms(forms: Sequence[Sequence[Any]], keys_of_resource: Mapping[int, Sequence[str]]) -> list[KeyCount]:
    """How many spans have each key in each place, those of most spans first. A form: keys of the span with their types, of events, links,
    scope, the resource, and how many spans have it."""
    counts: dict[tuple[KeyPlace, str], Counter[int]] = {}
    for own, types, of_events, of_links, of_scope, resource, spans in forms:
        first: dict[str, int] = {}
        for key, type_ in zip(own, types, strict=False):
            first.setdefault(key, int(type_))
        of_resource = keys_of_resource.get(int(resource), ())
        for key, type_ in first.items():
            counts.setdefault(("span", key), Counter())[type_] += int(spans)
        places: tuple[tuple[KeyPlace, Sequence[str]], ...] = (
            ("event", of_events),
            ("link", of_links),
            ("scope", of_scope),
            ("resource", of_resource),
        )
        for place, keys in places:
            for key in set(keys):
                counts.setdefault((place, key), Counter())[0] += int(spans)
    found = [
        KeyCount(place, key, _TYPES.get(max(types, key=lambda one: types[one]), "any"), types.total())
        for (place, key), types in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.spans, one.key, one.place))


def _minutes(search: Search) -> dict[str, str]:
    """The minutes that hold the time of a search."""
    from_ns, to_ns = bounds(search)
    return {
        "from_s": str(from_ns // _SECOND_NS // _MINUTE_S * _MINUTE_S),
        "to_s": str((to_ns - 1) // _SECOND_NS),
    }


def _matching(asked: ValuesAsked, text: str, bound: dict[str, str]) -> tuple[str, str]:
    """Whether a text holds the prefix, and whether it begins with it."""
    if not asked.prefix or asked.place in ("kind", "status"):
        return "1", f"length({text})>=0"  # a number there would be the place of a column
    prefix = Bound(bound).text(asked.prefix.lower())
    return f"position(lowerUTF8({text}),{prefix})>0", f"startsWith(lowerUTF8({text}),{prefix})"


def _merged(rows: Sequence[Sequence[Any]], asked: ValuesAsked) -> list[ValueCount]:
    """Values as the language writes them, elements of lists among them, those that begin with the prefix first."""
    counts: dict[str, int] = {}
    for text, type_, spans in rows:
        for value in _texts(text, int(type_), asked.place):
            counts[value] = counts.get(value, 0) + int(spans)
    prefix = "" if asked.place in ("kind", "status") else asked.prefix.lower()
    found = [ValueCount(value, spans) for value, spans in counts.items() if prefix in value.lower()]
    return sorted(found, key=lambda one: (not one.value.lower().startswith(prefix), -(one.spans or 0), one.value))


def _texts(text: str, type_: int, place: str) -> Iterable[str]:
    if place == "kind":
        return [KIND_WORDS[int(text)]]
    if place == "status":
        return [STATUS_WORDS[int(text)]]
    if type_ == LIST:
        return sorted({written_text(AnyValue.FromString(one)) for one in elements(text)})
    return [written_double(float(text))] if type_ == DOUBLE else [text]


def _counted(found: Sequence[Any], reason: str | None, sampled: bool, question: Question) -> Counted[Any]:
    reasons = [one for one in (reason, question.missing()) if one]
    return Counted(found, not reasons, "; ".join(reasons) or None, sampled)
