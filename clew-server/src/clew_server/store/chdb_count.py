"""Counts the spans of listed traces exactly, since the summaries count a span again when another request repeats it.

Counted in SQL over a page's traces at once, by the rule of a trace by its id: a span is all its bytes, resource and scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from clew_server.model.otlp_read import failed
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_reader import RowBinary
from clew_server.store.contract import TraceSummary

IDS: Final = "(SELECT arrayJoin(arrayMap(x->toFixedString(unhex(x),16),{ids:Array(String)})))"
"""Replaces the placeholder in a statement by the traces it is about."""

_SPANS_AT_ONCE: Final = 200_000
_MAX_HOURS: Final = 2_000
_MAX_LOOKED_AT: Final = 20_000
_HOUR_NS: Final = 3_600_000_000_000


def counted(page: Sequence[TraceSummary], question: Question) -> tuple[list[TraceSummary], str | None]:
    """The page with each span counted once, and why some of it is not, None when all is.

    A trace that could not be counted keeps the sums of its summaries. Raises StoreFailed, Unavailable.
    """
    done: list[TraceSummary] = []
    for some in _pieces(page):
        try:
            done += _count(some, question)
        except Stopped as stopped:
            rest = page[len(done) :]
            return [*done, *rest], (
                f"{stopped} while counting: in {len(rest)} traces a span that came in two requests may be counted twice"
            )
    return done, None


def _pieces(page: Sequence[TraceSummary]) -> Iterable[list[TraceSummary]]:
    """As many traces as may be counted by one statement: bounded memory, whatever the page."""
    piece: list[TraceSummary] = []
    spans = 0
    for trace in page:
        if piece and spans + trace.spans > _SPANS_AT_ONCE:
            yield piece
            piece, spans = [], 0
        piece.append(trace)
        spans += trace.spans
    if piece:
        yield piece


def _count(traces: list[TraceSummary], question: Question) -> list[TraceSummary]:
    perhaps = [one for (one,) in question.rows("perhaps_repeated", {"ids": _list(t.trace_id for t in traces)}, IDS=IDS)]
    if not perhaps:
        return traces
    repeated: dict[str, int] = {
        row[0]: int(row[2]) for row in question.rows("repeated_spans", {"ids": _list(perhaps)}, IDS=IDS)
    }
    some_failed = [trace for trace in traces if trace.trace_id in repeated and trace.errors]
    errors = _failures(some_failed, question) if some_failed else {}
    return [
        replace(trace, spans=repeated[trace.trace_id], errors=errors.get(trace.trace_id, trace.errors))
        if trace.trace_id in repeated
        else trace
        for trace in traces
    ]


def _failures(traces: list[TraceSummary], question: Question) -> dict[str, int]:
    """Different failed spans by trace."""
    window, bound = _window(traces)
    ids = _list(trace.trace_id for trace in traces)
    counts = dict.fromkeys((trace.trace_id for trace in traces), 0)
    look_at: list[str] = []
    for trace_id, count, mixed in question.rows(
        "repeated_failures", {"ids": ids, **bound}, IDS=IDS, SPAN_WINDOW=window
    ):
        counts[trace_id] = int(count)
        look_at += [trace_id + span_id for span_id in mixed]
    if not look_at:
        return counts
    if len(look_at) > _MAX_LOOKED_AT:
        raise Stopped(f"stopped at {_MAX_LOOKED_AT} spans to look at")
    parameters = {
        "ids": _list(sorted({span[:32] for span in look_at})),
        "spans": _list(look_at),
        "limit": str(_MAX_LOOKED_AT + 1),
    }
    rows = RowBinary(question.ask("spans_by_id", parameters, "RowBinary", IDS=IDS))
    looked_at = 0
    while rows.more():
        rows.uint64(), rows.uint64()
        span = rows.string()
        looked_at += 1
        counts[span[2:18].hex()] += failed(span)
    if looked_at > _MAX_LOOKED_AT:
        raise Stopped(f"stopped at {_MAX_LOOKED_AT} spans to look at")
    return counts


def _window(traces: list[TraceSummary]) -> tuple[str, dict[str, str]]:
    """The hours in which these traces have spans, as a condition on `spans`, whose key begins with the hour."""
    hours: set[int] = set()
    for trace in traces:
        first, last = trace.start_unix_nano // _HOUR_NS, (trace.start_unix_nano + trace.duration_ns) // _HOUR_NS
        if len(hours) + last - first > _MAX_HOURS:
            oldest_ns = min(trace.start_unix_nano for trace in traces)
            return "FROM_HOUR(NS({from_ns:Int64}))", {"from_ns": str(oldest_ns)}
        hours.update(range(first, last + 1))
    listed = ",".join(str(hour * 3_600) for hour in sorted(hours))
    return "toStartOfHour(start) IN {hours:Array(DateTime('UTC'))}", {"hours": f"[{listed}]"}


def _list(texts: Iterable[str]) -> str:
    return "[" + ",".join(f"'{text}'" for text in texts) + "]"
