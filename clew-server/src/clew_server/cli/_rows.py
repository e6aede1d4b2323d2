"""Listed traces as lines for people; with what else is known of each as objects and as CSV, the same as the search page gives."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

from clew_server.cli._client import Client
from clew_server.cli._text import fitted, iso_time, named, time_text, width_of
from clew_server.model.words import duration_text

_AT_ONCE: Final = 50
"""Traces that the server tells about in one answer."""
_IN_A_QUERY: Final = 100
"""Ids of traces that one query holds."""
_MOST_VALUES: Final = 3
_ONE_LINE: Final = 110
_TWO_LINES: Final = 57
"""Columns from which on a row has so few lines; with less, its names had no room."""
_HEAD: Final = (
    "trace_id",
    "started",
    "root_service",
    "root_name",
    "duration_ns",
    "spans",
    "errors",
    "services",
    "failed_service",
    "failed_operation",
    "failed_type",
    "failed_message",
    "time_went",
    "time_share",
)
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")


def line_of(trace: dict[str, Any], failed: int | None, more: str, width: int | None) -> str:
    """A row for people: how many of its spans `failed` (None: some), and `more` behind the name of its root. The trace id is always whole.

    Where a line has no room for names it is several.
    """
    start, took = time_text(int(trace["start_unix_nano"])), duration_text(int(trace["duration_ns"]))
    outcome = "✖ failed" if failed is None else f"✖ {failed} failed" if failed else "✓"
    spans = f"{trace['spans']} span" + ("s" if trace["spans"] != 1 else "")
    root = f"{named(trace['root_service'], 'service')} {named(trace['root_name'], 'name')}{more}"
    if width is None or width >= _ONE_LINE:
        lines = [f"{trace['trace_id']}  {start}  {took:>9}  {outcome:<11} {spans:>10}  {root}"]
    elif width >= _TWO_LINES:
        lines = [f"{trace['trace_id']}  {start}", f"  {took:>9}  {outcome:<11} {spans:>10}  {root}"]
    else:
        lines = [trace["trace_id"], f"  {start}  {took}", f"  {outcome}  {spans}  {root}"]
    return "\n".join(cut(line, width) for line in lines)


def cut(line: str, width: int | None) -> str:
    """The line in at most so many columns of the terminal, not less than a trace id takes; whole without a width."""
    return line if width is None or width_of(line) <= width else fitted(line, max(width, 33)).rstrip()


def described(client: Client, traces: Sequence[dict[str, Any]], columns: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Each trace with where it failed (`origin`), where its time went (`time`) and the `values` of the columns."""
    for at in range(0, len(traces), _AT_ONCE):
        some = traces[at : at + _AT_ONCE]
        asked = {"trace_ids": [one["trace_id"] for one in some], "columns": list(columns)}
        answers = {
            one["trace_id"]: one for one in client.post("/api/v1/traces/answers", asked, wants="answers")["answers"]
        }
        for trace in some:
            answer = answers.get(trace["trace_id"], {})
            values = answer.get("values", {})
            yield {
                **trace,
                "origin": answer.get("origin"),
                "time": answer.get("shares", []),
                "values": {key: values.get(key, []) for key in columns},
            }


def failed_unmarked(client: Client, q: str, traces: Sequence[dict[str, Any]], *, by_start: bool) -> set[str]:
    """Ids of those of which a span failed (by an exception, by a code) though none has status error.

    They are a page of what `q` finds. Where it is a long one, of one stretch of time, all that failed in that are asked for at once.
    """
    asked = sorted((one for one in traces if not one["errors"]), key=lambda one: int(one["start_unix_nano"]))
    if by_start and len(asked) > _IN_A_QUERY:
        given = [("q", q), *_bounds(traces)]
        found = client.get("/api/v1/traces/points", [one for one in given if one[1]], wants="trace_id")
        if found["complete"]:
            failed = {one for one, has_failed in zip(found["trace_id"], found["failed"], strict=True) if has_failed}
            return failed & {trace["trace_id"] for trace in asked}
    failed_ids: set[str] = set()
    for at in range(0, len(asked), _IN_A_QUERY):
        some = asked[at : at + _IN_A_QUERY]
        of_these = f"failed=true trace.id in ({', '.join(trace['trace_id'] for trace in some)})"
        given = [("q", of_these), *_bounds(some), ("limit", str(_IN_A_QUERY))]
        failed_ids |= {trace["trace_id"] for trace in client.get("/api/v1/traces", given, wants="traces")["traces"]}
    return failed_ids & {trace["trace_id"] for trace in asked}


def _bounds(traces: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The time in which these traces start."""
    starts = [int(trace["start_unix_nano"]) for trace in traces]
    return [("from", str(min(starts))), ("to", str(max(starts) + 1))]


def values_text(values: Sequence[str], between: str) -> str:
    """Values of one attribute; the server gives one more than are written where there are more, which is said."""
    return between.join([*values[:_MOST_VALUES], *(["…"] if len(values) > _MOST_VALUES else [])])


class CsvRows:
    """Writes described traces as CSV (RFC 4180), the head first.

    A text that a spreadsheet would run as a formula gets an apostrophe: spans say what they like.
    """

    def __init__(self, out: TextIO, columns: Sequence[str]) -> None:
        self._writer = csv.writer(out, lineterminator="\r\n")
        self._columns = columns
        self._writer.writerow([*_HEAD, *map(_safe, columns)])

    def write(self, trace: dict[str, Any]) -> None:
        origin = trace["origin"] or {}
        share = trace["time"][0] if trace["time"] else None
        cells = [
            trace["trace_id"],
            iso_time(int(trace["start_unix_nano"])),
            trace["root_service"],
            trace["root_name"],
            trace["duration_ns"],
            str(trace["spans"]),
            str(trace["errors"]),
            "; ".join(trace["services"]),
            *(origin.get(part) or "" for part in ("service", "operation", "type", "message")),
            share["owner"] if share else "",
            f"{share['share']:.4f}" if share else "",
            *(values_text(trace["values"][key], "; ") for key in self._columns),
        ]
        self._writer.writerow(map(_safe, cells))


def _safe(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and _NUMBER.fullmatch(text) is None else text
