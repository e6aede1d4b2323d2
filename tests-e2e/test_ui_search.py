"""The list of a search in a real Chromium: each row in view says where its trace failed and where its time went."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import expect

from harness.answers import wait_until
from harness.pages import OpenPage, violations
from harness.server import Server
from harness.wire import attributes, fresh_name, new_trace_id, request, span

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MS = 1_000_000
ROWS = 50


@dataclass
class Shop:
    """50 traces of one service, a second apart: the newest failed in its call, the next handled a failure, the third is too large."""

    service: str
    database: str
    failed: str
    call: str


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    service, database, now = fresh_name("shop"), fresh_name("orders"), time.time_ns() - 2_000 * MS
    spans: list[Span] = []
    made: list[tuple[str, str]] = []
    for number in range(ROWS):
        trace_id, start = new_trace_id(), now - number * 1_000 * MS
        root = span(trace_id, name="POST /pay", start_unix_nano=start, duration_ns=100 * MS, failed=number == 0)
        call = span(
            trace_id,
            parent_id=root.span_id,
            name="INSERT orders",
            kind=Span.SPAN_KIND_CLIENT,
            start_unix_nano=start + 10 * MS,
            duration_ns=82 * MS,
            failed=number < 2,
            values={"db.namespace": database},
        )
        if number == 0:
            exception = {"exception.type": "sqlite3.OperationalError", "exception.message": "database is locked"}
            call.events.add(name="exception", attributes=attributes(exception))
        spans += [root, call]
        if number == 2:
            spans += [
                span(trace_id, parent_id=root.span_id, name="n", start_unix_nano=start + 95 * MS, failed=True)
                for _ in range(10_000)
            ]
        made.append((trace_id.hex(), call.span_id.hex()))
    server.export(request(service, spans))
    server.flush()
    return Shop(service, database, *made[0])


def rows_of(page: Page) -> Locator:
    return page.get_by_role("table", name="Traces").locator("tbody").get_by_role("row")


def within(part: Locator, width: int) -> bool:
    seen = part.bounding_box()
    return seen is not None and seen["x"] >= 0 and seen["x"] + seen["width"] <= width


def asked_for(page: Page) -> list[set[str]]:
    """A list that grows with the ids of each request for answers."""
    asked: list[set[str]] = []

    def note(made: Any) -> None:
        if made.url.endswith("/traces/answers"):
            asked.append(set(json.loads(made.post_data)["trace_ids"]))

    page.on("request", note)
    return asked


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_row_says_where_it_failed_and_where_its_time_went(
    server: Server, shop: Shop, open_page: OpenPage, theme: str
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}", theme=theme)
    failed, handled, large, fine = (rows_of(page).nth(number) for number in range(4))
    expect(failed).to_contain_text(f"{shop.service} · INSERT orders OperationalError", timeout=30_000)
    expect(failed).to_contain_text(f"{shop.database} 82 %, {shop.service} 18 %")
    expect(handled).to_contain_text("1 failure handled")
    expect(large).to_contain_text("10,000 spans failed")
    expect(large.locator("[title*='are read for a list']").first).to_be_visible()
    expect(fine).to_contain_text("no span failed")
    expect(fine).to_contain_text(f"{shop.database} 82 %")
    assert violations(page) == []


def test_the_span_that_failed_is_one_click_away(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    page.get_by_role("link", name=re.compile(r"failed in .* · INSERT orders")).click()
    page.wait_for_url(f"**/trace/{shop.failed}?span={shop.call}*")
    details = page.get_by_role("complementary", name="Span details")
    details.get_by_role("heading", name="INSERT orders").wait_for()


def test_an_attribute_of_a_span_becomes_a_column_and_a_condition(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    page.get_by_role("link", name=re.compile(r"failed in .* · INSERT orders")).click()
    details = page.get_by_role("complementary", name="Span details")
    details.get_by_role("link", name="Show db.namespace as a column of Search").click()
    expect(page.get_by_role("columnheader", name="db.namespace")).to_be_visible()
    expect(rows_of(page).first.get_by_role("cell", name=shop.database, exact=True)).to_be_visible(timeout=30_000)
    page.go_back()
    details.get_by_role("link", name="Exclude this value of db.namespace").click()
    box = page.get_by_role("textbox", name="Query or trace id")
    expect(box).to_have_value(re.compile(r"service=\S+ db.namespace!=\S+"))
    expect(rows_of(page).first).to_be_visible()  # spans of these traces that have no database
    page.get_by_role("button", name="Remove the column db.namespace").click()
    expect(page.get_by_role("columnheader", name="db.namespace")).to_have_count(0)


def test_only_rows_in_view_are_asked_for(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, "/search?q=name%3Dnothing")
    asked = asked_for(page)
    box = page.get_by_role("textbox", name="Query or trace id")
    box.fill(f"service={shop.service}")
    box.press("Enter")
    expect(rows_of(page).first).to_contain_text("OperationalError", timeout=30_000)
    last = rows_of(page).nth(ROWS - 1)
    in_view = sum(
        1
        for row in rows_of(page).all()
        if (box_of := row.bounding_box()) and box_of["y"] < page.viewport_size["height"]
    )
    assert in_view < ROWS
    expect(rows_of(page).nth(in_view - 2)).to_contain_text("82 %", timeout=30_000)
    assert len(set().union(*asked)) <= in_view
    assert all(len(ids) <= 10 for ids in asked)
    last.scroll_into_view_if_needed()
    expect(last).to_contain_text("82 %", timeout=30_000)
    total = sum(len(ids) for ids in asked)
    assert total == len(set().union(*asked)), "a trace was asked for twice"


def test_at_1024_and_390_pixels_both_answers_are_in_sight(server: Server, shop: Shop, open_page: OpenPage) -> None:
    for width in (1024, 390):
        page = open_page(server, f"/search?q=service%3D{shop.service}", width=width)
        first = rows_of(page).first
        expect(first).to_contain_text("OperationalError", timeout=30_000)
        for part in (first.get_by_text("82 %", exact=True), first.get_by_role("link", name=re.compile("failed in"))):
            wait_until(lambda: within(part, width), about=part.bounding_box)  # noqa: B023
        wait_until(lambda: page.evaluate("document.documentElement.scrollWidth") <= width)  # noqa: B023


def test_back_from_a_trace_the_list_stands_where_it_was_with_the_opened_row(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    last = rows_of(page).nth(ROWS - 1)
    link = last.get_by_role("link", name="POST /pay")
    link.scroll_into_view_if_needed()
    link.click()
    page.get_by_role("treegrid").wait_for()
    for back in (page.go_back, page.get_by_role("link", name="results").click):
        back()
        expect(last).to_be_in_viewport()
        expect(link).to_be_focused()
        expect(last).to_have_class("opened")
        if back == page.go_back:
            page.keyboard.press("Enter")
            page.get_by_role("treegrid").wait_for()


def test_an_open_list_offers_newer_traces_and_says_what_it_lacks(server: Server, open_page: OpenPage) -> None:
    service = fresh_name("quiet")
    page = open_page(server, f"/search?q=service%3D{service}+status%3Derror")
    nothing = page.get_by_role("region", name="No match")
    expect(nothing).to_contain_text(f"None started in the last hour for service is {service}, failed.")
    server.export(request(service, [span(name="GET /late", failed=True)]))
    server.flush()
    offer = page.get_by_role("status").filter(has_text="1 new trace")
    offer.wait_for(timeout=40_000)
    assert violations(page) == []
    offer.get_by_role("button", name="Show").click()
    expect(rows_of(page).first).to_contain_text("GET /late")
    expect(offer).to_have_count(0)
    expect(page.get_by_role("columnheader", name="Started").locator("svg")).to_have_count(0)


def test_a_list_that_has_more_says_how_many_are_shown(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    expect(page.get_by_text("50 traces", exact=True)).to_be_visible()
    more = [span(name="GET /more", start_unix_nano=time.time_ns() - 3_000_000 * MS) for _ in range(2)]
    server.export(request(shop.service, more))
    server.flush()
    page.reload()
    expect(page.get_by_text("The newest 50 traces")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("there are more")).to_be_visible()


def test_traces_of_one_span_are_left_out_on_demand(server: Server, open_page: OpenPage) -> None:
    service, trace_id = fresh_name("worker"), new_trace_id()
    task = span(trace_id, name="process task")
    server.export(request(service, [task, span(trace_id, parent_id=task.span_id, name="GET")]))
    server.export(request(service, [span(name="PUBLISH") for _ in range(5)]))
    server.flush()
    page = open_page(server, f"/search?q=service%3D{service}")
    expect(rows_of(page)).to_have_count(6, timeout=15_000)
    hide = page.get_by_role("button", name="Hide one-span traces")
    expect(hide).to_have_attribute("aria-pressed", "false")
    hide.click()
    expect(rows_of(page)).to_have_count(1)
    expect(rows_of(page).first).to_contain_text("process task")
    expect(page.get_by_role("textbox", name="Query or trace id")).to_have_value(f"service={service} trace.spans>1")
    expect(hide).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []
    hide.click()
    expect(rows_of(page)).to_have_count(6)
