"""`clew receivers`: what the server listens for, what came, what went wrong, and how to point an agent at each."""

from __future__ import annotations

import argparse
import time
from typing import Any

from clew.cli import Command
from clew.terminal import json_line
from clew_server.cli._client import FOUND, Client, add_server_arguments, run_reading
from clew_server.cli._text import clean

_COLUMNS = ("receiver", "state", "address", "spans", "refused", "lost", "last client")


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("receivers", _list, arguments)


def _list(client: Client, arguments: argparse.Namespace) -> int:
    receivers = client.get("/api/v1/status", wants="receivers")["receivers"]
    if arguments.json:
        for receiver in receivers:
            print(json_line(receiver))
        return FOUND
    now_ns = time.time_ns()
    rows = [_COLUMNS, *(_row(receiver, now_ns) for receiver in receivers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [
            cell.rjust(width) if name in ("spans", "refused", "lost") else cell.ljust(width)
            for cell, width, name in zip(row, widths, _COLUMNS, strict=True)
        ]
        print("  ".join(cells).rstrip())
    not_kept = [(one["name"], one["dropped"]) for one in receivers if one.get("dropped")]
    if not_kept:
        print("\nacknowledged, counted and not kept")
        for name, kinds in not_kept:
            print(f"  {clean(name)}: {', '.join(f'{count} {clean(kind)}' for kind, count in sorted(kinds.items()))}")
    unnamed = [(one["name"], one["unnamed_spans"]) for one in receivers if one.get("unnamed_spans")]
    if unnamed:
        print(
            "\nspans that came before the names to which they refer; once said, traces show them and queries find them"
        )
        for name, count in unnamed:
            print(f"  {clean(name)}: {count}")
    errors = [(one["name"], one["last_error"]) for one in receivers if one["last_error"]]
    if errors:
        print("\nlast errors")
        for name, error in errors:
            print(f"  {clean(name)}: {clean(error)}")
    print("\npoint an agent at it")
    for one in receivers:
        how = one.get("point_at") or f"not open; {one['option']} opens it"
        print(f"  {clean(one['name'])}: {clean(how)}")
    return FOUND


def _row(receiver: dict[str, Any], now_ns: int) -> tuple[str, ...]:
    client = ""
    if receiver["last_client"]:
        ago_s = max(0, now_ns - int(receiver["last_seen_unix_nano"] or now_ns)) // 10**9
        client = (
            f"{receiver['last_client']} {ago_s} s ago"
            if ago_s < 120
            else f"{receiver['last_client']} {ago_s // 60} min ago"
        )
    return (
        clean(receiver["name"]),
        receiver["state"],
        clean(receiver["address"]) or "-",
        str(receiver["spans"]),
        str(receiver["refused_requests"]),
        str(receiver.get("dropped_datagrams", 0)),
        clean(client),
    )


command = Command(
    name="receivers",
    help="list the receivers of a server: state, address, spans, refusals, the last error and client, how to send to each",
    add_arguments=add_server_arguments,
    run=_run,
)
