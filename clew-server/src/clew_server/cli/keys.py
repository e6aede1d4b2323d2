"""`clew keys`: what a query may ask for: keys, and the values of one."""

from __future__ import annotations

import argparse
import sys

from clew.cli import Command
from clew.terminal import json_line, typed
from clew_server.cli._client import FOUND, NOT_FOUND, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._completing import complete_key, complete_query, completed_by
from clew_server.cli._conditions import query_text
from clew_server.cli._table import print_table
from clew_server.cli._text import clean
from clew_server.model.quoting import in_quotes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed_by(
        parser.add_argument(
            "q", nargs="*", metavar="CONDITION", help="only spans for which this holds, as in clew search"
        ),
        complete_query,
    )
    completed_by(parser.add_argument("--of", metavar="KEY", help="print the values of this key"), complete_key)
    parser.add_argument("--prefix", metavar="TEXT", help="only what holds this, in any case")
    parser.add_argument(
        "--from", dest="from_", metavar="TIME", help="now-1h, an ISO time with zone, or ns since the epoch"
    )
    parser.add_argument("--to", metavar="TIME", help="likewise, exclusive")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="how many to print, up to 1000 (default: 100)"
    )
    add_server_arguments(parser)


def work(client: Client, arguments: argparse.Namespace) -> int:
    """Print a row a key, or a value."""
    given = [
        ("q", query_text(arguments.q)),
        ("key", arguments.of),
        ("prefix", arguments.prefix),
        ("from", arguments.from_),
        ("to", arguments.to),
        ("limit", str(arguments.limit)),
    ]
    try:
        parameters = [(name, typed(text)) for name, text in given if text]
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    what = "values" if arguments.of else "keys"
    found = client.get(f"/api/v1/{what}", parameters, wants=what)
    if not found["complete"]:
        print(f"clew keys: not everything is here: {found['reason']}", file=sys.stderr)
    if not found[what]:
        print(f"clew keys: no {what[:-1]} matches", file=sys.stderr)
        return NOT_FOUND
    if arguments.json:
        for one in found[what]:
            print(json_line(one))
        return FOUND
    rows: list[tuple[str, ...]]
    if arguments.of:
        rows = [
            ("value", "spans"),
            *((clean(one["value"]) or in_quotes(""), _count(one["count"])) for one in found[what]),
        ]
    else:
        rows = [("key", "type", "spans")]
        rows += [(clean(one["key"]), one["type"], _count(one["count"])) for one in found[what]]
    print_table(rows, right=(len(rows[0]) - 1,))
    return FOUND


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("keys", work, arguments)


command = Command(
    name="keys",
    help="print what a query may ask for: keys with how many spans have them, and with --of KEY its values",
    add_arguments=_add_arguments,
    run=_run,
)
