"""`clew export`: traces of a running server as a file, one trace in memory at a time at most."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from clew import ask
from clew.cli import Command
from clew.terminal import typed
from clew_server.cli._client import (
    FOUND,
    NOT_FOUND,
    NOT_REACHABLE,
    USAGE,
    Client,
    CommandFailed,
    add_server_arguments,
    quoted_id,
    run_reading,
)
from clew_server.cli._completing import complete_query, completed_by
from clew_server.cli._conditions import query_text
from clew_server.cli._pages import pages
from clew_server.errors import BadInput
from clew_server.model.words import count_text

FORMATS: Final = ("otlp-json", "otlp-protobuf", "jaeger")
if TYPE_CHECKING:
    from clew_server.receivers.files.json_stream import JsonStream

_PAGE: Final = 200
_STEP_BYTES: Final = 256 << 10
_SHOWN_EVERY_S: Final = 0.2
_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed_by(
        parser.add_argument(
            "what",
            nargs="*",
            metavar="TRACE_ID|CONDITION",
            help="ids of traces, or conditions as clew search takes them",
        ),
        complete_query,
    )
    parser.add_argument("--all", action="store_true", help="every trace that the server has")
    parser.add_argument(
        "--from", dest="from_", metavar="TIME", help="now-1h, an ISO time with zone, or ns since the epoch"
    )
    parser.add_argument("--to", metavar="TIME", help="likewise, exclusive")
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="the newest N traces that match (default: all)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="otlp-json: a line for each trace, as the OpenTelemetry collector reads them; otlp-protobuf: one TracesData;"
        " jaeger: what Jaeger's UI opens (default: otlp-json)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    add_server_arguments(parser, with_json=False)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    trace_ids = _trace_ids(client, arguments)
    first = next(trace_ids, None)
    if first is None:
        print("clew export: no trace matches", file=sys.stderr)
        return NOT_FOUND
    with _output(arguments.output) as file:
        export = _Export(client, file)
        form = {"otlp-json": export.otlp_json, "otlp-protobuf": export.otlp_protobuf, "jaeger": export.jaeger}
        form[arguments.format](itertools.chain([first], trace_ids))
        file.flush()
    export.end(arguments.output)
    return NOT_FOUND if export.missing else FOUND


def _trace_ids(client: Client, arguments: argparse.Namespace) -> Iterator[str]:
    try:
        words = [typed(word) for word in arguments.what]
        from_, to = typed(arguments.from_ or ""), typed(arguments.to or "")
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    ids = [word for word in words if _TRACE_ID.fullmatch(word)]
    if ids:
        if len(ids) != len(words) or from_ or to or arguments.all:
            raise CommandFailed(USAGE, "wants ids of traces, or conditions, not both")
        return iter(dict.fromkeys(ids))
    if not (words or from_ or to or arguments.all):
        raise CommandFailed(USAGE, "say which traces: ids, conditions, --from and --to, or --all")
    return _matching(client, query_text(words), from_, to, arguments.limit)


def _matching(client: Client, q: str, from_: str, to: str, limit: int) -> Iterator[str]:
    given = [("q", q), ("from", from_), ("to", to)]
    for traces, _ in pages(client, given, limit=limit, of=_PAGE, name="export"):
        yield from (trace["trace_id"] for trace in traces)


class _Export:
    """Writes traces, one after the other. A line on stderr says how far it is, where that is a terminal."""

    def __init__(self, client: Client, file: BinaryIO) -> None:
        self._client, self._file = client, file
        self._traces = self._bytes = 0
        self.missing = 0
        """Traces that the server does not have."""
        self._begun_s = time.monotonic()
        self._next_s = 0.0
        self._is_shown = sys.stderr is not None and sys.stderr.isatty()

    def otlp_json(self, trace_ids: Iterable[str]) -> None:
        """A line for each trace, a request as OTLP JSON: what the collector's file receiver reads."""
        for answer in self._answers(trace_ids, "/api/v1/traces/{}", _JSON):
            for block in answer:
                self._write(block)
            self._write(b"\n")

    def otlp_protobuf(self, trace_ids: Iterable[str]) -> None:
        """One `TracesData` message of all traces: requests that follow each other are one."""
        for answer in self._answers(trace_ids, "/api/v1/traces/{}", _PROTOBUF):
            for block in answer:
                self._write(block)

    def jaeger(self, trace_ids: Iterable[str]) -> None:
        """One answer of Jaeger's API with all traces: what Jaeger's UI opens. Spans pass through one at a time."""
        from clew_server.receivers.files.json_stream import JsonStream

        self._write(b'{"data":[')
        comma = b""
        for answer in self._answers(trace_ids, "/api/traces/{}", _JSON):
            stream = JsonStream(answer)
            for key in stream.members():
                if key != "data":
                    stream.value()
                    continue
                for _ in stream.elements():
                    self._write(comma + b"\n")
                    comma = b","
                    for piece in _compact(stream):
                        self._write(piece.encode())
        self._write(b'\n],"total":0,"limit":0,"offset":0,"errors":null}\n')

    def end(self, output: str | None) -> None:
        """Say what was written."""
        if self._next_s:
            sys.stderr.write("\r\x1b[K")
        where = f" to {output}" if output else ""
        print(f"{self._text()}{where} in {time.monotonic() - self._begun_s:.1f} s", file=sys.stderr)

    def _answers(self, trace_ids: Iterable[str], path: str, form: str) -> Iterator[Iterator[bytes]]:
        for trace_id in trace_ids:
            try:
                answer = self._client.opened(path.format(quoted_id(trace_id)), form)
            except CommandFailed as error:
                if error.code != NOT_FOUND:
                    raise
                self.missing += 1
                print(f"clew export: {error}", file=sys.stderr)
                continue
            with answer:
                if self._client.incomplete is not None:
                    print(f"clew export: {trace_id}: {self._client.incomplete}", file=sys.stderr)
                yield self._blocks(answer)
            self._traces += 1

    def _blocks(self, answer: Any) -> Iterator[bytes]:
        while True:
            try:
                block = answer.read(_STEP_BYTES)
            except ask.FAILURES as error:
                raise self._client.gone(error) from error
            if not block:
                return
            yield block

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._bytes += len(data)
        now = time.monotonic()
        if self._is_shown and now >= self._next_s:
            self._next_s = now + _SHOWN_EVERY_S
            sys.stderr.write(f"\r\x1b[K{self._text()}")
            sys.stderr.flush()

    def _text(self) -> str:
        traces = f"{count_text(self._traces)} trace{'' if self._traces == 1 else 's'}"
        return f"{traces}, {count_text(self._bytes)} bytes written"


