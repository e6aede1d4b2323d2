"""`clew stats`: how often operations are called, how often they fail and how long they take."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from clew.cli import Command
from clew.terminal import json_line, typed
from clew_server.cli._client import FOUND, NOT_FOUND, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._completing import complete_key, complete_query, completed_by
from clew_server.cli._conditions import query_text
from clew_server.cli._table import print_table
from clew_server.cli._text import clean, named
from clew_server.model.quoting import in_quotes
from clew_server.model.words import duration_text, percent_text

_SECOND_NS = 1_000_000_000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed_by(
        parser.add_argument(
            "q", nargs="*", metavar="CONDITION", help="only spans for which this holds, as in clew search"
        ),
        complete_query,
    )
    parser.add_argument("--from", dest="from_", default="now-1h", metavar="TIME", help="default: now-1h")
    parser.add_argument("--to", metavar="TIME", help="likewise, exclusive; default: now")
    completed_by(
        parser.add_argument(
            "--by",
            default="operation",
            metavar="KEY",
            help="operation (the default), service, kind, status, scope, or an attribute as in a query",
        ),
        complete_key,
    )
    add_server_arguments(parser)


def work(client: Client, arguments: argparse.Namespace) -> int:
    """Print a row a series."""
    try:
        given = [("q", query_text(arguments.q)), ("from", arguments.from_), ("to", arguments.to), ("by", arguments.by)]
        parameters = [(name, typed(text)) for name, text in given if text]
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    found = client.get("/api/v1/red", parameters, wants="series")
    if not found["complete"]:
        print(f"clew stats: not everything is here: {found['reason']}", file=sys.stderr)
    if not found["series"]:
        print("clew stats: no span matches", file=sys.stderr)
        return NOT_FOUND
    if arguments.json:
        for one in found["series"]:
            print(json_line(one))
        return FOUND
    range_s = max(1e-9, (int(found["to_unix_nano"]) - int(found["from_unix_nano"])) / _SECOND_NS)
    has_service = found["series"][0]["service"] is not None
    head = ("service", "operation") if has_service else (arguments.by,)
    rows = [(*head, "spans", "a second", "failed", "p50", "p95", "p99")]
    rows += [_row(one, head, range_s) for one in found["series"]]
    print_table(rows, right=range(len(head), len(rows[0])))
    return FOUND


def _row(one: dict[str, Any], head: tuple[str, ...], range_s: float) -> tuple[str, ...]:
    words = (one["service"], one["value"])[-len(head) :]
    names = [_name(word, what) for word, what in zip(words, head, strict=True)]
    lengths = [duration_text(int(one[f"{level}_ns"])) for level in ("p50", "p95", "p99")]
    failed = percent_text(one["failed"] / one["count"]) if one["failed"] else "0"
    return (*names, f"{one['count']:,}", f"{one['count'] / range_s:.3g}", failed, *lengths)


def _name(text: str, what: str) -> str:
    if what in ("service", "operation", "name"):
        return named(text, "service" if what == "service" else "name")
    return clean(text) or in_quotes("")


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("stats", work, arguments)


command = Command(
    name="stats",
    help="print rate, failures and percentiles of durations by service and operation",
    add_arguments=_add_arguments,
    run=_run,
)
