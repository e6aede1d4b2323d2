"""Ends of processes: whatever server answered, and however it was asked to end, every span that ended arrives.

One way for each server in `make test`, all of them with CLEW_ALL_CLIENTS=1 (`make clients`).
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import celery
import pytest

from clew.testing import spans_from_otlp
from harness.backends import Backend
from harness.server import free_port

# Celery leaves connections to its broker to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

APPLICATION = """
import os, sys
from opentelemetry import trace

tracer = trace.get_tracer("tests")

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/exit":
        sys.exit(1)
    tracer.start_span("answer" + scope["path"]).end()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/exit":
        sys.exit(1)
    tracer.start_span("answer" + environ["PATH_INFO"]).end()
    start_response("200 OK", [("content-length", "2")])
    return [b"ok"]
"""


class Sink(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.names: list[str] = []

    def answers(self) -> list[str]:
        """Of the application's own spans, those after the first; its server's stand beside them."""
        return sorted(name for name in self.names if name.startswith("answer/") and name != "answer/first")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.names += [span.name for span in spans_from_otlp(body)]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> int:
    return free_port()


def start(sink: Sink, folder: Path, words: list[str], **more: str) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CLEW_", "PYTEST_"))}
    # After its first moment a process sends once in ten minutes, unless it is about to end.
    kept |= {"OTEL_BSP_SCHEDULE_DELAY": "600000", "PYTHONDONTWRITEBYTECODE": "1", **more}
    command = [sys.executable, "-m", "clew.cli", "run", "--service-name", "ends", "--endpoint", sink.endpoint, *words]
    return subprocess.Popen(command, cwd=folder, env=kept, start_new_session=True)


def answered(url: str, within_s: float = 100) -> None:
    """Ask until there is an answer."""
    until = time.monotonic() + within_s
    while True:
        try:
            with urlopen(url, timeout=100) as answer:
                assert answer.read() == b"ok"
            return
        except OSError:
            assert time.monotonic() < until, url
            time.sleep(0.05)


def ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


UVICORN = ["uvicorn", "--port", "{port}", "--log-level", "warning", "application:asgi"]
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error", "--no-control-socket"]
GUNICORN += ["--graceful-timeout", "2"]
# Of these servers' own accord workers now and then, or always, do not heed the signal and are killed when the graceful
# timeout is over, without clew too: what they answered has long been sent by then.
KILLED = {"gunicorn gevent TERM", "gunicorn gevent QUIT", "gunicorn uvicorn INT", "gunicorn uvicorn QUIT"}
# These answer `sys.exit` in the application with 500 and go on.
STAYS = {"uvicorn exit", "gunicorn sync exit", "gunicorn gevent exit", "gunicorn uvicorn exit", "granian exit"}
GUNICORN_UVICORN = [*GUNICORN, "-k", "uvicorn.workers.UvicornWorker", "application:asgi"]
HYPERCORN = ["hypercorn", "-b", "127.0.0.1:{port}", "application:asgi"]
# The eleventh request is the last that a worker answers.
LAST = ["--max-requests", "11"]
# A command, and how it is asked to end: by signals; HUP reloads; `exit` is `sys.exit` in the application, `recycled` a
# number of requests. The first is for `make test`.
SERVERS: dict[str, tuple[list[str], str]] = {
    "uvicorn": (UVICORN, "TERM INT exit"),
    "uvicorn --limit-max-requests": ([*UVICORN, "--limit-max-requests", "11"], "recycled"),
    "uvicorn --workers": ([*UVICORN, "--workers", "2"], "TERM INT"),
    "uvicorn --reload": ([*UVICORN, "--reload"], "TERM INT"),
    "gunicorn sync": ([*GUNICORN, "application:wsgi"], "TERM INT QUIT HUP exit"),
    "gunicorn sync --max-requests": ([*GUNICORN, *LAST, "application:wsgi"], "recycled"),
    "gunicorn gthread": ([*GUNICORN, "-k", "gthread", "application:wsgi"], "TERM INT QUIT HUP exit"),
    "gunicorn gthread --max-requests": ([*GUNICORN, *LAST, "-k", "gthread", "application:wsgi"], "recycled"),
    "gunicorn gevent": ([*GUNICORN, "-k", "gevent", "application:wsgi"], "TERM INT QUIT HUP exit"),
    "gunicorn gevent --max-requests": ([*GUNICORN, *LAST, "-k", "gevent", "application:wsgi"], "recycled"),
    "gunicorn uvicorn": (GUNICORN_UVICORN, "TERM INT QUIT HUP exit"),
    "gunicorn uvicorn --max-requests": ([*GUNICORN_UVICORN, *LAST], "recycled"),
    "hypercorn": (HYPERCORN, "TERM INT exit"),
    "hypercorn --max-requests": ([*HYPERCORN, "--max-requests", "10"], "recycled"),
    "granian": (["granian", "--interface", "asgi", "--port", "{port}", "application:asgi"], "TERM INT HUP exit"),
}
IS_ALL = os.environ.get("CLEW_ALL_CLIENTS") == "1"
CELLS = [(name, how) for name, (_, ways) in SERVERS.items() for how in ways.split()]
CHOSEN = [(name, how) for name, how in CELLS if IS_ALL or (how == "TERM" and name != "uvicorn --workers")]


def wait_for_answers(sink: Sink, within_s: float = 100) -> None:
    until = time.monotonic() + within_s
    while len(sink.answers()) < 10:
        assert time.monotonic() < until, f"only {sink.answers()} arrived"
        time.sleep(0.05)


def ask_to_end(process: subprocess.Popen[bytes], how: str, port: int, sink: Sink, *, stays: bool) -> None:
    if how in ("TERM", "INT", "QUIT"):
        process.send_signal(getattr(signal, f"SIG{how}"))
        return
    # What answered ends, and sends what it has; its master may stay.
    if how == "HUP":
        process.send_signal(signal.SIGHUP)
    elif how == "exit":
        try:
            with urlopen(f"http://127.0.0.1:{port}/exit", timeout=100) as answer:
                answer.read()
        except (OSError, HTTPException):
            pass
    if stays:
        assert sink.answers() == []
    else:
        wait_for_answers(sink)
    if process.poll() is None:
        process.terminate()


@pytest.mark.parametrize(("name", "how"), CHOSEN)
def test_what_ended_before_the_end_arrives(sink: Sink, tmp_path: Path, port: int, name: str, how: str) -> None:
    pytest.importorskip(name.partition(" ")[0])
    (tmp_path / "application.py").write_text(APPLICATION)
    words = [word.format(port=port) for word in SERVERS[name][0]]
    more = {"OTEL_BSP_SCHEDULE_DELAY": "1000"} if f"{name} {how}" in KILLED else {}
    process = start(sink, tmp_path, words, **more)
    try:
        answered(f"http://127.0.0.1:{port}/first")
        time.sleep(0.3)  # the first moment is over
        for n in range(10):
            answered(f"http://127.0.0.1:{port}/{n}")
        ask_to_end(process, how, port, sink, stays=f"{name} {how}" in STAYS)
    finally:
        ended(process)
    assert sink.answers() == [f"answer/{n}" for n in range(10)]


def test_what_ended_before_a_reload_arrives(sink: Sink, tmp_path: Path, port: int) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    process = start(sink, tmp_path, [word.format(port=port) for word in [*UVICORN, "--reload"]])
    try:
        answered(f"http://127.0.0.1:{port}/first")
        time.sleep(0.3)
        for n in range(10):
            answered(f"http://127.0.0.1:{port}/{n}")
        (tmp_path / "application.py").write_text(APPLICATION + "# changed\n")
        wait_for_answers(sink)
        process.terminate()
    finally:
        ended(process)
    assert sink.answers() == [f"answer/{n}" for n in range(10)]


TASKS = """
import os, sys
import celery

