"""`clew search`: traces that match, newest first or in another order."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, Final

from clew.cli import Command
from clew.terminal import columns, json_line, typed
from clew_server.cli._client import FOUND, NOT_FOUND, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._completing import complete_key, complete_query, completed_by
from clew_server.cli._conditions import query_text
from clew_server.cli._pages import pages
from clew_server.cli._rows import CsvRows, cut, described, failed_unmarked, line_of, values_text
from clew_server.cli._text import clean
from clew_server.model.search import SORTS

_PAGE = 1000
_KEY: Final = re.compile(r'\s*(?:("(?:[^"\\]|\\.|"")*")|([^,]*?))\s*(?:,|$)')


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed_by(
        parser.add_argument(
            "q", nargs="*", metavar="CONDITION", help='like: service=cart status=error dur>500ms http.route="/pay"'
        ),
        complete_query,
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
    completed_by(
        parser.add_argument(
            "--columns",
            metavar="KEY,KEY",
            type=_keys,
            default=[],
            help="print below each trace what its spans have for these attributes",
        ),
        complete_key,
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--csv",
        action="store_true",
        help="print CSV for a spreadsheet: also where each trace failed and where its time went",
    )


def _keys(text: str) -> list[str]:
    """The keys of a list: in quotes as a query writes them, or as a line of CSV does; one with a comma stands in quotes."""
    if len(text.splitlines()) > 1:
        raise argparse.ArgumentTypeError("not keys with commas between: there are several lines")
    found = (_unquoted(quoted) if quoted else bare for quoted, bare in _KEY.findall(text))
    return [key for key in (one.strip() for one in found) if key]


def _unquoted(quoted: str) -> str:
    within = quoted[1:-1]
    escaped = within.replace('""', r"\"")
    try:
        return str(json.loads(f'"{escaped}"'))
    except ValueError:  # a backslash that escapes nothing
        return within.replace('""', '"')


def _work(client: Client, arguments: argparse.Namespace) -> int:
    try:
        q, from_, to = (typed(text or "") for text in (query_text(arguments.q), arguments.from_, arguments.to))
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    if arguments.csv and arguments.json:
        raise CommandFailed(USAGE, "--csv and --json: choose one of them")
    rows = CsvRows(sys.stdout, arguments.columns) if arguments.csv else None
    width = columns()
    given = [("q", q), ("from", from_), ("to", to), ("sort", arguments.sort)]
    printed, are_more = 0, False
    for page in pages(client, given, limit=arguments.limit, of=_PAGE, name="search"):
        traces, are_more = page
        for_people = not arguments.json and rows is None
        unmarked = (
            failed_unmarked(client, q, traces, by_start=arguments.sort.endswith("start")) if for_people else set()
        )
        for trace in described(client, traces, arguments.columns) if rows or arguments.columns else traces:
            if rows is not None:
                rows.write(trace)
            else:
                failed = None if trace["trace_id"] in unmarked else trace["errors"]
                print(json_line(trace) if arguments.json else line_of(trace, failed, _root_missing(trace), width))
                for key in () if arguments.json else arguments.columns:
                    print(cut(f"    {clean(key)}: {clean(values_text(trace['values'][key], ', ') or '-')}", width))
        printed += len(traces)
    if printed and are_more and not arguments.json and rows is None:
        print("there are more: --limit 0 prints all", file=sys.stderr)
    if not printed:
        print(f"clew search: no trace matches{_excluding(client, q, from_, to)}", file=sys.stderr)
    return FOUND if printed else NOT_FOUND


def _excluding(client: Client, q: str, from_: str, to: str) -> str:
    """Which condition leaves no trace, and how what there is is spelled; nothing where that cannot be said."""
    if not q:
        return ""
    given = [(name, value) for name, value in (("q", q), ("from", from_), ("to", to)) if value]
    try:
        found = client.get("/api/v1/traces/summary", given, wants="excluded")["excluded"]
    except CommandFailed:  # what was asked for has been answered
        return ""
    if found is None:
        return ""
    traces = "1 trace does" if found["matched_without"] == 1 else f"{found['matched_without']:,} traces do"
    nearest = found["nearest"]
    known = "" if nearest is None else f"; there is the {found['nearest_is']} {clean(nearest)}"
    return f"; without {clean(found['condition'])} {traces}{known}"


def _root_missing(trace: dict[str, Any]) -> str:
    return "" if trace["has_root"] else " (root not received)"


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("search", _work, arguments)


command = Command(name="search", help="list traces that match conditions", add_arguments=_add_arguments, run=_run)
