"""The list of a search in a real Chromium: each row in view says where its trace failed and where its time went."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


QUERY_BOX = "Query or trace id"


def rows_of(page: Page) -> Locator:
    return page.get_by_role("table", name="Traces").locator("tbody").get_by_role("row")


def within(part: Locator, width: float) -> bool:
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
    expect(failed).to_contain_text(f"{shop.service} · INSERT orders OperationalError", timeout=60_000)
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
    expect(rows_of(page).first.get_by_role("cell", name=shop.database, exact=True)).to_be_visible(timeout=60_000)
    page.go_back()
    details.get_by_role("link", name="Exclude this value of db.namespace").click()
    box = page.get_by_role("combobox", name="Query or trace id")
    expect(box).to_have_value(re.compile(r"service=\S+ db.namespace!=\S+"))
    expect(rows_of(page).first).to_be_visible()  # spans of these traces that have no database
    page.get_by_role("button", name="Remove the column db.namespace").click()
    expect(page.get_by_role("columnheader", name="db.namespace")).to_have_count(0)


def test_only_rows_in_view_are_asked_for(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, "/search?q=name%3Dnothing")
    asked = asked_for(page)
    box = page.get_by_role("combobox", name="Query or trace id")
    box.fill(f"service={shop.service}")
    box.press("Enter")
    expect(rows_of(page).first).to_contain_text("OperationalError", timeout=60_000)
    last = rows_of(page).nth(ROWS - 1)
    in_view = sum(
        1
        for row in rows_of(page).all()
        if (box_of := row.bounding_box()) and box_of["y"] < page.viewport_size["height"]
    )
    assert in_view < ROWS
    expect(rows_of(page).nth(in_view - 2)).to_contain_text("82 %", timeout=60_000)
    assert len(set().union(*asked)) <= in_view
    assert all(len(ids) <= 10 for ids in asked)
    last.scroll_into_view_if_needed()
    expect(last).to_contain_text("82 %", timeout=60_000)
    total = sum(len(ids) for ids in asked)
    assert total == len(set().union(*asked)), "a trace was asked for twice"


def test_on_narrow_windows_both_answers_are_in_sight_and_the_query_has_room(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    for width in (1024, 720, 390):
        page = open_page(server, f"/search?q=service%3D{shop.service}", width=width)
        first = rows_of(page).first
        expect(first).to_contain_text("OperationalError", timeout=60_000)
        for part in (first.get_by_text("82 %", exact=True), first.get_by_role("link", name=re.compile("failed in"))):
            wait_until(lambda: within(part, width), about=part.bounding_box)  # noqa: B023
        wait_until(lambda: page.evaluate("document.documentElement.scrollWidth") <= width)  # noqa: B023
        assert page.get_by_role("combobox", name=QUERY_BOX).evaluate("box => box.clientWidth") > 240
        assert first.locator("td.col-failed").evaluate("cell => cell.clientWidth") > 100


LINES_OF_PIECES = """element => {
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), found = []
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    const range = document.createRange()
    range.selectNodeContents(text)
    if (text.data.trim() !== '') found.push([text.data, new Set([...range.getClientRects()].map(box => box.top)).size])
  }
  return found
}"""


def test_long_names_break_after_their_dots_and_slashes_and_added_columns_leave_both_answers_in_sight(
    server: Server, open_page: OpenPage
) -> None:
    service, trace_id = fresh_name("shop") + ".production.eu-west-1.example.internal", new_trace_id()
    name = "/shopping.carts.and.orders.v1beta1.CheckoutService/PlaceOrder"
    order = span(trace_id, name=name, failed=True, values={"rpc.method": name, "payment.bank": "north", "user.id": 7})
    old = span(name="GET /old", start_unix_nano=time.time_ns() - 366 * 86_400_000 * MS)
    server.export(request(service, [order, old]))
    server.flush()
    address = f"/search?q=service%3D{service}&from=all&cols=rpc.method,payment.bank,user.id"
    page = open_page(server, address, width=390)
    row = rows_of(page).first
    expect(row).to_contain_text("north")
    pieces = row.locator("td.col-root").evaluate(LINES_OF_PIECES) + row.locator("td.col-failed").evaluate(
        LINES_OF_PIECES
    )
    assert [text for text, lines in pieces if lines != 1 and not re.search(r"[ -]", text.strip())] == []
    assert {"CheckoutService", "PlaceOrder"} < {text for text, _ in pieces}
    wait_until(lambda: page.evaluate("document.documentElement.scrollWidth") <= 390)
    assert violations(page) == []
    failed = row.locator("td.col-failed")
    for width in (1280, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(lambda: (box := failed.bounding_box()) is not None and box["width"] > 180, about=failed.bounding_box)
        assert within(failed, width)
    # A name loses its middle: its end is seen, and the service after it.
    cell = row.locator("td.col-root").bounding_box()
    assert cell is not None
    for part in ("bdi", "a > .muted"):
        assert within(row.locator(f"td.col-root {part}"), cell["x"] + cell["width"])
    # A time of another year is there to its end, and no letter is cut in half where a name loses its middle.
    started = page.locator("td.col-started").last
    expect(started).to_have_text(re.compile(r"^\d+ \w+ \d{4} [\d:.]+$"))
    assert started.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
    ends = page.locator(".cut-end").evaluate_all(
        "all => all.map(one => [one.scrollWidth > one.clientWidth, getComputedStyle(one).maskImage !== 'none'])"
    )
    assert any(is_cut for is_cut, _ in ends)
    assert all(is_cut == is_faint for is_cut, is_faint in ends)
    assert violations(page) == []


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


def test_an_open_list_offers_newer_traces_and_says_what_it_lacks(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    service = fresh_name("quiet")
    page = open_page(server, f"/search?q=service%3D{service}+status%3Derror")
    nothing = page.get_by_role("region", name="No match")
    expect(nothing).to_contain_text(f"None started in the last hour with this: service is {service}, failed.")
    server.export(request(service, [span(name="GET /late", failed=True)]))
    server.flush()
    offer = page.get_by_role("status").filter(has_text="1 new trace")
    offer.wait_for(timeout=60_000)
    assert violations(page) == []
    offer.get_by_role("button", name="Show").click()
    expect(rows_of(page).first).to_contain_text("GET /late")
    expect(offer).to_have_count(0)
    expect(page.get_by_role("columnheader", name="Started")).to_have_attribute("aria-sort", "descending")


def test_a_list_that_has_more_says_how_many_are_shown(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    expect(page.locator(".toolbar-title").get_by_text("50 traces", exact=True)).to_be_visible()
    more = [span(name="GET /more", start_unix_nano=time.time_ns() - 3_000_000 * MS) for _ in range(2)]
    server.export(request(shop.service, more))
    server.flush()
    page.reload()
    expect(page.get_by_text("The newest 50 traces")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("there are more")).to_be_visible()
    page.get_by_role("button", name="Show 50 more").click()
    expect(rows_of(page)).to_have_count(ROWS + 2)
    # The address opens as many, also after a reload and on the way back; another question begins at its first rows.
    expect(page).to_have_url(re.compile("pages=2"))
    page.reload()
    last = rows_of(page).nth(ROWS + 1)
    last.get_by_role("link", name="GET /more").click()
    page.get_by_role("treegrid").wait_for()
    page.reload()
    page.get_by_role("link", name="results").click()
    expect(last.get_by_role("link", name="GET /more")).to_be_focused()
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(rows_of(page)).not_to_have_count(ROWS + 2)
    expect(page).not_to_have_url(re.compile("pages="))


def test_where_nothing_matches_the_spelling_that_there_is_is_offered(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=status%3Derror+service%3D{shop.service.upper()}")
    nothing = page.get_by_role("region", name="No match")
    expect(nothing).to_contain_text(f"Without service={shop.service.upper()}")
    assert violations(page) == []
    nothing.get_by_role("link", name=f"service={shop.service}", exact=True).click()
    expect(rows_of(page).first).to_contain_text("POST /pay")


def test_traces_of_one_span_are_left_out_on_demand(server: Server, open_page: OpenPage) -> None:
    service, trace_id = fresh_name("worker"), new_trace_id()
    task = span(trace_id, name="process task")
    server.export(request(service, [task, span(trace_id, parent_id=task.span_id, name="GET")]))
    server.export(request(service, [span(name="PUBLISH") for _ in range(5)]))
    server.flush()
    page = open_page(server, f"/search?q=service%3D{service}")
    expect(rows_of(page)).to_have_count(6, timeout=60_000)
    hide = page.get_by_role("button", name="Hide one-span traces")
    expect(hide).to_have_attribute("aria-pressed", "false")
    hide.click()
    expect(rows_of(page)).to_have_count(1)
    expect(rows_of(page).first).to_contain_text("process task")
    expect(page.get_by_role("combobox", name="Query or trace id")).to_have_value(f"service={service} trace.spans>1")
    expect(hide).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []
    hide.click()
    expect(rows_of(page)).to_have_count(6)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_query_is_written_with_the_keyboard_from_suggestions(
    server: Server, shop: Shop, open_page: OpenPage, theme: str
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}", theme=theme)
    page.keyboard.press("/")
    box = page.get_by_role("combobox", name=QUERY_BOX)
    expect(box).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" stat")
    expect(page.get_by_role("option", name="status status of the span")).to_be_visible()
    assert violations(page) == []
    for key in ("Tab", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(box).to_have_value(f"service={shop.service} status=")
    # What is taken is undone and done again as if it had been typed.
    page.keyboard.press("Control+z")
    expect(box).to_have_value(f"service={shop.service} status")
    page.keyboard.press("Control+Shift+z")
    expect(box).to_have_value(f"service={shop.service} status=")
    page.keyboard.type("er")
    page.keyboard.press("Tab")
    page.keyboard.type("db.namespa")
    expect(page.get_by_role("option", name=re.compile(r"^db\.namespace [\d,]+$"))).to_be_visible(timeout=60_000)
    page.keyboard.press("Tab")
    page.keyboard.type(f"={shop.database[:9]}")
    expect(page.get_by_role("option", name=re.compile(f"^{shop.database} [0-9]"))).to_be_visible(timeout=60_000)
    for key in ("ArrowDown", "Enter", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(f"**status%3Derror%20db.namespace%3D{shop.database}*")
    expect(rows_of(page)).to_have_count(2, timeout=60_000)


def test_the_list_is_sorted_by_each_column(server: Server, open_page: OpenPage, tmp_path: Path) -> None:
    service, now = fresh_name("sorted"), time.time_ns() - 60_000 * MS
    for name, start_ms, duration_ms, more, size in (("a", 0, 30, 0, 9), ("b", 10, 10, 2, 100), ("c", 20, 20, 1, None)):
        trace_id, start = new_trace_id(), now + start_ms * MS
        values = {} if size is None else {"payment.size": size}
        root = span(
            trace_id,
            name=name,
            start_unix_nano=start,
            duration_ns=duration_ms * MS,
            failed=name == "b",
            values=values,
        )
        below = [
            span(trace_id, parent_id=root.span_id, name="below", start_unix_nano=start, duration_ns=MS)
            for _ in range(more)
        ]
        server.export(request(service, [root, *below]))
    server.flush()
    page = open_page(server, f"/search?q=service%3D{service}")

    def listed(*names: str) -> None:
        expect(page.locator(".results .col-root b")).to_have_text(names, timeout=60_000)

    listed("c", "b", "a")
    # Beside a short name there is room for the service.
    assert page.locator(".results .col-root .muted").evaluate_all(
        "all => all.every(one => one.scrollWidth <= one.clientWidth)"
    )
    for column, order, names in (
        ("Duration", "descending", "acb"),
        ("Duration", "ascending", "bca"),
        ("Spans", "descending", "bca"),
        ("Started", "descending", "cba"),
        ("Started", "ascending", "abc"),
    ):
        head = page.get_by_role("columnheader", name=column)
        head.get_by_role("button").press("Enter")
        listed(*names)
        expect(head).to_have_attribute("aria-sort", order)
    assert violations(page) == []
    page.go_back()
    listed("c", "b", "a")
    page.go_back()
    listed("b", "c", "a")
    expect(page).to_have_url(re.compile("sort=-spans"))
    page.reload()
    listed("b", "c", "a")
    # What the server has no order for is an order of the rows shown.
    page.goto(f"{server.http}/search?q=service%3D{service}&cols=payment.size")
    for button, way, names in (
        ("payment.size", "ascending", "abc"),
        ("payment.size", "descending", "bac"),
        ("payment.size", None, "cba"),
        ("Root operation", "ascending", "abc"),
        ("Where it failed", "ascending", "bca"),
    ):
        head = page.get_by_role("columnheader").filter(has=page.get_by_role("button", name=button, exact=True))
        head.get_by_role("button", name=button, exact=True).press("Enter")
        listed(*names)
        if way is None:
            expect(page.locator("th[aria-sort=descending]")).to_contain_text("Started")
        else:
            expect(page.locator("th[aria-sort]")).to_have_count(1)
            expect(head).to_have_attribute("aria-sort", way)
    # Of the links of a row it is seen which has the focus.
    for link in rows_of(page).first.get_by_role("link").all():
        link.focus()
        expect(link).to_have_css("outline-style", "solid")
    assert violations(page) == []
    for _ in range(3):
        page.go_back()
    listed("b", "a", "c")
    page.reload()
    listed("b", "a", "c")
    expect(page.locator(".toolbar-title")).to_contain_text("3 traces ordered by payment.size, highest first")
    page.get_by_role("button", name="Rows", exact=True).click()
    with page.expect_download(timeout=60_000) as given:
        page.get_by_role("button", name="CSV").click()
    given.value.save_as(tmp_path / "rows.csv")
    rows = csv.DictReader((tmp_path / "rows.csv").read_text("utf-8-sig").splitlines())
    assert [row["payment.size"] for row in rows] == ["100", "9", ""]
    # Without its column there is no order by it.
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove the column payment.size").click()
    listed("c", "b", "a")


def test_a_column_is_added_from_the_attributes_that_there_are(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}", width=390)
    page.get_by_role("button", name="Column", exact=True).click()
    key = page.get_by_label("Key of the attribute")
    expect(page.locator("datalist option[value='db.namespace']")).to_have_count(1, timeout=60_000)
    key.fill("db.namespace")
    assert violations(page) == []
    key.press("Enter")
    expect(rows_of(page).first).to_contain_text(shop.database, timeout=60_000)
    expect(page).to_have_url(re.compile("cols=db.namespace"))
    page.reload()
    expect(rows_of(page).first).to_contain_text(shop.database)
    page.get_by_role("button", name="Column", exact=True).click()
    page.get_by_role("button", name="Leave out the column db.namespace").click()
    page.wait_for_url(lambda address: "cols" not in address)


def test_a_time_range_is_chosen_with_a_calendar_and_a_relative_one_stays_relative(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}")
    choice = page.get_by_role("combobox", name="Time range")
    choice.select_option("Other times…")
    dialog = page.get_by_role("dialog", name="Time range")
    dialog.get_by_label("How many").fill("3")
    assert violations(page) == []
    dialog.get_by_role("button", name="Show").click()
    expect(dialog).to_have_count(0)
    page.wait_for_url("**from=now-3h*")
    choice.select_option("Other times…")
    dialog.get_by_label("From", exact=True).fill("2026-11-22T10:00:00")
    dialog.get_by_label("To", exact=True).fill("2026-11-22T09:00:00")
    dialog.get_by_role("button", name="Show").click()
    expect(dialog.get_by_role("alert")).to_have_text("The beginning must be before the end.")
    dialog.get_by_label("To", exact=True).fill("2026-11-22T11:00:00")
    dialog.get_by_role("button", name="Show").click()
    page.wait_for_url("**from=2026-11-22T10:00:00.000Z&to=2026-11-22T11:00:00.000Z*")
    page.reload()
    expect(choice).to_contain_text("2026-11-22 10:00 to 11:00 UTC")
    page.go_back()
    page.wait_for_url("**from=now-3h*")


def test_a_search_is_saved_by_name_and_taken_to_another_browser(
    server: Server, shop: Shop, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}&cols=db.namespace")
    page.get_by_role("button", name="Saved").click()
    page.get_by_label("Name of this search").fill("orders")
    page.keyboard.press("Enter")
    saved = page.get_by_role("list", name="Saved searches")
    shown = saved.get_by_role("link", name="orders", exact=True)
    expect(shown).to_have_attribute("aria-current", "true")
    assert violations(page) == []
    with page.expect_download() as given:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "searches.json"
    given.value.save_as(file)
    other = open_page(server, "/search", width=390)
    other.get_by_role("button", name="Saved").click()
    other.get_by_label("File of saved searches").set_input_files(file)
    taken = other.get_by_role("list", name="Saved searches").get_by_role("link", name="orders", exact=True)
    taken.click()
    expect(other.get_by_role("combobox", name=QUERY_BOX)).to_have_value(f"service={shop.service}")
    wait_until(lambda: other.evaluate("document.documentElement.scrollWidth") <= 390)
    other.get_by_role("button", name="Forget orders").click()
    expect(taken).to_have_count(0)
    # What was opened says so until something is changed; Back and a reload know it too.
    menu = page.get_by_role("button", name="Saved")
    expect(menu).to_have_text("Saved: orders")
    page.get_by_role("button", name="Hide one-span traces").click()
    expect(menu).to_have_text("Saved")
    page.reload()
    menu.click()
    expect(saved.get_by_text("changed")).to_be_visible()
    expect(shown).not_to_have_attribute("aria-current", "true")
    page.go_back()
    expect(menu).to_have_text("Saved: orders")
    page.reload()
    expect(menu).to_have_text("Saved: orders")


def test_the_rows_shown_are_given_as_csv_and_json_with_added_columns(
    server: Server, shop: Shop, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(server, f"/search?q=service%3D{shop.service}&cols=db.namespace")
    page.get_by_role("button", name="Rows").click()
    shown = rows_of(page).count()
    files = {}
    for form in ("CSV", "JSON"):
        with page.expect_download(timeout=60_000) as given:
            page.get_by_role("button", name=form).click()
        files[form] = tmp_path / form
        given.value.save_as(files[form])
    rows = list(csv.DictReader(files["CSV"].read_text("utf-8-sig").splitlines()))
    assert len(rows) == shown == len(json.loads(files["JSON"].read_text()))
    failed = next(row for row in rows if row["trace_id"] == shop.failed)
    assert failed["failed_type"] == "sqlite3.OperationalError"
    assert failed["db.namespace"] == shop.database
    assert failed["time_went"] == shop.database


@pytest.fixture(scope="module")
def bank(server: Server) -> str:
    """A service with 40 quick traces, and five slow ones that failed, all of them at one bank."""
    service, now = fresh_name("bank"), time.time_ns() - 600_000 * MS
    spans = [
        span(
            name="POST /pay",
            start_unix_nano=now + number * 10_000 * MS,
            duration_ns=(2_000 if number % 9 == 4 else 10 + number) * MS,
            failed=number % 9 == 4,
            values={"payment.bank": "north" if number % 9 == 4 else "south"},
        )
        for number in range(45)
    ]
    server.export(request(service, spans))
    server.flush()
    return service


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_matches_are_counted_and_a_box_drawn_with_the_keys_selects_the_failed_ones(
    server: Server, bank: str, open_page: OpenPage, theme: str
) -> None:
    page = open_page(server, f"/search?q=service%3D{bank}", theme=theme)
    everything = page.get_by_role("region", name="All matches", exact=True)
    expect(everything.get_by_text("45 traces")).to_be_visible(timeout=60_000)
    expect(everything.get_by_text("5 failed · 11 %")).to_be_visible()
    facets = page.get_by_role("complementary", name="Facets")
    expect(facets.get_by_role("checkbox", name="payment.bank north: 11 %, 100 % of failed")).to_be_visible()
    chart = page.get_by_role("application", name=re.compile("45 traces, 5 failed"))
    top = chart.bounding_box()
    assert top is not None
    chart.focus()
    for key in ("Home", *["ArrowUp"] * 40, "Shift+End", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**sel=*")
    expect(rows_of(page)).to_have_count(5, timeout=60_000)
    expect(page.get_by_role("group", name="Selection")).to_contain_text("5 traces")
    expect(facets.get_by_role("checkbox", name="payment.bank north: 100 %, 0 % of all others")).to_be_visible(
        timeout=60_000
    )
    assert chart.bounding_box() == top
    assert violations(page) == []
    page.reload()
    expect(rows_of(page)).to_have_count(5, timeout=60_000)
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_url("**trace.duration*")
    assert "sel=" not in page.url
    page.go_back()
    expect(page.get_by_role("group", name="Selection")).to_be_visible(timeout=60_000)
    chart.focus()
    page.keyboard.press("Escape")
    expect(rows_of(page)).to_have_count(45, timeout=60_000)


def test_a_box_is_drawn_with_the_mouse_and_a_facet_is_added_to_the_query(
    server: Server, bank: str, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{bank}")
    chart = page.get_by_role("application")
    where = chart.bounding_box()
    assert where is not None
    page.mouse.move(where["x"] + 80, where["y"] + 10)
    page.mouse.down()
    page.mouse.move(where["x"] + where["width"] - 10, where["y"] + 40, steps=4)
    page.mouse.up()
    expect(rows_of(page)).to_have_count(5, timeout=60_000)
    page.get_by_role("button", name="Clear the selection").click()
    expect(rows_of(page)).to_have_count(45, timeout=60_000)
    page.get_by_role("checkbox", name=re.compile("payment.bank south")).check()
    expect(page.get_by_role("combobox", name=QUERY_BOX)).to_have_value(f"{{service={bank}}} {{payment.bank=south}}")
    expect(rows_of(page)).to_have_count(40, timeout=60_000)


def test_every_choice_is_a_state_that_reload_keeps_and_back_and_forward_go_through(
    server: Server, bank: str, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{bank}")
    box = page.get_by_role("combobox", name=QUERY_BOX)
    times = page.get_by_role("combobox", name="Time range")
    column = page.get_by_role("columnheader", name="payment.bank")
    leave_out = page.get_by_role("complementary", name="Facets").get_by_role("button", name="Leave out span_id")

    def ask() -> None:
        box.fill(f"service={bank} payment.bank=north")
        assert steps() == 0, "typing is no step"
        box.press("Enter")

    def choose_times() -> None:
        times.select_option("Other times…")
        dialog = page.get_by_role("dialog", name="Time range")
        dialog.get_by_label("How many").fill("3")
        dialog.get_by_role("button", name="Show").click()

    def add_column() -> None:
        page.get_by_role("button", name="Column", exact=True).click()
        page.get_by_label("Key of the attribute").fill("payment.bank")
        page.keyboard.press("Enter")

    def add_facet() -> None:
        page.get_by_role("button", name="any attribute").click()
        page.get_by_label("Key of an attribute").fill("span_id")
        page.keyboard.press("Enter")

    def click(role: Literal["button", "link"], name: str) -> Callable[[], None]:
        return lambda: page.get_by_role(role, name=name, exact=True).click()

    # What the reader does, and what is there then and not before.
    by_time = page.get_by_role("region", name="All matches by time")
    ways: list[tuple[Callable[[], None], Locator]] = [
        (ask, page.locator(".toolbar-title").get_by_text("5 traces", exact=True)),
        (choose_times, times.get_by_role("option", name="Last 3 h", selected=True)),
        (click("button", "Duration"), page.locator("th[aria-sort=descending]", has_text="Duration")),
        (add_column, column),
        (add_facet, leave_out),
        (click("button", "Points"), page.get_by_text("5 traces, a point each")),
        (click("button", "Show as table"), by_time),
        (
            lambda: by_time.get_by_role("button", name="Select").first.click(),
            by_time.get_by_role("button", name="Select", pressed=True),
        ),
        (click("button", "Failed"), page.get_by_role("button", name="Failed", pressed=True)),
    ]

    begun = page.evaluate("history.length")

    def steps() -> int:
        return int(page.evaluate("history.length")) - begun

    addresses = [page.url]
    for number, (do, shown) in enumerate(ways, start=1):
        expect(shown).to_have_count(0)
        do()
        expect(shown).to_have_count(1)
        assert page.url not in addresses
        assert steps() == number, page.url
        addresses.append(page.url)
        page.reload()
        expect(shown).to_have_count(1)
        assert page.url == addresses[-1]
    box.press("Enter")
    assert steps() == len(ways), "the same query again is no step"
    addresses[-1] = page.url
    for number in range(len(ways) - 1, -1, -1):
        page.go_back()
        expect(page).to_have_url(addresses[number])
        expect(ways[number][1]).to_have_count(0)
        if number > 0:
            expect(ways[number - 1][1]).to_have_count(1)
    expect(box).to_have_value(f"service={bank}")
    for address in addresses[1:]:
        page.go_forward()
        expect(page).to_have_url(address)
    expect(ways[-1][1]).to_have_count(1)


@pytest.fixture(scope="module")
def teller(server: Server) -> str:
    """A service whose payments fail since ten minutes and whose balances take longer than in the hour before; one in four is sampled."""
    service, now = fresh_name("teller"), time.time_ns()
    spans = [
        span(
            name="POST /pay",
            start_unix_nano=now - (50 * 60 if number < 40 else 10 * 60) * 1_000 * MS + number * 5_000 * MS,
            duration_ns=20 * MS,
            failed=number >= 40,
        )
        for number in range(60)
    ]
    spans += [
        span(
            name="GET /balance",
            start_unix_nano=now - minutes * 60_000 * MS + number * 10_000 * MS,
            duration_ns=length_ms * MS + number,
        )
        for minutes, length_ms in ((90, 10), (30, 400))
        for number in range(40)
    ]
    for one in spans:
        one.trace_state = "ot=th:c"
    server.export(request(service, spans))
    server.flush()
    return service


def test_what_fails_and_what_is_slow_is_said_with_since_when_and_the_traces_are_one_click_away(
    server: Server, teller: str, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{teller}")
    findings = page.locator(".findings")
    expect(findings).to_contain_text(
        re.compile(rf"Failing since (\d+ \w+ )?\d\d:\d\d: {teller} · POST /pay, 20 of 20 calls \(100 %\), new\.")
    )
    expect(findings).to_contain_text(
        re.compile(rf"Slower than usual: {teller} · GET /balance, p95 4\d\d ms, usually [\d.]+ ms \(40 calls\)\.")
    )
    expect(findings).to_be_in_viewport()
    assert violations(page) == []
    findings.get_by_role("button", name="Show the failed").click()
    expect(rows_of(page)).to_have_count(20)
    for number in (0, 19):
        expect(rows_of(page).nth(number)).to_contain_text("POST /pay")
    box = page.get_by_role("combobox", name=QUERY_BOX)
    expect(box).to_have_value(re.compile("status=error"))
    page.go_back()
    expect(box).to_have_value(f"service={teller}")
    findings.get_by_role("button", name="Show the slow").focus()
    page.keyboard.press("Enter")
    expect(rows_of(page)).to_have_count(40)
    expect(rows_of(page).first).to_contain_text("GET /balance")
    expect(rows_of(page).first).to_contain_text("400 ms")


def test_where_spans_say_how_they_were_sampled_the_counts_are_estimated_too(
    server: Server, teller: str, bank: str, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{teller}")
    everything = page.get_by_role("region", name="All matches", exact=True)
    expect(everything).to_contain_text("100 traces")
    expect(everything).to_contain_text("20 failed")
    expect(everything.get_by_text("estimated 400 traces, 80 failed")).to_be_visible()
    page.goto(f"{server.http}/search?q=service%3D{bank}")
    expect(everything).to_contain_text("45 traces")
    expect(everything).not_to_contain_text("estimated")


def test_single_traces_are_points_on_the_heatmap_and_one_is_opened_by_a_click(
    server: Server, bank: str, open_page: OpenPage
) -> None:
    page = open_page(server, f"/search?q=service%3D{bank}")
    page.get_by_role("group", name="Matches as").get_by_role("button", name="Points").click()
    expect(page.get_by_text("45 traces, a point each")).to_be_visible(timeout=60_000)
    assert "view=points" in page.url
    assert violations(page) == []
    where = page.get_by_role("application").bounding_box()
    assert where is not None
    canvas = page.locator(".heat-host canvas")
    for x in range(60, int(where["width"]), 5):  # the slow ones, all of which failed, are the topmost
        page.mouse.move(where["x"] + x, where["y"] + 10)
        if "failed" in (canvas.get_attribute("title") or ""):
            break
    title = canvas.get_attribute("title") or ""
    assert title.startswith("2.00 s, failed, ")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(f"**/trace/{title.removeprefix('2.00 s, failed, ').removesuffix('…')}*")
    page.go_back()
    expect(page.get_by_text("45 traces, a point each")).to_be_visible(timeout=60_000)


def test_a_version_that_came_up_is_marked_on_the_heatmap(server: Server, open_page: OpenPage) -> None:
    service, now = fresh_name("ledger"), time.time_ns()
    for version, ago in (("1.0", 1_200), ("1.1", 600)):
        spans = [span(name="POST /pay", start_unix_nano=now - ago * 1_000 * MS)]
        server.export(request(service, spans, resource={"service.version": version}))
    server.flush()
    page = open_page(server, f"/search?q=service%3D{service}")
    chart = page.get_by_role("application", name=re.compile(rf"2 traces, 0 failed.*; new version: {service} 1\.1$"))
    expect(chart).to_be_visible(timeout=60_000)


def test_on_a_phone_the_table_and_the_facets_are_behind_buttons(server: Server, bank: str, open_page: OpenPage) -> None:
    page = open_page(server, f"/search?q=service%3D{bank}", width=360)
    page.get_by_role("application").wait_for()
    page.get_by_role("button", name="Show as table").click()
    by_time = page.get_by_role("region", name="All matches by time")
    expect(by_time.get_by_role("row").nth(1)).to_contain_text("Select")
    assert "view=table" in page.url
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []
    page.get_by_role("button", name="Facets").click()
    expect(page.get_by_role("checkbox", name=re.compile("payment.bank north"))).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary", name="Facets")).to_be_hidden()
    # Of a query that is longer than its box the part is in sight that is not understood.
    refused = f"/search?q=service%3D{bank} and (status=error or name=POST or dur>5"
    page = open_page(server, refused, width=360, loads_may_fail=True)
    box = page.get_by_role("combobox", name=QUERY_BOX)
    expect(page.locator("#query-problem")).to_contain_text("is not a length of time")
    wait_until(lambda: box.evaluate("box => box.scrollLeft + box.clientWidth >= box.scrollWidth - 8"))
