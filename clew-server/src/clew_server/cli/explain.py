"""`clew explain TRACE_ID`: the verdict on a trace, in the words of the server."""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from clew.cli import Command
from clew.terminal import columns, has_colours, json_line
from clew_server.cli._client import FOUND, Client, add_server_arguments, quoted_id, run_reading
from clew_server.cli._text import clean, fitted, width_of, wrapped
from clew_server.model.words import count_text, counted, duration_text, percent_text

FAILED, SLOW = 3, 4
_CODES: Final = {"failed": FAILED, "slow": SLOW}
_WIDTH, _MIN_WIDTH = 80, 40
_MOST_SHARES, _MOST_STRETCHES, _MOST_LINES, _MOST_OPERATIONS = 6, 12, 12, 30
_LEAST_STRETCH: Final = 0.01
_MARKS: Final = {"failed": "✖", "slow": "!"}
_RED, _YELLOW, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace_id", metavar="TRACE_ID", help="32 hex digits")
    add_server_arguments(parser)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    trace_id = quoted_id(arguments.trace_id)
    answer = client.get(f"/api/v1/traces/{trace_id}/explain", wants="verdict")
    if arguments.json:
        if client.incomplete:  # one of the notes, which a program may not look at
            print(f"clew explain: not all of the trace is here: {client.incomplete}", file=sys.stderr)
        print(json_line(answer))
    else:
        skeleton = client.get(f"/api/v1/traces/{trace_id}/skeleton", wants="span_id")
        width = max(_MIN_WIDTH, min(columns() or _WIDTH, _WIDTH))
        for line in lines(answer, skeleton, width=width, colour=has_colours()):
            print(line)
        print(f"\n{client.server}/trace/{trace_id}")
    return _CODES.get(answer["verdict"], FOUND)


def lines(answer: dict[str, Any], skeleton: dict[str, Any], *, width: int, colour: bool) -> Iterator[str]:
    """The verdict, what was found, where the time went, the critical path, what was not seen."""
    word = answer["verdict"]
    tint = {"failed": _RED, "slow": _YELLOW}.get(word, "")
    for line in wrapped(clean(answer["summary"]), width, first=f"{_MARKS.get(word, '✓')} ", indent="  "):
        yield f"{_BOLD}{tint}{line}{_PLAIN}" if colour else line
    found = [finding for finding in answer["findings"] if finding["kind"] != "missing"]
    if found:
        yield from _headline("what was found", colour)
        for finding in found:
            yield from _finding(finding, width, colour)
    yield from _headline(f"where the time went, {duration_text(int(answer['root']['duration_ns']))}", colour)
    yield from _shares(answer["shares"], width)
    yield from _headline("critical path", colour)
    if answer["path_uncertain"]:
        yield from wrapped("One of several that are possible: calls overlapped.", width, first="  ", indent="  ")
    yield from _path(answer["critical_path"], skeleton, width)
    folded = answer.get("left_out", {}).get("sections", 0)
    if folded:
        text = f"{counted(folded, 'short section')} of this very long path are told by the longest near them."
        yield from wrapped(text, width, first=" " * 22, indent=" " * 22)
    unseen = [finding["text"] for finding in answer["findings"] if finding["kind"] == "missing"]
    unseen += answer["completeness"]["notes"]
    if unseen:
        yield from _headline("what was not seen", colour)
        for note in unseen:
            yield from wrapped(clean(note), width, first="  ", indent="  ")


def _headline(text: str, colour: bool) -> Iterator[str]:
    yield ""
    yield f"{_BOLD}{text}{_PLAIN}" if colour else text


def _finding(finding: dict[str, Any], width: int, colour: bool) -> Iterator[str]:
    failed = finding["kind"] == "failure"
    if failed:
        first = "      ✖ "
    elif finding["share"]:
        first = f"{percent_text(finding['share']):>7} "
    else:
        first = "        "
    text = finding["text"] + ("" if finding["certainty"] == "certain" else f" ({finding['certainty']})")
    indent = " " * 8
    paragraphs = [part for part in text.splitlines() if part.strip()]
    made = [
        line
        for number, part in enumerate(paragraphs)
        for line in wrapped(clean(part.strip()), width, first=indent if number else first, indent=indent)
    ]
    left = len(made) - _MOST_LINES
    for line in made[:_MOST_LINES]:
        yield f"{_RED}{line}{_PLAIN}" if colour and failed else line
    if left > 0:
        yield from wrapped(f"… {counted(left, 'more line')}: --json prints all", width, first=indent, indent=indent)


