"""Where a trace failed: the failed spans without a failed descendant, how far each failure came, and why it failed."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Final

from clew_server.analysis.answers import Failure, Role
from clew_server.analysis.giving_up import Way, outlived, ways
from clew_server.analysis.patterns.statements import target
from clew_server.analysis.tree import Tree
from clew_server.model.attributes import find, text_of
from clew_server.model.failed import exceptions, failing_code, says_success
from clew_server.model.trace import ADJUSTED, CLIENT, CONSUMER, FAILED, ROOT, Trace

_RESENT: Final = "http.request.resend_count"
_MOST_WAITING: Final = 20
"""Failed calls of one name that the next one to succeed may be a repetition of: so that very many take no time."""
_ORDER: Final[dict[Role, int]] = {"origin": 0, "propagated": 1, "handled": 2, "abandoned": 3, "absorbed": 4}

# Parts of a message that differ between occurrences of one failure. A quote inside a word is an apostrophe.
_VARIABLE: Final = re.compile(
    r"""(?<!\w)[bru]?'[^'\n]*'(?!\w) | (?<!\w)[bru]?"[^"\n]*"(?!\w) | `[^`\n]*`
      | \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b
      | \b0x[0-9a-f]+\b
      | \b(?=[a-f]*[0-9])[0-9a-f]{8,}\b
      | \b(?=[a-z_-]*[0-9])[0-9a-z_-]{16,}\b
      | [0-9]+(?:[.,:][0-9]+)*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MASKED: Final = "*"
_MESSAGE_LENGTH: Final = 1_000


def roles(tree: Tree) -> list[tuple[int, Role]]:
    """Every failed span and every span above one, in the order of the rows.

    An origin failed, and no failure below it reached it in time (`giving_up.ways`). It is something else where the span that its
    failure came to at last did not pass it on:

    - *handled* where that span is below a root that is there and succeeded, and that says so where spans between failed: a retry that
      succeeded, a fallback. For work of a consumer that root is the consumer: the producer cannot handle what fails there. Also what
      failed in a call that was sent again and then succeeded, whatever failed above it for another reason.
    - *abandoned* where it was too late for its caller, which had given up or had ended.
    """
    return [(row, role) for row, (role, _) in _roles(tree)]


def failures(tree: Tree) -> list[Failure]:
    """The roles with their reasons: causes first, the earliest to end before others, then the deepest.

    Spans without a usable start come last.
    """
    trace, end = tree.trace, tree.end_ns
    flags, depth, service, name, services, names = (
        trace.flags, trace.depth, trace.service, trace.name, trace.services, trace.names
    )  # fmt: skip
    some = _roles(tree)
    keys = [
        # When a span without a usable start ended is not known.
        (_ORDER[role], flags[row] & ADJUSTED, end[row], -depth[row], services[service[row]], names[name[row]])
        for row, (role, _) in some
    ]
    found = map(some.__getitem__, sorted(range(len(some)), key=keys.__getitem__))
    return [
        Failure(row, role, *(("", "") if role == "absorbed" else reason(trace, row)), because)
        for row, (role, because) in found
    ]


def _roles(tree: Tree) -> list[tuple[int, tuple[Role, int]]]:
    """The roles, each with the row of the span that decides it (`Failure.because`)."""
    trace = tree.trace
    failed = list(compress(range(len(trace)), map(FAILED.__and__, trace.flags)))
    again = _sent_again(trace, failed)
    found: dict[int, tuple[Role, int]] = dict.fromkeys(_above(trace, failed), ("absorbed", -1))
    above = _above(trace, again)
    for row in again:
        found[row] = ("propagated", -1) if row in above else ("handled", again[row])
    rest = [row for row in failed if row not in again] if again else failed
    way = ways(tree, rest)
    passed_on = {one.above for one in way.values() if one.reached}
    outcome = _Outcome(tree, way)
    for row in rest:
        found[row] = ("propagated", -1) if row in passed_on else outcome.of(row)
    return sorted(found.items())


def causes(failures: Iterable[Failure]) -> list[int]:
    """Rows of the origins that were not handled, in the order given: the first is the cause."""
    return [failure.row for failure in failures if failure.role == "origin"]


def reason(trace: Trace, row: int) -> tuple[str, str]:
    """Exception type and message of a failed span, as they came; either is empty where there is none.

    Of the last exception event; without one (or without its message) the message is that of the status, else, where there is no
    type either, the name of the code, `HTTP 503`; the type is then `error.type`, unless that only says the code again.
    """
    span = trace.span(row)
    type_ = message = ""
    exception = next(reversed(exceptions(span)), None)
    if exception is not None:
        type_ = text_of(exception.attributes, "exception.type")
        message = text_of(exception.attributes, "exception.message") or span.status.message
        if message:
            return type_, message
    code = failing_code(span)
    if exception is None and code is None:
        type_ = text_of(span.attributes, "error.type")
    return type_, span.status.message or ("" if type_ else code or "")


