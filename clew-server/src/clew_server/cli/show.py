"""`clew show TRACE_ID`: one trace as a waterfall in the terminal, with the reason of each failure."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from clew.cli import Command
from clew.terminal import columns, has_colours, json_line
from clew_server.cli._client import FOUND, Client, add_server_arguments, quoted_id, run_reading
from clew_server.cli._text import clean, named, time_text
from clew_server.model.columns import (
    ADJUSTED,
    CLOCK_NOISE_NS,
    CONSUMER,
    FAILED,
    FLAGS,
    HANDLED,
    MISPLACED,
    ORIGIN,
    SAME_ID,
    depths,
)
from clew_server.model.words import count_text, counted, duration_text

_EQUAL = 5
_USUAL_WIDTH, _MIN_WIDTH, _NARROW = 100, 30, 60
_MARKS = tuple((flag.bit, flag.meaning) for flag in FLAGS if flag.bit in (SAME_ID, ADJUSTED))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace_id", metavar="TRACE_ID", help="32 hex digits")
    parser.add_argument(
        "--width", type=int, default=0, metavar="COLUMNS", help="columns to use (default: the terminal's)"
    )
    parser.add_argument(
        "--max-rows",
        type=int,
        default=500,
        metavar="N",
        help="print at most this many rows (default: 500; 0 prints all)",
    )
    parser.add_argument("--ungrouped", action="store_true", help="a row for each span, also for equal ones")
    add_server_arguments(parser)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    trace_id = quoted_id(arguments.trace_id)
    if arguments.json:
        print(json_line(client.get(f"/api/v1/traces/{trace_id}", wants="resourceSpans")))
        _say_incomplete(client)
        return FOUND
    skeleton = client.get(f"/api/v1/traces/{trace_id}/skeleton", wants="span_id")
    _say_incomplete(client)
    width = arguments.width if arguments.width > 0 else columns() or _USUAL_WIDTH
    limit = arguments.max_rows if arguments.max_rows > 0 else sys.maxsize
    for line in waterfall(
        skeleton, width=max(width, _MIN_WIDTH), max_rows=limit, colour=has_colours(), grouped=not arguments.ungrouped
    ):
        print(line)
    for line in _failures(client, trace_id, skeleton):
        print(line)
    print(f"\n{client.server}/trace/{trace_id}")
    return FOUND


def _say_incomplete(client: Client) -> None:
    if client.incomplete:
        print(f"clew show: not all of the trace is here: {client.incomplete}", file=sys.stderr)


def waterfall(skeleton: dict[str, Any], *, width: int, max_rows: int, colour: bool, grouped: bool = True) -> list[str]:
    """Lines of text: a header, then one row a span, or a group of equal ones, with its name, duration and bar."""
    start, dur, flags = skeleton["start"], skeleton["dur"], skeleton["flags"]
    rows = len(start)
    first = min(start, default=0)
    whole_ns = max((begin + length for begin, length in zip(start, dur, strict=True)), default=0) - first
    failed = sum(1 for flag in flags if flag & FAILED)
    names_width = width * 45 // 100 if width < _NARROW else min(max(30, width * 45 // 100), 70)
    bar_width = width - names_width - 12
    services = len(skeleton["services"])
    header = f"{duration_text(whole_ns)} · {counted(rows, 'span')} · {counted(services, 'service')} · {time_text(int(skeleton['t0']))} UTC"
    header += f" · ✖ {failed} failed" if failed else " · ✓ no span failed"
    lines = [*textwrap.wrap(header, width), ""]
    missing = dict(skeleton["missing"])
    depth = depths(skeleton["parent"])
    groups, hidden = equal_siblings(skeleton) if grouped else ({}, set())
    shown = [row for row in range(rows) if row not in hidden]
    for row in shown[:max_rows]:
        if row in missing:
            lines.append("  " * depth[row] + f"┈ parent {missing[row]} not received")
        label = _label(skeleton, row, depth[row])
        notes = "".join(f"  ({text})" for text in _notes(skeleton, row))
        members = groups.get(row)
        if members is None:
            took_ns, bar = dur[row], _bar(start[row] - first, dur[row], whole_ns, bar_width)
        else:
            lengths = sorted(dur[member] for member in members)
            took_ns = sum(lengths)
            bar = _comb([(start[member] - first, dur[member]) for member in members], whole_ns, bar_width)
            label = (
                _fit(label, names_width - len(count_text(len(members))) - 2).rstrip() + f" ×{count_text(len(members))}"
            )
            notes = (
                f"  (together; each {duration_text(lengths[0])} to {duration_text(lengths[-1])}, "
                f"half of them {duration_text(lengths[len(lengths) // 2])} or less)"
            )
        text = f"{_fit(label, names_width)} {duration_text(took_ns):>9} {bar}"
        if len(text) + len(notes) <= width:
            text, notes = text + notes, ""
        lines.append(f"\x1b[31m{text}\x1b[0m" if colour and flags[row] & FAILED else text)
        if notes:
            lines += textwrap.wrap(notes.strip(), width, initial_indent="    ", subsequent_indent="    ")
    if len(shown) > max_rows:
        lines += textwrap.wrap(f"… {counted(len(shown) - max_rows, 'more row')}: --max-rows 0 prints all", width)
    if groups:
        lines += textwrap.wrap(f"{counted(len(hidden), 'row')} of equal spans left out: --ungrouped prints them", width)
    return lines


def _notes(skeleton: dict[str, Any], row: int) -> Iterator[str]:
    """What is odd about the times or the id of a span."""
    flag = skeleton["flags"][row]
    if flag & MISPLACED:
        yield from _misplaced(skeleton, row)
    yield from (text for bit, text in _MARKS if flag & bit)


def _misplaced(skeleton: dict[str, Any], row: int) -> Iterator[str]:
    """By how much it ends before it begins, or lies outside its parent; a message that is handled in its turn does not."""
    length_ns = dict(skeleton["negative"]).get(row)
    if length_ns is not None:
        yield f"ends {duration_text(-length_ns)} before it begins"
    above = skeleton["parent"][row]
    if above < 0:
        return
    start_ns, above_ns = skeleton["start"][row], skeleton["start"][above]
    end_ns, above_end_ns = start_ns + skeleton["dur"][row], above_ns + skeleton["dur"][above]
    noise_ns = max(skeleton["dur"][above] // 100, CLOCK_NOISE_NS)
    if skeleton["kind"][row] == CONSUMER and start_ns >= above_ns:
        return
    if start_ns - above_end_ns > noise_ns:
        yield f"begins {duration_text(start_ns - above_end_ns)} after its parent ended"
        return
    if above_ns - start_ns > noise_ns:
        yield f"begins {duration_text(above_ns - start_ns)} before its parent"
    if end_ns - above_end_ns > noise_ns:
        yield f"ends {duration_text(end_ns - above_end_ns)} after its parent"


def equal_siblings(skeleton: dict[str, Any]) -> tuple[dict[int, list[int]], set[int]]:
    """Groups of equal spans by their first row, and the rows that then need not be shown.

    Equal are five or more with parent, service and name in common. Spans that failed, or below which something did, stay
    by themselves.
    """
    parent, flags, service, name = skeleton["parent"], skeleton["flags"], skeleton["svc"], skeleton["name"]
    rows = len(parent)
    end_row = list(range(1, rows + 1))
    failed = [bool(flag & FAILED) for flag in flags]
    for row in range(rows - 1, -1, -1):
        above = parent[row]
        if above >= 0:
            end_row[above] = max(end_row[above], end_row[row])
            failed[above] = failed[above] or failed[row]
    missing = dict(skeleton["missing"])
    members: dict[tuple[int | str, int, int], list[int]] = {}
    for row, above in enumerate(parent):
        if not failed[row] and (above >= 0 or row in missing):
            key = missing.get(row, above), service[row], name[row]
            members.setdefault(key, []).append(row)
    groups: dict[int, list[int]] = {}
    hidden: set[int] = set()
    for found in members.values():
        if len(found) >= _EQUAL and found[0] not in hidden:
            groups[found[0]] = found
            for row in found:
                hidden.update(range(row, end_row[row]))
            hidden.remove(found[0])
    return groups, hidden


def _label(skeleton: dict[str, Any], row: int, depth: int) -> str:
    flag = skeleton["flags"][row]
    mark = "✖ " if _is_cause(flag) else "⊗ " if flag & FAILED else ""
    above = skeleton["parent"][row]
    service = named(skeleton["services"][skeleton["svc"][row]], "service")
    same = above >= 0 and skeleton["svc"][above] == skeleton["svc"][row]
    return (
        "  " * min(depth, 20)
        + mark
        + ("" if same else service + " ")
        + named(skeleton["names"][skeleton["name"][row]], "name")
    )


def _is_cause(flag: int) -> bool:
    return bool(flag & ORIGIN) and not flag & HANDLED


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def _bar(offset_ns: int, duration_ns: int, whole_ns: int, width: int) -> str:
    if whole_ns <= 0:
        return "▏"
    left = min(width - 1, max(0, offset_ns * width // whole_ns))
    length = max(1, min(width - left, -(-duration_ns * width // whole_ns)))
    return " " * left + "█" * length


def _comb(spans: list[tuple[int, int]], whole_ns: int, width: int) -> str:
    """The bars of several spans in one line."""
    cells = [" "] * width
    for offset_ns, duration_ns in spans:
        for at, cell in enumerate(_bar(offset_ns, duration_ns, whole_ns, width)):
            if cell != " ":
                cells[at] = cell
    return "".join(cells).rstrip()


def _failures(client: Client, trace_id: str, skeleton: dict[str, Any]) -> list[str]:
    """Where it failed: each origin with its message, asked for by id."""
    origins = [row for row, flag in enumerate(skeleton["flags"]) if _is_cause(flag)][:10]
    if not origins:
        return []
    ids = [skeleton["span_id"][row * 16 : row * 16 + 16] for row in origins]
    details = client.post(f"/api/v1/traces/{trace_id}/spans", {"span_ids": ids}, wants="resourceSpans")
    reasons: dict[str, str] = {}
    for resource_spans in details["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                reasons[span["spanId"]] = _reason(span)
    lines = ["", "where it failed"]
    for row, span_id in zip(origins, ids, strict=True):
        service = named(skeleton["services"][skeleton["svc"][row]], "service")
        lines.append(
            f"  ✖ {service} · {named(skeleton['names'][skeleton['name'][row]], 'name')}  {clean(reasons.get(span_id, ''))}".rstrip()
        )
    return lines


def _reason(span: dict[str, Any]) -> str:
    for event in span.get("events", ()):
        found = {item["key"]: item["value"].get("stringValue", "") for item in event.get("attributes", ())}
        # Events that came as log records have names of their own.
        if event.get("name") == "exception" or ("clew.from" in found and "exception.type" in found):
            return " ".join(
                filter(None, (found.get("exception.type", ""), found.get("exception.message", "").split("\n")[0]))
            )
    message: str = span.get("status", {}).get("message", "")
    return message.split("\n")[0]


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("show", _work, arguments)


command = Command(
    name="show", help="draw one trace as a waterfall in the terminal", add_arguments=_add_arguments, run=_run
)
