"""What is usual for operations, from chDB: counts and durations by minute, and what they do inside a sample of traces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from clew_server.errors import Unavailable
from clew_server.model.usual import ENOUGH, Durations, Operation, Within
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.chdb_count import IDS
from clew_server.store.connections import Pool
from clew_server.store.contract import TracesLike, UsualDurations, UsualWithin
from clew_server.store.where.binding import OPERATIONS, hexed, operations_bound

QUESTION_S: Final = 5.0
"""What a question may take: a trace is shown without usual values rather than late."""
SAMPLE_TRACES: Final = 200
SAMPLE_SPANS: Final = 20_000
"""The traces of a sample have so many spans at most; larger ones are left out of it."""
SAMPLE_FROM: Final = 20_000
"""Roots that are looked at for a sample. Where there are more, stretches of time evenly spread over the hours are looked at."""

_SECOND_NS: Final = 1_000_000_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_DAY_NS: Final = _DAY_S * _SECOND_NS
_FIRST_AT_NS: Final = 946_684_800 * _SECOND_NS
_LAST_AT_NS: Final = 4_102_444_800 * _SECOND_NS
"""Starts lie between 2000 and 2100 (schema 0002)."""
_SLICES: Final = 12
_ERROR: Final = 2

_LEVELS: Final = ",".join(f"0.{level:02d}" for level in range(1, 100))


class _Hours(NamedTuple):
    """The hour before a time, from a whole minute on, and the same hour a day earlier."""

    from_s: int
    minute_s: int
    """The whole minute in which the hour ends."""
    to_ns: int

    @classmethod
    def before(cls, at_unix_nano: int) -> _Hours:
        to_ns = min(max(at_unix_nano, _FIRST_AT_NS), _LAST_AT_NS)
        minute_s = to_ns // _SECOND_NS // _MINUTE_S * _MINUTE_S
        return cls(minute_s - _HOUR_S, minute_s, to_ns)

    @property
    def from_ns(self) -> int:
        return self.from_s * _SECOND_NS

    def ranges(self, roots: int) -> list[tuple[int, int]]:
        """Both hours, or where they have too many roots to look at, stretches of them with about `SAMPLE_FROM`."""
        whole = [(start, start + self.to_ns - self.from_ns) for start in (self.from_ns - _DAY_NS, self.from_ns)]
        if roots <= SAMPLE_FROM:
            return whole
        slice_ns = (self.to_ns - self.from_ns) // _SLICES
        return [
            (start + at * slice_ns, start + at * slice_ns + slice_ns * SAMPLE_FROM // roots)
            for start, _ in whole
            for at in range(_SLICES)
        ]


class ChdbUsual:
    """The store's TraceUsual. Safe for several threads."""

    def __init__(self, pool: Pool, tables: Tables) -> None:
        self._pool = pool
        self._tables = tables

    def durations(self, operations: Sequence[Operation], at_unix_nano: int) -> UsualDurations:
        """See TraceUsual."""
        hours = _Hours.before(at_unix_nano)
        parameters = {
            "operations": operations_bound(_by_hex(operations)),
            "from_s": str(hours.from_s),
            "minute_s": str(hours.minute_s),
            "minute_ns": str(hours.minute_s * _SECOND_NS),
            "to_ns": str(hours.to_ns),
            "earlier_from_s": str(hours.from_s - _DAY_S),
            "earlier_minute_s": str(hours.minute_s - _DAY_S),
            "earlier_minute_ns": str((hours.minute_s - _DAY_S) * _SECOND_NS),
            "earlier_to_ns": str(hours.to_ns - _DAY_NS),
        }
        question = self._question()
        try:
            rows = question.rows("durations", parameters, LEVELS=_LEVELS, OPERATIONS=OPERATIONS)
        except Stopped as stopped:
            raise _no_answer(stopped) from stopped
        by_hex = _by_hex(operations)
        nothing = Durations(0, 0, None, None, None, hours.from_ns, hours.to_ns)
        found: dict[tuple[Operation, int | None], Durations] = {(operation, None): nothing for operation in operations}
        for service, name, kind, count, failed, levels in rows:
            enough = int(count) >= ENOUGH
            percentiles = [round(level) for level in levels] if enough else []
            found[by_hex[service, name], None if kind < 0 else kind] = Durations(
                count=int(count),
                failed=int(failed),
                p50_ns=percentiles[49] if enough else None,
                p95_ns=percentiles[94] if enough else None,
                p99_ns=percentiles[98] if enough else None,
                from_unix_nano=hours.from_ns,
                to_unix_nano=hours.to_ns,
                percentiles_ns=percentiles,
            )
        return UsualDurations(found, question.missing())

    def within(self, like: TracesLike, operations: Sequence[Operation], at_unix_nano: int) -> UsualWithin:
        """See TraceUsual."""
        question = self._question()
        try:
            traces = _sampled(like, _Hours.before(at_unix_nano), question)
            # Each interval costs the engine a little for every row it looks at.
            most = 2 if like.roots <= SAMPLE_FROM else 2 * _SLICES
            found = _within(traces, operations, question, most) if len(traces) >= ENOUGH else {}
        except Stopped as stopped:
            raise _no_answer(stopped) from stopped
        return UsualWithin(found, len(traces), question.missing())

    def _question(self) -> Question:
        return Question(self._pool, self._tables, seconds=QUESTION_S)


