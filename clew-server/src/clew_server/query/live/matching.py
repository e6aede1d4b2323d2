"""A query as a function of a trace in memory, for what has just arrived and is in no table yet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from clew_server.model.families import family
from clew_server.model.query_tree import (
    ALWAYS_NAMED,
    And,
    Braces,
    Node,
    Not,
    Or,
    Relation,
    RelationOp,
    SpanTerm,
    TraceTerm,
)
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.query.live.comparing import elements, is_like, number_test, text_test, value_test
from clew_server.query.live.seen import Pairs, SeenSpan, SeenTrace, pairs

Matches = Callable[[SeenTrace], bool]
_OfSpan = Callable[[SeenSpan, SeenTrace], bool]
_Some = Callable[[Pairs], bool]

_TEXTS: Final[dict[str, Callable[[SeenSpan], str]]] = {
    "service": lambda span: span.service,
    "name": lambda span: span.name,
    "scope": lambda span: span.scope[0],
    "status_message": lambda span: span.span.status.message,
}
_COUNTS: Final[dict[str, Callable[[SeenTrace], int]]] = {
    "start": lambda trace: trace.start_unix_nano,
    "duration": lambda trace: trace.duration_ns,
    "spans": lambda trace: trace.span_count,
    "errors": lambda trace: trace.errors,
    "services": lambda trace: len(trace.services),
}


def matching(query: Node | None) -> Matches:
    """Whether a trace matches, going by what has arrived of it. Raises BadInput for an expression that RE2 does not take."""
    return (lambda trace: True) if query is None else _of_trace(query)


def _of_trace(node: Node) -> Matches:
    if isinstance(node, And):
        parts = [_of_trace(part) for part in node.parts]
        return lambda trace: all(part(trace) for part in parts)
    if isinstance(node, Or):
        parts = [_of_trace(part) for part in node.parts]
        return lambda trace: any(part(trace) for part in parts)
    if isinstance(node, Not):
        inner = _of_trace(node.part)
        return lambda trace: not inner(trace)
    if isinstance(node, Braces):
        inside = _inside(node)
        return lambda trace: any(inside(span, trace) for span in trace.spans)
    if isinstance(node, Relation):
        return _relation(node)
    assert isinstance(node, TraceTerm)
    return _trace_term(node)


def _trace_term(term: TraceTerm) -> Matches:
    count = _COUNTS.get(term.place)
    if count is not None:
        of_number = number_test(term)
        return lambda trace: of_number(count(trace))
    of_text = text_test(term)
    if term.place == "root_service":
        return lambda trace: of_text(trace.first.service)
    if term.place == "root_name":
        return lambda trace: of_text(trace.first.name)
    return lambda trace: of_text(trace.trace_id.hex())


# Relations


def _relation(relation: Relation) -> Matches:
    first = _inside(relation.first)
    steps = [(op, _inside(braces)) for op, braces in relation.steps]

    def matches(trace: SeenTrace) -> bool:
        reached = [span for span in trace.spans if first(span, trace)]
        for op, inside in steps:
            if not reached:
                return False
            reached = [span for span in _RELATED[op](reached, trace.spans) if inside(span, trace)]
        return bool(reached)

    return matches


def _children(reached: Collection[SeenSpan], spans: Collection[SeenSpan]) -> list[SeenSpan]:
    ids = {span.span_id for span in reached}
    return [span for span in spans if span.parent_id in ids]


def _descendants(reached: Collection[SeenSpan], spans: Collection[SeenSpan]) -> list[SeenSpan]:
    below: dict[bytes, list[SeenSpan]] = {}
    for span in spans:
        if span.parent_id:
            below.setdefault(span.parent_id, []).append(span)
    found: list[SeenSpan] = []
    known: set[bytes] = set()
    waiting = [span.span_id for span in reached]
    while waiting:
        above = waiting.pop()
        if above not in known:
            known.add(above)
            children = below.get(above, [])
            found += children
            waiting += [child.span_id for child in children]
    return found


def _siblings(reached: Collection[SeenSpan], spans: Collection[SeenSpan]) -> list[SeenSpan]:
    ids: dict[bytes, set[bytes]] = {}
    for span in reached:
        if span.parent_id:
            ids.setdefault(span.parent_id, set()).add(span.span_id)
    return [span for span in spans if ids.get(span.parent_id, set()) - {span.span_id}]


_RELATED: Final[dict[RelationOp, Callable[[Collection[SeenSpan], Collection[SeenSpan]], list[SeenSpan]]]] = {
    ">": _children,
    ">>": _descendants,
    "~": _siblings,
}


# Of one span


def _inside(braces: Braces) -> _OfSpan:
    return _of_span(braces.inside) if braces.inside is not None else lambda span, trace: True


def _of_span(node: Node) -> _OfSpan:
    if isinstance(node, And):
        parts = [_of_span(part) for part in node.parts]
        return lambda span, trace: all(part(span, trace) for part in parts)
    if isinstance(node, Or):
        parts = [_of_span(part) for part in node.parts]
        return lambda span, trace: any(part(span, trace) for part in parts)
    if isinstance(node, Not):
        inner = _of_span(node.part)
        return lambda span, trace: not inner(span, trace)
    if isinstance(node, TraceTerm):
        whole = _trace_term(node)
        return lambda span, trace: whole(trace)
    assert isinstance(node, SpanTerm)
    term = span_test(node)
    return lambda span, trace: term(span)


def span_test(term: SpanTerm) -> Callable[[SeenSpan], bool]:
    """One condition as a function of a span. Raises as `matching`."""
    place, op = term.place, term.op
    if place == "names":
        return _names(term)
    if place in _TEXTS:
        text = _TEXTS[place]
        if op == "exists":
            return lambda span: place in ALWAYS_NAMED or bool(text(span))
        of_text = text_test(term)
        return lambda span: of_text(text(span))
    if place == "kind":
        kinds = {KIND_WORDS.index(value.text) for value in term.values}
        return lambda span: span.kind in kinds
    if place == "status":
        statuses = {STATUS_WORDS.index(value.text) for value in term.values}
        return lambda span: span.status in statuses
    if place == "dur":
        of_number = number_test(term)
        return lambda span: of_number(span.duration_ns)
    if place in ("root", "failed"):
        wanted = term.values[0].text == "true"
        if place == "root":
            return lambda span: (not span.parent_id) == wanted
        return lambda span: span.is_failed == wanted
    if place in ("id", "parent"):
        return _ids(term)
    return _parts(term) if place in ("event", "event_attr", "link_trace", "link_attr") else _attributes(term)


def _names(term: SpanTerm) -> Callable[[SeenSpan], bool]:
    value = term.values[0]
    if value.pieces:
        # The pieces are found anywhere: as if there were a star at both ends.
        pieces = ("", *(piece.lower() for piece in value.pieces), "")
        return lambda span: is_like(pieces, span.service.lower()) or is_like(pieces, span.name.lower())
    text = value.text.lower()
    return lambda span: text in span.service.lower() or text in span.name.lower()


def _ids(term: SpanTerm) -> Callable[[SeenSpan], bool]:
    if term.place == "id":
        of_id = text_test(term)
        return lambda span: of_id(span.span_id.hex())
    if term.op == "exists":
        return lambda span: bool(span.parent_id)
    of_parent = text_test(term)
    return lambda span: bool(span.parent_id) and of_parent(span.parent_id.hex())


def _parts(term: SpanTerm) -> Callable[[SeenSpan], bool]:
    """Of events and links, of which some one must match."""
    if term.place == "event_attr":
        some = _some(term)
        return lambda span: any(some(pairs(event.attributes)) for event in span.span.events)
    if term.place == "link_attr":
        some = _some(term)
        return lambda span: any(some(pairs(link.attributes)) for link in span.span.links)
    if term.op == "exists":
        if term.place == "event":
            return lambda span: bool(span.span.events)
        return lambda span: bool(span.span.links)
    of_text = text_test(term)
    if term.place == "event":
        return lambda span: any(of_text(event.name) for event in span.span.events)
    return lambda span: any(of_text(link.trace_id.hex()) for link in span.span.links)


def _attributes(term: SpanTerm) -> Callable[[SeenSpan], bool]:
    if term.place == "of_scope":
        of_scope = _some(term)
        return lambda span: of_scope(span.scope[1])
    if term.place == "of_resource":
        of_resource = _some(term)
        return lambda span: of_resource(span.resource)
    own = _some(term)
    if term.place == "of_span":
        return lambda span: own(span.attributes)
    keys, resource = _keys(term), _some(term)
    return lambda span: (
        own(span.attributes) if any(key in keys for key, _ in span.attributes) else resource(span.resource)
    )


def _some(term: SpanTerm) -> _Some:
    """Whether some attribute has the key and a value that matches; of a list some element."""
    keys = _keys(term)
    if term.op == "exists":
        return lambda attributes: any(key in keys for key, _ in attributes)
    test = value_test(term)
    return lambda attributes: any(
        key in keys and any(test(one) for one in elements(value)) for key, value in attributes
    )


def _keys(term: SpanTerm) -> frozenset[str]:
    return frozenset((term.key,) if term.exact else family(term.key))
