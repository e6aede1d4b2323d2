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
            return _or_late(node, names)
        case _:
            return node


def _or_late(term: SpanTerm, names: Sequence[Late]) -> Node:
    test = span_test(term)
    of_agent: dict[tuple[str, str], list[str]] = {}
    for one in [one for one in names if test(_seen(one))][-_MOST_REFERENCES:]:
        of_agent.setdefault((one.agent_id, one.start_time), []).append(one.reference)
    found: list[Node] = [term]
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
    return Or(tuple(found)) if len(found) > 1 else term


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
