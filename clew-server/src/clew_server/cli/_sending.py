"""Sends OTLP requests to a server until it has them: tried again while it is away or busy, each known to be there or not."""

from __future__ import annotations

import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final

from clew import ask
from clew_server.cli._client import NOT_REACHABLE, USAGE, CommandFailed

_TIMEOUT_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0


class Pool:
    """Threads that send. Unlike those of concurrent.futures they do not keep the process from ending while a server hangs."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._work: SimpleQueue[tuple[Future[int], Callable[[bytes], int], bytes] | None] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"clew-import-{number}", daemon=True).start()

    def submit(self, send: Callable[[bytes], int], request: bytes) -> Future[int]:
        """The result of `send(request)`, once there is one."""
        future: Future[int] = Future()
        self._work.put((future, send, request))
        return future

    def close(self) -> None:
        """Nothing is sent beyond what was submitted; waits for nothing."""
        for _ in range(self._threads):
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, send, request = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = send(request)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)


class Refused(Exception):
    """The server will never take this request; the message says why."""


class Stopped(Exception):
    """`stop` was called while a request waited for its next try. The server may have it."""


class Sender:
    """Posts requests to `url`/v1/traces. Safe for threads; `stop()` ends what waits."""

    def __init__(self, url: str, headers: dict[str, str], *, wait_s: float) -> None:
        """`wait_s`: how long a server may be away or busy before a request fails."""
        self._url = f"{url}/v1/traces"
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}
        self._wait_s = wait_s
        self._stopping = threading.Event()
        self.is_waiting = False

    def send(self, request: bytes) -> int:
        """Return when the server has the request: how many of its spans it left out.

        Raises Refused for a request it will never take, CommandFailed when it was away for too long, Stopped.
        """
        deadline = time.monotonic() + self._wait_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                answer = self._post(request)
                self.is_waiting = False
                return answer
            except urllib.error.HTTPError as error:
                with error:
                    why, least_s = self._refused(error)
            except ask.FAILURES as error:
                why, least_s = ask.reason(error), 0.0
            if time.monotonic() + least_s > deadline:
                raise CommandFailed(NOT_REACHABLE, f"{self._url} takes nothing now ({why})")
            self.is_waiting = True
            if self._stopping.wait(max(least_s, wait_s * random.uniform(0.8, 1.2))):
                raise Stopped
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def stop(self) -> None:
        """Make requests that wait for their next try raise Stopped."""
        self._stopping.set()

    def _post(self, body: bytes) -> int:
        request = urllib.request.Request(self._url, data=body, headers=self._headers)
        with ask.opened(request, _TIMEOUT_S) as response:
            return _rejected(response.read())

    def _refused(self, error: urllib.error.HTTPError) -> tuple[str, float]:
        """Why the server takes nothing now, and after how many seconds it wants to be asked again."""
        if error.code in (401, 403):
            raise CommandFailed(USAGE, f"{self._url} wants a token: --token-file FILE")
        if error.code in (429, 502, 503, 504):
            after = error.headers.get("Retry-After", "") if error.headers else ""
            return ask.reason(error), float(after) if after.isdigit() else 0.0
        raise Refused(_message(error.read(64 * 1024)) or ask.reason(error))


def _rejected(answer: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)


def _message(answer: bytes) -> str:
    """The sentence of a `google.rpc.Status`, field 2; empty where it is none."""
    from clew_server.errors import BadInput
    from clew_server.receivers.wire import fields

    try:
        found: Any = next((field for field in fields(answer, 0, len(answer)) if field.number == 2), None)
    except BadInput:
        return ""
    return "" if found is None else answer[found.content : found.end].decode("utf-8", "replace")
