"""The rows of a trace of very many spans, made by numpy. No I/O.

The same rows as `model.rows` makes, which is its slow twin: what is one step of Python a span there is one call for all spans here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew_server.model.columns import ADJUSTED, CLOCK_NOISE_NS, MISPLACED, MISSING, ROOT, SAME_ID, SERVER, depths
from clew_server.model.head_arrays import Bits, HeadArrays, Ints, head_arrays
from clew_server.model.rows import (
    FIRST_START_NS,
    LAST_START_NS,
    LONGEST_NS,
    SECOND_NS,
    Rows,
    depth_first,
    end_rows,
    hang_marked,
    hang_sharing,
    in_rows,
)
from clew_server.model.stored import StoredSpans

_MOST_LEVELS: Final = 1_000
"""A tree of more is ordered span by span."""


def rows_of_many(came: StoredSpans, marks: frozenset[bytes]) -> Rows | None:
    """As `rows.rows_of`; None where arrays have no place for an id that came."""
    heads = head_arrays(came.raw)
    if heads is None:
        return None
    count = len(heads.places)
    if not count:
        return None
    broken = len(came) - count
    if broken:
        came = came.take(heads.places.tolist())
    spans = _Spans(heads, np.array(came.received_unix_nano, np.int64))
    by_start = _by_start(spans, came)
    parents = _parents(spans, by_start, came, heads, marks)
    order = _depth_first(parents, by_start)
    _mark_misplaced(order.parents, spans)
    rows = order.rows
    t0 = int(spans.start.min())
    name, names = _numbered(heads.name[rows], heads.names)
    return Rows(
        places=heads.places[rows].tolist(),
        broken=broken,
        t0_unix_nano=t0,
        parent=order.parent,
        end_row=order.end_row,
        depth=order.depth,
        start_ns=(spans.start[rows] - t0).tolist(),
        duration_ns=spans.duration[rows].tolist(),
        kind=spans.kind[rows].tolist(),
        flags=spans.flags[rows].tolist(),
        span_ids=as_bytes(heads.ids[rows]),
        parent_ids=_parent_ids(heads, rows),
        name=name,
        names=names,
    )


class _Spans:
    """Times that can be computed with, kinds and flags of the spans that parse."""

    def __init__(self, heads: HeadArrays, received_unix_nano: Ints) -> None:
        came, ended = heads.starts_unix_nano, heads.ends_unix_nano
        self.id, self.parent_id = heads.ids, heads.parent_ids
        self.flags = heads.flags
        self.kind = np.where((heads.kinds >= 0) & (heads.kinds <= 5), heads.kinds, 0)
        is_negative = ended < came
        length = np.minimum(np.where(is_negative, 0, ended - came), LONGEST_NS).astype(np.int64)
        has_start = (came >= FIRST_START_NS) & (came <= LAST_START_NS)
        arrived = received_unix_nano // SECOND_NS * SECOND_NS
        self.start: Ints = np.where(has_start, came, 0).astype(np.int64)
        self.start[~has_start] = arrived[~has_start]
        # Without a start an end says nothing of a length.
        self.duration: Ints = np.where(came == 0, 0, length)
        self.flags[~has_start] |= ADJUSTED
        self.flags[is_negative] |= MISPLACED


def _parent_ids(heads: HeadArrays, places: Ints) -> list[bytes]:
    """Of the spans at these places, as they came; empty where there is none."""
    found = as_bytes(heads.parent_ids[places])
    for at in np.flatnonzero(~heads.has_parent_id[places]).tolist():
        found[at] = b""
    return found


def _by_start(spans: _Spans, came: StoredSpans) -> Ints:
    """As `rows._by_start`."""
    start, duration, ids = spans.start, spans.duration, spans.id
    order = np.argsort(start, kind="stable")
    ties = _repeats(start[order])
    if not ties.any():
        return order
    ties[:-1] |= ties[1:]
    some = order[ties]
    order[ties] = some[np.lexsort((ids[some], -duration[some], start[some]))]
    for first, stop in _runs(_repeats(start[order]) & _repeats(duration[order]) & _repeats(ids[order])):
        alone = order[first:stop].tolist()
        alone.sort(key=lambda i: (came.raw[i], came.origins[came.origin[i]]))
        order[first:stop] = alone
    return order


def _parents(spans: _Spans, by_start: Ints, came: StoredSpans, heads: HeadArrays, marks: frozenset[bytes]) -> Ints:
    """As `rows._parents`."""
    ids = spans.id
    sorted_ids = np.argsort(ids, kind="stable")
    repeats = _repeats(ids[sorted_ids])
    same: list[list[int]] = []
    if repeats.any():
        rank = np.empty(len(ids), np.int64)
        rank[by_start] = np.arange(len(ids))
        sorted_ids = np.lexsort((rank, ids))
    known, hung_on = ids[sorted_ids], sorted_ids.copy()
    for first, stop in _runs(repeats):
        sharing: list[int] = sorted_ids[first:stop].tolist()
        hung_on[first] = next((i for i in sharing if spans.kind[i] == SERVER), sharing[0])
        spans.flags[sharing] |= SAME_ID
        same.append(sharing)
    at = np.minimum(np.searchsorted(known, spans.parent_id), len(known) - 1)
    parents: Ints = np.where(known[at] == spans.parent_id, hung_on[at], MISSING)
    parents[(spans.parent_id == 0) | (spans.parent_id == ids)] = ROOT
    if not same and not marks:
        return parents
    listed, kinds, flags = parents.tolist(), spans.kind.tolist(), spans.flags.tolist()
    for sharing in same:
        hang_sharing(sharing, listed, kinds, flags)
    spans.flags = np.array(flags, np.int64)
    if marks:
        by_id = dict(zip(as_bytes(known[~repeats]), hung_on[~repeats].tolist(), strict=True))
        hang_marked(came, listed, _parent_ids(heads, np.arange(len(ids))), kinds, by_id, marks)
    return np.array(listed, np.int64)


class _Order(NamedTuple):
    """The order of the rows. All but `parents` by row."""

    rows: Ints
    """The place of each row's span."""
    parents: Ints
    """The place of each span's parent, rings cut open."""
    parent: list[int]
    end_row: list[int]
    depth: list[int]


