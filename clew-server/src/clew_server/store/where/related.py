"""The traces in which a relation holds that asks for descendants: SQL cannot follow parents, so their spans are looked at here.

`spans` is in the order of time and service, so all spans of some traces are spread over all of the time, and to read them costs more than
all else. First come the spans for which the conditions hold, where one of the conditions is rare: mostly few traces have one for each.
Where the relation does not hold among these spans already, the parents between them are read by trace.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from clew_server.model.query_tree import Relation
from clew_server.store.asking import Question
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_reader import RowBinary
from clew_server.store.macros import STARTED
from clew_server.store.where.relations import holds_in
from clew_server.store.where.translator import EVERY

_RARE_SPANS: Final = 5_000
"""A condition is rare that holds for so many spans of the window."""
_SPANS_LIKE: Final = 100_000
"""So many spans are looked at for each further condition, in the traces that are left."""
_TRACES: Final = 500
_SPANS: Final = 50_000
"""Of so many traces, each with no more than its share of so many spans, the parents are read by trace: 0.4 ms each; of the others by time:
45 ms for a million spans of the window."""
_HEAD_BYTES: Final = 600
"""So much of a span is read to find its parent behind a trace state, which has 512 bytes at most by its specification."""
_ID_BYTES: Final = 8

Span = tuple[bytes, bytes, int]
"""Its id, its parent's, and which of the conditions hold, as bits."""


def related_traces(
    relation: Relation, conditions: Sequence[str], window: dict[str, str], spans_in: str, question: Question
) -> str:
    """The ids of traces in which the relation holds, as an array of hex texts: all of those that start in the window.

    `conditions`: one on a row of `spans` for each of the relation's braces. Raises Stopped where there are more spans than are looked at.
    """
    asked = _Asked(window, spans_in, question)
    some = _traces_with_all(conditions, asked)
    if some is None:
        found = [trace_id for trace_id, spans in asked.all_spans(conditions) if holds_in(relation, spans)]
    else:
        found = [trace_id for trace_id, spans in some.items() if holds_in(relation, spans)]
        for trace_id in found:
            del some[trace_id]
        always = _bits(conditions, EVERY)
        for trace_id, parents in asked.parents(some):
            if holds_in(relation, [*some[trace_id], *((one, parent, always) for one, parent, _ in parents)]):
                found.append(trace_id)
    return _texts(found)


