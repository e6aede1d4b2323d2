"""Failures that came too late for the caller: it had given up, by a time-out or a cancellation, and failed on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.analysis.tree import Tree
from clew_server.model.failed import exceptions, failing_code
from clew_server.model.trace import ADJUSTED, CLIENT, CONSUMER, FAILED, SERVER, Trace

_TIMEOUT: Final = re.compile(r"time[\s_-]?d?[\s_-]?out|deadline|cancel", re.IGNORECASE)
_CANCELLED: Final = re.compile(r"cancel", re.IGNORECASE)
_DEADLINE: Final = re.compile(r"deadline", re.IGNORECASE)
_CANCELLED_CODES: Final = frozenset(("gRPC CANCELLED", "HTTP 499"))
_TIMEOUT_CODES: Final = _CANCELLED_CODES | {"HTTP 408", "HTTP 504", "gRPC DEADLINE_EXCEEDED"}
# Codes with which a client ends a call itself, without an answer.
_NO_ANSWER: Final = frozenset(("gRPC CANCELLED", "gRPC DEADLINE_EXCEEDED", "gRPC UNAVAILABLE"))
_NOISE_NS: Final = 1_000_000
_WIDE_NS: Final = 10_000_000
"""Of a caller that does not say that it gave up: its service may have ended its span that much after it had answered."""


def says_timeout(trace: Trace, row: int) -> bool:
    """Whether the span's exception, message or code speaks of a time-out or a cancellation."""
    span = trace.span(row)
    return failing_code(span) in _TIMEOUT_CODES or _says(_TIMEOUT, span)


def _says_stopped(trace: Trace, row: int, *, has_failed_below: bool) -> bool:
    """Whether it says that it was cancelled; or, where nothing below it failed, that a deadline passed, which was its caller's then."""
    span = trace.span(row)
    if failing_code(span) in _CANCELLED_CODES or _says(_CANCELLED, span):
        return True
    return not has_failed_below and (failing_code(span) == "gRPC DEADLINE_EXCEEDED" or _says(_DEADLINE, span))


def _says(words: re.Pattern[str], span: Span) -> bool:
    if words.search(span.status.message):
        return True
    texts = (
        pair.value.string_value
        for event in exceptions(span)
        for pair in event.attributes
        if pair.key in ("exception.type", "exception.message")
    )
    return any(words.search(text) for text in texts)


class Way(NamedTuple):
    """How far the failure of a span came towards the next failed span above it."""

    above: int
    """The row of that span; -1: none above it failed."""
    reached: bool
    """It may be the reason why that one failed."""
    ended_late: bool
    """It ended after that one had ended, or was stopped by it."""
    asynchronous: bool
    """A consumer is between the two."""


def ways(tree: Tree, failed: Iterable[int]) -> dict[int, Way]:
    """By row, in their order, the way of each of these failed rows.

    What a span tells its parent it tells by its end. So a failure did not reach a failed span above it that had ended before it,
    or before a span between them; nor where that one was a call that gave up and so stopped it.
    """
    trace, ends = tree.trace, tree.end_ns
    flags, parents, kinds, hosts = trace.flags, trace.parent, trace.kind, trace.host
    found: dict[int, Way] = {}
    callers: dict[int, _Caller] = {}
    # Of each span on the way: the next failed span above it, when the last of the spans between them ended, whether one is a consumer.
    between: dict[int, tuple[int, int | None, bool]] = {}
    # Of few of them: by how much their clocks may be ahead of the one of the span above, and when the last of the spans between ended then.
    ahead: dict[int, int] = {}
    likely_last: dict[int, int] = {}

    def of(row: int) -> tuple[int, int | None, bool]:
        way: list[int] = []
        at = row
        while at not in between:
            above = parents[at]
            if above < 0 or flags[above] & FAILED:
                between[at] = (above if above >= 0 else -1, None, kinds[at] == CONSUMER)
                if above >= 0 and hosts[at] != hosts[above] and (by_ns := _may_be_ahead_ns(tree, at, above)):
                    ahead[at] = by_ns
                break
            way.append(at)
            at = above
        for at in reversed(way):
            parent = parents[at]
            above, last_ns, asynchronous = between[parent]
            likely_ns = likely_last.get(parent, last_ns)
            if not flags[parent] & ADJUSTED:
                end_ns = ends[parent] + _lead_ns(tree, parent)
                last_ns = end_ns if last_ns is None else max(last_ns, end_ns)
                end_ns -= ahead.get(parent, 0)
                likely_ns = end_ns if likely_ns is None else max(likely_ns, end_ns)
            if likely_ns is not None and likely_ns != last_ns:
                likely_last[at] = likely_ns
            if above >= 0 and hosts[at] != hosts[above]:
                by_ns = ahead.get(parent, 0) + (_may_be_ahead_ns(tree, at, parent) if hosts[at] != hosts[parent] else 0)
                if by_ns:
                    ahead[at] = by_ns
            between[at] = above, last_ns, asynchronous or kinds[at] == CONSUMER
        return between[row]

    rows = list(failed)
    for row, below in zip(rows, [*rows[1:], len(trace)], strict=False):
        above, last_ns, asynchronous = of(row)
        if above < 0 or (flags[row] | flags[above]) & ADJUSTED:
            found[row] = Way(above, above >= 0, False, asynchronous)
            continue
        caller = callers.get(above)
        if caller is None:
            caller = callers[above] = _Caller(tree, above)
        end_ns = ends[row] + _lead_ns(tree, row)
        has_failed_below = below < trace.end_row[row]
        ended_late = caller.ended_before(end_ns, end_ns - ahead.get(row, 0)) or caller.stopped(
            row, end_ns, has_failed_below=has_failed_below
        )
        reached = not ended_late and (
            last_ns is None or not caller.ended_before(last_ns, likely_last.get(row, last_ns))
        )
        found[row] = Way(above, reached, ended_late, asynchronous)
    return found


