"""`clew import`: files of spans into a running server, over OTLP."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from clew import ask
from clew.cli import INTERRUPTED, Command
from clew.terminal import json_line, typed
from clew_server.cli._client import NOT_REACHABLE, USAGE, Client, CommandFailed, add_server_arguments, run_reading
from clew_server.cli._text import clean
from clew_server.model.words import count_text

if TYPE_CHECKING:
    from clew_server.cli._journal import Journal
    from clew_server.cli._sending import Pool, Sender
    from clew_server.receivers.files.contract import Notes

ALL, SOME = 0, 1
_BLOCK_BYTES: Final = 1 << 20
_REQUEST_BYTES: Final = 512 << 10
_REQUEST_SPANS: Final = 10_000
_IN_FLIGHT: Final = 2
_SHOWN_EVERY_S: Final = 0.2
_GIVEN_UP_AFTER_S: Final = 5.0
"""How long a stop waits for the answers to what is on its way: so long after Ctrl-C it ends, if the server hangs."""
_BAR_WIDTH: Final = 24
_MOST_ASKED: Final = 100


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="OTLP (protobuf, JSON, JSON lines), Jaeger JSON, Zipkin JSON or digest logs of SOFATracer, also packed with gzip or zstd; - is stdin",
    )
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="how long the server may be away or busy before this ends (default: 60)",
    )
    add_server_arguments(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: wants a number of seconds")
    return seconds


@dataclass(slots=True)
class _Count:
    """What became of the spans of a file."""

    sent: int = 0
    had: int = 0
    """The server had them from an import that was stopped, or was done."""
    left_out: int = 0
    reasons: list[str] = field(default_factory=list)

    def leave_out(self, spans: int, why: str) -> None:
        self.left_out += spans
        if why not in self.reasons:
            self.reasons.append(why)


def _work(client: Client, arguments: argparse.Namespace) -> int:
    # Imported here, so that `clew --help` does not load protobuf.
    from clew_server.cli._journal import Journal
    from clew_server.cli._sending import Pool, Sender

    try:
        names = [typed(name) for name in arguments.files]
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error
    for name in names:
        _check_readable(name)
    url = client.otlp_url()
    if url is None:
        raise CommandFailed(
            NOT_REACHABLE, f"{client.server} takes no OTLP over HTTP: its receiver otlp-http is not open"
        )
    sender = Sender(url, ask.authorization(arguments.token_file), wait_s=arguments.wait)
    code = ALL
    with _stopping_on_signals(), contextlib.ExitStack() as stack:
        try:
            journal = Journal(client.server)
        except OSError as error:
            raise CommandFailed(USAGE, f"the journal of imports cannot be written: {error}") from error
        stack.callback(journal.close)
        pool = Pool(_IN_FLIGHT)
        stack.callback(pool.close)
        stack.callback(sender.stop)
        for name in names:
            code = max(code, _Import(client, sender, journal, pool, name, as_json=arguments.json).run())
        with contextlib.suppress(CommandFailed):
            client.post("/api/v1/flush?timeout_s=20", {}, wants="flushed")
    return code


def _check_readable(name: str) -> None:
    if name == "-":
        return
    path = Path(name)
    if path.is_dir():
        raise CommandFailed(USAGE, f"{name} is a folder; name the files in it")
    try:
        path.open("rb").close()
    except OSError as error:
        raise CommandFailed(USAGE, f"{name}: {error.strerror or error}") from error


class _Import:
    """One file on its way to the server."""

    def __init__(
        self, client: Client, sender: Sender, journal: Journal, pool: Pool, name: str, *, as_json: bool
    ) -> None:
        self._client, self._sender, self._journal, self._pool = client, sender, journal, pool
        self._name = "stdin" if name == "-" else name
        self._is_stdin = name == "-"
        self._as_json = as_json
        self._count = _Count()
        self._flying: list[tuple[Future[int], int, str]] = []
        self._bar = _Bar(self._name)
        self._begun_s = time.monotonic()

    def run(self) -> int:
        """The exit code for this file: all of it is in the server, or some of it is not, or it is no file of spans."""
        from clew_server.errors import BadInput
        from clew_server.receivers.files.contract import Notes

        notes = Notes()
        problem: BadInput | None = None
        try:
            with self._opened() as file:
                try:
                    for request, spans in self._requests(file, notes):
                        self._offer(request, spans)
                except BadInput as error:
                    problem = error
            while self._flying:
                self._landed()
        except BaseException:
            self._bar.clear()
            self._give_up()
            raise
        self._bar.clear()
        self._say(notes, problem)
        if problem is not None and problem.code == "not_understood" and not self._count.sent + self._count.had:
            return USAGE
        left_out = self._count.left_out or notes.left_out.total() or notes.problems or problem is not None
        return SOME if left_out or not self._count.sent + self._count.had else ALL

    def _opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        if self._is_stdin:
            return contextlib.nullcontext(sys.stdin.buffer)
        self._bar.size_bytes = Path(self._name).stat().st_size
        return Path(self._name).open("rb")

    def _requests(self, file: BinaryIO, notes: Notes) -> Iterator[tuple[bytes, int]]:
        """What the file holds as requests, the same ones at every run. Concatenated requests are one."""
        from clew_server.errors import BadInput
        from clew_server.receivers.files.read import read

        waiting: list[bytes] = []
        size = spans = 0
        problem: BadInput | None = None
        parts = read(self._blocks(file), notes, name="" if self._is_stdin else Path(self._name).name)
        while True:
            try:
                part = next(parts, None)
            except BadInput as error:
                part, problem = None, error
            if waiting and (
                part is None or size + len(part.request) > _REQUEST_BYTES or spans + part.spans > _REQUEST_SPANS
            ):
                yield b"".join(waiting), spans
                waiting, size, spans = [], 0, 0
            if part is None:
                break
            if part.spans:
                waiting.append(part.request)
                size += len(part.request)
                spans += part.spans
        if problem is not None:
            raise problem

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        read = getattr(file, "read1", file.read)
        while block := read(_BLOCK_BYTES):
            self._bar.read_bytes += len(block)
            yield block

    def _offer(self, request: bytes, spans: int) -> None:
        """Send a request, unless the server has it from a run before. Waits while enough of them are on their way."""
        from clew_server.cli._journal import hash_of

        name = hash_of(request)
        if self._is_there(request, name):
            self._count.had += spans
        else:
            while len(self._flying) > _IN_FLIGHT:
                self._landed()
            self._journal.sending(name)
            self._flying.append((self._pool.submit(self._sender.send, request), spans, name))
        self._bar.show(self._count.sent + self._count.had, self._sender.is_waiting)

    def _is_there(self, request: bytes, name: str) -> bool:
        """Whether the server has the request: a journal alone would not know of a server that was emptied."""
        if self._journal.was_sent(name):
            return self._has(request, all_spans=False)
        # Stopped before the answer came. The request is there whole or not at all, but a span of it may have come otherwise.
        return self._journal.was_begun(name) and self._has(request, all_spans=True)

    def _has(self, request: bytes, *, all_spans: bool) -> bool:
        """Whether the server has the spans of a request, or the first one that can be asked for."""
        wanted: dict[str, list[str]] = {}
        for trace_id, span_id in _ids(request):
            wanted.setdefault(trace_id, []).append(span_id)
            if not all_spans:
                break
        for trace_id, span_ids in wanted.items():
            for at in range(0, len(span_ids), _MOST_ASKED):
                asked = span_ids[at : at + _MOST_ASKED]
                if not set(asked) <= self._found(trace_id, asked):
                    return False
        return bool(wanted)

    def _found(self, trace_id: str, span_ids: list[str]) -> set[str]:
        try:
            found = self._client.post(f"/api/v1/traces/{trace_id}/spans", {"span_ids": span_ids}, wants="resourceSpans")
        except CommandFailed as error:
            if error.code == NOT_REACHABLE:
                raise
            return set()
        return {
            span["spanId"]
            for resource in found["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        }

    def _landed(self) -> None:
        """Wait for the request that has been on its way for longest."""
        from clew_server.cli._sending import Refused

        future, spans, name = self._flying[0]
        while True:
            try:
                rejected = future.result(_SHOWN_EVERY_S)
            except TimeoutError:
                self._bar.show(self._count.sent + self._count.had, self._sender.is_waiting)
                continue
            except Refused as error:
                rejected = spans
                self._count.leave_out(spans, f"the server refused them: {error}")
            else:
                self._journal.sent(name)
                if rejected:
                    self._count.leave_out(rejected, "the server refused them: their ids are not as OTLP wants them")
            break
        del self._flying[0]
        self._count.sent += spans - rejected

    def _give_up(self) -> None:
        """Note what the server has, and stop."""
        self._sender.stop()
        until_s = time.monotonic() + _GIVEN_UP_AFTER_S
        for future, _, name in self._flying:
            with contextlib.suppress(Exception):
                if not future.cancel():
                    future.result(max(0.0, until_s - time.monotonic()))
                    self._journal.sent(name)

    def _say(self, notes: Notes, problem: Exception | None) -> None:
        count, seconds = self._count, time.monotonic() - self._begun_s
        for reason, number in notes.left_out.items():
            count.leave_out(number, f"their values are not as their format wants them ({reason})")
        if self._as_json:
            print(
                json_line(
                    {
                        "file": self._name,
                        "format": notes.format or None,
                        "spans": count.sent,
                        "already_there": count.had,
                        "left_out": count.left_out,
                        "problems": notes.problems + (problem is not None),
                        "first_problem": notes.first_problem or (str(problem) if problem else None),
                        "seconds": round(seconds, 3),
                    }
                )
            )
        else:
            rate = f" ({count_text(round(count.sent / seconds))} a second)" if count.sent and seconds > 1 else ""
            had = f", {_spans(count.had)} were there already" if count.had else ""
            kind = f"{notes.format}, " if notes.format else ""
            print(f"{clean(self._name)}: {kind}{_spans(count.sent)} imported in {seconds:.1f} s{rate}{had}", flush=True)
        if count.left_out:
            self._warn(f"{_spans(count.left_out)} left out: {'; '.join(count.reasons)}")
        if notes.other_signals:
            self._warn(f"{count_text(notes.other_signals)} requests of metrics, logs or profiles were passed over")
        if notes.problems:
            self._warn(f"{_places(notes.problems)} could not be read: {notes.first_problem}")
        if problem is not None:
            self._warn(str(problem))
        elif not count.sent + count.had + count.left_out:
            self._warn("holds no span")

    def _warn(self, sentence: str) -> None:
        print(f"clew import: {clean(self._name)}: {clean(sentence)}", file=sys.stderr)


def _ids(request: bytes) -> Iterator[tuple[str, str]]:
    """Trace id and span id of each span that a server takes, in hex."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from clew_server.model.otlp_raw import parse_raw

    for resource in parse_raw(request).resource_spans:
        for scope in resource.scope_spans:
            for raw in scope.spans:
                try:
                    span = Span.FromString(raw)
                except DecodeError:
                    continue
                if len(span.trace_id) == 16 and len(span.span_id) == 8 and any(span.trace_id) and any(span.span_id):
                    yield span.trace_id.hex(), span.span_id.hex()