def group_key(service: str, operation: str, type: str, message: str) -> str:
    """The same for failures that differ only in numbers, ids, quoted and hexadecimal parts of the message."""
    return "\x1f".join((service, operation, type, masked(message)))


def masked(text: str) -> str:
    """The text with numbers, ids, quoted and hexadecimal parts as `*`; of a long one the beginning."""
    return _VARIABLE.sub(_MASKED, text[:_MESSAGE_LENGTH])


class _Outcome:
    """Finds what became of failures. What is found of one span holds for those that lead to it."""

    def __init__(self, tree: Tree, way: Mapping[int, Way]) -> None:
        self._tree, self._way = tree, way
        self._last: dict[int, int] = {}
        self._root: dict[int, int] = {}

    def of(self, row: int) -> tuple[Role, int]:
        """`origin`, `handled` or `abandoned`, with the row of the span that decides it."""
        last = self._last_reached(row)
        way = self._way[last]
        if way.above >= 0 and not way.asynchronous:
            # The spans between the two succeeded where it was not late itself.
            return ("abandoned" if way.ended_late else "handled"), way.above
        root = self._succeeding_root(last)
        if root < 0:
            return "origin", -1
        tree = self._tree
        # Where spans above it failed because of it, only the root's word tells that it is over: roots are not always marked.
        if last != row and not says_success(tree.trace.span(root)):
            return "origin", -1
        late = not tree.trace.flags[last] & ADJUSTED and outlived(tree, last, root)
        return ("abandoned" if late else "handled"), root if late else -1

    def _last_reached(self, row: int) -> int:
        """The last span above that failed because of it, or itself."""
        passed: list[int] = []
        while row not in self._last:
            passed.append(row)
            way = self._way[row]
            if way.above < 0 or not way.reached:
                self._last[row] = row
            else:
                row = way.above
        last = self._last[row]
        self._last.update(dict.fromkeys(passed, last))
        return last

    def _succeeding_root(self, row: int) -> int:
        """The root above the span, or the consumer that stands for it, where it and all between succeeded; else -1."""
        trace, known = self._tree.trace, self._root
        parents, kinds = trace.parent, trace.kind
        if parents[row] < 0 or kinds[row] == CONSUMER:
            return -1
        row = parents[row]
        passed: list[int] = []
        while row not in known:
            passed.append(row)
            if trace.flags[row] & FAILED:
                known[row] = -1
            elif parents[row] == ROOT or kinds[row] == CONSUMER:
                known[row] = row
            elif parents[row] < 0:
                known[row] = -1
            else:
                row = parents[row]
        root = known[row]
        known.update(dict.fromkeys(passed, root))
        return root


def _sent_again(trace: Trace, failed: Sequence[int]) -> dict[int, int]:
    """The failed rows of calls that a client sent again with success, and those below such calls, each with the call that succeeded.

    By `http.request.resend_count` of the call that succeeded. An equal name alone is not enough: of ten calls with one name, each to
    another address, a failed one is not made good by the next.
    """
    kinds, flags, ends = trace.kind, trace.flags, trace.end_row
    found: dict[int, int] = {}
    for parent in dict.fromkeys(trace.parent[row] for row in failed if kinds[row] == CLIENT):
        waiting: dict[tuple[int, int], deque[int]] = {}
        for row in trace.children(parent) if parent >= 0 else ():
            key = trace.service[row], trace.name[row]
            if kinds[row] != CLIENT:
                continue
            if flags[row] & FAILED:
                waiting.setdefault(key, deque(maxlen=_MOST_WAITING)).append(row)
            elif (
                key in waiting and _RESENT.encode() in trace.stored.raw[row] and not _failed_in(failed, row, ends[row])
            ):
                times = find(trace.span(row).attributes, _RESENT)
                before = [one for one in waiting[key] if _is_sent_again(trace, one, row)]
                for attempt in before[-times.int_value :] if times is not None and times.int_value > 0 else ():
                    found.update(dict.fromkeys(_failed_in(failed, attempt, ends[attempt]), row))
                    waiting[key].remove(attempt)
    return found


def _is_sent_again(trace: Trace, before: int, row: int) -> bool:
    asked, again = target(trace, before), target(trace, row)
    return trace.end_ns(before) <= trace.start_ns[row] and (not asked or not again or asked == again)


def _failed_in(failed: Sequence[int], first: int, stop: int) -> Sequence[int]:
    """The failed rows from one to before another."""
    return failed[bisect_left(failed, first) : bisect_left(failed, stop)]


def _above(trace: Trace, failed: Iterable[int]) -> set[int]:
    """Rows of the spans above these."""
    parents = trace.parent
    found: set[int] = set()
    for row in failed:
        above = parents[row]
        while above >= 0 and above not in found:
            found.add(above)
            above = parents[above]
    return found
