"""Why nothing matches: the condition without which most would. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from clew_server.model.query_tree import Braces, Node, Not, Relation, all_of, conjuncts, terms

MOST_CONDITIONS: Final = 8
"""Conditions that are left out in turn."""
_BETWEEN: Final = re.compile(
    r"(?:[\s(){}]|(?<=[\s(){}])(?:and|or|not)(?=[\s(){}]|$)|(?<=[\s}])[<>~]+(?=[\s{]))*$", re.IGNORECASE
)
"""What may stand between two conditions."""
_NOT: Final = re.compile(r"(?<![^\s(){}])not[\s({]*$", re.IGNORECASE)
"""Before a condition that is negated by a word."""
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"')


class Excluded(NamedTuple):
    """The condition as it was written, its place, and how many traces match without it. `nearest` is spelled like what was asked for."""

    condition: str
    position: int
    matched_without: int
    nearest: str | None
    nearest_is: Literal["value", "key"] | None


def left_out(where: Node) -> list[tuple[Node, Node | None]]:
    """Each condition that must hold, with the query without it; None where that leaves nothing to ask."""
    found: list[tuple[Node, Node | None]] = []
    parts = list(conjuncts(where))
    for at, part in enumerate(parts):
        others = [*parts[:at], *parts[at + 1 :]]
        inner = list(conjuncts(part.inside)) if isinstance(part, Braces) and part.inside is not None else []
        if isinstance(part, Braces) and len(inner) > 1:
            for within, one in enumerate(inner):
                rest = replace(part, inside=all_of(*inner[:within], *inner[within + 1 :]))
                found.append((one, all_of(*parts[:at], rest, *parts[at + 1 :])))
        else:
            found.append((inner[0] if inner else part, all_of(*others) if others else None))
    return found[:MOST_CONDITIONS]


def written_condition(q: str, node: Node, where: Node) -> tuple[str, int]:
    """A condition as it stands in the query, whole, and where."""
    own = [term.position for term in terms(node)]
    if isinstance(node, Relation):
        own += [braces.position for braces in (node.first, *(step for _, step in node.steps))]
    if not own:
        return q.strip(), 0
    start = min(own)
    if isinstance(node, Not) and (negation := _NOT.search(q[:start])):
        start = negation.start()
    later = [term.position for term in terms(where) if term.position > max(own)]
    text = q[start : min(later)] if later else q[start:]
    end = start + len(_BETWEEN.sub("", text) or text.strip())
    return _closed(q, start, max(end, max(own) + 1)), start


def _closed(q: str, start: int, end: int) -> str:
    """What stands there in the query, with the brackets behind it that close those that it opens."""
    wanted: list[str] = []
    for character in _QUOTED.sub("", q[start:end]):
        if character in "({":
            wanted.append(")" if character == "(" else "}")
        elif wanted and character == wanted[-1]:
            wanted.pop()
    for bracket in reversed(wanted):
        at = end + len(q[end:]) - len(q[end:].lstrip())
        if not q.startswith(bracket, at):
            break
        end = at + 1
    return q[start:end]