app = celery.Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(task_default_queue=os.environ["QUEUE"], worker_hijack_root_logger=False)

@app.task(name="shop.add")
def add(n):
    return n

@app.task(name="shop.leave")
def leave():
    sys.exit(3)

@celery.signals.worker_process_shutdown.connect
def last_word(**_):
    from opentelemetry import trace
    trace.get_tracer("tests").start_span("last word").end()
"""


def close(app: celery.Celery) -> None:
    """Close it while its broker is there: results that are collected later would look for it, again and again."""
    gc.collect()
    app.close()


@pytest.mark.parametrize("how", ["TERM", *(["INT", "QUIT"] if IS_ALL else [])])
@pytest.mark.parametrize(
    "pool",
    [["prefork", "--max-tasks-per-child", "3"], ["prefork"], ["threads"]],
    ids=["recycled", "prefork", "threads"],
)
def test_what_celerys_workers_did_arrives(
    sink: Sink, tmp_path: Path, redis: Backend, pool: list[str], how: str
) -> None:
    (tmp_path / "shop_tasks.py").write_text(TASKS)
    broker, queue = f"redis://{redis.address}/1", f"ends{'_'.join(pool)}{os.getpid()}"
    words = ["celery", "-A", "shop_tasks", "worker", "-P", *pool, "-c", "2", "-l", "warning"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = start(sink, tmp_path, words, BROKER=broker, QUEUE=queue)
    app = celery.Celery("shop", broker=broker, backend=broker, set_as_current=False)
    app.conf.update(task_default_queue=queue)
    try:
        results = [app.send_task("shop.add", (n,)) for n in range(12)]
        assert [result.get(timeout=100) for result in results] == list(range(12))
        results.clear()
        process.send_signal(getattr(signal, f"SIG{how}"))
    finally:
        assert ended(process) == 0 or how != "TERM"
        close(app)
    assert sink.names.count("process shop.add") == 12
    if "prefork" in pool and how == "TERM":
        assert "last word" in sink.names


def test_a_task_that_exits_its_process_is_seen(sink: Sink, tmp_path: Path, redis: Backend) -> None:
    (tmp_path / "shop_tasks.py").write_text(TASKS)
    broker, queue = f"redis://{redis.address}/1", f"leaves{os.getpid()}"
    words = ["celery", "-A", "shop_tasks", "worker", "-P", "prefork", "-c", "1", "-l", "critical"]
    process = start(sink, tmp_path, [*words, "--without-gossip", "--without-mingle"], BROKER=broker, QUEUE=queue)
    app = celery.Celery("shop", broker=broker, backend=broker, set_as_current=False)
    app.conf.update(task_default_queue=queue)
    try:
        assert app.send_task("shop.add", (1,)).get(timeout=100) == 1
        app.send_task("shop.leave")
        assert app.send_task("shop.add", (2,)).get(timeout=100) == 2
        process.send_signal(signal.SIGTERM)
    finally:
        ended(process)
        close(app)
    assert sink.names.count("process shop.add") == 2
    assert sink.names.count("process shop.leave") == 1
