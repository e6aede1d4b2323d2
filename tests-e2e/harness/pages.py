"""The UI in a browser: when a page is ready, what axe objects to, rows of the waterfall by what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
OpenPage = Callable[..., "Page"]
"""`open_page(server, path, theme="light", width=1440, awaits_data=True, loads_may_fail=False)`: the fixture of conftest.py."""


def wait_ready(page: Page) -> None:
    page.locator("html[data-ready='true']").wait_for(state="attached", timeout=60_000)


# Old content is pale while what replaces it is fetched, which on a busy machine takes long: no colour is what it is for then.
# What is animated by scrolling never ends and moves by itself never.
AT_REST = """() => document.querySelector('.dimmed') === null && document.getAnimations().every((one) =>
  one.timeline !== document.timeline || one.playState === 'finished' || one.playState === 'idle')"""


# By WCAG 2.2 2.5.8 without its exceptions. What is drawn for a screen reader only is as large as its place; a label is its box's target too.
SMALL_TARGETS = """() => [...document.querySelectorAll(
  'a[href], button, input, select, summary, textarea, [role=button], [role=checkbox], [role=option], [role=tab]')]
  .map((one) => [one, (one.matches('[type=checkbox], [type=radio]') && one.closest('label')) || one])
  .map(([one, target]) => [one, target.getBoundingClientRect(), getComputedStyle(one)])
  .filter(([one, { width, height }, style]) => width > 0 && height > 0 && (width < 23.9 || height < 23.9)
    && !one.disabled && style.visibility !== 'hidden' && style.clipPath === 'none')
  .map(([one, { width, height }]) => `${Math.round(width)} x ${Math.round(height)} px: ${one.outerHTML.slice(0, 200)}`)"""


def violations(page: Page) -> list[str]:
    """What axe objects to on the page once nothing on it is about to be replaced or moves, and what is too small to be hit."""
    page.wait_for_function(AT_REST, timeout=60_000)
    if not AXE.exists():
        pytest.fail("axe-core is missing: run npm ci in web/.", pytrace=False)
    page.evaluate(AXE.read_text())
    # Of what is well it then writes no list.
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    of_axe = [
        f"{rule['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    return of_axe + page.evaluate(SMALL_TARGETS)


def row(page: Page, service: str, name: str, more: str) -> Any:
    """A row of the waterfall by the start of its sentence."""
    return page.get_by_role("treegrid").get_by_role("row", name=f"{service}, {name}, {more}")


def view_menu(page: Page) -> Any:
    """The controls below *View* on the trace page, opened where they are not."""
    button = page.get_by_role("button", name="View")
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    return page.get_by_role("group", name="Levels, groups and time")
