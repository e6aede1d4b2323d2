"""What the APIs of Jaeger and Zipkin ask of one span, and when a span that is looked for starts, as conditions in SQL."""

from __future__ import annotations

from typing import Final

from clew_server.model.query_tree import Braces
from clew_server.model.search import EVENT_NAME_KEYS, KIND_WORDS, STATUS_WORDS, Search, SpanCondition
from clew_server.store.asking import Question
from clew_server.store.orders import FIRST_START_NS, LAST_START_NS
from clew_server.store.peers import may_name, peer_of
from clew_server.store.where.binding import Bound, hexed
from clew_server.store.where.translator import Translator, no_relations

_PEER: Final = f"if(kind=2,attrs['peer.service'],{peer_of('attrs')})"


def span_conditions(search: Search, bound: Bound, question: Question) -> list[str]:
    """The conditions on a span as SQL, whose values are added to `bound`. Raises as `Question.rows`."""
    places = _places(search, question)
    return [_span_condition(condition, bound, question, places) for condition in search.span]


def _span_condition(
    condition: SpanCondition,
    bound: Bound,
    question: Question,
    places: dict[tuple[str, str], tuple[bool, bool]],
) -> str:
    if condition.field == "dur":
        return f"duration{condition.op}{bound.unsigned(int(condition.value))}"
    equal = _equality(condition, bound, question, places)
    if condition.late is not None:
        equal = f"({equal} OR {Translator(question, bound.values, no_relations).of_braces(Braces(condition.late))})"
    return f"NOT ({equal})" if condition.op == "!=" else equal


def _equality(
    condition: SpanCondition,
    bound: Bound,
    question: Question,
    places: dict[tuple[str, str], tuple[bool, bool]],
) -> str:
    if condition.field == "kind":
        return f"kind={bound.unsigned(KIND_WORDS.index(str(condition.value)))}"
    if condition.field == "status":
        return f"status={bound.unsigned(STATUS_WORDS.index(str(condition.value)))}"
    value = bound.text(str(condition.value))
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
    key = bound.text(condition.key)
    pair = f"arrayExists((k,v)->k={key} AND v={value}, mapKeys(attrs), mapValues(attrs))"
    # The index says in which granules a value is, and nothing of those in which it is not.
    of_span = f"EQ({key},{value})" if condition.op == "=" else pair
    of_resource = f"res_key IN (SELECT res_key FROM resources WHERE {pair})"
    if condition.field == "anywhere":
        in_resources, beside = places[condition.key, str(condition.value)]
        if beside or condition.key in EVENT_NAME_KEYS:
            return _anywhere_condition(condition, bound, key, value)
    else:
        hexes = {"key": hexed(condition.key), "value": hexed(str(condition.value))}
        in_resources = bool(question.rows("resources_with", hexes)[0][0])
    if not in_resources:
        return of_span
    return f"({of_span} OR {of_resource})"


def _places(search: Search, question: Question) -> dict[tuple[str, str], tuple[bool, bool]]:
    """For each attribute looked for anywhere: whether a resource has it, and whether a scope, event or link the search may reach.

    Asked once, and first: the index on the attributes of spans is of no use beside an OR.
    """
    sought = [(one.key, str(one.value)) for one in search.span if one.field == "anywhere"]
    if not sought:
        return {}
    bound = Bound({})
    pairs = [f"(k={bound.text(key)} AND v={bound.text(value)})" for key, value in sought]
    window = [span_window(search, bound.values) or "1"]
    window += [
        f"{one.field}={bound.text(str(one.value))}"
        for one in search.span
        if one.field in ("service", "name") and one.op == "="
    ]

    def each(template: str) -> str:
        return ",".join(f"max({template.replace('PAIR', pair)})" for pair in pairs)

    in_one = "arrayExists((k,v)->PAIR, mapKeys(attrs), mapValues(attrs))"
    in_some = "arrayExists(e->arrayExists((k,v)->PAIR, mapKeys(e), mapValues(e)), maps)"
    words = {"IN_RESOURCES": each(in_one), "BESIDE": each(in_some), "SPAN_WINDOW": " AND ".join(window)}
    ((resources, beside),) = question.rows("places_of_attributes", bound.values, **words)
    return dict(zip(sought, zip(map(bool, resources), map(bool, beside), strict=True), strict=True))


def span_window(search: Search, bound: dict[str, str]) -> str | None:
    """The condition on a span's start that the search names; None where it names none."""
    if search.span_from_unix_nano is None or search.span_to_unix_nano is None:
        return None
    bound["span_from_ns"] = str(min(max(FIRST_START_NS, search.span_from_unix_nano), LAST_START_NS))
    bound["span_to_ns"] = str(min(max(FIRST_START_NS, search.span_to_unix_nano), LAST_START_NS))
    return "H(NS({span_from_ns:Int64}),NS({span_to_ns:Int64}))"


def _anywhere_condition(condition: SpanCondition, bound: Bound, key: str, value: str) -> str:
    """A condition on an attribute of the span, its resource, its scope, some event or some link."""

    def among(attributes: str) -> str:
        return f"arrayExists((k,v)->k={key} AND v={value}, mapKeys({attributes}), mapValues({attributes}))"

    places = [among("attrs"), among("scope_attrs"), f"arrayExists(e->{among('e')},link_attrs)"]
    places.append(_event_condition(condition, bound, value))
    places.append(f"res_key IN (SELECT res_key FROM resources WHERE {among('attrs')})")
    if condition.key in EVENT_NAME_KEYS:
        places.append(_event_condition(SpanCondition("event", "=", condition.value), bound, value))
    return f"({' OR '.join(places)})"


def _event_condition(condition: SpanCondition, bound: Bound, value: str) -> str:
    """A condition on some event of the span, or of a fragment of it, wherever and whenever that came."""
    some = f"has(event_names,{value})"
    if condition.key:
        of_one = f"arrayExists((k,v)->k={bound.text(condition.key)} AND v={value}, mapKeys(e), mapValues(e))"
        some = f"arrayExists(e->{of_one},event_attrs)"
    return f"({some} OR (trace_id,span_id) IN (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {some}))"
