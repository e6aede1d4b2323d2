"""Every Python block of the pages for users runs as it stands, and leaves the spans the page promises.

The blocks of a page run in order in one fresh interpreter, warnings as errors; only the collector's address is replaced.
A page that defines functions gets a few lines that call them.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs"

BEFORE = {
    "how-to/choose-what-is-traced.md": """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"tea"})
""",
}

CALLS = {
    "how-to/add-a-receiver.md": """
import inspect, pathlib, tempfile
kit = TestLines()
for name, test in inspect.getmembers(kit, inspect.ismethod):
    if name.startswith("test_"):
        with tempfile.TemporaryDirectory() as folder:
            test(*[pathlib.Path(folder)] * len(inspect.signature(test).parameters))
""",
    "how-to/choose-what-is-traced.md": """
import asyncio, httpx
async def ask(traced, path, headers=None):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(traced), base_url="http://shop") as client:
        assert (await client.get(path, headers=headers)).text == "tea"
clew.configure(service_name="page", endpoint="http://localhost:4318")
for path in ("/health", "/price"):
    asyncio.run(ask(shop, path))
asyncio.run(ask(shop, "/price", {"user-agent": "kube-probe/1.30"}))
asyncio.run(ask(feed, "/feed/1"))
""",
    "from-kratos.md": """
import asyncio, types
from clew_server.demo.ports import free_port

async def call_everything():
    port = free_port(set())
    server = await start_grpc_server(f"127.0.0.1:{port}")
    assert await ask_grpc(f"127.0.0.1:{port}") == b"hello ada"
    await server.stop(60)  # the span of the server ends after its reply

    import uvicorn
    http = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(http.serve())
    while not http.started:
        await asyncio.sleep(0.01)
    reply = await ask_http(f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}")
    assert reply["hello"] == "ada" and len(reply["trace"]) == 32
    http.should_exit = True
    await serving

asyncio.run(call_everything())

listener = CommandTracer()
event = dict(command_name="find", database_name="shop", connection_id=("127.0.0.1", 27017), reply={}, failure="no")
listener.started(types.SimpleNamespace(request_id=1, **event))
listener.succeeded(types.SimpleNamespace(request_id=1, **event))
listener.started(types.SimpleNamespace(request_id=2, **event))
listener.failed(types.SimpleNamespace(request_id=2, **event))
""",
    "quickstart.md": """
import asyncio
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert (await client.get("/price/tea")).json()["price"] == 12
asyncio.run(ask())
""",
    "how-to/coming-from-opentelemetry.md": """
import asyncio, httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
async def price(request):
    return PlainTextResponse("12")
provider = clew.configure(service_name="page", endpoint="http://localhost:4318")
app = Starlette(routes=[Route("/price", price), Route("/health", price)])
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        for path in ("/price", "/health"):
            assert (await client.get(path, headers={"x-tenant": "acme"})).text == "12"
asyncio.run(ask())
clew.shutdown()
""",
    "how-to/ids-in-logs.md": """
clew.shutdown()
""",
    "how-to/sample.md": """
assert not sampler.root.should_sample(None, 1, "GET /healthz").decision.is_sampled()
from opentelemetry import trace
for _ in range(300):  # one in ten is kept; that none is has a chance of 1e-14
    trace.get_tracer("page").start_span("GET /price").end()
trace.get_tracer_provider().shutdown()
""",
    "how-to/send-spans.md": """
from opentelemetry import trace
trace.get_tracer("page").start_span("sent").end()
clew.shutdown()
""",
    "how-to/test-your-spans.md": """
from clew.testing import recording
with recording() as spans:
    test_checkout_is_traced(spans)
""",
    "how-to/trace-a-function.md": """
import asyncio
provider = clew.configure(service_name="page", endpoint="http://localhost:4318")
asyncio.run(checkout(7))
provider.shutdown()
""",
    "how-to/trace-anything-else.md": """
clew.configure(service_name="page", endpoint="http://localhost:4318")
listener_ends = CommandTracer()
connection = sqlite3.connect(":memory:")
assert query(connection, "SELECT 1", "SELECT 1") == [(1,)]
try:
    query(connection, "SELECT gone", "SELECT * FROM gone")
except sqlite3.OperationalError:
    pass
connection.close()
queue = []
publish(queue, "tea")
consume(queue, lambda body: query(sqlite3.connect(":memory:"), "SELECT 2", "SELECT 2"))
import types
for request_id, end in ((1, listener_ends.succeeded), (2, listener_ends.failed)):
    about = dict(command_name="find", database_name="shop", connection_id=("127.0.0.1", 27017), request_id=request_id)
    listener_ends.started(types.SimpleNamespace(command={"find": "orders"}, **about))
    end(types.SimpleNamespace(reply={}, failure={"code": 2, "errmsg": "no"}, **about))
