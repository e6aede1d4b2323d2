"""The first-run page in a real Chromium: it stays until a trace can be read, and what it offers to run works with this server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from harness.answers import wait_until
from harness.pages import OpenPage
from harness.server import Server, clew_command
from harness.wire import request, span

if TYPE_CHECKING:
    from playwright.sync_api import Route

TOKEN = "open-sesame-0123456789"


def test_the_first_span_turns_the_first_run_page_into_search(
    make_server: Callable[..., Server], open_page: OpenPage
) -> None:
    server = make_server().start()
    page = open_page(server, "/")
    page.get_by_role("heading", name="No spans yet").wait_for()
    page.get_by_role("region", name="Addresses for agents you already run").get_by_text(server.otlp_grpc).wait_for()
    server.export(request("first", [span(name="GET /first")]))
    server.flush()
    page.get_by_role("table", name="Traces").get_by_role("link", name="GET /first").wait_for(timeout=60_000)
    page.close()
    assert server.stop() == 0


def test_the_first_run_page_stays_until_a_search_finds_the_first_trace(
    make_server: Callable[..., Server], open_page: OpenPage
) -> None:
    server = make_server().start()
    page = open_page(server, "/")
    page.get_by_role("heading", name="No spans yet").wait_for()
    # The search does not find the span yet, as long as the test says so.
    held = ["held"]

    def search(route: Route) -> None:
        if held:
            route.fulfill(json={"traces": [], "complete": True, "reason": None, "next": None})
        else:
            route.continue_()

    page.route(re.compile("/api/v1/traces[?]"), search)
    server.export(request("first", [span(name="GET /first")]))
    server.flush()
    with page.expect_response(re.compile("/api/v1/traces[?]")):
        pass
    with page.expect_response(re.compile("/api/v1/traces[?]")):
        pass
    expect(page.get_by_role("heading", name="No spans yet")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="being stored")).to_be_visible()
    held.clear()
    page.get_by_role("table", name="Traces").get_by_role("link", name="GET /first").wait_for(timeout=60_000)
    page.close()
    assert server.stop() == 0


def test_a_page_opened_between_acknowledgement_and_search_is_the_first_run_page(
    make_server: Callable[..., Server], open_page: OpenPage
) -> None:
    server = make_server().start()
    page = open_page(server, "/", awaits_data=False)
    status = json.loads(server.get("/api/v1/status").text) | {"accepted_spans": 1}
    page.route(re.compile("/api/v1/status"), lambda route: route.fulfill(json=status))
    page.reload()
    page.get_by_role("heading", name="No spans yet").wait_for()
    expect(page.get_by_text("No trace matches")).to_have_count(0)
    page.close()
    assert server.stop() == 0


@pytest.mark.parametrize("guarded", [False, True])
def test_the_demo_of_the_first_run_page_fills_the_server_that_is_open(
    make_server: Callable[..., Server], open_page: OpenPage, tmp_path: Path, guarded: bool
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    if guarded:
        server = make_server(options=["--token-file", str(token_file)], token=TOKEN).start()
    else:
        server = make_server().start()
    page = open_page(server, "/", awaits_data=not guarded)
    if guarded:
        prompt = page.get_by_role("dialog", name="This server wants a token")
        prompt.get_by_label("Token").fill(TOKEN)
        prompt.get_by_role("button", name="Continue").click()
    offered = f"clew demo --server {server.http}" + (" --token-file FILE" if guarded else "")
    expect(page.get_by_role("region", name="Or look around first").locator("pre")).to_have_text(offered)
    more = ["--no-open", "--duration=4", "--user-port=0", "--message-port=0"]
    words = offered.replace("FILE", str(token_file)).split()[1:]
    done = subprocess.run([*clew_command(), *words, *more], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(rf"trace {server.http}/trace/[0-9a-f]{{32}}  ", done.stdout)) == 2
    assert "starting user and message" in done.stdout
    page.get_by_role("table", name="Traces").get_by_role("row").nth(1).wait_for(timeout=60_000)
    page.close()
    assert server.is_running()
    assert server.stop() == 0


def test_the_ways_to_start_are_what_their_titles_say(make_server: Callable[..., Server], open_page: OpenPage) -> None:
    server = make_server().start()
    page = open_page(server, "/")
    page.get_by_role("heading", name="No spans yet").wait_for()

    def says(way: str, lines: list[str]) -> None:
        code = page.get_by_role("region", name=way).locator("pre")
        wait_until(lambda: code.inner_text().splitlines() == lines, about=code.inner_text)

    says(
        "A Python program, nothing to change",
        [f"clew run --service-name shop --endpoint {server.otlp_http} app.py"],
    )
    says(
        "Or three lines in it",
        [
            "import clew",
            f'clew.configure(service_name="shop", endpoint="{server.otlp_http}")',
            "clew.instrument()",
        ],
    )
    page.close()
    assert server.stop() == 0
