"""What TraceQL says of several spans: braces, and what joins them. As a question to the store, and applied to one trace. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from clew_server.api.tempo.tokens import unsupported
from clew_server.model.query_tree import ANY, And, Braces, Node, Or, Relation, RelationOp, hoisted
from clew_server.model.trace import Trace

Joint = Literal["&&", "||", ">", ">>", "<", "<<", "~"]
"""Between two sets of spans. The last five are the relation of a span on the right to one on the left: child, descendant, parent,
ancestor, sibling; the spans of the right set are the result."""
RELATIONS: Final = (">", ">>", "<", "<<", "~")
_TURNED: Final[dict[str, RelationOp]] = {"<": ">", "<<": ">>", "~": "~"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sets of spans and what is between them."""

    joint: Joint
    left: Spansets
    right: Spansets
    at: int = 0
    """The place of the joint in the query."""


Spansets = Braces | Pair


def filters(asked: Spansets) -> Iterator[Braces]:
    """The braces, from the left."""
    if isinstance(asked, Pair):
        yield from filters(asked.left)
        yield from filters(asked.right)
    else:
        yield asked


def where(asked: Spansets) -> Node | None:
    """The query that finds the traces; None where all are meant. Raises Unsupported for relations that it cannot say."""
    return None if asked == ANY else _node(asked)


def _node(asked: Spansets) -> Node:
    if isinstance(asked, Braces):
        return hoisted(asked)
    if asked.joint in RELATIONS:
        return _relation(asked)
    parts = (_node(asked.left), _node(asked.right))
    return And(parts) if asked.joint == "&&" else Or(parts)


def _relation(asked: Pair) -> Relation:
    """A chain of braces. One that goes up is turned round, since the query language goes down."""
    braces: list[Braces] = []
    joints: list[str] = []
    left: Spansets = asked
    while isinstance(left, Pair):
        if left.joint not in RELATIONS or not isinstance(left.right, Braces):
            raise unsupported(
                f"{asked.joint} is answered between braces, and not between what is joined already", asked.at
            )
        braces.insert(0, left.right)
        joints.insert(0, left.joint)
        left = left.left
    braces.insert(0, left)
    if not {"<", "<<"}.intersection(joints):
        return Relation(braces[0], tuple(zip(cast("list[RelationOp]", joints), braces[1:], strict=True)))
    if {">", ">>"}.intersection(joints):
        raise unsupported("up (<) and down (>) in one chain is not answered", asked.at)
    turned = [_TURNED[joint] for joint in reversed(joints)]
    return Relation(braces[-1], tuple(zip(turned, reversed(braces[:-1]), strict=True)))


def matched(asked: Spansets, trace: Trace, holding: Sequence[frozenset[bytes]]) -> list[int]:
    """The rows of the spans that a query finds in a trace. `holding`: of each of its braces the ids for which they hold."""
    each = iter(holding)

    def found(one: Spansets) -> set[int]:
        if isinstance(one, Braces):
            return set(trace.rows_of(next(each)))
        left, right = found(one.left), found(one.right)
        if one.joint == "&&":
            return left | right if left and right else set()
        if one.joint == "||":
            return left | right
        return right & _KIN[one.joint](trace, left)

    return sorted(found(asked))


def _children(trace: Trace, rows: set[int]) -> set[int]:
    return {row for row, parent in enumerate(trace.parent) if parent in rows}


def _descendants(trace: Trace, rows: set[int]) -> set[int]:
    found: set[int] = set()
    for row in rows:
        if row not in found:
            found.update(range(row + 1, trace.end_row[row]))
    return found


def _parents(trace: Trace, rows: set[int]) -> set[int]:
    return {trace.parent[row] for row in rows if trace.parent[row] >= 0}


def _ancestors(trace: Trace, rows: set[int]) -> set[int]:
    found: set[int] = set()
    for row in rows:
        above = trace.parent[row]
        while above >= 0 and above not in found:
            found.add(above)
            above = trace.parent[above]
    return found


def _siblings(trace: Trace, rows: set[int]) -> set[int]:
    by_parent: dict[int, list[int]] = {}
    for row in rows:
        if trace.parent[row] >= 0:
            by_parent.setdefault(trace.parent[row], []).append(row)
    return {
        row for row, parent in enumerate(trace.parent) if any(other != row for other in by_parent.get(parent, ())[:2])
    }


_KIN: Final[Mapping[str, Callable[[Trace, set[int]], set[int]]]] = {
    ">": _children,
    ">>": _descendants,
    "<": _parents,
    "<<": _ancestors,
    "~": _siblings,
}
