"""`clew search`: traces that match, newest first or in another order."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from clew.cli import Command
from clew.terminal import columns, json_line, typed
from clew_server.cli._client import FOUND, NOT_FOUND, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._text import clean, time_text
from clew_server.model.search import SORTS
from clew_server.model.words import duration_text

_PAGE = 1000
# A shell takes the quotes off name="GET /cart"; so a value with spaces that does not look like several conditions gets them back.
_UNQUOTED = re.compile(r"""([^\s=<>"]+=)([^=<>"]*\s[^=<>"]*)""")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "q", nargs="*", metavar="CONDITION", help='like: service=cart status=error dur>500ms http.route="/pay"'
    )
    parser.add_argument(
        "--from", dest="from_", metavar="TIME", help="now-1h, an ISO time with zone, or ns since the epoch"
    )
    parser.add_argument("--to", metavar="TIME", help="likewise, exclusive")
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="how many traces to print (default: 20; 0 prints all)"
    )
    parser.add_argument(
        "--sort",
        choices=SORTS,
        default="-start",
        help="newest (-start, the default), oldest (start), longest (-dur), shortest (dur), most spans first (-spans)",
    )
    add_server_arguments(parser)


def query_text(words: list[str]) -> str:
    """The conditions of a command line as one query, with the quotes that the shell took."""
    return " ".join(_UNQUOTED.sub(r'\1"\2"', word) if _UNQUOTED.fullmatch(word) else word for word in words)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    try:
        q, from_, to = (typed(text or "") for text in (query_text(arguments.q), arguments.from_, arguments.to))
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    width = columns()
    left = arguments.limit if arguments.limit > 0 else sys.maxsize
    cursor: str | None = None
    printed = 0
    while left > 0:
        given = [
            ("q", q),
            ("from", from_),
            ("to", to),
            ("limit", str(min(left, _PAGE))),
            ("cursor", cursor),
            ("sort", arguments.sort),
        ]
        page = client.get("/api/v1/traces", [(name, value) for name, value in given if value], wants="traces")
        for trace in page["traces"]:
            print(json_line(trace) if arguments.json else _line(trace, width))
        printed += len(page["traces"])
        left -= len(page["traces"])
        if not page["complete"]:
            print(f"clew search: not everything is here: {page['reason']}", file=sys.stderr)
        cursor = page["next"]
        if cursor is None:
            break
    if printed and cursor is not None and not arguments.json:
        print("there are more: --limit 0 prints all", file=sys.stderr)
    if not printed:
        print("clew search: no trace matches", file=sys.stderr)
    return FOUND if printed else NOT_FOUND


def _line(trace: dict[str, Any], width: int | None) -> str:
    """A row for people, cut at the terminal's edge; the trace id is always whole."""
    failed = f"✖ {trace['errors']} failed" if trace["errors"] else "✓"
    root = f"{clean(trace['root_service'])} {clean(trace['root_name'])}" + (
        "" if trace["has_root"] else " (root not received)"
    )
    spans = f"{trace['spans']} span" + ("s" if trace["spans"] != 1 else "")
    line = f"{trace['trace_id']}  {time_text(int(trace['start_unix_nano']))}  {duration_text(int(trace['duration_ns'])):>9}  {failed:<11} {spans:>10}  {root}"
    return line if width is None or len(line) <= width else line[: max(width, 33) - 1] + "…"


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("search", _work, arguments)


command = Command(name="search", help="list traces that match conditions", add_arguments=_add_arguments, run=_run)
