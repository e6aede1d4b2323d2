"""The trace page's answers within five seconds: where it failed, where its time went, whether that is usual. A real store and browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import Locator, expect

from harness.answers import wait_until
from harness.pages import OpenPage, row, violations
from harness.server import Server
from harness.wire import attributes, fresh_name, new_span_id, new_trace_id, request, span

MS = 1_000_000
BANK, RATES, PAY = "POST bank /v1/charges", "SELECT rates", "POST /pay"
MESSAGE = "no answer from bank: deadline of 2 s passed"
STACK = """Traceback (most recent call last):
  File "/srv/app/payment/charge.py", line 41, in charge
    return await client.post_charge(order)
  File "/venv/lib/python3.12/site-packages/httpx/_client.py", line 1859, in post
    return await self.request(
TimeoutError: no answer from bank: deadline of 2 s passed
"""


class Shop:
    """Forty usual requests, and one each that failed, was slow, was fine, and got over a failure."""

    def __init__(self, server: Server) -> None:
        self.payment, self.db = fresh_name("payment"), fresh_name("db")
        begin = time.time_ns() - 900_000 * MS
        for number in range(40):
            self._pay(server, begin + number * 1_000 * MS, selects=3)
        self.failed = self._pay(server, begin + 600_000 * MS, selects=40, each_ms=45, fails=True)
        self.slow = self._pay(server, begin + 610_000 * MS, selects=40, each_ms=45)
        self.fine = self._pay(server, begin + 620_000 * MS, selects=3)
        self.handled = self._pay(server, begin + 630_000 * MS, selects=3, retried=True)
        server.flush()

    def _pay(
        self,
        server: Server,
        start: int,
        *,
        selects: int,
        each_ms: int = 5,
        fails: bool = False,
        retried: bool = False,
    ) -> str:
        trace_id, root, charge = new_trace_id(), new_span_id(), new_span_id()
        bank_start = start + (10 + selects * each_ms) * MS
        end = bank_start + 60 * MS
        spans = [
            span(trace_id, span_id=root, name=PAY, start_unix_nano=start, duration_ns=end - start, failed=fails),
            span(
                trace_id,
                span_id=charge,
                parent_id=root,
                name="charge",
                kind=Span.SPAN_KIND_INTERNAL,
                start_unix_nano=start + 5 * MS,
                duration_ns=end - start - 8 * MS,
                failed=fails,
            ),
        ]
        calls = [(bank_start, fails or retried)] + ([(bank_start + 25 * MS, False)] if retried else [])
        for at, failed in calls:
            call = span(
                trace_id,
                parent_id=charge,
                name=BANK,
                kind=Span.SPAN_KIND_CLIENT,
                start_unix_nano=at,
                duration_ns=20 * MS if retried else 50 * MS,
                failed=failed,
                values={"payment.bank": "north"},
            )
            if failed:
                values = {
                    "exception.type": "TimeoutError",
                    "exception.message": MESSAGE,
                    "exception.stacktrace": STACK,
                }
                call.events.add(name="exception", time_unix_nano=at + 19 * MS, attributes=list(attributes(values)))
            spans.append(call)
        server.export(request(self.payment, spans))
        queries = [
            span(
                trace_id,
                parent_id=charge,
                name=RATES,
                start_unix_nano=start + (8 + number * each_ms) * MS,
                duration_ns=each_ms * MS,
            )
            for number in range(selects)
        ]
        server.export(request(self.db, queries))
        return trace_id.hex()


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    return Shop(server)


def test_a_failed_trace_says_at_once_what_failed_with_its_message_and_what_came_before(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.failed}")
    panel = page.get_by_role("region", name="Where it failed")
    expect(panel).to_contain_text("TimeoutError")
    expect(panel).to_contain_text(f"{shop.payment} · {BANK}")
    expect(panel).to_contain_text(MESSAGE)
    expect(panel).to_contain_text(RATES)  # it began late, and that is where the time went
    origin = row(page, shop.payment, BANK, "failed")
    expect(origin).to_have_attribute("aria-selected", "true")
    details = page.get_by_role("complementary", name="Span details")
    expect(details).to_contain_text("payment/charge.py:41")
    expect(details).not_to_contain_text("httpx/_client.py")


def test_a_slow_trace_names_its_largest_finding_and_what_is_usual(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.slow}")
    panel = page.get_by_role("region", name="Why it was slow")
    expect(panel.get_by_role("heading", name="Why it was slow")).to_be_visible()
    expect(panel).to_contain_text(f"{shop.db} · {RATES}")
    expect(panel).to_contain_text("40 equal calls in a row, usually 3")
    expect(page.get_by_text(re.compile(r"\d × usual"))).to_be_visible()
    expect(page.get_by_role("region", name="Where it failed")).to_have_text("No span failed")
    expect(row(page, shop.db, RATES, "40 equal calls")).to_have_attribute("aria-selected", "true")
    if panel.get_by_role("listitem").count() == 0:  # where the explanation came late, the panel has one line
        panel.get_by_role("button", name=re.compile("^all")).click()
    expect(panel.get_by_role("listitem").first).to_contain_text(f"{shop.db} · {RATES}")
    panel.get_by_role("button").filter(has_text=f"· {BANK}").click()
    expect(row(page, shop.payment, BANK, "")).to_have_attribute("aria-selected", "true")


def test_a_usual_trace_gives_the_height_to_its_rows_and_selects_nothing(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.fine}")
    expect(page.get_by_role("region", name="Where it failed")).to_have_text("No span failed")
    panel = page.get_by_role("region", name="Why it was slow")
    expect(panel).to_contain_text("Not slow")
    expect(panel).to_contain_text(re.compile(rf"slower than \d+ % of {PAY}"))
    wait_until(lambda: (panel.bounding_box() or {})["height"] < 90, about=panel.bounding_box)
    expect(page.get_by_role("complementary", name="Span details")).to_have_count(0)


OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SHIFTS = """
window.moved = 0
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value
}).observe({ type: 'layout-shift', buffered: true })
"""


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", ["failed", "slow", "fine"])
def test_nothing_moves_when_the_explanation_comes_after_the_rows(
    server: Server, shop: Shop, open_page: OpenPage, name: str, width: int
) -> None:
    page = open_page(server, "/search", width=width)
    page.add_init_script(SHIFTS)
    waiting: list[Any] = []
    page.route("**/explain", lambda one: waiting.append(one))
    page.goto(f"{server.http}/trace/{getattr(shop, name)}")
    rows = page.get_by_role("treegrid")
    rows.get_by_role("row").nth(2).wait_for()
    before = rows.bounding_box()
    moved = page.evaluate("window.moved")  # by fonts and the first frame
    assert waiting, "the rows did not wait for it"
    waiting[0].continue_()
    page.locator(".panels[aria-busy=false]").wait_for()
    expect(page.get_by_role("region", name="Why it was slow")).to_contain_text(shop.db)
    assert before is not None
    assert (rows.bounding_box() or {})["y"] == before["y"]
    if width == 1440:
        assert page.evaluate("window.moved") - moved < 0.02
    # What fits into one line for each panel is given no more.
    held = page.locator(".room").bounding_box() or {}
    if name != "failed":
        assert held["height"] == (48 if width == 1440 else 100)
    second = page.get_by_role("region", name="Why it was slow").bounding_box() or {}
    assert second["y"] + second["height"] <= held["y"] + held["height"], "the lower panel is cut"
    if name == "slow":
        panel = page.get_by_role("region", name="Why it was slow")
        expect(panel).to_contain_text("40 equal calls in a row")
        panel.get_by_role("button", name=re.compile("^all")).click()
        expect(panel.get_by_role("listitem").first).to_contain_text(f"{shop.db} · {RATES}")
        expect(page.locator(".room")).to_have_count(0)
    if name == "failed" and width < 720:
        # Where less fits it says that there is more.
        page.set_viewport_size({"width": 240, "height": 800})
        page.get_by_role("button", name="Show all").click()
        wait_until(lambda: (page.locator(".room").bounding_box() or held)["height"] > held["height"])
        expect(page.get_by_role("button", name="Show all")).to_have_count(0)


def test_a_handled_failure_is_called_handled_and_is_not_the_cause(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.handled}")
    panel = page.get_by_role("region", name="Where it failed")
    expect(panel).to_contain_text("1 failure, handled")
    expect(page.get_by_text("failure handled")).to_be_visible()
    expect(page.get_by_role("complementary", name="Span details")).to_have_count(0)
    panel.get_by_role("button", name=f"{shop.payment} · {BANK}").click()
    expect(page.get_by_role("complementary", name="Span details")).to_contain_text("This failure was handled")


def late(server: Server, *, caller_failed: bool) -> str:
    """A call that ends after 500 ms, failed or with an answer, and what it called fails after 2 s."""
    trace_id, root, call = new_trace_id(), new_span_id(), new_span_id()
    start, web, stock = time.time_ns() - 60_000 * MS, fresh_name("web"), fresh_name("stock")
    top = span(
        trace_id, span_id=root, name="GET /cart", start_unix_nano=start, duration_ns=510 * MS, failed=caller_failed
    )
    asks = span(
        trace_id,
        span_id=call,
        parent_id=root,
        name="ask stock",
        kind=Span.SPAN_KIND_CLIENT,
        start_unix_nano=start,
        duration_ns=500 * MS,
        failed=caller_failed,
    )
    if caller_failed:
        asks.events.add(name="exception", attributes=list(attributes({"exception.type": "httpx.ReadTimeout"})))
    slow = span(trace_id, parent_id=call, name="GET /slow", start_unix_nano=start, duration_ns=2_000 * MS, failed=True)
    slow.events.add(name="exception", attributes=list(attributes({"exception.type": "KeyError"})))
    server.export(request(web, [top, asks]))
    server.export(request(stock, [slow]))
    server.flush()
    return trace_id.hex()


def test_a_call_that_gave_up_is_where_it_failed_and_what_failed_later_stands_beside_it(
    server: Server, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{late(server, caller_failed=True)}")
    panel = page.get_by_role("region", name="Where it failed")
    expect(panel.get_by_role("button", name=re.compile("· ask stock$"))).to_be_visible()
    expect(panel).to_contain_text("httpx.ReadTimeout")
    expect(panel).to_contain_text("GET /slow failed later, 1.50 s after")
    expect(page.get_by_role("complementary", name="Span details")).to_contain_text("ask stock")


def test_what_fails_after_the_answer_is_said_and_is_not_the_cause(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, f"/trace/{late(server, caller_failed=False)}")
    expect(page.get_by_role("region", name="Where it failed")).to_contain_text("1 failure, after the answer")
    expect(page.get_by_text("failure afterwards")).to_be_visible()


@pytest.mark.parametrize("width", [1024, 390])
def test_on_narrow_screens_a_failed_trace_opens_with_its_message_in_sight(
    server: Server, shop: Shop, open_page: OpenPage, width: int
) -> None:
    page = open_page(server, f"/trace/{shop.failed}", width=width)
    message = page.get_by_role("region", name="Where it failed").get_by_text(MESSAGE)
    expect(message).to_be_in_viewport()
    expect(page.get_by_role("treegrid")).to_be_attached()
    wait_until(lambda: not page.evaluate(OVERFLOWS))
    for tab, table in (("Statistics", "Operations"), ("Events", "Events of the trace")):
        page.get_by_role("button", name=tab).click()
        named = page.get_by_role("table", name=table).get_by_role("button").filter(has_text=BANK)
        wait_until(lambda: (named.bounding_box() or {})["height"] <= 84, about=named.bounding_box)  # noqa: B023
        wait_until(lambda: not page.evaluate(OVERFLOWS))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_objects_to_nothing_on_panels_tabs_and_details(
    server: Server, shop: Shop, open_page: OpenPage, theme: str
) -> None:
    page = open_page(server, f"/trace/{shop.failed}", theme)
    for path, ready in (
        (f"/trace/{shop.failed}", "Where it failed"),
        (f"/trace/{shop.fine}", "Why it was slow"),
        (f"/trace/{shop.failed}?tab=flame", "Flame graph"),
        (f"/trace/{shop.failed}?tab=stats", "Statistics"),
        (f"/trace/{shop.failed}?tab=events", "Events"),
        (f"/trace/{shop.failed}?tab=services", "Services"),
    ):
        page.goto(server.http + path)
        page.get_by_role("region", name=ready).wait_for()
        page.locator(".panels[aria-busy=false]").wait_for()
        assert violations(page) == [], path


def test_the_keys_walk_the_critical_path_and_the_filter_keeps_it(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.failed}")
    page.locator(".panels[aria-busy=false]").wait_for()
    page.keyboard.press("C")
    expect(row(page, shop.payment, "charge", "failed")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("C")
    expect(row(page, shop.db, RATES, "40 equal calls")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("e")
    expect(row(page, shop.payment, BANK, "failed")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name=re.compile("^Critical")).click()
    expect(page).to_have_url(re.compile("only=crit"))
    page.get_by_role("button", name="Events").click()
    expect(page.get_by_role("table", name="Events of the trace")).to_contain_text(f"TimeoutError: {MESSAGE}")


def test_a_file_that_was_exported_opens_again_without_being_stored(
    server: Server, shop: Shop, open_page: OpenPage, tmp_path: Path
) -> None:
    exported = server.get(f"/api/v1/traces/{shop.failed}").text
    unknown = new_trace_id().hex()
    file = tmp_path / "trace.json"
    file.write_text(exported.replace(shop.failed, unknown))
    page = open_page(server, "/trace?upload")
    assert violations(page) == []
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.get_by_role("region", name="Where it failed")).to_contain_text(f"{shop.payment} · {BANK}")
    expect(page.get_by_role("complementary", name="Span details")).to_contain_text("payment/charge.py:41")
    assert server.get(f"/api/v1/traces/{unknown}").status_code == 404


def test_files_of_jaeger_and_of_zipkin_open_too(server: Server, open_page: OpenPage, tmp_path: Path) -> None:
    trace_id, start_us = new_trace_id().hex(), 1_795_346_323_025_004
    jaeger = {
        "traceID": trace_id,
        "spans": [
            {
                "traceID": trace_id,
                "spanID": "a1",
                "operationName": "GET /dispatch",
                "startTime": start_us,
                "duration": 5000,
                "tags": [{"key": "error", "type": "bool", "value": True}],
                "processID": "p1",
            }
        ],
        "processes": {"p1": {"serviceName": "frontend"}},
    }
    zipkin = [
        {
            "traceId": trace_id,
            "id": "a1",
            "name": "get /orders",
            "timestamp": start_us,
            "duration": 5000,
            "localEndpoint": {"serviceName": "orders"},
            "tags": {"error": "no stock"},
        }
    ]
    file = tmp_path / "trace.json"
    page = open_page(server, "/trace?upload")
    for content, root, failed in (
        ({"data": [jaeger]}, "GET /dispatch", "frontend"),
        ([zipkin], "get /orders", "no stock"),
    ):
        file.write_text(json.dumps(content))
        page.get_by_label("Choose a file").set_input_files(file)
        expect(page.get_by_role("heading", level=1)).to_contain_text(root)
        expect(page.get_by_role("region", name="Where it failed")).to_contain_text(failed)
        page.get_by_role("button", name="Another file").click()


def test_rows_are_coloured_by_the_values_of_an_attribute(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/trace/{shop.handled}")
    page.get_by_role("combobox", name="Colour of the rows").select_option("Attribute…")
    page.get_by_role("combobox", name="Attribute that colours the rows").fill("payment.bank")
    page.keyboard.press("Enter")
    legend = page.get_by_role("list", name="Legend of the colours")
    expect(legend.get_by_role("listitem")).to_have_text(["north", "none"], timeout=60_000)
    expect(page).to_have_url(re.compile("colour=attr:payment.bank"))
    expect(row(page, shop.payment, BANK, "").first).to_have_attribute("aria-label", re.compile("payment.bank = north$"))
    assert violations(page) == []
    again = open_page(server, page.url.removeprefix(server.http), theme="dark")
    expect(again.get_by_role("list", name="Legend of the colours").get_by_role("listitem")).to_have_text(
        ["north", "none"]
    )
    assert violations(again) == []
    again.get_by_role("button", name="by service").click()
    expect(again).not_to_have_url(re.compile("colour="))
    row(again, shop.payment, BANK, "").first.click()
    again.get_by_role("button", name="Colour the rows by payment.bank").click()
    expect(again).to_have_url(re.compile("colour=attr:payment.bank"))


@pytest.mark.parametrize("width", [1280, 1440])
def test_the_tools_of_the_rows_stand_in_one_line(server: Server, shop: Shop, open_page: OpenPage, width: int) -> None:
    page = open_page(server, f"/trace/{shop.failed}?t=1000000,90000000", width=width)
    page.get_by_role("button", name="Whole trace").wait_for()
    bar = page.locator(".trace-toolbar")
    wait_until(lambda: (bar.bounding_box() or {})["height"] <= 48, about=bar.bounding_box)
    wait_until(lambda: bool(bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth")))
    ends = "bar => [...bar.querySelectorAll('button')].map((tool) => tool.getBoundingClientRect().right)"
    wait_until(lambda: max(bar.evaluate(ends)) <= width, about=lambda: bar.evaluate(ends))


def test_every_key_does_what_the_help_says(server: Server, shop: Shop, open_page: OpenPage) -> None:
    page = open_page(server, f"/trace/{shop.failed}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    grid, press = page.get_by_role("treegrid"), page.keyboard.press

    def selected(service: str, name: str) -> None:
        expect(row(page, service, name, "").first).to_have_attribute("aria-selected", "true")

    def rows(count: int) -> None:
        expect(grid).to_have_attribute("aria-rowcount", str(count + 1))

    press("Home")
    selected(shop.payment, PAY)
    press("j")
    selected(shop.payment, "charge")
    press("k")
    selected(shop.payment, PAY)
    press("ArrowRight")
    selected(shop.payment, "charge")
    press("ArrowLeft")
    rows(2)
    press("ArrowLeft")
    selected(shop.payment, PAY)
    press("*")
    rows(4)
    press("1")
    rows(1)
    press("2")
    rows(2)
    press("9")
    rows(4)
    press("g")
    rows(43)
    press("g")
    rows(4)
    for key in ("e", "E"):
        press(key)
        selected(shop.payment, BANK)
    press("Escape")
    details = page.get_by_role("complementary", name="Span details")
    expect(details).to_have_count(0)
    press("Enter")
    expect(details).to_be_visible()

    press("f")
    box = page.get_by_role("textbox", name="Find in services and names")
    expect(box).to_be_focused()
    box.fill("POST")
    grid.focus()
    for key, name in (("n", PAY), ("n", BANK), ("N", PAY)):
        press(key)
        selected(shop.payment, name)
    press("Escape")
    expect(details).to_have_count(0)
    press("Escape")
    expect(box).to_have_value("")

    press("+")
    expect(page).to_have_url(re.compile("[?&]t="))
    press("-")
    expect(page).not_to_have_url(re.compile("[?&]t="))
    press("y")
    page.get_by_role("status").filter(has_text=re.compile("copied", re.IGNORECASE)).first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    for key, theme in (("D", "dark"), ("D", "light")):
        press(key)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    for key, dialog in (("?", "Help"), (".", "Commands")):
        press(key)
        expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
        press("Escape")
        expect(page.get_by_role("dialog", name=dialog)).to_have_count(0)
    with page.expect_response(re.compile("/skeleton")):
        press("r")
    press("t")
    expect(page.get_by_role("combobox", name="Time range")).to_be_focused()
    grid.focus()
    press("/")
    expect(page.get_by_role("combobox", name="Query or trace id")).to_be_focused()
    press("Escape")
    press("[")
    expect(page).to_have_url(re.compile("/search[?].*from=20"))
    earlier = page.url
    press("]")
    page.wait_for_function("before => location.href !== before", arg=earlier)
    page.go_back()
    expect(page).to_have_url(earlier)
    page.go_back()
    grid.wait_for()
    press("g")
    press("s")
    expect(page).to_have_url(re.compile("/search"))


def _rows_by_index(grid: Locator) -> dict[str, str]:
    """What a screen reader says of each drawn row, and whether it is selected, by the row's index among all rows."""
    rows: dict[str, str] = grid.evaluate(
        "grid => Object.fromEntries([...grid.querySelectorAll('[role=row][aria-level]')]"
        ".map((row) => [row.ariaRowIndex, `${row.ariaLabel}, selected ${row.ariaSelected}`]))"
    )
    return rows