def _shares(shares: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    for share in shares[:_MOST_SHARES]:
        usual = "" if share["usual_ns"] is None else f"  usually {duration_text(int(share['usual_ns']))}"
        label = clean(f"{share['owner']} · {share['operation']}" if share["owner"] else share["operation"])
        head = f"{percent_text(share['share']):>7} {duration_text(int(share['critical_ns'])):>9}  "
        room = width - len(head) - len(usual)
        yield head + (label if width_of(label) <= room else fitted(label, room)) + usual
    rest = shares[_MOST_SHARES:]
    if rest:
        rest_ns = sum(int(share["critical_ns"]) for share in rest)
        part = sum(share["share"] for share in rest)
        yield f"{percent_text(part):>7} {duration_text(rest_ns):>9}  {count_text(len(rest))} more"


class _Stretch(NamedTuple):
    """Sections one after another of one operation."""

    start_ns: int
    length_ns: int
    label: str
    spans: int


def _path(sections: Sequence[dict[str, str]], skeleton: dict[str, Any], width: int) -> Iterator[str]:
    found = stretches(sections, skeleton)
    longest = sorted(found, key=lambda stretch: -stretch.length_ns)[:_MOST_STRETCHES]
    for stretch in sorted(longest):
        head = f"{'+' + duration_text(stretch.start_ns):>10} {duration_text(stretch.length_ns):>9}  "
        calls = f" ×{count_text(stretch.spans)}" if stretch.spans > 1 else ""
        room = width - len(head) - len(calls)
        label = clean(stretch.label)
        yield head + (label if width_of(label) <= room else fitted(label, room)) + calls
    if len(found) > len(longest):
        left = counted(len(found) - len(longest), "shorter stretch", "shorter stretches")
        yield from wrapped(f"{left} left out", width, first=" " * 22, indent=" " * 22)


def stretches(sections: Sequence[dict[str, str]], skeleton: dict[str, Any]) -> list[_Stretch]:
    """The path in time order, the sections of one operation together; pauses of less than 1 % do not part them.

    Operations with most time come first: what is shorter between two of their sections goes unnamed.
    """
    if not sections:
        return []
    labels = _labels(skeleton)
    begin_ns = int(sections[0]["start_unix_nano"])
    least_ns = (int(sections[-1]["end_unix_nano"]) - begin_ns) * _LEAST_STRETCH
    of_label: dict[str, list[tuple[int, int, str]]] = {}
    for section in sections:
        span_id = section["span_id"]
        times = int(section["start_unix_nano"]) - begin_ns, int(section["end_unix_nano"]) - begin_ns
        of_label.setdefault(labels.get(span_id, span_id), []).append((*times, span_id))
    totals = {label: sum(end - start for start, end, _ in parts) for label, parts in of_label.items()}
    taken: list[tuple[int, int]] = []
    found: list[_Stretch] = []
    for label in sorted(totals, key=lambda label: -totals[label])[:_MOST_OPERATIONS]:
        run: list[tuple[int, int, str]] = []
        runs = [run]
        before = -1
        for part in of_label[label]:
            at = bisect_right(taken, (part[0], part[1]))
            if (at > 0 and taken[at - 1][1] > part[0]) or (at < len(taken) and taken[at][0] < part[1]):
                continue
            if run and (at != before or part[0] - run[-1][1] >= least_ns):
                run = []
                runs.append(run)
            run.append(part)
            before = at
        spans: list[tuple[int, int]] = []
        for parts in runs:
            length_ns = sum(end - start for start, end, _ in parts)
            if parts and length_ns >= least_ns:
                found.append(_Stretch(parts[0][0], length_ns, label, len({span_id for _, _, span_id in parts})))
                spans.append((parts[0][0], parts[-1][1]))
        taken = sorted(taken + spans)
    return sorted(found)


def _labels(skeleton: dict[str, Any]) -> dict[str, str]:
    """`service · operation` of each span id."""
    ids = skeleton["span_id"]
    labels: dict[str, str] = {}
    for row, (service, name) in enumerate(zip(skeleton["svc"], skeleton["name"], strict=True)):
        text = f"{skeleton['services'][service]} · {skeleton['names'][name]}"
        labels.setdefault(ids[row * 16 : row * 16 + 16], text if skeleton["services"][service] else text[3:])
    return labels


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("explain", _work, arguments)


command = Command(
    name="explain",
    help="say where one trace failed and what made it slow (exit 3: failed, 4: slow)",
    add_arguments=_add_arguments,
    run=_run,
)
