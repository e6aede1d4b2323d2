"""Jaeger's own UI in a real browser, on top of clew: search, a trace, a comparison, dependencies, the Monitor tab.

No registry has it built, so it is built from its repository by hand and named by `JAEGER_UI`: folders with an `index.html`, several
with colons between them. What it asks over HTTP is in `test_jaeger_api.py`, which always runs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from harness.server import Server
from harness.spa import served
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDERS = [Path(text) for text in os.environ.get("JAEGER_UI", "").split(":") if text]
MS = 1_000_000
SECOND = 1_000 * MS

pytestmark = pytest.mark.skipif(not FOLDERS, reason="JAEGER_UI names no folder with a built Jaeger UI")


class Shop:
    """Three traces of two services; the first failed."""

    def __init__(self) -> None:
        self.web, self.bank = fresh_name("web"), fresh_name("bank")
        self.at = time.time_ns() - 120 * SECOND
        self.ids = [new_trace_id() for _ in range(3)]

    def send(self, server: Server) -> None:
        front, back = [], []
        for number, trace_id in enumerate(self.ids):
            root, client, start = new_span_id(), new_span_id(), self.at + number * SECOND
            values: dict[str, str | int | float | bool | bytes] = {"http.route": "/cart"}
            front.append(
                span(
                    trace_id, span_id=root, name="GET /cart", start_unix_nano=start, duration_ns=900 * MS, values=values
                )
            )
            front.append(
                span(trace_id, span_id=client, parent_id=root, name="charge", kind=3, start_unix_nano=start + MS, duration_ns=800 * MS)
            )  # fmt: skip
            back.append(
                span(trace_id, parent_id=client, name="POST /charge", start_unix_nano=start + 2 * MS, duration_ns=700 * MS, failed=not number)
            )  # fmt: skip
        server.export(request(self.web, front))
        server.export(request(self.bank, back))
        server.flush()


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    made = Shop()
    made.send(server)
    return made


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.parents[2].name if len(folder.parts) > 3 else folder.name)
def ui(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[str, list[str]]]:
    def with_metrics(page: str) -> str:
        """As Jaeger's server says that it has metrics."""
        pattern = r"const JAEGER_(STORAGE|BACKEND)_CAPABILITIES = DEFAULT_\w+;"
        return re.sub(pattern, r"const JAEGER_\1_CAPABILITIES = {metricsStorage: true};", page)

    with served(request.param, server.http, page=with_metrics) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(60_000)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    context.close()
    assert wrong == []


def test_jaegers_ui_searches_opens_compares_and_draws(ui: tuple[str, list[str]], page: Page, shop: Shop) -> None:
    url, asked = ui
    start, end = (shop.at + sign * 3_600 * SECOND for sign in (-1, 1))
    window = f"start={start // 1_000}&end={end // 1_000}&lookback=custom&limit=20"
    tags = "tags=%7B%22http.route%22%3A%22%2Fcart%22%2C%22error%22%3A%22true%22%7D"
    first, second = (trace_id.hex() for trace_id in shop.ids[:2])

    page.goto(f"{url}/search?service={shop.web}&{window}")
    page.get_by_text("3 Traces", exact=True).wait_for()
    page.goto(f"{url}/search?service={shop.bank}&{window}&minDuration=600ms&maxDuration=1s&operation=POST%20%2Fcharge")
    page.get_by_text("3 Traces", exact=True).wait_for()
    page.goto(f"{url}/search?service={shop.web}&{window}&{tags}")
    page.get_by_text("No trace results").wait_for()  # the failed span is the bank's
    page.goto(f"{url}/search?service={shop.bank}&{window}&tags=%7B%22error%22%3A%22true%22%7D")
    page.get_by_text("1 Trace", exact=True).wait_for()

    page.locator(f'a[href*="/trace/{first}"]').first.click()
    page.get_by_text("Total Spans").wait_for()
    for text in (shop.web, shop.bank, "POST /charge", "800ms", "700ms"):
        page.get_by_text(text).first.wait_for()

    page.goto(f"{url}/trace/{first}...{second}?cohort={first}&cohort={second}")
    page.get_by_text("VS", exact=True).wait_for()
    page.get_by_text(second[:7]).first.wait_for()

    with page.expect_response(re.compile("/api/dependencies")) as answer:
        page.goto(f"{url}/dependencies")
    assert {"parent": shop.web, "child": shop.bank, "callCount": 3} in answer.value.json()["data"]
    page.get_by_text("Hierarchical Layout").wait_for()

    page.goto(f"{url}/monitor?service={shop.bank}")
    page.get_by_text("Operations metrics under").wait_for()
    assert any("/api/metrics/latencies" in one for one in asked)


def test_nothing_that_jaegers_ui_asks_is_unknown(
    ui: tuple[str, list[str]], page: Page, shop: Shop, server: Server
) -> None:
    url, asked = ui
    for path in ("/search", f"/trace/{shop.ids[0].hex()}", "/dependencies", "/monitor"):
        with page.expect_response(re.compile("/api/")):
            page.goto(url + path)
        page.wait_for_load_state("networkidle")
    assert asked
    for method, _, path in (one.partition(" ") for one in asked):
        assert method == "GET"
        assert httpx.get(server.http + path, timeout=100).status_code == 200, path
