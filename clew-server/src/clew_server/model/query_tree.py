"""A query for traces as a tree of values: what the query language says, without its text and without SQL.

`docs/reference/query.md` tells what each part means. `!=`, `!~` and `not` are all `Not`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

SpanPlace = Literal[
    "names",
    "service",
    "name",
    "scope",
    "status_message",
    "kind",
    "status",
    "dur",
    "id",
    "parent",
    "root",
    "failed",
    "event",
    "event_attr",
    "link_trace",
    "link_attr",
    "attr",
    "of_span",
    "of_resource",
    "of_scope",
]
"""Where a condition on a span looks. `names`: the names of its service and its operation. `attr`: the attribute of the span, else
of its resource; the last three: of that place only."""

ALWAYS_NAMED: Final[tuple[SpanPlace, ...]] = ("service", "name")
"""Every span has these texts, empty ones where its sender gave none."""

TracePlace = Literal["duration", "start", "spans", "errors", "services", "root_service", "root_name", "id"]

Op = Literal["=", ">", ">=", "<", "<=", "=~", "in", "exists", "has"]
"""`has`: the text is somewhere in it, in any case. `in` is `=` with one of several values."""
RelationOp = Literal[">", ">>", "~"]


@dataclass(frozen=True, slots=True)
class Value:
    """What a condition compares with."""

    text: str
    number: Decimal | None = None
    """Where it was written bare and is a number: in ns or bytes where it had a unit. May be NaN or infinite."""
    pieces: tuple[str, ...] = ()
    """Of a pattern: the texts between its stars, at least two."""
    position: int = 0
    """Of its first character in the query."""

    @property
    def doubles(self) -> tuple[float, ...]:
        """The doubles that are this number: both zeros for zero, none for one that is too large or too small."""
        if self.number is None:
            return ()
        double = float(self.number)
        if self.number.is_finite() and (math.isinf(double) or (not double and self.number)):
            return ()
        return (double,) if double else (0.0, -0.0)


@dataclass(frozen=True, slots=True)
class SpanTerm:
    """A condition on one span. `dur` has its values in ns."""

    place: SpanPlace
    op: Op
    values: tuple[Value, ...] = ()
    key: str = ""
    """Of the attribute, for the places that have attributes."""
    exact: bool = False
    """Whether only this name of the attribute counts, and not the others of its family (`model.families`)."""
    position: int = 0


@dataclass(frozen=True, slots=True)
class TraceTerm:
    """A condition on the whole trace. `duration` and `start` (since 1970) have their values in ns."""

    place: TracePlace
    op: Op
    values: tuple[Value, ...] = ()
    position: int = 0


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class Braces:
    """Some span of the trace satisfies the expression; None: any span."""

    inside: Node | None = None
    position: int = 0


ANY: Final = Braces()
"""Any span."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Some spans, each with its condition, stand to each other as the steps say, from the left."""

    first: Braces
    steps: tuple[tuple[RelationOp, Braces], ...]


Node = And | Or | Not | Braces | Relation | SpanTerm | TraceTerm
"""Inside of braces there are no Braces and Relations, outside of them no SpanTerms."""


def conjuncts(node: Node) -> Iterator[Node]:
    """The parts that must all hold."""
    if isinstance(node, And):
        for part in node.parts:
            yield from conjuncts(part)
    else:
        yield node


def terms(node: Node | None) -> Iterator[SpanTerm | TraceTerm]:
    """All conditions in the tree, from the left."""
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from terms(part)
    elif isinstance(node, Not):
        yield from terms(node.part)
    elif isinstance(node, Braces):
        yield from terms(node.inside)
    elif isinstance(node, Relation):
        yield from terms(node.first)
        for _, braces in node.steps:
            yield from terms(braces)
    elif node is not None:
        yield node


def all_of(*parts: Node) -> Node:
    """The parts joined by `and`; one alone stays as it is."""
    flat = tuple(one for part in parts for one in conjuncts(part))
    return flat[0] if len(flat) == 1 else And(flat)


def hoisted(braces: Braces) -> Node:
    """The same with conditions on the trace outside of the braces where they stand beside the others."""
    if braces.inside is None:
        return braces
    parts = list(conjuncts(braces.inside))
    outside = [part for part in parts if _is_of_trace(part)]
    inside = [part for part in parts if not _is_of_trace(part)]
    if not inside:
        return all_of(*outside)
    return all_of(Braces(all_of(*inside), braces.position), *outside)


def _is_of_trace(node: Node) -> bool:
    if isinstance(node, And | Or):
        return all(_is_of_trace(part) for part in node.parts)
    if isinstance(node, Not):
        return _is_of_trace(node.part)
    return isinstance(node, TraceTerm)


def has_braces(node: Node) -> bool:
    """Whether it says something of spans."""
    if isinstance(node, And | Or):
        return any(has_braces(part) for part in node.parts)
    if isinstance(node, Not):
        return has_braces(node.part)
    return isinstance(node, Braces | Relation)


def of_one_span(node: Node | None) -> Braces | None:
    """The braces of a query about one span, beside conditions on the trace at most; None of another query."""
    parts = [part for part in conjuncts(node) if not isinstance(part, TraceTerm)] if node is not None else []
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Braces) else None


def is_of_names(node: Node | None, places: Sequence[SpanPlace] = ("service", "name", "kind", "names")) -> bool:
    """Whether a query is only about what one span is counted by: by the minute its service, operation and kind."""
    if node is None:
        return True
    return isinstance(node, Braces) and all(isinstance(term, SpanTerm) and term.place in places for term in terms(node))