def _compact(stream: JsonStream) -> Iterator[str]:
    """A trace of Jaeger's answer as it stands there, a span at a time."""
    comma = "{"
    for key in stream.members():
        yield f"{comma}{json.dumps(key)}:"
        comma = ","
        if key != "spans":
            yield stream.text()
            continue
        between = "["
        for _ in stream.elements():
            yield between + stream.text()
            between = ","
        yield "[]" if between == "[" else "]"
    yield "{}" if comma == "{" else "}"


@contextlib.contextmanager
def _output(name: str | None) -> Iterator[BinaryIO]:
    """Where the traces go: stdout, or a file that gets its name when it is whole."""
    if name is None:
        yield sys.stdout.buffer
        return
    path = Path(typed(name))
    draft = path.with_name(path.name + ".part")
    try:
        file = draft.open("wb")
    except OSError as error:
        raise CommandFailed(USAGE, f"{draft}: {error.strerror or error}") from error
    try:
        with file:
            yield file
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise CommandFailed(USAGE, f"{path}: {error.strerror or error}") from error
        raise


def _run(arguments: argparse.Namespace) -> int:
    try:
        return run_reading("export", _work, arguments)
    except BadInput as error:
        print(f"clew export: what came from {arguments.server} is no trace: {error}", file=sys.stderr)
        return NOT_REACHABLE


command = Command(
    name="export",
    help="write traces to a file: OTLP as JSON lines or protobuf, or Jaeger JSON",
    add_arguments=_add_arguments,
    run=_run,
)
