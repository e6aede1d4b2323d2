"""`clew tail`: traces that match, one line each, while they arrive."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from clew import ask
from clew.cli import Command
from clew.terminal import columns, has_colours, json_line, typed
from clew_server.cli._client import (
    FOUND,
    NOT_REACHABLE,
    USAGE,
    Client,
    CommandFailed,
    add_server_arguments,
    run_reading,
)
from clew_server.cli._completing import complete_query, completed_by
from clew_server.cli._conditions import query_text
from clew_server.cli._rows import line_of
from clew_server.cli._text import clean, named

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_SAYS_EVERY_S: Final = 10.0
_MOST_KNOWN: Final = 10_000
"""Traces of which it is remembered that they were printed."""
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed_by(
        parser.add_argument(
            "q", nargs="*", metavar="CONDITION", help="only traces for which this holds, as in clew search"
        ),
        complete_query,
    )
    parser.add_argument("--failed", action="store_true", help="only traces with a span that failed")
    parser.add_argument(
        "--rate", type=int, metavar="N", help="traces a second that did not fail (default: 50, at most 500)"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="end after N traces")
    add_server_arguments(parser)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    try:
        return _Tail(client, arguments).run()
    except KeyboardInterrupt:
        return FOUND


class _CannotPrint(Exception):
    """The output takes no more, which is no fault of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _put(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError as error:
        raise _CannotPrint(error) from error


class _Tail:
    def __init__(self, client: Client, arguments: argparse.Namespace) -> None:
        try:
            q = typed(query_text(arguments.q))
        except ValueError as error:
            raise CommandFailed(USAGE, str(error)) from error
        given = {
            "q": q,
            "failed": "true" if arguments.failed else "",
            "rate": "" if arguments.rate is None else str(arguments.rate),
        }
        asked = urllib.parse.urlencode({name: value for name, value in given.items() if value})
        self._path = "/api/v1/tail" + (f"?{asked}" if asked else "")
        self._client = client
        self._is_json: bool = arguments.json
        self._left: int = arguments.limit
        self._known: OrderedDict[str, bool] = OrderedDict()
        """Printed traces by id, and whether as failed."""
        self._was_connected = False
        self._last_event_id = ""
        self._said: dict[str, int] = {}
        self._said_s = 0.0

    def run(self) -> int:
        """Print until Ctrl-C, or until there were as many as wanted. A server that goes away is waited for."""
        lost_s: float | None = None
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                resumed = {"Last-Event-ID": self._last_event_id} if self._last_event_id else None
                with self._client.opened(self._path, "text/event-stream", resumed) as answer:
                    away_s = None if lost_s is None else time.time() - lost_s
                    lost_s, wait_s = None, _FIRST_WAIT_S
                    if self._print_all(answer, away_s):
                        return FOUND
                why = "the server ended it"
            except _CannotPrint as failed:
                raise failed.error from None
            except CommandFailed as error:
                if not self._was_connected or error.code != NOT_REACHABLE:
                    raise
                why = str(error)
            except ask.FAILURES as error:
                why = ask.reason(error)
            if lost_s is None:
                lost_s = time.time()
                self._say(
                    f"the connection to {self._client.server} was lost ({why}); it is tried again until it is there"
                )
            # Not all at the same time, where many were connected.
            time.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _print_all(self, answer: Any, away_s: float | None) -> bool:
        """Print what comes; whether it was as much as wanted. Raises one of `ask.FAILURES` where it breaks off."""
        for event_id, name, data in _events(answer):
            self._was_connected = True
            self._last_event_id = event_id or self._last_event_id
            if name == "open":
                if not data.get("resumed"):
                    self._said.clear()
                if away_s is not None:
                    self._say(_connected_again(data, away_s))
            elif name == "trace" and self._print(data):
                self._left -= 1
                if self._left == 0:
                    return True
            elif name == "counts":
                self._say_skipped(data)
            elif name == "end":
                break
        return False

    def _print(self, trace: dict[str, Any]) -> bool:
        """Print a trace; whether it is a new one. One that grows is printed again only when it has failed since, as JSON always."""
        failed = trace["failed_spans"] > 0
        before = self._known.get(trace["trace_id"])
        self._known[trace["trace_id"]] = failed
        self._known.move_to_end(trace["trace_id"])
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        if self._is_json:
            _put(json_line(trace))
        elif before is None or (failed and not before):
            line = _line(trace, columns())
            _put(f"{_RED}{line}{_PLAIN}" if failed and has_colours() else line)
        return before is None

    def _say_skipped(self, counts: dict[str, int]) -> None:
        """Say now and then what was not shown."""
        now_s = time.monotonic()
        if now_s - self._said_s < _SAYS_EVERY_S:
            return
        for name, sentence in (
            ("skipped", "traces were skipped, none of them failed; a narrower query or --rate shows more"),
            ("skipped_failed", "failed traces were skipped, because they are not read fast enough"),
            ("unread_spans", "spans came faster than they are looked at, none of them failed"),
            ("lost_spans", "spans came too fast to be looked at, failed ones may be among them"),
        ):
            number = counts[name]
            if number > self._said.get(name, 0):
                self._say(f"{number:,} {sentence}")
                self._said[name] = number
                self._said_s = now_s

    def _say(self, sentence: str) -> None:
        print(f"clew tail: {sentence}", file=sys.stderr, flush=True)


def _connected_again(opening: dict[str, Any], away_s: float) -> str:
    if not opening.get("resumed"):
        return f"connected again; what arrived in the {away_s:.0f} s between is not listed"
    if opening["missed"]:
        return f"connected again after {away_s:.0f} s; up to {opening['missed']:,} traces are not listed"
    return f"connected again after {away_s:.0f} s; nothing is missing"


def _events(answer: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The events of an open answer: id (empty without one), name, data."""
    event_id = name = ""
    for line in answer:
        text = line.decode("utf-8", "replace").rstrip("\n")
        if text.startswith("id: "):
            event_id = text.removeprefix("id: ")
        elif text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: ") and name:
            data = json.loads(text.removeprefix("data: "))
            if isinstance(data, dict):
                yield event_id, name, data
            event_id = name = ""


def _line(trace: dict[str, Any], width: int | None) -> str:
    origin = trace["answer"]["origin"]
    if origin is None:
        return line_of(trace, trace["failed_spans"], "", width)
    reason = " ".join(filter(None, (origin["type"], origin["message"])))
    began = f"  ✖ {named(origin['service'], 'service')} · {named(origin['operation'], 'name')} {clean(reason)}".rstrip()
    return line_of(trace, trace["failed_spans"], began, width)


def _run(arguments: argparse.Namespace) -> int:
    return run_reading("tail", _work, arguments)


command = Command(name="tail", help="print traces that match while they arrive", add_arguments=_add_arguments, run=_run)
