"""Conditions on the number of a trace's spans or failures, and their order, where spans came again in other requests.

The summaries count such a span each time. So before a query with such a condition is put, the traces of the window are found for
which the condition may hold by one number and not by the other, and counted exactly; the query then takes off what was too much.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from clew_server.model.query_tree import Node, TraceTerm, terms
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_count import counted
from clew_server.store.contract import TraceSummary

SPANS_AGAIN: Final = "SPANS_AGAIN"
ERRORS_AGAIN: Final = "ERRORS_AGAIN"
"""Stand in SQL for how many spans, and failed ones, a trace's summaries count too often."""
NOT_COUNTED: Final = {SPANS_AGAIN: "0", ERRORS_AGAIN: "0"}
"""What to put for these words where the sums of the summaries will do."""

_MAX_TRACES: Final = 20_000
_MORE_THAN_ANY: Final = Decimal(1 << 62)


class Again:
    """What a search asks of numbers, and the numbers of one window after the other."""

    def __init__(self, where: Node | None) -> None:
        self._least = {place: _least(where, place) for place in ("spans", "errors")}

    def replaced(
        self, window: dict[str, str], spans_in: str, least_spans: int | None, question: Question
    ) -> dict[str, str]:
        """What to put for SPANS_AGAIN and ERRORS_AGAIN in SQL about the window, whose parameters it adds to.

        `spans_in` bounds the spans of its traces; those with `least_spans` are counted too, None where their order is not by spans.
        Raises Stopped where there is too much to count, StoreFailed, Unavailable.
        """
        spans = [one for one in (self._least["spans"], least_spans) if one is not None]
        conditions = [f"sum(spans)>={max(2, min(spans))}"] if spans else []
        if self._least["errors"] is not None:
            conditions.append(f"sum(errors)>={self._least['errors']}")
        if not conditions:
            return NOT_COUNTED
        rows = question.rows(
            "traces_again",
            {**window, "limit": str(_MAX_TRACES + 1)},
            SPAN_WINDOW=spans_in,
            NUMBERS=" OR ".join(conditions),
        )
        if len(rows) > _MAX_TRACES:
            raise Stopped(f"stopped at {_MAX_TRACES} traces in which spans came in more than one request")
        summaries = [
            TraceSummary(trace_id, int(start), int(duration), int(spans), int(errors), "", "", True)
            for trace_id, start, duration, spans, errors in rows
        ]
        exact, uncounted = counted(summaries, question)
        if uncounted is not None:
            raise Stopped(uncounted)
        more = [
            (summary.trace_id, summary.spans - once.spans, summary.errors - once.errors)
            for summary, once in zip(summaries, exact, strict=True)
            if summary.spans != once.spans
        ]
        if not more:
            return NOT_COUNTED
        window["again"] = "[" + ",".join(f"'{trace_id}'" for trace_id, _, _ in more) + "]"
        window["spans_again"] = str([spans for _, spans, _ in more])
        window["errors_again"] = str([errors for _, _, errors in more])
        looked_up = "transform(lower(hex(trace_id)),{again:Array(String)},{%s:Array(UInt64)},toUInt64(0))"
        return {SPANS_AGAIN: looked_up % "spans_again", ERRORS_AGAIN: looked_up % "errors_again"}


def put(sql: str, words: dict[str, str]) -> str:
    """The SQL with its placeholders replaced."""
    for word, text in words.items():
        sql = sql.replace(word, text)
    return sql


def _least(where: Node | None, place: str) -> int | None:
    """From which number on the summaries may answer such a condition wrongly, None where they never do.

    A trace really has at most as many spans as they say, and one at least where they say one.
    """
    found = [
        _least_of(term) for term in terms(where) if isinstance(term, TraceTerm) and term.place == place and term.values
    ]
    return min((least for least in found if least is not None), default=None)


def _least_of(term: TraceTerm) -> int | None:
    numbers = [value.number for value in term.values if value.number is not None and value.number.is_finite()]
    if not numbers:
        return None
    if term.op in ("=", "in"):
        return max(2, _whole(min(numbers), ROUND_CEILING)) if max(numbers) >= 1 else None
    # The condition changes its answer between this number and the one below.
    changes_at = _whole(numbers[0], ROUND_FLOOR) + 1 if term.op in (">", "<=") else _whole(numbers[0], ROUND_CEILING)
    return changes_at if changes_at >= 2 else None


def _whole(number: Decimal, rounding: str) -> int:
    return int(min(number, _MORE_THAN_ANY).to_integral_value(rounding))