class _Sampled(NamedTuple):
    """A trace of the sample: its id in hex, and the times between which its spans start."""

    trace_id: str
    start_ns: int
    end_ns: int


def _sampled(like: TracesLike, hours: _Hours, question: Question) -> list[_Sampled]:
    parameters = {
        "service": hexed(like.operation.service),
        "name": hexed(like.operation.name),
        "kind": str(like.kind),
        "is_root": str(int(like.is_root)),
        "trace_id": like.but.hex(),
        "limit": str(SAMPLE_TRACES),
    }
    found, spans = [], 0
    rows = question.rows("sampled_traces", parameters, WINDOWS=_starts_in(hours.ranges(like.roots)))
    for trace_id, start_ns, end_ns, count in rows:
        if spans + int(count) <= SAMPLE_SPANS:
            spans += int(count)
            found.append(_Sampled(trace_id, int(start_ns), int(end_ns)))
    return found


class _Seen:
    """What was seen of one operation, a value a span; `calls` by trace."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.failed = 0
        self.durations_ns: list[int] = []
        self.delays_ns: list[int] = []

    def within(self) -> Within:
        """Its counts, and of its values the ranks that stand for 50 and 95 %."""
        calls, delays_ns = list(self.calls.values()), self.delays_ns or [0]
        return Within(
            traces=len(calls),
            spans=len(self.durations_ns),
            failed=self.failed,
            p50_ns=_quantile(self.durations_ns, 0.5),
            p95_ns=_quantile(self.durations_ns, 0.95),
            calls_p50=float(_quantile(calls, 0.5)),
            calls_p95=float(_quantile(calls, 0.95)),
            delay_p50_ns=_quantile(delays_ns, 0.5),
            delay_p95_ns=_quantile(delays_ns, 0.95),
        )


def _within(
    traces: Sequence[_Sampled], operations: Sequence[Operation], question: Question, most: int
) -> dict[Operation, Within]:
    # Grouped here: a join and aggregates in the statement cost the engine three times what reading the rows does.
    parameters = {
        "operations": operations_bound(_by_hex(operations)),
        "ids": "[" + ",".join(f"'{trace.trace_id}'" for trace in traces) + "]",
    }
    ranges = _joined(((trace.start_ns, trace.end_ns + 1) for trace in traces), most)
    rows = question.rows("within", parameters, OPERATIONS=OPERATIONS, WINDOWS=_starts_in(ranges), IDS=IDS)
    starts_ns = {(trace_id, span_id): int(start_ns) for trace_id, span_id, _, _, _, _, start_ns, _, _ in rows}
    seen: dict[tuple[str, str], _Seen] = {}
    # A span that came in two requests counts once.
    for trace_id, _, parent_id, service, name, _, start_ns, duration_ns, status in set(map(tuple, rows)):
        operation = seen.setdefault((service, name), _Seen())
        operation.calls[trace_id] = operation.calls.get(trace_id, 0) + 1
        operation.failed += status == _ERROR
        operation.durations_ns.append(int(duration_ns))
        parent_start_ns = starts_ns.get((trace_id, parent_id))
        if parent_start_ns is not None:
            operation.delays_ns.append(max(0, int(start_ns) - parent_start_ns))
    by_hex = _by_hex(operations)
    return {by_hex[names]: operation.within() for names, operation in seen.items()}


def _quantile(values: list[int], level: float) -> int:
    values = sorted(values)
    return values[min(int(level * len(values)), len(values) - 1)]


def _joined(intervals: Iterable[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most so many intervals that hold all of these: the closest to each other become one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    gaps = sorted((later[0] - earlier[1], at) for at, (earlier, later) in enumerate(pairwise(joined)))
    closed = {at for _, at in gaps[: max(0, len(joined) - most)]}
    found: list[tuple[int, int]] = []
    for at, (start, end) in enumerate(joined):
        if at - 1 in closed:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _starts_in(ranges: Iterable[tuple[int, int]]) -> str:
    """The condition that a span starts in one of these stretches of time."""
    return " OR ".join(f"H(NS({start}),NS({end}))" for start, end in ranges)


def _by_hex(operations: Iterable[Operation]) -> dict[tuple[str, str], Operation]:
    return {(hexed(operation.service), hexed(operation.name)): operation for operation in operations}


def _no_answer(stopped: Stopped) -> Unavailable:
    return Unavailable(f"The store did not answer: {stopped}")
