"""What the UI may cost, on a real server and in a real Chromium.

Sizes and counts are gates. Times are measured and printed. They are of a machine that runs a certain loop in 50 ms, and longer in the
same measure on one that takes longer for it, because it is slow or does something else; the best of five counts, and fails at twice
the budget.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from harness.answers import wait_until
from harness.pages import OpenPage, wait_ready
from harness.server import Server
from harness.wire import new_trace_id, request, span

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The whole file, so that its traces are made once.
pytestmark = pytest.mark.alone
MS = 1_000_000
KB = 1_000
Best = Callable[[str, float, str, Callable[[], float]], None]
LARGEST = 300_000
"""The most that comes whole. Sending and storing it takes longer than all other tests here: `make bench-large` asks for it."""
SIZES = (10, 10_000, 100_000, *((LARGEST,) if os.environ.get("CLEW_TEST_LARGEST") else ()))
PAINT_BUDGET_S = {10: 0.3, 10_000: 0.3, 100_000: 1.0, LARGEST: 3.0}
PER_REQUEST = 10_000
WAIT_MS = 600_000
"""For rows, where much else runs on the machine: reading the largest trace took a minute there. What is measured begins with its data."""
UI = Path(__file__).parents[1] / "clew-server" / "src" / "clew_server" / "ui_dist"

# Times each frame's work, and when the first rows are there.
PROBE = """
window.frames_ms = []
const frame = window.requestAnimationFrame.bind(window)
window.requestAnimationFrame = (draw) => frame((now) => {
  const before = performance.now()
  draw(now)
  window.frames_ms.push(performance.now() - before)
})
new MutationObserver(() => {
  if (window.rows_at || !document.querySelector('.mirror [role=row][aria-level]')) return
  window.rows_at = Infinity
  frame(() => frame(() => { window.rows_at = performance.now() }))
}).observe(document, { childList: true, subtree: true })
"""


def large(server: Server, count: int) -> str:
    """A trace of so many spans: a root, handlers below it, each with ten calls, none equal to its siblings."""
    trace_id = new_trace_id()
    now = time.time_ns() - 300_000 * MS
    number = 0

    def spans() -> Any:
        nonlocal number
        for number in range(count):
            level = 0 if number == 0 else 1 if number % 11 == 1 else 2
            parent = b"" if level == 0 else ident(0) if level == 1 else ident(number - (number - 1) % 11)
            yield span(
                trace_id,
                span_id=ident(number),
                parent_id=parent,
                name=("POST /pay", f"handle {number}", f"SELECT {number % 97}")[level],
                start_unix_nano=now + number * 10_000,
                duration_ns=(count * 10_000, 110_000, 9_000)[level],
                values={"number": number},
            )

    batch: list[Any] = []
    for one in spans():
        batch.append(one)
        if len(batch) == PER_REQUEST:
            server.export(request("budget", batch))
            batch = []
    if batch:
        server.export(request("budget", batch))
    return trace_id.hex()


def ident(number: int) -> bytes:
    return (number + 1).to_bytes(8, "big")


class Traces:
    """Traces of each size, made when first asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._made: dict[int, str] = {}

    def of(self, count: int) -> str:
        if count not in self._made:
            self._made[count] = large(self.server, count)
            self.server.flush()
        return self._made[count]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(tmp_path_factory.mktemp("budget") / "data").start()
    yield Traces(server)
    server.close()


# Ten million rounds of arithmetic, which the browser compiles: nothing of ours, and nothing that a page waits for.
REFERENCE = """() => {
  const start = performance.now()
  let sum = 0
  for (let n = 0; n < 1e7; n++) sum = (sum * 31 + n) | 0
  document.title = String(sum)
  return performance.now() - start
}"""
REFERENCE_MS = 50


