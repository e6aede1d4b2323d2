"""A server that is killed, and one that does not answer in time, in a real Chromium: the page says so, keeps what it has and recovers."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

from harness.answers import wait_until
from harness.pages import OpenPage, row
from harness.server import Server, free_port
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

MS = 1_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be killed and comes back at the same address."""
    running = Server(tmp_path_factory.mktemp("outage") / "data", ports=(free_port(), 0, 0)).start()
    yield running
    running.close()


def loads_the_page_of_a_trace(page: Page) -> None:
    """Wait for what Search loads a while after its list."""
    loaded = "performance.getEntriesByType('resource').filter(one => /[/]Trace(Page|View)-/.test(one.name)).length"
    wait_until(lambda: page.evaluate(loaded) == 2)


# They are in sight for 2.5 s, and who looks now and then on a busy machine may miss one.
COLLECTS_TOASTS = """
window.toasts = []
new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const one of addedNodes) if (one.className === 'toast') window.toasts.push(one.textContent)
}).observe(document.body, { childList: true, subtree: true })
"""


class Order:
    """A trace of two spans that is no longer young, so that nothing is asked of it by itself."""

    def __init__(self, server: Server) -> None:
        self.shop, self.trace_id, self.root, self.call = (
            fresh_name("shop"),
            new_trace_id(),
            new_span_id(),
            new_span_id(),
        )
        begin = time.time_ns() - 600_000 * MS
        server.export(
            request(
                self.shop,
                [
                    span(
                        self.trace_id, span_id=self.root, name="POST /pay", start_unix_nano=begin, duration_ns=90 * MS
                    ),
                    span(
                        self.trace_id,
                        span_id=self.call,
                        parent_id=self.root,
                        name="SELECT rates",
                        start_unix_nano=begin + MS,
                        duration_ns=50 * MS,
                        values={"app.shard": "north"},
                    ),
                ],
            )
        )
        server.flush()

    @property
    def path(self) -> str:
        return f"/trace/{self.trace_id.hex()}"


@pytest.fixture(scope="module")
def order(own: Server) -> Order:
    return Order(own)


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """The server takes connections and answers nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def cancelled(page: Page) -> None:
    """Wait until the page says how long it has waited, cancel, and see that the clock is gone."""
    clock = page.get_by_text(re.compile(r"Waiting for \d+ s"))
    clock.first.wait_for()
    page.get_by_role("button", name="Cancel").first.click()
    expect(clock).to_have_count(0)


def test_a_trace_keeps_its_rows_while_the_server_is_gone_and_shows_the_rest_when_it_is_back(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, order.path, loads_may_fail=True)
    call = row(page, order.shop, "SELECT rates", "")
    call.wait_for()
    own.kill()
    try:
        page.get_by_role("treegrid").focus()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        problem = page.get_by_role("region", name="Server problem")
        expect(problem.first).to_contain_text("The server does not answer.")
        expect(call).to_be_visible()
        expect(row(page, order.shop, "POST /pay", "")).to_be_visible()
    finally:
        own.start()
    # Nobody clicks: the page asks again by itself.
    expect(page.get_by_text("north")).to_be_visible()
    expect(problem).to_have_count(0)


def test_a_list_keeps_its_rows_while_the_server_is_gone_and_a_trace_opens_when_it_is_back(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, f"/search?q=service%3D{order.shop}", loads_may_fail=True)
    listed = page.get_by_role("table", name="Traces").get_by_role("link", name="POST /pay")
    listed.wait_for()
    loads_the_page_of_a_trace(page)
    problem = page.get_by_role("region", name="Server problem")
    own.kill()
    try:
        page.keyboard.press("r")
        expect(problem.first).to_contain_text("The server does not answer.")
        expect(listed).to_be_visible()
        # A part of the UI that cannot be loaded takes nothing else with it, and is loaded when it is asked for again.
        page.evaluate(COLLECTS_TOASTS)
        page.get_by_label("Time range").select_option("Other times…")
        wait_until(lambda: page.evaluate("window.toasts") == ["The server does not answer."])
        expect(listed).to_be_visible()
        listed.click()
        page.wait_for_url(f"**{order.path}*")
        expect(problem.first).to_contain_text("The server does not answer.")
    finally:
        own.start()
    row(page, order.shop, "POST /pay", "").wait_for()
    expect(problem).to_have_count(0)
    page.go_back()
    expect(listed).to_be_visible()
    expect(problem).to_have_count(0)
    page.get_by_label("Time range").select_option("Other times…")
    expect(page.get_by_role("dialog", name="Time range")).to_be_visible()


def test_a_slow_trace_is_waited_for_with_a_clock_and_cancel_stops_both(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, f"/search?q=service%3D{order.shop}")
    link = page.get_by_role("table", name="Traces").get_by_role("link", name="POST /pay")
    link.wait_for()
    loads_the_page_of_a_trace(page)
    with standing_still(own):
        with page.expect_event("requestfailed", lambda one: one.url.endswith("/skeleton")):
            link.click()
            cancelled(page)
        stopped = page.get_by_role("region", name="Stopped")
        stopped.wait_for()
    stopped.get_by_role("button", name="Ask again").click()
    row(page, order.shop, "POST /pay", "").wait_for()


def test_slow_details_are_waited_for_with_a_clock_and_cancel_stops_both(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, order.path)
    row(page, order.shop, "SELECT rates", "").wait_for()
    with standing_still(own):
        page.get_by_role("treegrid").focus()
        page.keyboard.press("End")
        with page.expect_event("requestfailed", lambda one: one.url.endswith("/spans")):
            page.keyboard.press("Enter")
            cancelled(page)
        expect(row(page, order.shop, "POST /pay", "")).to_be_visible()
    page.get_by_role("region", name="Stopped").get_by_role("button", name="Ask again").click()
    expect(page.get_by_text("north")).to_be_visible()


def test_a_slow_search_keeps_its_list_and_cancel_stops_the_request_and_the_clock(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, f"/search?q=service%3D{order.shop}")
    listed = page.get_by_role("table", name="Traces").get_by_role("link", name="POST /pay")
    listed.wait_for()
    with standing_still(own):
        with page.expect_event("requestfailed", lambda one: "/api/v1/traces?" in one.url):
            page.keyboard.press("r")
            cancelled(page)
        expect(listed).to_be_visible()
    page.keyboard.press("r")
    expect(listed).to_be_visible()


def test_slow_counting_of_all_matches_is_waited_for_with_a_clock_and_can_be_stopped(
    own: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(own, f"/search?q=service%3D{order.shop}+name%3D%22SELECT+rates%22")
    everything = page.get_by_role("region", name="All matches", exact=True)
    expect(everything).to_contain_text("1 trace")
    held: list[Route] = []
    page.route("**/api/v1/traces/summary?*", lambda one: held.append(one))
    box = page.get_by_role("combobox", name="Query or trace id")
    box.fill(f"service={order.shop}")
    box.press("Enter")
    expect(page.get_by_role("table", name="Traces").get_by_role("link", name="POST /pay")).to_be_visible()
    expect(everything.get_by_text(re.compile(r"Counting for \d+ s"))).to_be_visible()
    with page.expect_event("requestfailed", lambda one: "/summary?" in one.url):
        everything.get_by_role("button", name="Stop counting").click()
    expect(everything).to_contain_text("Not counted for this query")
    page.unroute("**/api/v1/traces/summary?*")
    everything.get_by_role("button", name="Count again").click()
    expect(everything).not_to_contain_text("ot counted")
    expect(everything).to_contain_text("1 trace")
    assert len(held) == 1
