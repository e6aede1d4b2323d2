"""`clew show TRACE_ID`: one trace as a waterfall in the terminal, with the reason of each failure."""

from __future__ import annotations

import argparse
import sys
import textwrap
import urllib.parse
from typing import Any

from clew.cli import Command
from clew.terminal import columns, has_colours, json_line, typed
from clew_server.cli._client import FOUND, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._text import clean, time_text
from clew_server.model.columns import ADJUSTED, FAILED, FLAGS, MISPLACED, ORIGIN, SAME_ID, depths
from clew_server.model.words import duration_text

_USUAL_WIDTH, _MIN_WIDTH, _NARROW = 100, 30, 60
_MARKS = tuple((flag.bit, flag.meaning) for flag in FLAGS if flag.bit in (MISPLACED, SAME_ID, ADJUSTED))


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
        help="print at most this many spans (default: 500; 0 prints all)",
    )
    add_server_arguments(parser)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    try:
        trace_id = urllib.parse.quote(typed(arguments.trace_id.strip()), safe="")
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    if arguments.json:
        print(json_line(client.get(f"/api/v1/traces/{trace_id}", wants="resourceSpans")))
        _say_incomplete(client)
        return FOUND
    skeleton = client.get(f"/api/v1/traces/{trace_id}/skeleton", wants="span_id")
    _say_incomplete(client)
    width = arguments.width if arguments.width > 0 else columns() or _USUAL_WIDTH
    limit = arguments.max_rows if arguments.max_rows > 0 else sys.maxsize
    for line in waterfall(skeleton, width=max(width, _MIN_WIDTH), max_rows=limit, colour=has_colours()):
        print(line)
    for line in _failures(client, trace_id, skeleton):
        print(line)
    print(f"\n{client.server}/trace/{trace_id}")
    return FOUND


def _say_incomplete(client: Client) -> None:
    if client.incomplete:
        print(f"clew show: not all of the trace is here: {client.incomplete}", file=sys.stderr)


def waterfall(skeleton: dict[str, Any], *, width: int, max_rows: int, colour: bool) -> list[str]:
    """Lines of text: a header, then one row a span with its name, duration and bar."""
    start, dur, flags, parent = skeleton["start"], skeleton["dur"], skeleton["flags"], skeleton["parent"]
    rows = len(start)
    first = min(start, default=0)
    whole_ns = max((begin + length for begin, length in zip(start, dur, strict=True)), default=0) - first
    failed = sum(1 for flag in flags if flag & FAILED)
    names_width = width * 45 // 100 if width < _NARROW else min(max(30, width * 45 // 100), 70)
    bar_width = width - names_width - 12
    services = len(skeleton["services"])
    header = f"{duration_text(whole_ns)} · {rows} span{'s' if rows != 1 else ''} · {services} service{'s' if services != 1 else ''} · {time_text(int(skeleton['t0']))} UTC"
    header += f" · ✖ {failed} failed" if failed else " · ✓ no span failed"
    lines = [*textwrap.wrap(header, width), ""]
    missing = dict(skeleton["missing"])
    depth = depths(parent)
    for row in range(min(rows, max_rows)):
        if row in missing:
            lines.append("  " * depth[row] + f"┈ parent {missing[row]} not received")
        label = _label(skeleton, row, depth[row])
        bar = _bar(start[row] - first, dur[row], whole_ns, bar_width)
        notes = "".join(f"  ({text})" for bit, text in _MARKS if flags[row] & bit)
        text = f"{_fit(label, names_width)} {duration_text(dur[row]):>9} {bar}"
        if len(text) + len(notes) <= width:
            text, notes = text + notes, ""
        lines.append(f"\x1b[31m{text}\x1b[0m" if colour and flags[row] & FAILED else text)
        if notes:
            lines += textwrap.wrap(notes.strip(), width, initial_indent="    ", subsequent_indent="    ")
    if rows > max_rows:
        lines.append(f"… {rows - max_rows} more spans: --max-rows 0 prints all")
    return lines


def _label(skeleton: dict[str, Any], row: int, depth: int) -> str:
    flag = skeleton["flags"][row]
    mark = "✖ " if flag & ORIGIN else "⊗ " if flag & FAILED else ""
    above = skeleton["parent"][row]
    service = clean(skeleton["services"][skeleton["svc"][row]])
    same = above >= 0 and skeleton["svc"][above] == skeleton["svc"][row]
    return (
        "  " * min(depth, 20) + mark + ("" if same else service + " ") + clean(skeleton["names"][skeleton["name"][row]])
    )


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def _bar(offset_ns: int, duration_ns: int, whole_ns: int, width: int) -> str:
    if whole_ns <= 0:
        return "▏"
    left = min(width - 1, max(0, offset_ns * width // whole_ns))
    length = max(1, min(width - left, -(-duration_ns * width // whole_ns)))
    return " " * left + "█" * length


def _failures(client: Client, trace_id: str, skeleton: dict[str, Any]) -> list[str]:
    """Where it failed: each origin with its message, asked for by id."""
    origins = [row for row, flag in enumerate(skeleton["flags"]) if flag & ORIGIN][:10]
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
        service = clean(skeleton["services"][skeleton["svc"][row]])
        lines.append(
            f"  ✖ {service} · {clean(skeleton['names'][skeleton['name'][row]])}  {clean(reasons.get(span_id, ''))}".rstrip()
        )
    return lines


def _reason(span: dict[str, Any]) -> str:
    for event in span.get("events", ()):
        if event.get("name") == "exception":
            found = {item["key"]: item["value"].get("stringValue", "") for item in event.get("attributes", ())}
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
