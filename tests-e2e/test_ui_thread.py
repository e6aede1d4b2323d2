"""The rows of a trace in a real Chromium: clocks that disagree, the critical path, handled failures, width, levels, growth."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from harness.pages import OpenPage, row, view_menu, violations, wait_ready
from harness.server import Server
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

if TYPE_CHECKING:
    from playwright.sync_api import Page

MS = 1_000_000
SERVER, CLIENT = 2, 3


def send(server: Server, service: str, spans: list[Any], host: str) -> None:
    server.export(request(service, spans, resource={"host.name": host}))


class Order:
    """A root of 1 s on one host, whose call reaches a host with a clock that is 3 s behind."""

    def __init__(self, server: Server) -> None:
        self.shop, self.stock, self.trace_id = fresh_name("shop"), fresh_name("stock"), new_trace_id()
        root, call, called = (new_span_id() for _ in range(3))
        now = time.time_ns() - 120_000 * MS

        def made(span_id: bytes, parent_id: bytes, name: str, start: int, duration: int, kind: int) -> Any:
            return span(
                self.trace_id,
                span_id=span_id,
                parent_id=parent_id,
                name=name,
                start_unix_nano=now + start * MS,
                duration_ns=duration * MS,
                kind=kind,
            )

        ours = [made(root, b"", "POST /order", 3000, 1000, SERVER), made(call, root, "call", 3100, 700, CLIENT)]
        ours.append(made(new_span_id(), root, "audit", 3950, 10, SERVER))
        send(server, self.shop, ours, "n1")
        theirs = [
            made(called, call, "GET /stock", 150, 500, SERVER),
            made(new_span_id(), called, "SELECT", 200, 300, CLIENT),
        ]
        send(server, self.stock, theirs, "n2")
        server.flush()
        self.path = f"/trace/{self.trace_id.hex()}"


@pytest.fixture(scope="module")
def order(server: Server) -> Order:
    return Order(server)


def rows_shown(page: Page, count: int) -> None:
    expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", str(count + 1))


def test_the_headline_is_the_roots_duration_and_clocks_are_aligned_on_demand(
    server: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(server, order.path)
    expect(page.locator(".trace-length strong")).to_have_text("1.00 s")
    expect(page.get_by_text("spans reach over 3.85 s")).to_be_visible()
    called = row(page, order.stock, "GET /stock", "")
    expect(called).to_have_attribute("aria-label", re.compile("2.95 s before its parent$"))
    align = page.get_by_role("button", name="Align clocks")
    expect(align).to_have_attribute("aria-pressed", "false")
    align.click()
    expect(called).to_have_attribute("aria-label", re.compile(r"clock aligned: moved by \+3.05 s$"))
    expect(row(page, order.shop, "call", "")).not_to_have_attribute("aria-label", re.compile("aligned"))
    expect(page.get_by_text("spans reach over")).to_have_count(0)
    expect(page).to_have_url(re.compile("clock=aligned"))
    assert violations(page) == []
    page.get_by_role("button", name="Align clocks").click()
    expect(called).to_have_attribute("aria-label", re.compile("before its parent$"))


def test_rows_are_limited_to_the_critical_path_or_to_a_span_and_those_below_it(
    server: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(server, order.path)
    page.get_by_role("button", name="Critical 5").wait_for(timeout=60_000)
    rows_shown(page, 5)
    row(page, order.shop, "call", "").click()
    page.keyboard.press("Shift+Z")
    rows_shown(page, 3)
    expect(page.get_by_role("status").filter(has_text="call and the 2 spans below it")).to_be_visible()
    only_below = view_menu(page).get_by_role("button", name="Only below")
    expect(only_below).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []
    only_below.click()
    rows_shown(page, 5)
    page.keyboard.press("Escape")
    expect(view_menu(page)).to_be_visible()  # closed by the key, and opened again
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Critical")).click()
    expect(page).to_have_url(re.compile("only=crit"))
    rows_shown(page, 5)
    page.keyboard.press("2")
    rows_shown(page, 3)
    levels = view_menu(page).get_by_role("combobox", name="Levels shown")
    expect(levels).to_have_value("2")
    levels.select_option("all levels")
    rows_shown(page, 5)


def test_the_names_are_widened_by_mouse_and_by_key_and_stay_so(
    server: Server, order: Order, open_page: OpenPage
) -> None:
    page = open_page(server, order.path)
    edge = page.get_by_role("separator", name="Width of the names")
    before = int(edge.get_attribute("aria-valuenow") or 0)
    box = edge.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 4, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 104, box["y"] + 200, steps=4)
    page.mouse.up()
    near = "|".join(str(before + 100 + off) for off in range(-4, 5))
    expect(edge).to_have_attribute("aria-valuenow", re.compile(f"^({near})$"))
    wide = int(edge.get_attribute("aria-valuenow") or 0)
    edge.focus()
    page.keyboard.press("ArrowRight")
    expect(edge).to_have_attribute("aria-valuenow", str(wide + 16))
    page.reload()
    wait_ready(page)
    expect(edge).to_have_attribute("aria-valuenow", str(wide + 16))
    edge.dblclick()
    expect(edge).to_have_attribute("aria-valuenow", str(before))
    edge.focus()
    page.keyboard.press("Home")
    expect(edge).to_have_attribute("aria-valuenow", "180")
    assert violations(page) == []


def test_a_handled_failure_is_neither_selected_nor_drawn_as_the_cause(server: Server, open_page: OpenPage) -> None:
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 120_000 * MS
    tries = [
        span(
            trace_id,
            parent_id=root,
            name="ask bank",
            kind=CLIENT,
            start_unix_nano=now + n * 20 * MS,
            duration_ns=10 * MS,
            failed=n == 0,
        )
        for n in range(2)
    ]
    send(
        server,
        service,
        [span(trace_id, span_id=root, name="POST /pay", start_unix_nano=now, duration_ns=50 * MS), *tries],
        "n1",
    )
    server.flush()
    page = open_page(server, f"/trace/{trace_id.hex()}")
    row(page, service, "ask bank", "failed, handled").wait_for()
    expect(page.get_by_role("treegrid").locator("[aria-selected=true]")).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390])
def test_new_spans_are_offered_without_moving_the_rows(server: Server, open_page: OpenPage, width: int) -> None:
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns()
    first = span(trace_id, span_id=root, name="POST /pay", start_unix_nano=now, duration_ns=50 * MS)
    send(server, service, [first], "n1")
    server.flush()
    page = open_page(server, f"/trace/{trace_id.hex()}", width=width)
    expect(page.locator(".panels")).to_have_attribute("aria-busy", "false")
    page.evaluate("document.fonts.ready.then(() => true)")
    top = page.get_by_role("treegrid").bounding_box()
    more = [
        span(trace_id, parent_id=root, name=f"call {n}", start_unix_nano=now + n * MS, duration_ns=MS, failed=n == 0)
        for n in range(3)
    ]
    send(server, service, more, "n1")
    server.flush()
    offer = page.get_by_role("status").filter(has_text="+3 spans, 1 failed")
    offer.wait_for(timeout=60_000)
    assert page.get_by_role("treegrid").bounding_box() == top
    rows_shown(page, 1)
    offer.get_by_role("button", name="Show").click()
    rows_shown(page, 4)


def test_every_key_of_the_time_axis_has_a_button(server: Server, order: Order, open_page: OpenPage) -> None:
    page = open_page(server, order.path)
    row(page, order.shop, "call", "").click()

    def window_after(action: Any) -> str:
        before = page.url
        action()
        page.wait_for_function("before => location.href !== before", arg=before)
        return re.findall(r"[?&]t=([^&]*)", page.url)[0] if "t=" in page.url else ""

    spanned = window_after(lambda: page.keyboard.press("z"))
    assert window_after(lambda: page.keyboard.press("a")) != spanned
    assert window_after(lambda: view_menu(page).get_by_role("button", name="Later").click()) == spanned
    window_after(lambda: page.keyboard.press("d"))
    assert window_after(lambda: view_menu(page).get_by_role("button", name="Earlier").click()) != ""
    assert window_after(lambda: page.keyboard.press("0")) == ""
    assert window_after(lambda: view_menu(page).get_by_role("button", name="To span").click()) == spanned
    assert window_after(lambda: page.get_by_role("button", name="Whole trace").click()) == ""
    assert window_after(lambda: page.keyboard.press("+")) != ""
    assert window_after(lambda: page.get_by_role("button", name="Zoom out").click()) == ""


def test_a_filter_that_leaves_no_row_says_so(server: Server, order: Order, open_page: OpenPage) -> None:
    page = open_page(server, f"{order.path}?only=err")
    expect(page.get_by_text("No span of this trace failed.")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Show all 5").click()
    rows_shown(page, 5)
    expect(page).not_to_have_url(re.compile("only="))
