"""The columns the trace page draws: a view of a trace, as docs/reference/api.md describes it."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from clew_server.analysis.failure import origins
from clew_server.model.columns import MISPLACED, MISSING, ORIGIN
from clew_server.model.trace import Trace


class Skeleton(NamedTuple):
    """The columns as JSON text; `etag` changes when they do; `incomplete` is a sentence about what damage took, or None."""

    json: bytes
    etag: str
    incomplete: str | None


def skeleton_from_trace(trace: Trace) -> Skeleton:
    """The columns of a trace as JSON."""
    columns = columns_of(trace)
    return Skeleton(json.dumps(columns, separators=(",", ":")).encode(), columns["etag"], trace.unreadable)


def columns_of(trace: Trace) -> dict[str, Any]:
    """JSON-ready columns, the same for the same spans. `t0` decimal text of ns since the epoch; `start[]` and `dur[]` ns."""
    flags = list(trace.flags)
    for row in origins(trace):
        flags[row] |= ORIGIN
    columns: dict[str, Any] = {
        "t0": str(trace.t0_unix_nano),
        "services": list(trace.services),
        "names": list(trace.names),
        "span_id": b"".join(span_id[:8].ljust(8, b"\0") for span_id in trace.span_ids).hex(),
        "parent": list(trace.parent),
        "missing": [[row, trace.parent_ids[row].hex()] for row, parent in enumerate(trace.parent) if parent == MISSING],
        "start": list(trace.start_ns),
        "dur": list(trace.duration_ns),
        "negative": _negative(trace),
        "svc": list(trace.service),
        "name": list(trace.name),
        "kind": list(trace.kind),
        "flags": flags,
        "critical": [],
        "total": len(trace),
    }
    columns["etag"] = _hash(columns)
    return columns


def _negative(trace: Trace) -> list[list[int]]:
    """Row and negative length of the spans that end before they begin: `duration_ns` is 0 there."""
    found = []
    for row, flag in enumerate(trace.flags):
        if flag & MISPLACED and trace.duration_ns[row] == 0:
            span = trace.span(row)
            if 0 < span.end_time_unix_nano < span.start_time_unix_nano:
                found.append([row, span.end_time_unix_nano - span.start_time_unix_nano])
    return found


def _hash(columns: dict[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key in ("t0", "services", "names", "span_id", "missing", "negative"):
        digest.update(repr(columns[key]).encode("utf-8", "surrogatepass"))
    for key in ("parent", "start", "dur", "svc", "name", "kind", "flags"):
        digest.update(_as_bytes(columns[key]))
    return digest.hexdigest()


def _as_bytes(values: Sequence[int]) -> bytes:
    return array("Q", [value & 0xFFFFFFFFFFFFFFFF for value in values]).tobytes()