@pytest.fixture
def best(browser: Browser, best_of: Callable[..., float]) -> Iterator[Best]:
    """The best of five, printed; fails at twice the budget, which is larger where the machine is slower just now."""
    page = browser.new_context().new_page()
    for _ in range(5):
        page.evaluate(REFERENCE)  # until it is compiled

    def best(what: str, budget: float, unit: str, measure: Callable[[], float]) -> None:
        def in_proportion() -> float:
            slowness = max(1.0, min(page.evaluate(REFERENCE) for _ in range(3)) / REFERENCE_MS)
            took = measure()
            print(f"budget: {what}: {took:.3g} {unit} of {budget:g} {unit}, on a machine {slowness:.1f} times as slow")
            return took / slowness

        best_of(2 * budget, in_proportion)

    yield best
    page.context.close()


def probed(browser: Browser, server: Server, path: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(PROBE)
    page.goto(server.http + path)
    page.wait_for_function("() => Number.isFinite(window.rows_at)", timeout=WAIT_MS)
    return page


def test_scripts_and_styles_are_small() -> None:
    entry = re.findall(r'(?:src|href)="\./(assets/[^"]+\.(?:js|css))"', (UI / "index.html").read_text())
    sizes = {
        str(file.relative_to(UI)): len(gzip.compress(file.read_bytes()))
        for file in UI.glob("assets/*")
        if file.suffix in (".js", ".css")
    }
    first = sum(sizes[name] for name in entry)
    print(f"budget: entry {first / KB:.0f} kB of 150, all {sum(sizes.values()) / KB:.0f} kB of 300")
    assert entry
    assert first <= 150 * KB
    assert sum(sizes.values()) <= 300 * KB
    assert max((size for name, size in sizes.items() if name not in entry), default=0) <= 60 * KB


AFTER_THE_VIEW = ("/api/v1/traces/answers", "/api/v1/versions", "/assets/TracePage-", "/assets/TraceView-")
"""What is asked for once the list stands: where the rows in view failed, versions at the heatmap, the page that a row opens."""


def is_later(url: str) -> bool:
    return any(part in url for part in AFTER_THE_VIEW)


def test_the_first_search_view_asks_few_things_and_nobody_else(
    traces: Traces, browser: Browser, best_of: Callable[..., float]
) -> None:
    traces.of(10)
    # Where it takes more than ten seconds until the list stands, the page has asked for newer traces by then.
    best_of(9, lambda: requests_of_the_first_view(traces.server, browser))


def requests_of_the_first_view(server: Server, browser: Browser) -> int:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(server.http + "/search")
    wait_ready(page)
    # Which of the later ones a busy machine asks for before this is noticed differs.
    view = [url for url in asked if not is_later(url)]

    def all_later() -> bool:
        page.title()  # or no event is heard
        return all(any(part in url for url in asked) for part in AFTER_THE_VIEW)

    wait_until(all_later, about=lambda: asked)
    later = [url for url in asked if is_later(url)]
    print(f"budget: {len(view)} requests of 8, {len(later)} after them")
    assert [url for url in asked if not url.startswith((server.http, "data:"))] == []
    assert len(later) == len(AFTER_THE_VIEW), later
    page.context.close()
    return len(view)


def test_the_columns_of_100_000_spans_are_small(traces: Traces) -> None:
    answer = httpx.get(
        f"{traces.server.http}/api/v1/traces/{traces.of(100_000)}/skeleton",
        headers={"Accept-Encoding": "identity"},
        timeout=60,
    )
    columns = json.loads(answer.content)
    assert columns["total"] == 100_000
    assert columns["critical"]
    size, packed = len(answer.content), len(gzip.compress(answer.content))
    print(f"budget: columns {size / 1e6:.2f} MB of 5, gzip {packed / 1e6:.2f} MB of 1.6")
    assert size <= 5_000 * KB
    assert packed <= 1_600 * KB


def test_a_page_with_100_000_spans_has_few_elements(traces: Traces, open_page: OpenPage) -> None:
    page = open_page(traces.server, f"/trace/{traces.of(100_000)}")
    page.keyboard.press("*")
    page.keyboard.press("End")
    page.get_by_role("treegrid").locator("[aria-selected=true]").wait_for()
    count = page.evaluate("document.querySelectorAll('*').length")
    print(f"budget: {count} elements of 1,500")
    assert count <= 1500


@pytest.mark.parametrize("count", SIZES)
def test_rows_are_painted_soon_after_their_data_is_there(
    traces: Traces, browser: Browser, best: Best, count: int
) -> None:
    trace_id = traces.of(count)

    def measure() -> float:
        page = probed(browser, traces.server, f"/trace/{trace_id}")
        ms = page.evaluate(
            "window.rows_at - performance.getEntriesByType('resource').find((one) => one.name.endsWith('/skeleton')).responseEnd"
        )
        page.context.close()
        return float(ms) / 1000

    best(f"{count:,} spans, from their data to their rows", PAINT_BUDGET_S[count], "s", measure)


def test_drawing_finding_and_folding_100_000_spans_is_quick(traces: Traces, browser: Browser, best: Best) -> None:
    page = probed(browser, traces.server, f"/trace/{traces.of(100_000)}")
    wait_ready(page)
    expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", re.compile(r"^\d{5,6}$"))

    def draw() -> float:
        return float(
            page.evaluate(
                """async () => {
                  const scroller = document.querySelector('.waterfall')
                  window.frames_ms.length = 0
                  for (let step = 0; step < 200; step++) {
                    scroller.scrollTop += 60
                    await new Promise((done) => setTimeout(done, 20))
                  }
                  const { frames_ms } = window
                  return frames_ms.reduce((sum, one) => sum + one, 0) / Math.max(1, frames_ms.length)
                }"""
            )
        )

    best("one draw of the rows", 4, "ms", draw)
    changed = """async ([what, value]) => {
      const rows = () => document.querySelector('[role=treegrid]').getAttribute('aria-rowcount')
      const matches = () => document.querySelector('.find-count')?.textContent
      const look = what === 'key' ? rows : matches
      const before = look()
      const start = performance.now()
      if (what === 'key') {
        document.body.dispatchEvent(new KeyboardEvent('keydown', { key: value, bubbles: true }))
      } else {
        const box = document.getElementById('find')
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(box, value)
        box.dispatchEvent(new Event('input', { bubbles: true }))
      }
      while (look() === before) await new Promise((done) => requestAnimationFrame(done))
      return performance.now() - start
    }"""

    def fold() -> float:
        took = float(page.evaluate(changed, ["key", "1"]))
        return max(took, float(page.evaluate(changed, ["key", "*"])))

    # Printed and no gate yet: it took 150 ms on a machine with ten times more to do than it has cores.
    print(f"budget: closing and opening all rows: {min(fold() for _ in range(3)):.3g} ms of 50 ms")
    # Texts that are found different numbers of times.
    texts = iter(("SELECT 1", "SELECT 22", "handle 1", "SELECT 3", "SELECT 44"))
    best("finding by name", 100, "ms", lambda: float(page.evaluate(changed, ["find", next(texts)])))
    page.context.close()


def test_the_details_of_a_span_are_there_soon_after_the_click(traces: Traces, browser: Browser, best: Best) -> None:
    page = probed(browser, traces.server, f"/trace/{traces.of(10_000)}")
    page.locator(".panels[aria-busy=false]").wait_for(timeout=60_000)
    row = [1]

    def measure() -> float:
        row[0] += 1
        return float(
            page.evaluate(
                """async (index) => {
                  const shown = () => document.querySelector('.details')?.textContent ?? ''
                  const before = shown()
                  const row = document.querySelectorAll('.mirror [role=row][aria-level]')[index]
                  const { top } = row.getBoundingClientRect()
                  const start = performance.now()
                  row.dispatchEvent(new MouseEvent('click', { bubbles: true, clientX: 200, clientY: top + 12 }))
                  while (shown() === before || !shown().includes('number'))
                    await new Promise((done) => requestAnimationFrame(done))
                  return performance.now() - start
                }""",
                row[0],
            )
        )

    best("from the click to the details", 200, "ms", measure)
    page.context.close()