def _depth_first(parents: Ints, by_start: Ints) -> _Order:
    """As `rows.depth_first`.

    A row comes after its parent by the sizes of the trees of the siblings before it. That is found level by level, each of them at once;
    for rings, and for a tree of very many levels, span by span.
    """
    depth = _depths(parents)
    if depth is None or depth.max() > _MOST_LEVELS:
        listed = parents.tolist()
        order, cut = depth_first(listed, by_start.tolist())
        parent = in_rows(cut, order)
        return _Order(np.array(order, np.int64), np.array(cut, np.int64), parent, end_rows(parent), depths(parent))
    by_level = np.argsort(depth, kind="stable")
    levels = np.split(by_level, np.cumsum(np.bincount(depth))[:-1])
    size = np.ones(len(parents), np.int64)
    for level in levels[:0:-1]:
        np.add.at(size, parents[level], size[level])
    before = _before(parents, by_start, size)
    row = before
    for level in levels[1:]:
        row[level] = row[parents[level]] + 1 + before[level]
    rows = np.empty(len(parents), np.int64)
    rows[row] = np.arange(len(parents))
    above = parents[rows]
    above_row = np.where(above >= 0, row[np.maximum(above, 0)], above)
    return _Order(rows, parents, above_row.tolist(), (row + size)[rows].tolist(), depth[rows].tolist())


def _depths(parents: Ints) -> Ints | None:
    """Steps from each span to the top of its tree; None where there is a ring."""
    up = np.where(parents < 0, np.arange(len(parents)), parents)
    found: Ints = (parents >= 0).astype(np.int64)
    for _ in range(len(parents).bit_length()):
        further = up[up]
        if np.array_equal(further, up):
            break
        found += found[up]
        up = further
    return found if (parents[up] < 0).all() else None


def _before(parents: Ints, by_start: Ints, size: Ints) -> Ints:
    """Of each span, the sizes of the trees of its siblings before it."""
    siblings = by_start[np.argsort(np.maximum(parents[by_start], ROOT), kind="stable")]
    sizes = size[siblings]
    before_all = np.cumsum(sizes) - sizes
    is_first = ~_repeats(np.maximum(parents[siblings], ROOT))
    found = np.empty(len(parents), np.int64)
    found[siblings] = before_all - before_all[is_first][np.cumsum(is_first) - 1]
    return found


def _mark_misplaced(parents: Ints, spans: _Spans) -> None:
    """As `rows._mark_misplaced`."""
    is_known = spans.flags & ADJUSTED == 0
    children = np.flatnonzero((parents >= 0) & is_known)
    above = parents[children]
    children, above = children[is_known[above]], above[is_known[above]]
    before = spans.start[above] - spans.start[children]
    after = spans.duration[children] - spans.duration[above] - before
    noise = np.maximum(spans.duration[above] // 100, CLOCK_NOISE_NS)
    spans.flags[children[(before > noise) | (after > noise)]] |= MISPLACED


def _numbered(numbers: Ints, names: list[str]) -> tuple[list[int], list[str]]:
    """Numbers and names in order of appearance: the order in which spans came must not show."""
    first = np.full(len(names), len(numbers), np.int64)
    np.minimum.at(first, numbers, np.arange(len(numbers)))
    order = np.argsort(first, kind="stable")
    order = order[first[order] < len(numbers)]
    renumbered = np.zeros(len(names), np.int64)
    renumbered[order] = np.arange(len(order))
    return renumbered[numbers].tolist(), [names[number] for number in order.tolist()]


def as_bytes(ids: NDArray[np.uint64]) -> list[bytes]:
    """Ids of eight bytes each."""
    found: list[bytes] = ids.astype(">u8").view("V8").tolist()
    return found


def _repeats(ordered: NDArray[np.generic]) -> Bits:
    """Where a value is that of the one before it."""
    found = np.zeros(len(ordered), np.bool_)
    found[1:] = ordered[1:] == ordered[:-1]
    return found


def _runs(repeats: Bits) -> Iterator[tuple[int, int]]:
    """Beginning and end of each run of two or more equal values."""
    edges = np.flatnonzero(np.diff(repeats.astype(np.int8), append=0))
    for at in range(0, len(edges), 2):
        yield int(edges[at]), int(edges[at + 1]) + 1
