"""Zipkin's own UI in a real browser on top of clew: search, a trace, the dependency page. Run by `make clients`: its jar has 135 MB."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness import backends
from harness.lens import lens
from harness.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(os.environ.get("CLEW_ALL_CLIENTS") != "1", reason="make clients fetches Zipkin's UI")

TRACE = "5f2c1d7a9b3e4f61"
NOW_US = time.time_ns() // 1_000
WAIT_MS = 60_000


def side(number: int, service: str, name: str, kind: str, after_us: int, **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "id": f"{number:016x}",
        "kind": kind,
        "name": name,
        "timestamp": NOW_US + after_us,
        "duration": 9_000 - after_us,
        "localEndpoint": {"serviceName": service},
        **more,
    }


SPANS = [
    side(1, "shop", "get /cart", "SERVER", 0, tags={"http.method": "GET"}),
    side(2, "shop", "charge", "CLIENT", 1_000, parentId=f"{1:016x}", tags={"error": "declined"}),
    side(2, "bank", "charge", "SERVER", 2_000, parentId=f"{1:016x}", shared=True),
    side(3, "bank", "insert", "CLIENT", 3_000, parentId=f"{2:016x}", remoteEndpoint={"serviceName": "ledger"}),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("lens")
    running = Server(folder / "data", options=["--receive", "zipkin@127.0.0.1:0"]).start()
    zipkin = running.receiver("zipkin")
    for service in ("shop", "bank"):
        sent = [span for span in SPANS if span["localEndpoint"]["serviceName"] == service]
        assert httpx.post(f"{zipkin}/api/v2/spans", json=sent).status_code == 202
    running.flush()
    try:
        with lens(zipkin) as found:
            yield found
    except backends.Absent as reason:
        pytest.skip(f"Zipkin's UI: {reason}")
    finally:
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which no script fails."""
    wrong: list[str] = []
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    opened.close()
    assert wrong == []


def test_a_search_lists_the_trace_and_opens_it(address: str, page: Page) -> None:
    page.goto(f"{address}?serviceName=shop&lookback=15m&limit=10")
    page.get_by_role("button", name="Run query").click()
    page.get_by_text("1 Result").wait_for()
    page.get_by_text("Show", exact=True).click()
    page.get_by_text("Total Spans").wait_for()
    assert TRACE in page.url


def test_a_trace_shows_both_sides_of_a_shared_span_as_one_call_and_its_error(address: str, page: Page) -> None:
    page.goto(f"{address}traces/{TRACE}")
    page.get_by_text("bank: charge").first.wait_for()
    head = page.locator("body").inner_text()
    shown = {label: head.split(label)[1].split()[0] for label in ("Duration", "Services", "Total Spans", "Trace ID")}
    # Zipkin's UI counts the two sides of a call as one span, and what has no spans as a service.
    assert shown == {"Duration": "9ms", "Services": "3", "Total Spans": "3", "Trace ID": TRACE}
    page.get_by_text("bank: charge").first.click()
    page.get_by_text("declined").first.wait_for()
    page.get_by_text("Client Start").first.wait_for()
    page.get_by_text("Server Start").first.wait_for()


def test_the_dependency_page_draws_the_services(address: str, page: Page) -> None:
    now_ms = time.time_ns() // 1_000_000
    with page.expect_response(lambda answer: "/api/v2/dependencies" in answer.url, timeout=WAIT_MS) as asked:
        page.goto(f"{address}dependency?startTime={now_ms - 3_600_000}&endTime={now_ms + 60_000}")
    assert asked.value.json() == [
        {"parent": "bank", "child": "ledger", "callCount": 1},
        {"parent": "shop", "child": "bank", "callCount": 1, "errorCount": 1},
    ]
    page.locator("canvas").first.wait_for()
    page.get_by_label("Filter").click()
    assert sorted(page.get_by_role("listbox").inner_text().split()) == ["bank", "ledger", "shop"]
