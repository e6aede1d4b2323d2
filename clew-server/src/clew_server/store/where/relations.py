"""Relations that SQL cannot follow: whether spans stand to each other as a query says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clew_server.model.query_tree import Relation


def holds_in(relation: Relation, spans: Iterable[tuple[bytes, bytes, int]]) -> bool:
    """Whether the relation holds among the spans of one trace: (id, parent, bits of the conditions that hold)."""
    masks: dict[bytes, int] = {}
    parents: dict[bytes, set[bytes]] = {}
    for span_id, parent_id, mask in spans:
        masks[span_id] = masks.get(span_id, 0) | mask
        if parent_id.strip(b"\0"):
            parents.setdefault(span_id, set()).add(parent_id)
    reached = {span_id for span_id, mask in masks.items() if mask & 1}
    for step, (op, _) in enumerate(relation.steps, start=1):
        if op == ">":
            found = {one for one in masks if parents.get(one, set()) & reached}
        elif op == ">>":
            found = _below(reached, parents)
        else:
            by_parent: dict[bytes, set[bytes]] = {}
            for one in reached:
                for parent in parents.get(one, ()):
                    by_parent.setdefault(parent, set()).add(one)
            found = {
                one for one in masks if any(by_parent.get(parent, set()) - {one} for parent in parents.get(one, ()))
            }
        reached = {one for one in found if masks.get(one, 0) >> step & 1}
    return bool(reached)


def _below(reached: set[bytes], parents: Mapping[bytes, set[bytes]]) -> set[bytes]:
    """All descendants of the spans."""
    children: dict[bytes, list[bytes]] = {}
    for one, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(one)
    found: set[bytes] = set()
    waiting = list(reached)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
