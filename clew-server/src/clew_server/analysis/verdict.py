"""The answer about one trace: did it fail and where, was it slow and why, and what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from clew_server.analysis import patterns
from clew_server.analysis.answers import Failure, Finding, Share, Verdict, Word
from clew_server.analysis.completeness import completeness, missing
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.failure import causes, failures
from clew_server.analysis.failure_findings import (
    abandoned_finding,
    answered_with,
    failure_finding,
    gave_up_text,
    handled_finding,
    late_start_of,
    reason_text,
)
from clew_server.analysis.slowness import Speed, shares, speed
from clew_server.analysis.starving import starving
from clew_server.analysis.tree import Tree
from clew_server.model.trace import CLIENT
from clew_server.model.usual import Usual
from clew_server.model.words import counted, duration_text, name_text, percent_text, shortened, times_text

_MOST_FAILURES: Final = 5
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
    how_fast = speed(evidence)
    word: Word = "failed" if origin else how_fast
    callers = starving(evidence)
    divided = shares(evidence, callers)
    findings = _ordered(evidence, failed, now_unix_nano)
    return Verdict(
        word=word,
        summary=_summary(evidence, failed, how_fast, divided, findings, callers),
        origin=origin,
        failures=failed,
        critical_path=evidence.path,
        path_is_uncertain=evidence.path_is_uncertain,
        shares=divided,
        findings=findings,
        completeness=completeness(tree, usual, now_unix_nano),
        clock_shifts=tree.shifts,
    )


def _ordered(evidence: Evidence, failed: Sequence[Failure], now_unix_nano: int) -> list[Finding]:
    """Failures with what led to them and what failed after them, the cause first; then what took time, largest share first; then
    other failures that no caller saw."""
    found = patterns.find(evidence)
    first: list[Finding] = []
    origins = [failure for failure in failed if failure.role == "origin"]
    abandoned: dict[int, list[Failure]] = {}
    for failure in failed:
        if failure.role == "abandoned":
            abandoned.setdefault(failure.because, []).append(failure)
    for failure in origins[:_MOST_FAILURES]:
        first.append(failure_finding(evidence, failure))
        later = abandoned.pop(failure.row, None)
        if later is not None:
            first.append(abandoned_finding(evidence, later))
        victim = next((one for one in found if one.kind == "late_start" and one.rows[0] == failure.row), None)
        if victim is not None:
            found.remove(victim)
        else:
            victim = late_start_of(evidence, failure)
        if victim is not None:
            first.append(victim)
    last = [abandoned_finding(evidence, some) for some in abandoned.values()]
    handled = [failure for failure in failed if failure.role == "handled"]
    if handled:
        last.append(handled_finding(evidence, handled))
    return [*first, *found, *last, *missing(evidence, now_unix_nano)]


def _summary(
    evidence: Evidence,
    failed: Sequence[Failure],
    how_fast: Speed,
    divided: Sequence[Share],
    findings: Sequence[Finding],
    callers: Mapping[int, tuple[int, int]],
) -> str:
    origins = sum(failure.role == "origin" for failure in failed)
    handled = [failure for failure in failed if failure.role == "handled"]
    abandoned = [failure for failure in failed if failure.role == "abandoned"]
    first = _failed_sentence(evidence, failed, origins) if origins else _nothing_failed(evidence, handled, abandoned)
    sentences = [first] if first else []
    sentences += _time_sentences(
        evidence, how_fast, divided, findings, callers, quiet=bool(first), failed=bool(origins)
    )
    if origins and handled:
        sentences.append(f"{counted(len(handled), 'failure')} on the way {_were(handled)} handled.")
    if abandoned and (origins or handled):
        sentences.append(f"{counted(len(abandoned), 'failure')} came too late for the caller.")
    return " ".join(sentences)


def _nothing_failed(evidence: Evidence, handled: Sequence[Failure], abandoned: Sequence[Failure]) -> str:
    """Of a trace that has failures, but answered its caller well; empty where it has none at all."""
    some = handled or abandoned
    if not some:
        return ""
    code = answered_with(evidence.trace, evidence.root)
    start = f"The caller was answered with {code}" if code else "Nothing failed for the caller"
    count = "one failure" if len(some) == 1 else counted(len(some), "failure")
    what = f"{_were(some)} handled" if handled else "came after it had its answer"
    reason = _short(some[0])
    label = evidence.label(some[0].row) + (f": {reason}" if reason else "")
    return _ended(f"{start}; {count} {what}{', the first' if len(some) > 1 else ''}: {label}")


def _were(some: Sequence[Failure]) -> str:
    return "was" if len(some) == 1 else "were"


def _failed_sentence(evidence: Evidence, failed: Sequence[Failure], origins: int) -> str:
    cause = failed[0]
    reason = _short(cause)
    sentence = _ended(f"Failed in {evidence.label(cause.row)}" + (f": {reason}" if reason else ""))
    waited = gave_up_text(evidence, cause.row)
    if waited:
        sentence += f" It {waited}."
    return sentence if origins == 1 else f"{sentence} {counted(origins - 1, 'more failure')} began elsewhere."


def _short(failure: Failure) -> str:
    return shortened(" ".join(reason_text(failure).split()), _IN_SUMMARY)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def _time_sentences(
    evidence: Evidence,
    how_fast: Speed,
    divided: Sequence[Share],
    findings: Sequence[Finding],
    callers: Mapping[int, tuple[int, int]],
    *,
    quiet: bool,
    failed: bool,
) -> Iterator[str]:
    """`quiet`: what failed is said already. `failed`: the trace failed."""
    name = evidence.name(evidence.root)
    took = duration_text(evidence.root_ns)
    usual = evidence.usual.root
    nothing = "" if quiet else "No span failed. "
    if how_fast == "unknown" or usual is None or usual.p50_ns is None or usual.p95_ns is None:
        if failed:
            yield f"{name} took {took}."
        else:
            yield f"{nothing}{name} took {took}; too few samples to say whether that is slow."
        return
    if how_fast == "usual":
        yield f"{nothing}{name} took {took}, which is usual."
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
        service = evidence.trace.service[largest.rows[0]]
        if service in callers and evidence.trace.kind[largest.rows[0]] == CLIENT:
            slow, called = callers[service]
            sentence += f" ({slow} of the {called} services it calls were slow at once)"
        yield sentence + "."
