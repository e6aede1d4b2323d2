"""The rows of a trace in a real Chromium: honest times, readable names, groups, and every key that moves the selection."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from harness.answers import wait_until
from harness.pages import OpenPage, row, violations
from harness.server import Server
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MS = 1_000_000


def send(server: Server, service: str, spans: list[Any]) -> None:
    server.export(request(service, spans))
    server.flush()


def selected(page: Page) -> Locator:
    return page.get_by_role("treegrid").locator("[aria-selected=true]")


@pytest.fixture(scope="module")
def odd_times(server: Server) -> tuple[str, str]:
    """A service and a trace: a child 3 s before its parent, one that ends before it begins, one a little late, one of blanks."""
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 10_000 * MS
    children = [
        span(trace_id, parent_id=root, name="early", start_unix_nano=now - 3_000 * MS, duration_ns=100 * MS),
        span(trace_id, parent_id=root, name="backwards", start_unix_nano=now + 500 * MS, duration_ns=-200 * MS),
        span(trace_id, parent_id=root, name="noise", start_unix_nano=now - MS // 2, duration_ns=10 * MS),
        span(trace_id, parent_id=root, name=" \u200b ", start_unix_nano=now + 600 * MS, duration_ns=10 * MS),
    ]
    send(
        server,
        service,
        [span(trace_id, span_id=root, name="POST /pay", start_unix_nano=now, duration_ns=1_000 * MS), *children],
    )
    return service, trace_id.hex()


def test_a_span_outside_its_parent_keeps_its_name_and_says_by_how_much(
    server: Server, odd_times: tuple[str, str], open_page: OpenPage
) -> None:
    service, trace_id = odd_times
    page = open_page(server, f"/trace/{trace_id}")
    early = row(page, service, "early", "")
    expect(early).to_have_attribute("aria-label", re.compile("3.00 s before its parent$"))
    expect(early.get_by_role("gridcell").first).to_have_text(f"{service} early")
    expect(row(page, service, "noise", "")).not_to_have_attribute("aria-label", re.compile("parent"))
    # The mark is left of the numbers; its tooltip has the amount.
    tip = page.locator(".tip")

    def is_told() -> bool:
        # The row is another element, at another height, once the explanation is there.
        box = early.get_by_role("gridcell").first.bounding_box()
        if box is None:
            return False
        page.mouse.move(0, 0)
        page.mouse.move(box["x"] + box["width"] - 8, box["y"] + 10)
        return tip.is_visible()

    wait_until(is_told)
    expect(tip).to_have_text("3.00 s before its parent")
    assert violations(page) == []


def test_a_span_that_ends_before_it_begins_shows_its_negative_length(
    server: Server, odd_times: tuple[str, str], open_page: OpenPage
) -> None:
    service, trace_id = odd_times
    page = open_page(server, f"/trace/{trace_id}")
    backwards = row(page, service, "backwards", "minus 200 milliseconds")
    expect(backwards.get_by_role("gridcell").nth(1)).to_have_text("−200 ms")
    backwards.click()
    details = page.get_by_role("complementary", name="Span details")
    details.get_by_text("ends 200 ms before it begins").wait_for()


def test_a_name_of_blanks_can_be_seen_and_is_heard(
    server: Server, odd_times: tuple[str, str], open_page: OpenPage
) -> None:
    service, trace_id = odd_times
    page = open_page(server, f"/trace/{trace_id}")
    expect(row(page, service, "blank name", "").get_by_role("gridcell").first).to_have_text(f"{service} ␣␣␣")


def test_keys_move_by_one_row_a_page_and_to_both_ends_without_a_click(server: Server, open_page: OpenPage) -> None:
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 10_000 * MS
    calls = [
        span(trace_id, parent_id=root, name=f"call {n:03}", start_unix_nano=now + n * MS, duration_ns=MS)
        for n in range(200)
    ]
    send(
        server, service, [span(trace_id, span_id=root, name="root", start_unix_nano=now, duration_ns=300 * MS), *calls]
    )
    page = open_page(server, f"/trace/{trace_id.hex()}")
    expect(page.get_by_role("treegrid")).to_be_focused()
    page.keyboard.press("End")
    expect(selected(page)).to_have_attribute("aria-rowindex", "202")
    page.set_viewport_size({"width": 1440, "height": 640})
    expect(selected(page)).to_have_attribute("aria-rowindex", "202")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.keyboard.press("Home")
    expect(selected(page)).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("PageDown")
    expect(selected(page)).not_to_have_attribute("aria-rowindex", "2")
    moved = int(selected(page).get_attribute("aria-rowindex") or 0) - 2
    assert 5 < moved < 100
    page.keyboard.press("PageUp")
    expect(selected(page)).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("PageUp")
    expect(selected(page)).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("ArrowDown")
    expect(selected(page)).to_have_attribute("aria-rowindex", "3")


@pytest.mark.parametrize("width", [1440, 390])
def test_names_stay_readable_in_a_chain_of_forty_levels(server: Server, open_page: OpenPage, width: int) -> None:
    service, trace_id = fresh_name("deep"), new_trace_id()
    now = time.time_ns() - 10_000 * MS
    ids = [new_span_id() for _ in range(40)]
    chain = [
        span(
            trace_id,
            span_id=ids[n],
            parent_id=ids[n - 1] if n else b"",
            name=f"level {n:02} of a chain",
            start_unix_nano=now + n * MS,
            duration_ns=(100 - 2 * n) * MS,
        )
        for n in range(40)
    ]
    send(server, service, chain)
    page = open_page(server, f"/trace/{trace_id.hex()}", width=width)
    for key in ("Home", "End"):
        page.keyboard.press(key)
        expect(selected(page)).to_have_attribute("aria-rowindex", "2" if key == "Home" else "41")
        # Read at once: the rows are written anew when scrolling rests.
        widths = page.get_by_role("treegrid").evaluate(
            "grid => [...grid.querySelectorAll('[role=row][aria-level] > :first-child')].map(cell => cell.offsetWidth)"
        )
        assert min(widths) >= 100, (key, widths)


def test_an_open_group_is_closed_by_mouse_and_by_key(server: Server, open_page: OpenPage) -> None:
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 10_000 * MS
    calls = [
        span(trace_id, parent_id=root, name="SELECT", start_unix_nano=now + n * MS, duration_ns=MS) for n in range(1200)
    ]
    send(
        server, service, [span(trace_id, span_id=root, name="root", start_unix_nano=now, duration_ns=1300 * MS), *calls]
    )
    page = open_page(server, f"/trace/{trace_id.hex()}")
    grid = page.get_by_role("treegrid")
    expect(grid).to_have_attribute("aria-rowcount", "3")
    first = row(page, service, "SELECT", "")
    expect(first.get_by_role("gridcell").first).to_have_text(f"{service} SELECT ×1,200")
    for _ in range(2):
        row(page, service, "SELECT", "").first.click(position={"x": 32, "y": 12})
        expect(grid).to_have_attribute("aria-rowcount", "1202")
        row(page, service, "SELECT", "").first.click(position={"x": 32, "y": 12})
        expect(grid).to_have_attribute("aria-rowcount", "3")
    row(page, service, "SELECT", "").first.click()
    page.keyboard.press("ArrowRight")
    expect(grid).to_have_attribute("aria-rowcount", "1202")
    page.keyboard.press("ArrowLeft")
    expect(grid).to_have_attribute("aria-rowcount", "3")


def test_the_minimap_shows_fifty_thousand_siblings(server: Server, open_page: OpenPage) -> None:
    service, trace_id, root = fresh_name("wide"), new_trace_id(), new_span_id()
    now = time.time_ns() - 200_000 * MS
    calls = [
        span(trace_id, parent_id=root, name=f"call {n % 7}", start_unix_nano=now + n * MS, duration_ns=MS // 2)
        for n in range(50_000)
    ]
    for at in range(0, len(calls), 10_000):
        server.export(request(service, calls[at : at + 10_000]))
    send(server, service, [span(trace_id, span_id=root, name="root", start_unix_nano=now, duration_ns=100_000 * MS)])
    page = open_page(server, f"/trace/{trace_id.hex()}")
    page.locator(".overview-canvas").wait_for()
    # Pixels of the second lane, in the half of the time where the siblings are and in the half where they are not.
    drawn = """() => {
          const canvas = document.querySelector('.overview-canvas')
          const context = canvas.getContext('2d')
          const ground = context.getImageData(1, 38, 1, 1).data.join()
          const drawn = (from, to) => {
            let count = 0
            for (let x = Math.round(canvas.width * from); x < canvas.width * to; x++) {
              const column = context.getImageData(x, 7, 1, 6).data
              for (let at = 0; at < column.length; at += 4)
                if (column.slice(at, at + 4).join() !== ground) { count++; break }
            }
            return count / (canvas.width * (to - from))
          }
          return [drawn(0.1, 0.45), drawn(0.6, 0.95)]
        }"""

    def is_drawn() -> bool:
        there, elsewhere = page.evaluate(drawn)
        return there > 0.95 and elsewhere == 0

    wait_until(is_drawn, about=lambda: page.evaluate(drawn))


def test_attributes_are_searched_when_that_is_asked_for(server: Server, open_page: OpenPage) -> None:
    service, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 10_000 * MS
    calls = [
        span(
            trace_id,
            parent_id=root,
            name=f"call {n}",
            start_unix_nano=now + n * MS,
            duration_ns=MS,
            values={"payment.bank": "North" if n in (3, 7) else "south"},
        )
        for n in range(10)
    ]
    send(server, service, [span(trace_id, span_id=root, name="root", start_unix_nano=now, duration_ns=20 * MS), *calls])
    page = open_page(server, f"/trace/{trace_id.hex()}")
    page.keyboard.press("f")
    page.get_by_role("textbox", name="Find in services and names").fill("north")
    matches = page.get_by_role("status", name="Matches")
    expect(matches).to_have_text("none")
    page.get_by_role("button", name="attributes", exact=True).click()
    expect(matches).to_have_text("2", timeout=60_000)
    page.get_by_role("textbox", name="Find in names and attributes").press("Enter")
    expect(matches).to_have_text("1/2")
    expect(selected(page)).to_have_attribute("aria-label", re.compile("call 3"))
    expect(page).to_have_url(re.compile("findin=all"))
    assert violations(page) == []
