"""A whole query as SQL: conditions on a row of `spans`, sets of traces, conditions on whole traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from clew_server.errors import BadInput
from clew_server.model.query_tree import (
    ALWAYS_NAMED,
    And,
    Braces,
    Node,
    Not,
    Or,
    Relation,
    SpanTerm,
    TraceTerm,
    conjuncts,
    terms,
)
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.store.asking import Question
from clew_server.store.chdb_again import ERRORS_AGAIN, NOT_COUNTED, SPANS_AGAIN, put
from clew_server.store.connections import EngineError
from clew_server.store.macros import STARTED
from clew_server.store.where.attributes import OF_EVENTS, OF_LINKS, OF_SCOPE, Attributes
from clew_server.store.where.binding import Bound, joined, like
from clew_server.store.where.comparing import Comparing, expression
from clew_server.store.where.failed import FAILED, of_events

_CANNOT_COMPILE: Final = 427
_NO_PARENT: Final = "toFixedString('',8)"

EVERY: Final = "1"
"""The condition that holds for every span."""

Related = Callable[[Relation], str]
"""The set of traces in which a relation holds that SQL cannot follow, as a condition on trace_id."""


@dataclass(frozen=True, slots=True)
class Where:
    """A query as the parts of `traces_listed.sql`.

    In the SQL stand WINDOW_OF_SPANS for a condition on a row of `spans` that bounds them, and the words of `store.chdb_again`.
    """

    sets: str
    """Conditions on trace_id that spans decide."""
    whole: str
    """Conditions on the grouped trace."""
    is_bounded: bool
    """Whether some span must be of the traces that are found: then the window of spans bounds them."""


class Translator:
    """Makes the SQL of one search. Asks the store about resources and expressions through its question; not for several threads."""

    def __init__(self, question: Question, bound: dict[str, str], related: Related, within: str | None = None) -> None:
        """`within`: one more condition on each span that braces are about."""
        self._question = question
        self._within = within
        self._bound = Bound(bound)
        self._comparing = Comparing(self._bound)
        self._attributes = Attributes(question, self._bound, self._comparing)
        self._related = related

    def where(self, node: Node) -> Where:
        """The whole query. Raises BadInput for an expression that RE2 does not take, Stopped, StoreFailed, Unavailable."""
        self._check_expressions(node)
        sets: list[str] = []
        whole: list[str] = []
        is_bounded = False
        for part in conjuncts(node):
            if any(isinstance(term, TraceTerm) for term in _outer_terms(part)):
                whole.append(self._of_trace(part))
            else:
                sets.append(self._of_trace(part))
                is_bounded = is_bounded or isinstance(part, Braces | Relation)
        return Where(" AND ".join(sets) or "1", " AND ".join(whole) or "1", is_bounded)

    def conditions(self, relation: Relation) -> list[str]:
        """What stands in each of its braces, from the left, as conditions on a row of `spans`; `EVERY` where that is nothing."""
        return [self._inside(braces) for braces in (relation.first, *(braces for _, braces in relation.steps))]

    def of_braces(self, braces: Braces) -> str:
        """What stands in braces, as a condition on a row of `spans`. Raises as `where`.

        A span that came in two requests counts twice in conditions on the numbers of its trace.
        """
        if braces.inside is not None:
            self._check_expressions(braces.inside)
        return put(self._inside(braces), NOT_COUNTED)

    # Of traces

    def _of_trace(self, node: Node) -> str:
        if isinstance(node, And):
            return joined(" AND ", [self._of_trace(part) for part in node.parts])
        if isinstance(node, Or):
            return joined(" OR ", [self._of_trace(part) for part in node.parts])
        if isinstance(node, Not):
            return f"NOT ({self._of_trace(node.part)})"
        if isinstance(node, Braces):
            return f"trace_id IN (SELECT trace_id FROM spans WHERE {self._rows(node)})"
        if isinstance(node, Relation):
            return self._relation(node)
        assert isinstance(node, TraceTerm)
        return self._trace_term(node)

    def _rows(self, braces: Braces) -> str:
        return f"WINDOW_OF_SPANS AND start!=FRAGMENT AND {self._inside(braces)}"

    def _inside(self, braces: Braces) -> str:
        parts = [] if self._within is None else [self._within]
        if braces.inside is not None:
            parts.append(self._of_span(braces.inside, True))
        return joined(" AND ", parts) if parts else EVERY

    def _relation(self, relation: Relation) -> str:
        if any(op == ">>" for op, _ in relation.steps):
            return self._related(relation)
        rows = self._rows(relation.first)
        for op, braces in relation.steps:
            before, own = rows, self._rows(braces)
            if op == ">":
                rows = f"{own} AND (trace_id,parent_id) IN (SELECT trace_id,span_id FROM spans WHERE {before})"
                continue
            # Different spans with one parent: the parents of several spans, or of one that is not this one.
            parents = f"SELECT trace_id,parent_id FROM spans WHERE {before} AND parent_id!={_NO_PARENT} GROUP BY trace_id,parent_id"
            several = f"(trace_id,parent_id) IN ({parents} HAVING min(span_id)!=max(span_id))"
            itself = f"(trace_id,parent_id,span_id) IN (SELECT trace_id,parent_id,span_id FROM spans WHERE {before})"
            rows = f"{own} AND ({several} OR ((trace_id,parent_id) IN ({parents}) AND NOT {itself}))"
        return f"trace_id IN (SELECT trace_id FROM spans WHERE {rows})"

    def _trace_term(self, term: TraceTerm) -> str:
        if term.place == "duration":
            return self._comparing.whole_number("toInt128(d)", term)
        if term.place == "start":
            return self._comparing.whole_number("toInt128(toUnixTimestamp64Nano(s))", term)
        if term.place in ("spans", "errors", "services"):
            column = {
                "spans": f"(n-{SPANS_AGAIN})",
                "errors": f"(e-{ERRORS_AGAIN})",
                "services": "length(of_services)",
            }[term.place]
            return self._comparing.whole_number(f"toInt128({column})", term)
        if term.place == "id":
            return self._comparing.span_or_trace_id("trace_id", 16, term.values)
        return self._comparing.texts("f.3" if term.place == "root_service" else "f.4", term)

    # Of spans

    def _of_span(self, node: Node, positive: bool) -> str:
        if isinstance(node, And):
            return joined(" AND ", [self._of_span(part, positive) for part in node.parts])
        if isinstance(node, Or):
            return joined(" OR ", [self._of_span(part, positive) for part in node.parts])
        if isinstance(node, Not):
            return f"NOT ({self._of_span(node.part, not positive)})"
        if isinstance(node, TraceTerm):
            return (
                "trace_id IN (SELECT trace_id FROM (SELECT trace_id, min(traces.start) AS s,"
                " greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,"
                " groupUniqArrayArray(services) AS of_services, min(first) AS f FROM traces"
                f" WHERE {STARTED}"
                f" GROUP BY trace_id HAVING {self._trace_term(node)}))"
            )
        assert isinstance(node, SpanTerm)
        return self._span_term(node, positive)

    def _span_term(self, term: SpanTerm, positive: bool) -> str:
        place = term.place
        if place == "names":
            text = self._bound.text(term.values[0].text.lower())
            if term.values[0].pieces:
                pattern = self._bound.text(f"%{like(term.values[0].pieces)}%")
                return f"(service ILIKE {pattern} OR name ILIKE {pattern})"
            return f"(position(lowerUTF8(service),{text})>0 OR position(lowerUTF8(name),{text})>0)"
        if place in ("service", "name", "scope", "status_message"):
            if term.op == "exists":
                return "1" if place in ALWAYS_NAMED else f"{place}!=''"
            return self._comparing.texts(place, term)
        if place == "kind":
            return _listed("kind", [KIND_WORDS.index(value.text) for value in term.values])
        if place == "status":
            return _listed("status", [STATUS_WORDS.index(value.text) for value in term.values])
        if place == "dur":
            return self._comparing.whole_number("toInt128(duration)", term)
        if place == "id":
            return self._comparing.span_or_trace_id("span_id", 8, term.values)
        if place == "parent":
            present = f"parent_id!={_NO_PARENT}"
            return (
                present
                if term.op == "exists"
                else f"({present} AND {self._comparing.span_or_trace_id('parent_id', 8, term.values)})"
            )
        if place == "root":
            return f"parent_id{'=' if term.values[0].text == 'true' else '!='}{_NO_PARENT}"
        if place == "failed":
            return FAILED if term.values[0].text == "true" else f"NOT {FAILED}"
        if place == "event":
            one = "1" if term.op == "exists" else self._comparing.texts("x", term)
            return of_events(f"arrayExists(x->{one},event_names)")
        if place == "event_attr":
            return of_events(self._attributes.some(OF_EVENTS, term))
        if place == "link_trace":
            one = "1" if term.op == "exists" else self._comparing.span_or_trace_id("x", 16, term.values)
            return f"arrayExists(x->{one},link_traces)"
        if place == "link_attr":
            return self._attributes.some(OF_LINKS, term)
        if place == "of_scope":
            return self._attributes.some(OF_SCOPE, term)
        if place == "of_span":
            return self._attributes.on_span(term, positive)
        resource, is_there = self._attributes.of_resource(term)
        of_resource = f"res_key IN (SELECT res_key FROM resources WHERE {resource})"
        if place == "of_resource":
            return of_resource  # one may come before the statement is run
        on_span = self._attributes.on_span(term, positive)
        if not is_there:
            return on_span
        absent = "" if term.op == "exists" else f"NOT {self._attributes.has('attrs', term)} AND "
        return f"({on_span} OR ({absent}{of_resource}))"

    def _check_expressions(self, node: Node) -> None:
        for term in terms(node):
            if term.op != "=~":
                continue
            value = term.values[0]
            try:
                self._question.rows("is_expression", {"expression": expression(value.text).encode().hex()})
            except EngineError as error:
                if error.code != _CANNOT_COMPILE:
                    raise
                message = f"{value.text!r} is not a regular expression as RE2 has them."
                raise BadInput(message, code="bad_query", position=value.position) from None


def _outer_terms(node: Node) -> list[SpanTerm | TraceTerm]:
    """The terms that stand outside of braces."""
    if isinstance(node, Braces | Relation):
        return []
    if isinstance(node, And | Or):
        return [term for part in node.parts for term in _outer_terms(part)]
    if isinstance(node, Not):
        return _outer_terms(node.part)
    return [node]


def _listed(column: str, numbers: Sequence[int]) -> str:
    return f"{column} IN ({','.join(map(str, numbers))})"


def no_relations(relation: Relation) -> str:
    """For what stands in braces, where there are none."""
    raise AssertionError(relation)
