"""The verdict on a trace as JSON: a view of it, as docs/reference/api.md describes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clew_server.analysis.answers import Failure, Finding, Role, Share, Verdict
from clew_server.analysis.critical_path import Folded, folded
from clew_server.analysis.slowness import percentile
from clew_server.analysis.tree import Tree, tree_of
from clew_server.analysis.verdict import verdict
from clew_server.model.trace import Trace
from clew_server.model.usual import ENOUGH, Usual

MOST_SECTIONS: Final = 2_000
"""Sections of the critical path that are told one by one, the longest; those between them are folded into one each."""
MOST_FAILURES: Final = 1_000
"""Of each role."""
_TOLD_ROLES: Final[tuple[Role, ...]] = ("origin", "propagated", "handled", "abandoned")
_SPANS_OF_A_SHARE: Final = 20
_SPANS_OF_A_FINDING: Final = 1_000


class Explanation(NamedTuple):
    """The verdict as JSON text; `etag` changes when it does; `incomplete` is a sentence about what damage took, or None."""

    json: bytes
    etag: str
    incomplete: str | None


def explanation(trace: Trace, usual: Usual, now_unix_nano: int) -> Explanation:
    """The verdict on a trace that has spans, as JSON."""
    tree = tree_of(trace)
    answer = verdict(tree, usual, now_unix_nano)
    path = folded(answer.critical_path, MOST_SECTIONS)
    fields = _fields(tree, answer, usual)
    left_out = _left_out(answer, path)
    if left_out is not None:
        fields["left_out"] = left_out
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    body = f'{text[:-1]},"critical_path":{_path(trace, path)}}}'.encode("utf-8", "replace")
    etag = hashlib.blake2b(body, digest_size=16).hexdigest()
    return Explanation(body[:-1] + f',"etag":"{etag}"}}'.encode(), etag, trace.unreadable)


def _fields(tree: Tree, answer: Verdict, usual: Usual) -> dict[str, Any]:
    """JSON-ready, without path and etag. Spans by their ids, times and lengths as decimal texts."""
    trace = tree.trace
    return {
        "verdict": answer.word,
        "summary": answer.summary,
        "origin": _ids(trace, answer.origin[:MOST_FAILURES]),
        "failures": [
            {
                "span_id": trace.span_ids[failure.row].hex(),
                "role": failure.role,
                "type": failure.type,
                "message": failure.message,
                "service": trace.service_of(failure.row),
                "operation": trace.name_of(failure.row),
            }
            for failure in _told(answer)
        ],
        "path_uncertain": answer.path_is_uncertain,
        "shares": [_share(trace, share) for share in answer.shares],
        "findings": [_finding(trace, finding) for finding in answer.findings],
        "usual": _usual(usual),
        "root": _root(tree, usual),
        "completeness": {
            "missing_parents": answer.completeness.missing_parents,
            "roots": answer.completeness.roots,
            "young": answer.completeness.young,
            "notes": list(answer.completeness.notes),
        },
        "clock_shifts": [{"host": shift.host, "shift_ns": str(shift.shift_ns)} for shift in answer.clock_shifts],
    }


def _ids(trace: Trace, rows: Iterable[int]) -> list[str]:
    return [trace.span_ids[row].hex() for row in rows]


def _told(answer: Verdict) -> list[Failure]:
    """The failures without the spans above them that did not fail, of each role the first ones."""
    of_role = {role: [one for one in answer.failures if one.role == role] for role in _TOLD_ROLES}
    return [failure for failures in of_role.values() for failure in failures[:MOST_FAILURES]]


def _left_out(answer: Verdict, path: Sequence[Folded]) -> dict[str, Any] | None:
    """How much was folded or left out, so that the answer about a very large trace stays short; None if nothing was."""
    some = [section for section in path if section.sections > 1]
    origin = max(0, len(answer.origin) - MOST_FAILURES)
    failures = sum(failure.role in _TOLD_ROLES for failure in answer.failures) - len(_told(answer))
    if not (some or origin or failures):
        return None
    return {
        "origin": origin,
        "failures": failures,
        "sections": sum(section.sections for section in some),
        "sections_ns": str(sum(section.end_ns - section.start_ns for section in some)),
    }


def _path(trace: Trace, sections: Sequence[Folded]) -> str:
    """JSON text: a dict of each section takes three times as long."""
    t0, ids = trace.t0_unix_nano, trace.span_ids
    parts = [
        f'{{"span_id":"{ids[row].hex()}","start_unix_nano":"{t0 + start_ns}","end_unix_nano":"{t0 + end_ns}"'
        + (f',"sections":{count}}}' if count > 1 else "}")
        for row, start_ns, end_ns, count in sections
    ]
    return f"[{','.join(parts)}]"


def _share(trace: Trace, share: Share) -> dict[str, Any]:
    return {
        "owner": share.owner,
        "operation": share.operation,
        "critical_ns": str(share.critical_ns),
        "share": share.share,
        "usual_ns": None if share.usual_ns is None else str(share.usual_ns),
        "span_ids": _ids(trace, share.rows[:_SPANS_OF_A_SHARE]),
    }


def _finding(trace: Trace, finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "text": finding.text,
        "share": finding.share,
        "numbers": _numbers(finding.numbers),
        "span_ids": _ids(trace, finding.rows[:_SPANS_OF_A_FINDING]),
        "certainty": finding.certainty,
    }


def _numbers(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: int(value) if value == int(value) else value for name, value in numbers.items()}


def _usual(usual: Usual) -> list[dict[str, Any]]:
    """What is usual for the operations of the trace: under this root where that is known, else wherever they are called."""
    found = []
    for operation in sorted({*usual.operations, *usual.within}):
        within, durations = usual.within.get(operation), usual.operations.get(operation)
        if within is not None and within.spans >= ENOUGH:
            count = within.spans
            p50_ns: int | None = within.p50_ns
            p95_ns: int | None = within.p95_ns
        elif durations is not None:
            count, p50_ns, p95_ns = durations.count, durations.p50_ns, durations.p95_ns
        else:
            continue
        found.append(
            {
                "service": operation.service,
                "operation": operation.name,
                "count": count,
                "p50_ns": _text(p50_ns),
                "p95_ns": _text(p95_ns),
            }
        )
    return found


def _root(tree: Tree, usual: Usual) -> dict[str, Any]:
    trace, root = tree.trace, tree.root
    durations = usual.root
    return {
        "span_id": trace.span_ids[root].hex(),
        "service": trace.service_of(root),
        "operation": trace.name_of(root),
        "duration_ns": str(tree.duration_ns(root)),
        "count": 0 if durations is None else durations.count,
        "percentile": percentile(tree.duration_ns(root), durations),
        "p50_ns": None if durations is None else _text(durations.p50_ns),
        "p95_ns": None if durations is None else _text(durations.p95_ns),
        "percentiles_ns": [] if durations is None else [str(one) for one in durations.percentiles_ns],
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