def same(read: Callable[[], list[object]]) -> None:
    """Wait until all that is read is the same, and something."""

    def is_so() -> bool:
        first, *others = read()
        return bool(first) and all(other == first for other in others)

    wait_until(is_so, about=read)


def _rows_both_show(these: dict[str, str], those: dict[str, str]) -> bool:
    common = these.keys() & those.keys()
    return (
        len(common) >= 3
        and all(these[row] == those[row] for row in common)
        and any(these[row].endswith("selected true") for row in common)
    )


def test_a_link_opens_the_same_view_in_a_fresh_profile_and_leaves_its_settings_alone(
    server: Server, shop: Shop, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{shop.failed}")
    page.get_by_role("button", name=re.compile("^Critical")).click()
    page.get_by_role("combobox", name="Hide short spans").select_option("Hide < 1 %")
    page.get_by_role("combobox", name="Colour of the rows").select_option("Colour: kind")
    page.get_by_role("textbox", name="Find in services and names").fill("rates")
    grid = page.get_by_role("treegrid")
    grid.focus()
    page.keyboard.press("n")
    page.keyboard.press("g")
    page.keyboard.press("z")
    expect(page).to_have_url(re.compile("[?&]t="))
    expect(page).to_have_url(re.compile("siblings="))
    other = open_page(server, page.url.removeprefix(server.http), theme="dark")
    grids = (grid, other.get_by_role("treegrid"))
    same(lambda: [one.get_by_role("status", name="Matches").inner_text() for one in (page, other)])
    same(lambda: [one.get_attribute("aria-rowcount") for one in grids])
    # How many rows fit depends on the panels above, which grow when the explanation comes; each row that both pages show is
    # compared, the selected one among them.
    wait_until(lambda: _rows_both_show(*map(_rows_by_index, grids)), about=lambda: [*map(_rows_by_index, grids)])
    expect(other.get_by_role("button", name=re.compile("^Critical"))).to_have_attribute("aria-pressed", "true")
    expect(other.get_by_role("combobox", name="Colour of the rows")).to_have_value("kind")
    expect(other.get_by_role("button", name="Whole trace")).to_be_visible()
    same(lambda: [page.url, other.url])
    assert other.evaluate("Object.keys(localStorage)") == []
