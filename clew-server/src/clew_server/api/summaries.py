"""Figures about all traces of a search, as JSON."""

from __future__ import annotations

from typing import Any, Final

from clew_server.analysis.range_findings import RangeFinding
from clew_server.model.points import Points, Versions
from clew_server.model.red import Red
from clew_server.model.summary import Summary, Totals
from clew_server.query.facets import shown
from clew_server.query.findings import query_of
from clew_server.query.nothing import Excluded

AS_SENT: Final = {"counted": "as_sent"}
"""The note in answers whose counts include a span again for each request that repeats it: telling them apart would cost more than counting."""


def summary_as_json(
    summary: Summary, findings: list[RangeFinding], excluded: Excluded | None, *, is_selected: bool
) -> dict[str, Any]:
    """The answer of `/api/v1/traces/summary`."""
    p50, p95, p99 = map(str, summary.lengths_ns) if summary.lengths_ns else (None, None, None)
    of = summary.facets_of
    return {
        "matched": summary.totals.matched,
        "failed": summary.totals.failed,
        "selected": _selected(summary.totals) if is_selected else None,
        "estimated": _estimated(summary.estimated, is_selected),
        "p50_ns": p50,
        "p95_ns": p95,
        "p99_ns": p99,
        "heatmap": {
            "x_unix_nano": [str(edge) for edge in summary.heatmap.x_unix_nano],
            "y_ns": [str(edge) for edge in summary.heatmap.y_ns],
            "cells": [list(cell) for cell in summary.heatmap.cells],
            "estimated": [list(one) for one in summary.heatmap.estimated],
        },
        "facets": [
            {
                "key": facet.key,
                "difference": round(facet.difference, 4),
                "values": [
                    {"value": one.value, "count": one.traces, "failed": one.failed, "selected": one.selected}
                    for one in facet.values
                ],
                "other": facet.other,
            }
            for facet in shown(list(summary.facets), of, selected=is_selected)
        ],
        "facets_of": {
            "matched": of.matched,
            "failed": of.failed,
            "selected": of.selected,
            "from_unix_nano": str(summary.facets_from_unix_nano),
            "to_unix_nano": str(summary.facets_to_unix_nano),
        },
        "findings": [_finding(one) for one in findings],
        "excluded": None if excluded is None else excluded._asdict(),
        "complete": summary.complete,
        "reason": summary.reason,
    }


def points_as_json(points: Points) -> dict[str, Any]:
    """The answer of `/api/v1/traces/points`: by column, since there are thousands."""
    found = points.points
    return {
        "trace_id": [one.trace_id for one in found],
        "start_unix_nano": [str(one.start_unix_nano) for one in found],
        "duration_ns": [str(one.length_ns) for one in found],
        "failed": [int(one.has_failed) for one in found],
        "complete": points.complete,
        "reason": points.reason,
    }


def versions_as_json(versions: Versions) -> dict[str, Any]:
    """The answer of `/api/v1/versions`."""
    return {
        "versions": [
            {"service": one.service, "version": one.version, "first_unix_nano": str(one.first_unix_nano)}
            for one in versions.versions
        ],
        "complete": versions.complete,
        "reason": versions.reason,
    }


def red_as_json(red: Red) -> dict[str, Any]:
    """The answer of `/api/v1/red`."""
    return {
        "from_unix_nano": str(red.from_unix_nano),
        "to_unix_nano": str(red.to_unix_nano),
        "step_ns": str(red.step_ns),
        "series": [
            {
                "service": one.service,
                "value": one.value,
                "count": one.whole.spans,
                "failed": one.whole.failed,
                "p50_ns": str(one.whole.p50_ns),
                "p95_ns": str(one.whole.p95_ns),
                "p99_ns": str(one.whole.p99_ns),
                "estimated_count": one.whole.estimated_spans,
                "estimated_failed": one.whole.estimated_failed,
                "points": [[step, *figures] for step, figures in one.points],
            }
            for one in red.series
        ],
        **AS_SENT,
        "complete": red.complete,
        "reason": red.reason,
    }


def _finding(finding: RangeFinding) -> dict[str, Any]:
    times = [{"text": one.text, "unix_nano": str(one.unix_nano)} for one in finding.times]
    return {"kind": finding.kind, "text": finding.text, "times": times, "q": query_of(finding)}


def _estimated(totals: Totals | None, is_selected: bool) -> dict[str, Any] | None:
    if totals is None:
        return None
    return {
        "matched": totals.matched,
        "failed": totals.failed,
        "selected": _selected(totals) if is_selected else None,
    }


def _selected(totals: Totals) -> dict[str, int]:
    return {"matched": totals.selected, "failed": totals.selected_failed}
