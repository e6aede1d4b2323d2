"""Queries about names that an agent said after the spans that refer to them had been stored. Pure.

Such a span is in the tables with the reference in place of the name. A condition on a name or an attribute then also holds for
spans with a reference to what satisfies it. Where there are none, and mostly there are none, a query stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from clew_server.model.pinpoint import AGENT_ID, AGENT_START, RPC, UNRESOLVED, Late
from clew_server.model.query_tree import And, Braces, Node, Not, Or, Relation, SpanPlace, SpanTerm, Value, all_of
from clew_server.model.search import Search, SpanCondition
from clew_server.query.live.matching import span_test
from clew_server.query.live.seen import SeenSpan

_PLACES: Final[frozenset[SpanPlace]] = frozenset(("name", "names", "attr", "of_span", "event_attr"))
"""Where what comes late can stand."""
_MOST_REFERENCES: Final = 1_000
"""That satisfy one condition; the newest are asked for."""

Tree = TypeVar("Tree", bound=Node)


def with_late_names(node: Tree, names: Sequence[Late]) -> Tree:
    """The same query, which also finds what these names say. Raises BadInput for an expression that RE2 does not take."""
    return _changed(node, names) if names else node  # type: ignore[return-value]  # braces stay braces


def search_with_late_names(search: Search, names: Sequence[Late]) -> Search:
    """The same search, likewise. Raises as `with_late_names`."""
    if not names:
        return search
    where = None if search.where is None else with_late_names(search.where, names)
    return replace(search, where=where, span=tuple(_with_late(one, names) for one in search.span))


def _with_late(condition: SpanCondition, names: Sequence[Late]) -> SpanCondition:
    value = (Value(str(condition.value)),)
    match condition.field:
        case "name":
            asked = [SpanTerm("name", "=", value)]
        case "attr" | "anywhere":
            asked = [SpanTerm(place, "=", value, condition.key, exact=True) for place in ("of_span", "event_attr")]
            asked = asked[: 1 if condition.field == "attr" else 2]
        case "event" if condition.key:
            asked = [SpanTerm("event_attr", "=", value, condition.key, exact=True)]
        case "mark":
            asked = [SpanTerm("of_span", "exists", key=str(condition.value), exact=True)]
        case _:
            return condition
    found = [part for term in asked for part in _late(term, names)]
    return replace(condition, late=Or(tuple(found))) if found else condition


def _changed(node: Node, names: Sequence[Late]) -> Node:
    match node:
        case And() | Or():
            return replace(node, parts=tuple(_changed(part, names) for part in node.parts))
        case Not():
            return Not(_changed(node.part, names))
        case Braces():
            return node if node.inside is None else replace(node, inside=_changed(node.inside, names))
        case Relation():
            steps = tuple((op, with_late_names(braces, names)) for op, braces in node.steps)
            return Relation(with_late_names(node.first, names), steps)
        case SpanTerm() if node.place in _PLACES:
            found = _late(node, names)
            return Or((node, *found)) if found else node
        case _:
            return node


def _late(term: SpanTerm, names: Sequence[Late]) -> list[Node]:
    """For each agent that said what satisfies the term, the condition on a span to refer to it."""
    test = span_test(term)
    of_agent: dict[tuple[str, str], list[str]] = {}
    for one in [one for one in names if test(_seen(one))][-_MOST_REFERENCES:]:
        of_agent.setdefault((one.agent_id, one.start_time), []).append(one.reference)
    found: list[Node] = []
    for (agent_id, start_time), references in of_agent.items():
        parts = [
            _is("of_resource", AGENT_ID, agent_id),
            _is("of_resource", AGENT_START, start_time),
            _is("of_span", UNRESOLVED, *references),
        ]
        if term.place in ("name", "names"):
            # A span that says what was asked for has its name from that, whatever its method is called.
            parts.append(Not(SpanTerm("of_span", "exists", key=RPC, exact=True)))
        found.append(all_of(*parts))
    return found


def _is(place: SpanPlace, key: str, *texts: str) -> Node:
    return SpanTerm(place, "in", tuple(map(Value, texts)), key, exact=True)


def _seen(one: Late) -> SeenSpan:
    return SeenSpan(
        one.span.SerializeToString(),
        b"",
        b"",
        name=one.span.name,
        kind=0,
        span_id=b"",
        parent_id=b"",
        start_unix_nano=0,
        duration_ns=0,
        is_failed=False,
    )
