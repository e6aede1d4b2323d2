"""The answer about one trace: did it fail and where, was it slow and why, and what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from clew_server.analysis import patterns
from clew_server.analysis.answers import Failure, Finding, Share, Verdict, Word
from clew_server.analysis.completeness import completeness, missing
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.failure import causes, failures
from clew_server.analysis.patterns.late_start import finding_about, is_late
from clew_server.analysis.patterns.timeout import limit_of_ns, says_timeout
from clew_server.analysis.slowness import Speed, shares, speed
from clew_server.analysis.tree import Tree
from clew_server.model.attributes import text_of
from clew_server.model.trace import CLIENT, FAILED, ROOT, Trace
from clew_server.model.usual import Usual
from clew_server.model.words import count_text, counted, duration_text, name_text, percent_text, shortened, times_text

_MOST_FAILURES: Final = 5
_MESSAGE_LENGTH: Final = 10_000
_IN_SUMMARY: Final = 200
# Findings that explain the time of a span on the path.
_EXPLAINS: Final = frozenset(("repeated_calls", "retries", "gap", "queue_wait", "slow_call", "fan_out_straggler"))


def verdict(tree: Tree, usual: Usual, now_unix_nano: int) -> Verdict:
    """The verdict on a trace that has spans; `now_unix_nano` tells whether more of them may follow.

    Failures are those of the whole trace. Times are those of its first root.
    """
    evidence = Evidence(tree, usual)
    failed = failures(tree)
    origin = causes(failed)
    handled = [failure for failure in failed if failure.role == "handled"]
    how_fast = speed(evidence)
    word: Word = "failed" if origin else how_fast
    divided = shares(evidence)
    findings = _ordered(evidence, failed)
    return Verdict(
        word=word,
        summary=_summary(evidence, failed, len(origin), len(handled), how_fast, divided, findings),
        origin=origin,
        failures=failed,
        critical_path=evidence.path,
        path_is_uncertain=evidence.path_is_uncertain,
        shares=divided,
        findings=findings,
        completeness=completeness(tree, usual, now_unix_nano),
        clock_shifts=tree.shifts,
    )


def _ordered(evidence: Evidence, failed: Sequence[Failure]) -> list[Finding]:
    """Failures with what led to them, the cause first; then what took time, largest share first; then handled failures."""
    found = patterns.find(evidence)
    first: list[Finding] = []
    origins = [failure for failure in failed if failure.role == "origin"]
    for failure in origins[:_MOST_FAILURES]:
        first.append(_failure(evidence, failure))
        victim = next((one for one in found if one.kind == "late_start" and one.rows[0] == failure.row), None)
        if victim is not None:
            found.remove(victim)
        else:
            victim = _late(evidence, failure)
        if victim is not None:
            first.append(victim)
    handled = [failure for failure in failed if failure.role == "handled"]
    last = [_handled(evidence, handled)] if handled else []
    return [*first, *found, *last, *missing(evidence)]


def _failure(evidence: Evidence, failure: Failure) -> Finding:
    reason = _reason(failure)
    text = f"{evidence.label(failure.row)} failed" + (f": {reason}" if reason else ", without saying why")
    notes = []
    cut = _cut_off(evidence, failure.row)
    if cut is not None:
        length_ns, parent = evidence.length_ns(failure.row), evidence.name(cut)
        notes.append(f"cut off after {duration_text(length_ns)}, as {parent} ended")
    called = _called(evidence, failure.row)
    if called:
        notes.append(f"it called {called}")
    top = _top(evidence.trace, failure.row)
    if evidence.trace.parent[top] == ROOT and not evidence.trace.flags[top] & FAILED:
        notes.append(f"{evidence.name(top)} itself did not fail")
    if notes:
        text += f" ({'; '.join(notes)})"
    share = evidence.share(evidence.length_ns(failure.row))
    return Finding("failure", text, share, "certain", [failure.row], {"duration_ns": evidence.length_ns(failure.row)})


def _called(evidence: Evidence, row: int) -> str:
    """What a call reached, or whom it was made to; empty where that is not known or stands in its name already."""
    trace = evidence.trace
    if trace.kind[row] != CLIENT:
        return ""
    child = next((one for one in trace.children(row) if trace.service[one] != trace.service[row]), None)
    if child is not None:
        return evidence.label(child)
    address = text_of(trace.span(row).attributes, "server.address")
    return "" if address in evidence.name(row) else shortened(address)


def _top(trace: Trace, row: int) -> int:
    """The row above it that has no parent here."""
    while trace.parent[row] >= 0:
        row = trace.parent[row]
    return row


def _handled(evidence: Evidence, handled: Sequence[Failure]) -> Finding:
    first = handled[0]
    reason = _reason(first)
    text = f"{evidence.label(first.row)} failed" + (f": {reason}" if reason else "")
    if len(handled) > 1:
        text += f", and {counted(len(handled) - 1, 'other failure')}"
    text += (
        "; it was sent again and succeeded"
        if _failed_above(evidence.trace, first.row)
        else "; the request went on and succeeded"
    )
    rows = [failure.row for failure in handled]
    share = evidence.share(sum(map(evidence.critical_below_ns, rows)))
    return Finding("handled_failure", text, share, "certain", rows, {"failures": len(rows)})


def _failed_above(trace: Trace, row: int) -> bool:
    """Whether any span above it failed."""
    while (row := trace.parent[row]) >= 0:
        if trace.flags[row] & FAILED:
            return True
    return False


def _reason(failure: Failure) -> str:
    """Type and message as they came; of a very long message the beginning."""
    message = failure.message
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[:_MESSAGE_LENGTH]}… ({count_text(len(message))} characters)"
    return ": ".join(filter(None, (failure.type, message)))


def _late(evidence: Evidence, failure: Failure) -> Finding | None:
    """What took the time before a time-out, where the span, or one of its service above it, began late in its parent."""
    trace = evidence.trace
    if not _is_timeout(evidence, failure):
        return None
    row = failure.row
    while row != evidence.root and trace.parent[row] >= 0:
        parent = trace.parent[row]
        if is_late(evidence, row, parent):
            found = finding_about(evidence, row, parent)
            if found is not None and found.share >= patterns.MIN_SHARE:
                return found if row == failure.row else replace(found, rows=[failure.row, *found.rows])
        if trace.service[parent] != trace.service[row]:
            return None
        row = parent
    return None


def _is_timeout(evidence: Evidence, failure: Failure) -> bool:
    """By its own words, or because it or something failed above it took as long as people set time-outs to."""
    trace = evidence.trace
    if says_timeout(evidence, failure.row):
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
    if not says_timeout(evidence, row):
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


def _summary(
    evidence: Evidence,
    failed: Sequence[Failure],
    origins: int,
    handled: int,
    how_fast: Speed,
    divided: Sequence[Share],
    findings: Sequence[Finding],
) -> str:
    sentences = [_failed_sentence(evidence, failed, origins)] if origins else []
    sentences += _time_sentences(evidence, how_fast, divided, findings, failed=bool(origins))
    if handled:
        sentences.append(f"{counted(handled, 'failure')} on the way {'was' if handled == 1 else 'were'} handled.")
    return " ".join(sentences)


def _failed_sentence(evidence: Evidence, failed: Sequence[Failure], origins: int) -> str:
    cause = failed[0]
    reason = shortened(" ".join(_reason(cause).split()), _IN_SUMMARY)
    sentence = f"Failed in {evidence.label(cause.row)}" + (f": {reason}" if reason else "")
    if not sentence.endswith((".", "!", "?", "…")):
        sentence += "."
    return sentence if origins == 1 else f"{sentence} {counted(origins - 1, 'more failure')} began elsewhere."


def _time_sentences(
    evidence: Evidence, how_fast: Speed, divided: Sequence[Share], findings: Sequence[Finding], *, failed: bool
) -> Iterator[str]:
    name = evidence.name(evidence.root)
    took = duration_text(evidence.root_ns)
    usual = evidence.usual.root
    if how_fast == "unknown" or usual is None or usual.p50_ns is None or usual.p95_ns is None:
        if failed:
            yield f"{name} took {took}."
        else:
            yield f"No span failed. {name} took {took}; too few samples to say whether that is slow."
        return
    if how_fast == "usual":
        yield f"{'' if failed else 'No span failed. '}{name} took {took}, which is usual."
        return
    ratio = (
        f"{times_text(evidence.root_ns / usual.p50_ns)} the usual {duration_text(usual.p50_ns)}"
        if usual.p50_ns
        else "more than usual"
    )
    yield f"{'It was slow too' if failed else 'Slow'}: {name} took {took}, {ratio}."
    if divided:
        largest = divided[0]
        where = " · ".join(filter(None, (shortened(largest.owner), name_text(largest.operation))))
        sentence = f"{percent_text(largest.share)} of it went to {where}"
        about = next((one for one in findings if one.kind in _EXPLAINS and set(one.rows) & set(largest.rows)), None)
        if about is not None:
            # The operation is named already.
            text = about.text.partition(": ")[0] if about.kind == "repeated_calls" else about.text
            sentence += f": {text}"
        yield sentence + "."
