"""A collector double, a real HTTP server that answers as it is told; and processes of their own that record spans."""

from __future__ import annotations

import gzip
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from time import monotonic
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from clew.recorder import _select
from clew.recorder._select import PURE, Core

LONG_S = 100.0
"""A limit of what takes a moment, so that a test that fails ends; a busy machine stands still for seconds."""
# Both where both are there; that the native one is there is asked once, in test_native.py.
CORES: list[Core] = list({core.name: core for core in (_select.selected, PURE)}.values())


@pytest.fixture(autouse=True, params=CORES, ids=[core.name for core in CORES])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Core:
    """Each test of the recorder runs with the native twin and with the pure one."""
    chosen: Core = request.param
    monkeypatch.setattr(_select, "selected", chosen)
    return chosen


@pytest.fixture
def said_here(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """What this thread logged in the test: exporters of the tests before may still say what became of their spans."""
    return lambda: [record for record in caplog.records if record.thread == threading.get_ident()]


class Collector:
    """Answers with `answers` in turn, then 200; an answer is (status, headers, body)."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connections: set[Any] = set()
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.arrived: SimpleQueue[int] = SimpleQueue()
        self.arrivals_s: list[float] = []  # of the monotonic clock
        self.hold: threading.Event | None = None
        self.close_after_each = False
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.headers.append(dict(self.headers))
                collector.paths.append(self.path)
                collector.connections.add(self.client_address)
                answer = collector.answers.pop(0) if collector.answers else (200, {}, b"")
                status, headers, content = answer
                if status < 300:
                    collector.bodies.append(body)
                collector.arrivals_s.append(monotonic())
                collector.arrived.put(status)
                if collector.hold is not None:
                    collector.hold.wait(LONG_S)
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(content)))
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)
                if collector.close_after_each:
                    # As a server does with an idle connection: without saying so.
                    self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def spans(self) -> list[ProtoSpan]:
        return [
            span
            for request in self.requests()
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    double = Collector()
    yield double
    double.close()


class Life:
    """Runs Python code in processes of their own; `provider` and `tracer` send to the collector double."""

    @staticmethod
    def begin(**options: Any) -> str:
        """Code that configures tracing so, beside the address of the collector."""
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"""
import os, sys, time, threading
import clew
provider = clew.configure("life", endpoint=os.environ["COLLECTOR"]{given})
tracer = provider.get_tracer("tests")
"""

    BEGIN = begin(timeout_s=LONG_S, exit_timeout_s=LONG_S)
    """A request usually has 10 s and an exit 5 s: on a busy machine a span would then arrive twice, or not at all."""

    def __init__(self, core: str, collector: Collector) -> None:
        self.core = core
        self.collector = collector
        self._processes: list[subprocess.Popen[str]] = []

    def environment(self, **changed: str) -> dict[str, str]:
        """The environment of a process; OTEL_* variables of whoever runs the tests stay outside."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTEST_"))}
        return {**inherited, "CLEW_RECORDER": self.core, "COLLECTOR": self.collector.url, **changed}

    def start(
        self, code: str, *options: str, begin: str = BEGIN, environment: dict[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[str]:
        """Start `code` behind `begin`; the process ends with the test."""
        # A fork with threads is what is tested: Python 3.12 warns of it.
        warnings = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
        process = subprocess.Popen(
            [sys.executable, *warnings, *options, "-c", begin + code],
            env=self.environment(**environment or {}),
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more},
        )
        self._processes.append(process)
        return process

    def run(self, code: str, *options: str, timeout_s: float = LONG_S, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run `code` to its end."""
        process = self.start(code, *options, **more)
        out, err = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def run_well(self, code: str, *options: str, **more: Any) -> str:
        """Run `code`, which must end with status 0 and write nothing to stderr; what it wrote to stdout."""
        done = self.run(code, *options, **more)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def names(self) -> list[str]:
        """The names of the spans that arrived, sorted; an id that comes twice is an error."""
        spans = self.collector.spans()
        assert len({span.span_id for span in spans}) == len(spans)
        return sorted(span.name for span in spans)

    def pids(self) -> dict[str, set[int]]:
        """Of each name, the processes its spans say they come from."""
        pids: dict[str, set[int]] = {}
        for request in self.collector.requests():
            for resource_spans in request.resource_spans:
                [pid] = [a.value.int_value for a in resource_spans.resource.attributes if a.key == "process.pid"]
                for scope_spans in resource_spans.scope_spans:
                    for span in scope_spans.spans:
                        pids.setdefault(span.name, set()).add(pid)
        return pids

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def life(core: Core, collector: Collector) -> Iterator[Life]:
    lives = Life(core.name, collector)
    yield lives
    lives.close()
