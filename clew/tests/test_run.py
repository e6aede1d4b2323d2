"""`clew run` as processes: what the program sees of itself, what arrives of it, and of those it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from clew.testing import RecordedSpan, spans_from_otlp


class Sink(ThreadingHTTPServer):
    """A collector that keeps spans."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.changed = threading.Condition()
        self.spans: list[RecordedSpan] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, name: str) -> RecordedSpan:
        """The first span of this name, waited for."""

        def found() -> list[RecordedSpan]:
            return [span for span in self.spans if span.name == name]

        with self.changed:
            assert self.changed.wait_for(found, 100), [span.name for span in self.spans]
            return found()[0]


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.changed:
            self.server.spans += spans_from_otlp(body)
            self.server.changed.notify_all()
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


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CLEW_", "PYTEST_"))}
    return {**kept, **more}


def clew(words: Sequence[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clew.cli", "run", *words],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=100,
    )


PROGRAM = """
import sys, __main__
from opentelemetry import trace
tracer = trace.get_tracer("program")
with tracer.start_as_current_span("work"):
    print(sys.argv, __name__, __main__.__file__, sys.path[0], answer() if "answer" in globals() else "")
def later(): return __main__.tracer is tracer
import atexit; atexit.register(lambda: print(later()))
sys.exit(3)
"""


def test_a_file_sees_itself_as_under_python_and_its_spans_arrive(sink: Sink, tmp_path: Path) -> None:
    program = tmp_path / "inner" / "program.py"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    options = ["--service-name", "shop", "--endpoint", sink.endpoint, "--resource-attributes", "shop.size=3"]
    plain = subprocess.run(
        [sys.executable, "inner/program.py", "--name", "-m"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    ran = clew([*options, "inner/program.py", "--name", "-m"], tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, plain.stdout, plain.stderr)
    resource = sink.named("work").resource.attributes
    assert (resource["service.name"], resource["shop.size"]) == ("shop", "3")


def test_a_module_sees_itself_as_under_python(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text("import sys\nprint(sys.argv, __package__, sys.path[0])\n")
    plain = subprocess.run(
        [sys.executable, "-m", "package", "--x"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    ran = clew(["--endpoint", sink.endpoint, "-m", "package", "--x"], tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, plain.stdout, plain.stderr)


def test_an_exception_ends_the_program_as_under_python(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("def fail():\n    raise ValueError('out of cheese')\n\nfail()\n")
    plain = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True)
    ran = clew(["--exporter", "none", "program.py"], tmp_path)
    assert ran.returncode == plain.returncode == 1
    assert ran.stderr.replace(str(tmp_path) + "/", "") == plain.stderr.replace(str(tmp_path) + "/", "")


def test_the_applications_own_configuration_replaces_it_without_a_word(sink: Sink, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import clew
from opentelemetry import trace
early = trace.get_tracer("early")
provider = clew.configure(service_name="own", endpoint="{sink.endpoint}")
assert trace.get_tracer_provider() is provider
early.start_span("from an early tracer").end()
try:
    clew.configure()
except RuntimeError:
    print("a second call is refused")
""")
    ran = clew(["--service-name", "run", "--endpoint", "http://127.0.0.1:9", "program.py"], tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a second call is refused\n", "")
    assert sink.named("from an early tracer").resource.attributes["service.name"] == "own"


def test_the_applications_own_sdk_replaces_it_without_a_word(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
from opentelemetry import trace
early = trace.get_tracer("early")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name)))
trace.set_tracer_provider(provider)
early.start_span("from an early tracer").end()
""")
    ran = clew(["--service-name", "run", "--exporter", "none", "program.py"], tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "from an early tracer", "")


def test_a_python_that_is_started_is_traced_too_and_keeps_its_own_sitecustomize(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import builtins\nbuiltins.customized = True\n")
    (tmp_path / "program.py").write_text("""
import subprocess, sys
code = "from opentelemetry import trace; trace.get_tracer('t').start_span('child').end(); print(customized)"
sys.exit(subprocess.run([sys.executable, "-c", code]).returncode)
""")
    ran = clew(
        ["--service-name", "shop", "--endpoint", sink.endpoint, "program.py"],
        tmp_path,
        PYTHONPATH=os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]),
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "True\n", "")
    assert sink.named("child").resource.attributes["service.name"] == "shop"


def test_what_is_no_python_runs_with_its_own_exit_code(tmp_path: Path) -> None:
    ran = clew(["sh", "-c", "echo $CLEW_RUN $OTEL_SERVICE_NAME $0; exit 5"], tmp_path, OTEL_SERVICE_NAME="shop")
    assert (ran.returncode, ran.stdout) == (5, "1 shop sh\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [([], 2, "what is to be run"), (["no-such-command-anywhere"], 127, "no command"), (["gone.py"], 2, "no file")],
)
def test_what_cannot_be_run_is_said(words: list[str], status: int, said: str, tmp_path: Path) -> None:
    ran = clew(words, tmp_path)
    assert ran.returncode == status
    assert said in ran.stderr


APPLICATION = """
import os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def pid(request):
    return PlainTextResponse(str(os.getpid()))

app = Starlette(routes=[Route("/pid/{name}", pid)])

from opentelemetry import trace

def wsgi(environ, start_response):
    with trace.get_tracer("app").start_as_current_span("answer"):
        start_response("200 OK", [("content-type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


@contextmanager
def serving(words: Sequence[str], folder: Path, announced: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server under `clew run`, and the address it says it listens at."""
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-m", "clew.cli", "run", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    drain: threading.Thread | None = None
    try:
        for line in process.stderr:
            said.append(line)
            found = re.search(announced, line)
            if found:
                break
        else:
            raise AssertionError("".join(said))
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield process, found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(100)
        if drain is not None:
            drain.join()
        process.stderr.close()


def ask(url: str) -> str:
    with urlopen(url, timeout=100) as reply:
        text: Any = reply.read().decode()
    return str(text)


def test_the_workers_that_uvicorn_spawns_are_traced(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    words = ["--service-name", "shop", "--endpoint", sink.endpoint]
    words += ["uvicorn", "--workers", "2", "--port", "0", "--no-access-log", "application:app"]
    with serving(words, tmp_path, r"running on (http://\S+)") as (process, url):
        deadline_s = time.monotonic() + 100
        while True:  # uvicorn says so a moment before its workers listen
            try:
                answered = ask(f"{url}/pid/a")
                break
            except URLError:
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
        assert int(answered) != process.pid
        span = sink.named("GET /pid/{name}")
        assert span.resource.attributes["service.name"] == "shop"
    assert process.returncode in (0, -signal.SIGTERM)


def test_the_workers_that_gunicorn_forks_are_traced(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    words = ["--service-name", "shop", "--endpoint", sink.endpoint]
    words += ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "application:wsgi"]
    with serving(words, tmp_path, r"Listening at: (http://\S+)") as (process, url):
        assert int(ask(url)) != process.pid
        assert sink.named("answer").resource.attributes["service.name"] == "shop"
    assert process.returncode == 0


GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import os, ssl, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import urlopen

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://localhost:{server.server_port}/orders"
trusting = ssl.create_default_context(cafile=sys.argv[1])
print(urlopen(url, context=trusting).read())
import requests
print(requests.get(url, verify=sys.argv[1]).text)
"""


def test_a_program_that_patches_with_gevent_first_makes_https_calls_that_are_traced(sink: Sink, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    certificate.write_text((tmp_path / "key.pem").read_text() + certificate.read_text())
    (tmp_path / "program.py").write_text(GEVENT)
    ran = clew(["--service-name", "shop", "--endpoint", sink.endpoint, "program.py", str(certificate)], tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "b'hello'\nhello\n", "")
    sink.named("GET")
    assert [span.attributes["url.full"][:18] for span in sink.spans] == ["https://localhost:"] * 2


def test_nothing_is_imported_that_the_program_does_not_import(tmp_path: Path) -> None:
    # Django, among others, is installed here.
    (tmp_path / "program.py").write_text("import sys; print('\\n'.join(sys.modules))")
    plain = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    ran = clew(["--exporter", "none", "program.py"], tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    more = set(ran.stdout.split()) - set(plain.stdout.split())
    assert not {name for name in more if name.partition(".")[0] not in sys.stdlib_module_names | {"clew"}}
    assert more.isdisjoint(("ssl", "socket", "asyncio", "logging", "http", "email", "sqlite3", "inspect"))
    assert len(more) < 80


BARE = """
import json
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

def wsgi(environ, start_response):
    start_response("200 OK", [("content-length", "5")])
    return [b"hello"]
"""
LITESTAR = """
from litestar import Litestar, get

@get("/bare/{name:str}")
async def bare(name: str) -> str:
    return "hello"

app = Litestar([bare])
"""


@pytest.mark.parametrize(
    ("code", "server", "announced", "name"),
    [
        (BARE, ["uvicorn", "--port", "0", "--lifespan", "off", "program:asgi"], r"running on (http://\S+)", "GET"),
        (BARE, ["gunicorn", "--bind", "127.0.0.1:0", "program:wsgi"], r"Listening at: (http://\S+)", "GET"),
        (LITESTAR, ["uvicorn", "--port", "0", "program:app"], r"running on (http://\S+)", "GET /bare/{name}"),
    ],
    ids=["asgi", "wsgi", "litestar"],
)
def test_applications_of_no_framework_and_of_litestar_are_traced_by_their_server(
    sink: Sink, tmp_path: Path, code: str, server: list[str], announced: str, name: str
) -> None:
    (tmp_path / "program.py").write_text(code)
    words = ["--service-name", "shop", "--endpoint", sink.endpoint, *server]
    with serving(words, tmp_path, announced) as (_, url):
        assert ask(f"{url}/bare/tea").strip('"') == "hello"
        assert sink.named(name).attributes["url.path"] == "/bare/tea"
    assert len(sink.spans) == 1