class _Asked:
    """The statements about one window."""

    def __init__(self, window: dict[str, str], spans_in: str, question: Question) -> None:
        self._window, self._spans_in, self._question = window, spans_in, question

    def spans_like(
        self, condition: str, limit: int, traces: Iterable[bytes] | None = None
    ) -> list[tuple[bytes, ...]] | None:
        """Trace, id and parent of the spans for which it holds, in some traces only where these are given; None for more than the limit."""
        bound = {**self._window, "limit": str(limit + 1), "ids": _texts(traces or ())}
        words = {"SPAN_WINDOW": self._spans_in, "TRACE_SETS": EVERY if traces is None else f"trace_id IN {IDS}"}
        output = self._question.ask("spans_like", bound, "RowBinary", SPAN_CONDITIONS=condition, **words)
        rows = list(struct.iter_unpack("<16s8s8s", output))
        return rows if len(rows) <= limit else None

    def parents(self, traces: Iterable[bytes]) -> Iterator[tuple[bytes, list[Span]]]:
        """All spans of those of the traces that start in the window; without their bits."""
        left = set(traces)
        if 0 < len(left) <= _TRACES:
            bound = {"ids": _texts(left), "bytes": str(_HEAD_BYTES), "spans": str(_SPANS // len(left))}
            for trace_id, spans in _by_head(self._question.ask("heads_of_spans", bound, "RowBinary", IDS=IDS)):
                left.discard(trace_id)
                yield trace_id, spans
        if left:
            words = {"SPAN_WINDOW": self._spans_in, "TRACE_SETS": f"trace_id IN {IDS} AND {STARTED}", "MASK": "0"}
            bound = {**self._window, "ids": _texts(left)}
            yield from _by_trace(self._question.ask("spans_of_relations", bound, "RowBinary", **words))

    def all_spans(self, conditions: Sequence[str]) -> Iterator[tuple[bytes, list[Span]]]:
        """All spans of the traces that start in the window and have one for each condition."""
        mask = "+".join(f"{1 << at}*toUInt8({condition})" for at, condition in enumerate(conditions))
        sets = [
            f"trace_id IN (SELECT trace_id FROM spans WHERE {self._spans_in} AND start!=FRAGMENT AND {condition})"
            for condition in dict.fromkeys(conditions)
            if condition != EVERY
        ]
        words = {"SPAN_WINDOW": self._spans_in, "TRACE_SETS": " AND ".join([STARTED, *sets]), "MASK": mask}
        return _by_trace(self._question.ask("spans_of_relations", self._window, "RowBinary", **words))


def _traces_with_all(conditions: Sequence[str], asked: _Asked) -> dict[bytes, list[Span]] | None:
    """The traces with a span for each condition, and these spans of them; None where no condition is rare."""
    # What is looked for below another is mostly the rarer one.
    left = dict.fromkeys(condition for condition in reversed(conditions) if condition != EVERY)
    always = _bits(conditions, EVERY)
    some: dict[bytes, list[Span]] = {}
    for condition in left:
        rows = asked.spans_like(condition, _RARE_SPANS)
        if rows is not None:
            break
    else:
        return None
    while True:
        bits = always | _bits(conditions, condition)
        further: dict[bytes, list[Span]] = {}
        for trace_id, span_id, parent_id in rows:
            further.setdefault(trace_id, []).append((span_id, parent_id, bits))
        some = {one: some.get(one, []) + spans for one, spans in further.items()}
        del left[condition]
        if not left or not some:
            return some
        condition = next(iter(left))
        rows = asked.spans_like(condition, _SPANS_LIKE, some)
        if rows is None:
            return None


def _bits(conditions: Sequence[str], condition: str) -> int:
    return sum(1 << at for at, one in enumerate(conditions) if one == condition)


def _by_trace(output: bytes) -> Iterator[tuple[bytes, list[Span]]]:
    rows = RowBinary(output)
    while rows.more():
        trace_id = rows.fixed(16)
        yield trace_id, list(struct.iter_unpack("<8s8sQ", rows.fixed(24 * rows.varint())))


def _by_head(output: bytes) -> Iterator[tuple[bytes, list[Span]]]:
    """The same, without those in which some head is too short to have the parent in it."""
    rows = RowBinary(output)
    while rows.more():
        trace_id = rows.fixed(16)
        heads = [rows.string() for _ in range(rows.varint())]
        parents = [parent_in(head) for head in heads]
        if None not in parents:
            yield (
                trace_id,
                [(head[:8], parent, 0) for head, parent in zip(heads, parents, strict=True) if parent is not None],
            )


def parent_in(head: bytes) -> bytes | None:
    """The parent's id, empty where there is none; None where the head ends before it.

    The head of a span: its id, then the next of its fields, which are in order. The trace state comes before the parent.
    """
    at = _ID_BYTES
    if head[at : at + 1] == b"\x1a":
        size = shift = 0
        while True:
            at += 1
            if at >= len(head):
                return None
            size |= (head[at] & 127) << shift
            shift += 7
            if head[at] < 128:
                break
        at += 1 + size
        if at + 2 + _ID_BYTES > len(head) >= _HEAD_BYTES:
            return None
    return head[at + 2 : at + 2 + _ID_BYTES] if head[at : at + 2] == b"\x22\x08" else b""


def _texts(traces: Iterable[bytes]) -> str:
    return "[" + ",".join(f"'{trace_id.hex()}'" for trace_id in traces) + "]"