def outlived(tree: Tree, row: int, above: int) -> bool:
    """Whether the span ended after one above it, beyond the noise of clocks and of spans that end a little late."""
    return tree.end_ns[row] - tree.end_ns[above] > max(tree.duration_ns(above) // 10, _WIDE_NS)


def _lead_ns(tree: Tree, row: int) -> int:
    """How much too early a server span is at least, as none starts before its client: its clock is then off by that."""
    above = tree.trace.parent[row]
    if tree.trace.kind[row] != SERVER or above < 0 or tree.trace.kind[above] != CLIENT:
        return 0
    return max(0, tree.start_ns[above] - tree.start_ns[row])


def _may_be_ahead_ns(tree: Tree, row: int, parent: int) -> int:
    """By how much its clock may be ahead: as much as it ends after its parent, which is on another host, where it could be within it.

    Clocks are aligned by servers in their clients. Of other spans, or of senders that have no kinds, nobody knows whether they
    went on for longer or their clock is ahead.
    """
    trace = tree.trace
    if (
        (trace.flags[row] | trace.flags[parent]) & ADJUSTED
        or trace.kind[row] == CONSUMER
        or (trace.kind[row] == SERVER and trace.kind[parent] == CLIENT)
        or 100 * tree.duration_ns(row) > 101 * tree.duration_ns(parent)
    ):
        return 0
    return max(0, tree.end_ns[row] - tree.end_ns[parent])


class _Caller:
    """A failed span: when what it waited for was too late for it. It is parsed where the times alone do not tell."""

    def __init__(self, tree: Tree, row: int) -> None:
        self._tree, self._row = tree, row
        self._end_ns = tree.end_ns[row]
        self._noise_ns = max(tree.duration_ns(row) // 100, _NOISE_NS)
        self._gave_up: bool | None = None
        self._answered = False

    def ended_before(self, end_ns: int, likely_ns: int) -> bool:
        """Whether it ended before, beyond the noise of clocks, and without an answer.

        Where it does not say that it gave up, before `likely_ns` too, when that was if the clock that says `end_ns` is ahead.
        """
        if end_ns <= self._end_ns + self._noise_ns:
            return False
        if self._without_answer():
            return True
        wide_ns = max(self._tree.duration_ns(self._row) // 10, _WIDE_NS)
        return not self._answered and likely_ns > self._end_ns + wide_ns

    def stopped(self, row: int, end_ns: int, *, has_failed_below: bool) -> bool:
        """Whether it was a call to another service that gave up, and that service's failure says that it was stopped then."""
        trace = self._tree.trace
        return (
            trace.kind[self._row] == CLIENT
            and trace.service[row] != trace.service[self._row]
            and end_ns >= self._end_ns - self._noise_ns
            and _says_stopped(trace, row, has_failed_below=has_failed_below)
            and self._without_answer()
        )

    def _without_answer(self) -> bool:
        """Whether it says that it gave up."""
        if self._gave_up is None:
            trace = self._tree.trace
            code = failing_code(trace.span(self._row)) if trace.kind[self._row] == CLIENT else None
            self._answered = code is not None and code not in _NO_ANSWER
            self._gave_up = not self._answered and says_timeout(trace, self._row)
        return self._gave_up
