"""An OTLP/HTTP collector, a process of its own, that fails at random and keeps a journal of the span ids it accepted.

    python failing_collector.py PORT JOURNAL SEED

The journal says of every request whose spans were accepted which they are, before it is answered; and that the answer
was read, which is known when the next request comes over the same connection. A record that was cut off by a kill is
one whose request was never answered.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

#: What becomes of a request, and how often in a hundred.
FAULTS = {
    "accept": 72,
    "accept_some": 6,  # partial success
    "accept_and_cut": 3,  # the connection ends in the middle of the answer
    "accept_and_hang": 1,  # until the client gives up
    "hang": 2,
    "cut": 4,  # before the request is read
    "503": 5,
    "503_retry_after": 2,
    "429_retry_after": 3,
    "400": 2,
}

_HEAD = struct.Struct("<cII")
_ACCEPTED, _READ = b"A", b"R"


class Journal:
    """Written by one life of the collector."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = Lock()
        self._requests = 0

    def accepted(self, span_ids: Iterable[bytes]) -> int:
        """The number of the request whose spans these are."""
        ids = b"".join(span_ids)
        with self._lock:
            self._requests += 1
            os.write(self._file, _HEAD.pack(_ACCEPTED, self._requests, len(ids)) + ids)
            return self._requests

    def answer_was_read(self, request: int) -> None:
        with self._lock:
            os.write(self._file, _HEAD.pack(_READ, request, 0))


def read_journal(path: Path) -> Iterator[tuple[array[int], bool]]:
    """The span ids of each accepted request, and whether its answer is known to have been read."""
    content = path.read_bytes()
    accepted: dict[int, bytes] = {}
    was_read: set[int] = set()
    at = 0
    while at + _HEAD.size <= len(content):
        kind, request, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        if kind == _READ:
            was_read.add(request)
        elif at + length <= len(content):
            accepted[request] = content[at : at + length]
        at += length
    for request, ids in accepted.items():
        yield array("Q", ids), request in was_read


def _span_ids(request: ExportTraceServiceRequest) -> list[bytes]:
    return [
        span.span_id
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def serve(port: int, journal: Journal, seed: int) -> None:
    """Answer until killed."""
    chance = random.Random(seed)
    faults, weights = list(FAULTS), list(FAULTS.values())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        unconfirmed = 0

        def do_POST(self) -> None:
            if self.unconfirmed:
                journal.answer_was_read(self.unconfirmed)
                self.unconfirmed = 0
            [fault] = chance.choices(faults, weights)
            if fault == "cut":
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if fault == "hang":
                self._hang()
            elif fault.startswith("accept"):
                self._accept(fault, ExportTraceServiceRequest.FromString(body))
            else:
                status, _, has_retry_after = fault.partition("_")
                self._answer(int(status), b"", {"Retry-After": "1"} if has_retry_after else {})

        def _accept(self, fault: str, request: ExportTraceServiceRequest) -> None:
            ids = _span_ids(request)
            rejected = chance.randrange(len(ids)) if fault == "accept_some" else 0
            number = journal.accepted(ids[rejected:])
            if fault == "accept_and_hang":
                self._hang()
            elif fault == "accept_and_cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Len")
                self.close_connection = True
            else:
                self.unconfirmed = number
                response = ExportTraceServiceResponse()
                if rejected:
                    response.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=rejected))
                self._answer(200, response.SerializeToString(), {})

        def _hang(self) -> None:
            self.rfile.read(1)  # until the client closes the connection
            self.close_connection = True

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(content)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that has given up

    with Server(("127.0.0.1", port), Handler) as server:
        print("serving", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Journal(Path(sys.argv[2])), int(sys.argv[3]))
