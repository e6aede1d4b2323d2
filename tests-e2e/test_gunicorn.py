"""gunicorn's workers: every request's span arrives, whichever worker class, through reloads, recycling and its stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

APPLICATION = """
import os
import clew
provider = clew.configure("gunicorn", endpoint=os.environ["COLLECTOR"])
tracer = provider.get_tracer("tests")

def application(environ, start_response):
    with tracer.start_as_current_span(environ["PATH_INFO"]):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


@pytest.fixture
def bodies() -> Iterator[tuple[str, list[bytes]]]:
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()


# Not gevent with --preload: this version of gunicorn does not stop then, without clew either.
@pytest.mark.parametrize(
    ("worker", "preload"),
    [("sync", []), ("sync", ["--preload"]), ("gthread", []), ("gthread", ["--preload"]), ("gevent", [])],
)
def test_every_request_is_traced_through_reload_recycling_and_stop(
    bodies: tuple[str, list[bytes]], tmp_path: Path, worker: str, preload: list[str]
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-b", f"fd://{listener.fileno()}", "-w", "2", "-k", worker]
        command += ["--max-requests", "20", "--log-level", "error", "--no-control-socket", *preload]
        # gevent's workers now and then wait out the whole graceful timeout with nothing to do, without clew more often
        # than with it (8 of 13 and 2 of 30 stops): what is asked here is that clew adds nothing to that.
        command += ["--graceful-timeout", "2", "app:application"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
            env={**os.environ, "COLLECTOR": bodies[0], "OTEL_BSP_SCHEDULE_DELAY": "100"},
        )
    asked, workers = [], set()

    def ask(name: str) -> None:
        with urlopen(f"http://127.0.0.1:{port}{name}", timeout=100) as answer:
            workers.add(int(answer.read()))
        asked.append(name)

    try:
        for n in range(50):
            ask(f"/before/{n}")
        until = time.monotonic() + 100
        while len(workers) < 3:  # two workers, and one that stands in for one of them after its twenty requests
            assert time.monotonic() < until, "no worker was recycled"
            ask("/before")
            time.sleep(0.02)
        before = set(workers)
        process.send_signal(signal.SIGHUP)
        while any(os.path.exists(f"/proc/{pid}") for pid in before):
            assert time.monotonic() < until, "the workers of before the reload are still there"
            ask("/reload")
            time.sleep(0.02)
        for n in range(10):
            ask(f"/after/{n}")
        process.terminate()
        assert process.wait(100) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    spans = [
        span
        for body in bodies[1]
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert sorted(span.name for span in spans) == sorted(asked)
    assert len({span.span_id for span in spans}) == len(spans)
    assert workers > before
