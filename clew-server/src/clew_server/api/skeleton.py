"""The columns the trace page draws: a view of a trace, as docs/reference/api.md describes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count
from typing import Any, Final, NamedTuple

from clew_server.analysis.answers import Role, Section
from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.failure import roles
from clew_server.analysis.own_time import self_ns
from clew_server.analysis.tree import Tree, tree_of
from clew_server.api.forms import gzipped
from clew_server.model.columns import HANDLED, MISPLACED, MISSING, ORIGIN
from clew_server.model.trace import Trace

MAX_SECTIONS: Final = 7_000
"""Sections of the critical path in the columns, the longest; `/explain` has all of them."""

_BITS: Final[dict[Role, int]] = {"origin": ORIGIN, "handled": ORIGIN | HANDLED}
_GZIP_LEVEL: Final = 1
"""Half the time of level 3, for a twelfth more bytes."""
_NUMBERS: Final = frozenset(("parent", "start", "dur", "self", "svc", "name", "kind", "flags"))
"""Columns that are lists of whole numbers."""


class Skeleton(NamedTuple):
    """The columns as JSON text; `etag` changes when they do; `incomplete` is a sentence about what damage took, or None."""

    json: bytes
    etag: str
    incomplete: str | None


def skeleton_from_trace(trace: Trace) -> Skeleton:
    """The columns of a trace as JSON."""
    text = _text(_columns(trace))
    etag = _hash(text)
    return Skeleton(f'{text[:-1]},"etag":"{etag}"}}'.encode(), etag, trace.unreadable)


def packed_skeleton(trace: Trace) -> Skeleton:
    """The same, its JSON as a gzip file."""
    skeleton = skeleton_from_trace(trace)
    return skeleton._replace(json=b"".join(gzipped([skeleton.json], level=_GZIP_LEVEL)))


def columns_of(trace: Trace) -> dict[str, Any]:
    """JSON-ready columns, the same for the same spans. `t0` decimal text of ns since the epoch; `start[]` and `dur[]` ns."""
    columns = _columns(trace)
    return {**columns, "etag": _hash(_text(columns))}


def _columns(trace: Trace) -> dict[str, Any]:
    tree = tree_of(trace)
    flags = list(trace.flags)
    for row, role in roles(tree):
        flags[row] |= _BITS.get(role, 0)
    return {
        "t0": str(trace.t0_unix_nano),
        "services": trace.services,
        "names": trace.names,
        "span_id": joined(trace.span_ids),
        "parent": trace.parent,
        "missing": [[row, trace.parent_ids[row].hex()] for row in _rows(map(MISSING.__eq__, trace.parent))],
        "start": trace.start_ns,
        "dur": trace.duration_ns,
        "self": _self_times(tree),
        "negative": _negative(trace),
        "svc": trace.service,
        "name": trace.name,
        "kind": trace.kind,
        "flags": flags,
        "shifted": list(tree.shift_ns.items()),
        "critical": _longest(critical_path(tree).sections),
        "total": len(trace),
    }


def _longest(sections: Sequence[Section]) -> Sequence[Section]:
    """Those that are drawn, in time order: of a path of very many sections the short ones are below a pixel and most of the answer."""
    if len(sections) <= MAX_SECTIONS:
        return sections
    lengths = [end_ns - start_ns for _, start_ns, end_ns in sections]
    longest = sorted(range(len(sections)), key=lengths.__getitem__, reverse=True)[:MAX_SECTIONS]
    return list(map(sections.__getitem__, sorted(longest)))


def _self_times(tree: Tree) -> list[int]:
    """Of the rows that have children, in row order: that of all others is their length, which need not be sent twice."""
    ends = tree.trace.end_row
    return [self_time for row, self_time in enumerate(self_ns(tree)) if ends[row] > row + 1]


def _negative(trace: Trace) -> list[list[int]]:
    """Row and negative length of the spans that end before they begin: `duration_ns` is 0 there."""
    found = []
    for row in _rows(map(MISPLACED.__and__, trace.flags)):
        if trace.duration_ns[row] == 0:
            span = trace.span(row)
            if 0 < span.end_time_unix_nano < span.start_time_unix_nano:
                found.append([row, span.end_time_unix_nano - span.start_time_unix_nano])
    return found


def joined(span_ids: Iterable[bytes]) -> str:
    """Ids as one hex text of 16 digits each, whatever lengths came."""
    ids = list(span_ids)
    if set(map(len, ids)) - {8}:
        ids = [span_id[:8].ljust(8, b"\0") for span_id in ids]
    return b"".join(ids).hex()


def _rows(chosen: Iterable[int]) -> Iterator[int]:
    """The rows for which it is true."""
    return compress(count(), chosen)


def _text(columns: dict[str, Any]) -> str:
    """As `json.dumps` writes them. The long columns are numbers, which Python writes as JSON has them, in a third of the time."""
    return "{" + ",".join(f'"{name}":{_column(name, column)}' for name, column in columns.items()) + "}"


def _column(name: str, column: Any) -> str:
    if name in _NUMBERS:
        return str(column).replace(" ", "")
    return json.dumps(column, separators=(",", ":"))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