assert on_request("tea", {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) == "TEA"
""",
    "how-to/use-with-opentelemetry-sdk.md": """
import asyncio, httpx
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://billing") as client:
        assert (await client.get("/pay")).text == "paid"
asyncio.run(ask())
provider.shutdown()
""",
}

PROMISED = {
    "how-to/choose-what-is-traced.md": {
        ("page", "SERVER", "GET", "HTTP", "UNSET"),
    },
    "from-kratos.md": {
        ("user", "CLIENT", "message.v1.MessageService/GetUserMessage", "gRPC", "UNSET"),
        ("user", "SERVER", "message.v1.MessageService/GetUserMessage", "gRPC", "UNSET"),
        ("user", "CLIENT", "GET", "HTTP", "UNSET"),
        ("user", "SERVER", "GET /hello/{name}", "HTTP", "UNSET"),
        ("user", "CLIENT", "find", "MongoDB", "UNSET"),
        ("user", "CLIENT", "find", "MongoDB", "ERROR"),
    },
    "quickstart.md": {
        ("shop", "SERVER", "GET /price/{article}", "HTTP", "UNSET"),
        ("shop", "INTERNAL", "rank offers", None, "UNSET"),
    },
    "how-to/add-a-receiver.md": set(),
    "how-to/coming-from-opentelemetry.md": {("page", "SERVER", "GET /price", "HTTP", "UNSET")},
    "how-to/ids-in-logs.md": {("shop", "INTERNAL", "checkout", None, "UNSET")},
    "how-to/sample.md": {("shop", "INTERNAL", "GET /price", None, "UNSET")},
    "how-to/send-spans.md": {("shop", "INTERNAL", "sent", None, "UNSET")},
    "how-to/test-your-spans.md": set(),
    "how-to/trace-a-function.md": {
        ("page", "INTERNAL", "checkout", None, "UNSET"),
        ("page", "INTERNAL", "total", None, "UNSET"),
    },
    "how-to/trace-anything-else.md": {
        ("page", "CLIENT", "SELECT 1", "SQLite", "UNSET"),
        ("page", "CLIENT", "SELECT gone", "SQLite", "ERROR"),
        ("page", "PRODUCER", "publish orders", "Queue", "UNSET"),
        ("page", "CONSUMER", "process orders", "Queue", "UNSET"),
        ("page", "CLIENT", "find orders", "MongoDB", "UNSET"),
        ("page", "CLIENT", "find orders", "MongoDB", "ERROR"),
        ("page", "CLIENT", "SELECT 2", "SQLite", "UNSET"),
        ("page", "SERVER", "upper", "Telegraph", "UNSET"),
    },
    "how-to/use-with-opentelemetry-sdk.md": {
        ("billing", "INTERNAL", "charge", None, "UNSET"),
        ("billing", "SERVER", "GET /pay", "HTTP", "UNSET"),
        ("shipping", "INTERNAL", "pack", None, "UNSET"),
    },
}


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", sorted(PROMISED))
def test_every_block_of_the_page_runs_and_its_spans_arrive(page: str, otlp_sink: Any, tmp_path: Path) -> None:
    blocks = python_blocks(DOCS / page)
    script = tmp_path / "page.py"
    script.write_text(
        "\n".join([BEFORE.get(page, ""), *blocks, CALLS[page]]).replace("http://localhost:4318", otlp_sink.endpoint)
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    seen_before = len(otlp_sink.spans)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", script],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    spans = otlp_sink.spans[seen_before:]
    assert {
        (span.service, span.kind, span.name, span.attributes.get("component"), span.status) for span in spans
    } == PROMISED[page]


def test_every_page_for_users_with_python_in_it_is_run() -> None:
    pages = [page for page in [*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")] if python_blocks(page)]
    assert {str(page.relative_to(DOCS)) for page in pages} == set(PROMISED)


def test_each_go_block_of_the_kratos_page_has_its_python_right_after_it() -> None:
    languages = re.findall(r"^```(go|python)$", (DOCS / "from-kratos.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert languages.count("go") == 4
    assert all(languages[at + 1] == "python" for at, language in enumerate(languages) if language == "go")


def test_every_block_of_every_page_is_python() -> None:
    for page in sorted(DOCS.rglob("*.md")):
        for block in python_blocks(page):
            compile(block, str(page.relative_to(DOCS)), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
