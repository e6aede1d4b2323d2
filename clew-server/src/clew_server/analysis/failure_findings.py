"""Findings about failures: the causes, what failed after a caller had given up, what was handled; and the words about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from clew_server.analysis.answers import Failure, Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.giving_up import outlived, says_timeout
from clew_server.analysis.patterns import MIN_SHARE
from clew_server.analysis.patterns.late_start import finding_about, is_late
from clew_server.analysis.patterns.timeout import limit_of_ns
from clew_server.model.attributes import text_of
from clew_server.model.failed import http_code
from clew_server.model.trace import CLIENT, FAILED, ROOT, Trace
from clew_server.model.words import count_text, counted, duration_text, shortened

_MESSAGE_LENGTH: Final = 10_000


def failure_finding(evidence: Evidence, failure: Failure) -> Finding:
    """A cause."""
    reason = reason_text(failure)
    text = f"{evidence.label(failure.row)} failed" + (f": {reason}" if reason else ", without saying why")
    notes = []
    cut = _cut_off(evidence, failure.row)
    if cut is not None:
        length_ns, parent = evidence.length_ns(failure.row), evidence.name(cut)
        notes.append(f"cut off after {duration_text(length_ns)}, as {parent} ended")
    waited = gave_up_text(evidence, failure.row)
    called = callee_text(evidence, failure.row)
    if waited or called:
        notes.append(f"it {waited or f'called {called}'}")
    top = _top(evidence.trace, failure.row)
    if evidence.trace.parent[top] == ROOT and not evidence.trace.flags[top] & FAILED:
        notes.append(f"{evidence.name(top)} itself did not fail")
    if notes:
        text += f" ({'; '.join(notes)})"
    share = evidence.share(evidence.length_ns(failure.row))
    return Finding("failure", text, share, "certain", [failure.row], {"duration_ns": evidence.length_ns(failure.row)})


def callee_text(evidence: Evidence, row: int) -> str:
    """What a call reached, or the service it was made to; empty where that is not known or is in its name already."""
    trace = evidence.trace
    if trace.kind[row] != CLIENT:
        return ""
    others = (one for one in trace.children(row) if trace.service[one] != trace.service[row])
    child = min(others, key=lambda one: (evidence.start_ns[one], evidence.label(one)), default=None)
    if child is not None:
        return evidence.label(child)
    address = text_of(trace.span(row).attributes, "server.address")
    return "" if address in evidence.name(row) else shortened(address)


def gave_up_text(evidence: Evidence, row: int) -> str:
    """After what time it gave up on what, and how long that went on; empty where it did not.

    Of a call what it called; of a span that says so what one of its own calls did, which may not be marked when it is cancelled.
    """
    trace = evidence.trace
    asked = [row] if trace.kind[row] == CLIENT else []
    if says_timeout(trace, row):
        asked += [child for child in trace.children(row) if trace.kind[child] == CLIENT]
    others = (
        child
        for caller in asked
        for child in trace.children(caller)
        if trace.service[child] != trace.service[row]
        and evidence.is_timed(child)
        and outlived(evidence.tree, child, row)
    )
    last = max(others, key=lambda one: (evidence.end_ns[one], evidence.label(one)), default=None)
    if last is None or not evidence.is_timed(row):
        return ""
    over_ns = evidence.end_ns[last] - evidence.end_ns[row]
    return (
        f"gave up after {duration_text(evidence.length_ns(row))} on {evidence.label(last)}, "
        f"which went on for another {duration_text(over_ns)}"
    )


def _top(trace: Trace, row: int) -> int:
    """The row above it that has no parent here."""
    while trace.parent[row] >= 0:
        row = trace.parent[row]
    return row


def abandoned_finding(evidence: Evidence, abandoned: Sequence[Failure]) -> Finding:
    """What failed after one caller had given up, or had ended."""
    first, caller = abandoned[0], abandoned[0].because
    over_ns = evidence.end_ns[first.row] - evidence.end_ns[caller]
    gave_up = bool(evidence.trace.flags[caller] & FAILED)
    who = f"{evidence.label(caller)} had {'given up' if gave_up else 'ended'}"
    reason = reason_text(first)
    text = evidence.label(first.row)
    if outlived(evidence.tree, first.row, caller) or not says_timeout(evidence.trace, first.row):
        if over_ns > 0:
            text += f" failed later, {duration_text(over_ns)} after {who}"
        else:
            text += f" failed, which was told only after {who}"
    else:
        text += f" was stopped after {who}"
    text += f" at {duration_text(evidence.length_ns(caller))}" if gave_up else ""
    text += f": {reason}" if reason else ""
    if len(abandoned) > 1:
        text += f" (and {counted(len(abandoned) - 1, 'other failure')})"
    rows = [*(failure.row for failure in abandoned), caller]
    numbers = {"failures": len(abandoned), "after_ns": over_ns, "caller_ns": evidence.length_ns(caller)}
    return Finding("abandoned_failure", text, 0.0, "certain", rows, numbers)


def handled_finding(evidence: Evidence, handled: Sequence[Failure]) -> Finding:
    """All handled failures together."""
    first = handled[0]
    reason = reason_text(first)
    text = f"{evidence.label(first.row)} failed" + (f": {reason}" if reason else "")
    if len(handled) > 1:
        text += f", and {counted(len(handled) - 1, 'other failure')}"
    text += f"; {_how_handled(evidence, first)}"
    rows = [failure.row for failure in handled]
    share = evidence.share(sum(map(evidence.critical_below_ns, rows)))
    return Finding("handled_failure", text, share, "certain", rows, {"failures": len(rows)})


def _how_handled(evidence: Evidence, failure: Failure) -> str:
    trace = evidence.trace
    if failure.because >= 0:
        if trace.flags[failure.because] & FAILED:
            return f"it was handled below {evidence.label(failure.because)}"
        return "it was sent again and succeeded"
    code = answered_with(trace, _top(trace, failure.row))
    return f"the request went on and was answered with {code}" if code else "the request went on and succeeded"


def answered_with(trace: Trace, root: int) -> str:
    """The code of HTTP with which a root refused a request that it did not fail at; else empty."""
    code = http_code(trace.span(root)) or 0
    return f"HTTP {code}" if code >= 400 and not trace.flags[root] & FAILED else ""


def reason_text(failure: Failure) -> str:
    """Type and message as they came; of a very long message the beginning."""
    message = failure.message
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[:_MESSAGE_LENGTH]}… ({count_text(len(message))} characters)"
    return ": ".join(filter(None, (failure.type, message)))


def late_start_of(evidence: Evidence, failure: Failure) -> Finding | None:
    """What took the time before a time-out, where the span, or one of its service above it, began late in its parent."""
    trace = evidence.trace
    if not _is_timeout(evidence, failure):
        return None
    row = failure.row
    while row != evidence.root and trace.parent[row] >= 0:
        parent = trace.parent[row]
        if is_late(evidence, row, parent):
            found = finding_about(evidence, row, parent)
            if found is not None and found.share >= MIN_SHARE:
                return found if row == failure.row else replace(found, rows=[failure.row, *found.rows])
        if trace.service[parent] != trace.service[row]:
            return None
        row = parent
    return None


def _is_timeout(evidence: Evidence, failure: Failure) -> bool:
    """By its own words, or because it or something failed above it took as long as people set time-outs to."""
    trace = evidence.trace
    if says_timeout(trace, failure.row):
        return True
    row = failure.row
    while row >= 0 and trace.flags[row] & FAILED:
        if limit_of_ns(evidence.length_ns(row)) is not None:
            return True
        row = trace.parent[row]
    return False


def _cut_off(evidence: Evidence, row: int) -> int | None:
    """The failed span above, of a usual time-out's length, that ended as this one was stopped; None where there is none."""
    trace = evidence.trace
    if not says_timeout(trace, row):
        return None
    above = trace.parent[row]
    while above >= 0 and trace.flags[above] & FAILED:
        limit_ns = limit_of_ns(evidence.length_ns(above))
        if limit_ns is not None and limit_of_ns(evidence.length_ns(row)) != limit_ns:
            apart_ns = abs(evidence.end_ns[above] - evidence.end_ns[row])
            if apart_ns * 100 <= evidence.length_ns(above):
                return above
        above = trace.parent[above]
    return None