def _spans(count: int) -> str:
    return f"{count_text(count)} span{'' if count == 1 else 's'}"


def _places(count: int) -> str:
    return f"{count_text(count)} place{'' if count == 1 else 's'}"


class _Bar:
    """A line on stderr that says how far a file is; nothing where stderr is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = clean(name)[-30:]
        self._is_shown = sys.stderr is not None and sys.stderr.isatty()
        self._next_s = 0.0
        self.size_bytes = 0
        self.read_bytes = 0

    def show(self, spans: int, is_waiting: bool) -> None:
        now = time.monotonic()
        if not self._is_shown or now < self._next_s:
            return
        self._next_s = now + _SHOWN_EVERY_S
        line = f"{self._name} "
        if self.size_bytes:
            share = min(1.0, self.read_bytes / self.size_bytes)
            full = round(share * _BAR_WIDTH)
            line += f"{'█' * full}{'┈' * (_BAR_WIDTH - full)} {share:4.0%} "
        line += _spans(spans) + (", waiting for the server" if is_waiting else "")
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown and self._next_s:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP stop as Ctrl-C does: what the server has is noted before the end.

    SIGINT too where it was ignored at the start, as in a job that a script put into the background.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: argparse.Namespace) -> int:
    try:
        code = run_reading("import", _work, arguments)
    except KeyboardInterrupt:
        print("clew import: stopped; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED
    if code == NOT_REACHABLE:
        print("clew import: the same command goes on where it stopped", file=sys.stderr)
    return code


command = Command(
    name="import",
    help="send files of spans to a server: OTLP, Jaeger, Zipkin and SOFATracer",
    add_arguments=_add_arguments,
    run=_run,
)
