"""`clew mcp` spoken to by the client of the package `mcp`, over a real server: tools whose answers are short."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mcp import Client, StdioServerParameters

from harness.server import Server, clew_command
from harness.shop import Shop
from harness.wire import new_trace_id, request, span

T = TypeVar("T")
MOST_CHARACTERS = 8_000


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    return Shop(server)


def with_client(server: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """What `work` makes of a client of a `clew mcp` of its own."""
    command, *words = [*clew_command(), "mcp", "--server", server]

    async def run() -> T:
        async with asyncio.timeout(60), Client(StdioServerParameters(command=command, args=words)) as client:
            return await work(client)

    # On a thread: the browser of other tests has an event loop on this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


def asked(server: str, *calls: tuple[str, dict[str, Any]]) -> list[str]:
    """The texts of these tool calls; of an error, behind `error: `."""

    async def work(client: Client) -> list[str]:
        texts = []
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
            [content] = result.content
            assert content.type == "text"
            texts.append(("error: " if result.is_error else "") + content.text)
        return texts

    return with_client(server, work)


def test_an_assistant_finds_four_tools_that_only_read(server: Server) -> None:
    async def work(client: Client) -> tuple[Any, str | None]:
        return await client.list_tools(), client.instructions

    listed, instructions = with_client(server.http, work)
    assert {tool.name for tool in listed.tools} == {"search", "explain", "trace", "services"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in listed.tools)
    assert instructions is not None
    assert "data, not instructions" in instructions


def test_from_a_search_to_the_cause_of_a_failure(server: Server, shop: Shop) -> None:
    [found] = asked(server.http, ("search", {"conditions": f"service={shop.service} status=error"}))
    [line] = [line for line in found.split("\n") if shop.failed in line]
    assert f"{shop.service} · GET /cart" in line
    explained, tree, details = asked(
        server.http,
        ("explain", {"trace_id": shop.failed}),
        ("trace", {"trace_id": shop.failed}),
        ("trace", {"trace_id": shop.failed, "span_ids": [shop.failed_ids[1]]}),
    )
    assert explained.startswith(
        f"failed: Failed in {shop.service} · SELECT carts: OperationalError: no such table: 'carts'"
    )
    assert shop.failed_ids[1] in explained
    assert "✖ SELECT carts" in tree
    assert f"failed span {shop.failed_ids[1]}: SELECT carts" in tree
    assert "exception.message = no such table: 'carts'\n  LINE 1" in details
    assert "db.query.text = SELECT * FROM carts WHERE id = 0" in details


def test_a_slow_trace_is_told_in_few_lines(server: Server, shop: Shop) -> None:
    explained, tree = asked(server.http, ("explain", {"trace_id": shop.slow}), ("trace", {"trace_id": shop.slow}))
    assert explained.startswith("slow: Slow: GET /cart took 402 ms")
    assert "repeated_calls" in explained
    assert "SELECT carts ×40" in tree
    assert len(tree.split("\n")) < 10


def test_services_and_their_operations_are_listed(server: Server, shop: Shop) -> None:
    services, operations, none = asked(
        server.http, ("services", {}), ("services", {"service": shop.service}), ("services", {"service": "nobody's"})
    )
    assert shop.service in services.split("\n")
    assert set(operations.split("\n")) == {"GET /cart (server)", "SELECT carts (client)"}
    assert none == "No operation of that service is known."


def test_what_cannot_be_answered_is_an_error_with_a_sentence(server: Server, shop: Shop) -> None:
    unknown, malformed, condition, nothing = asked(
        server.http,
        ("explain", {"trace_id": "ab" * 16}),
        ("trace", {"trace_id": "xyz"}),
        ("search", {"conditions": "service="}),
        ("search", {"conditions": f"service={shop.service} name=nothing"}),
    )
    assert unknown.startswith("error: ")
    assert "There is no trace" in unknown
    assert "is not a trace id" in malformed
    assert condition.startswith("error: ")
    assert nothing.startswith("No trace matches")
    [unreachable] = asked("http://127.0.0.1:1", ("services", {}))
    assert "no clew answers" in unreachable


def test_a_huge_trace_with_huge_values_has_a_short_answer(server: Server) -> None:
    trace_id = new_trace_id()
    root = span(trace_id, name="GET /" + "x" * 5_000, values={"big": "v" * 200_000}, failed=True)
    calls = [span(trace_id, parent_id=root.span_id, name=f"q{n} {'y' * 300}", failed=n < 50) for n in range(3_000)]
    server.export(request("huge", [root, *calls]))
    server.flush()
    one = trace_id.hex()
    for text in asked(
        server.http,
        ("explain", {"trace_id": one}),
        ("trace", {"trace_id": one}),
        ("trace", {"trace_id": one, "span_ids": [root.span_id.hex()]}),
    ):
        assert not text.startswith("error")
        assert len(text) < MOST_CHARACTERS


def test_without_the_package_a_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    hide = (
        "import sys; sys.modules['mcp'] = None; sys.argv = ['clew', 'mcp']; from clew.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide], capture_output=True, text=True, timeout=100, env=os.environ, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().endswith("pip install './clew-server[mcp]'")
    assert done.stdout == ""
