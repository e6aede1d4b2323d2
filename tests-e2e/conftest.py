"""Fixtures of the stories: servers that are gone after the test, a shared one for stories that only add to it, a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the stories import `harness`; importlib mode adds no path

from clew.testing import SpanRecorder
from harness import backends
from harness.backends import Backend
from harness.pages import OpenPage, wait_ready
from harness.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ServerFactory = Callable[..., Server]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores Ctrl-C for what it starts in the background, and so would every process that the stories start and end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Commands have the width that a test says. readline, which pytest loads, sets these for all children, past `os.environ`.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
    os.unsetenv(_name)

# A proxy of whoever runs the tests leads to nothing on this machine; what is fetched may need it.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "localhost,127.0.0.1,::1")))

# An answer has 5 s by itself; on a busy machine it may need more, and a test that wants less says so.
for _step in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _step, 100.0)
# And a span is waited for 5 s.
SpanRecorder.one.__kwdefaults__["timeout_s"] = 100.0


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[ServerFactory]:
    """Makes servers, not yet started, on folders below the test's own; kills what still runs after the test."""
    made: list[Server] = []

    def make(name: str = "data", **options: object) -> Server:
        server = Server(tmp_path / name, **options)  # type: ignore[arg-type]
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server for all stories that only add spans of their own and look for those."""
    running = Server(tmp_path_factory.mktemp("shared") / "data", options=["--jaeger-query-port", "0"]).start()
    yield running
    assert running.is_running(), f"the shared server ended by itself:\n{running.printed()}"
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Real Chromium; a failure, not a skip, without it.

    One for each file: as long as it is there an event loop runs in this thread, and tests of other files run loops of their own.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a limit for a test that fails; a slow machine has many times the usual
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: install the Debian package chromium.", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def profiles() -> list[BrowserContext]:
    """Profiles of the file's browser that are as new: they hold nothing but compiled scripts, which a new one compiles again."""
    return []


@pytest.fixture
def open_page(browser: Browser, profiles: list[BrowserContext]) -> Iterator[OpenPage]:
    """Opens an address in a profile that no other page of the test has, and waits until the first view has its data.

    No script may fail.
    """
    opened: list[Page] = []
    wrong: list[str] = []

    def heard(message: Any) -> None:
        if message.type == "error" and "status of 401" not in message.text:
            wrong.append(message.text)

    def heard_from_scripts(message: Any) -> None:
        if not message.text.startswith("Failed to load resource:"):
            heard(message)

    def open_in(
        server: Server,
        path: str,
        theme: str = "light",
        width: int = 1440,
        awaits_data: bool = True,
        loads_may_fail: bool = False,
    ) -> Page:
        size = {"width": width, "height": 900}
        context = profiles.pop() if profiles else browser.new_context(viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(60_000)
        opened.append(page)
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", heard_from_scripts if loads_may_fail else heard)
        page.goto(server.http + path)
        if awaits_data:
            wait_ready(page)
            # The panels of a trace grow when its explanation comes: rows then move, under a click too.
            page.locator(".panels[aria-busy='true']").wait_for(state="detached", timeout=60_000)
        return page

    yield open_in
    profiles.extend(page.context for page in opened if _is_as_new(page))
    assert wrong == []


def _is_as_new(page: Page) -> bool:
    """Close the page and take out what it stored; where that cannot be done, its profile is closed."""
    from playwright.sync_api import Error

    context = page.context
    try:
        # What another page of the profile stored, or one that is closed already, is out of reach.
        if not page.is_closed() and context.pages == [page]:
            page.evaluate("localStorage.clear()")  # sessionStorage goes with its page
            page.close()
            context.clear_cookies()
            context.clear_permissions()
            return True
    except Error:
        pass  # a test that fails may leave a page that does not answer
    context.close()
    return False


def _backend(name: str) -> Callable[[], Iterator[Backend]]:
    @pytest.fixture(scope="session", name=name)
    def fixture() -> Iterator[Backend]:
        try:
            with getattr(backends, name)() as running:
                yield running
        except backends.Absent as reason:
            pytest.skip(f"{name}: {reason}")

    return fixture


# Real servers, one of each for all stories: `redis`, `postgresql`, `rabbitmq`, `mongodb`, `kafka` are fixtures.
redis, postgresql, rabbitmq, mongodb, kafka = map(_backend, ("redis", "postgresql", "rabbitmq", "mongodb", "kafka"))
redis_cluster = _backend("redis_cluster")


@pytest.fixture(params=["clew", "sdk"])
def tracer_provider(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Every instrumentation is tried on clew's provider and on OpenTelemetry's own."""
    import opentelemetry.sdk.trace

    import clew

    made: Any = clew.TracerProvider() if request.param == "clew" else opentelemetry.sdk.trace.TracerProvider()
    yield made
    made.shutdown()


@pytest.fixture
def spans(tracer_provider: Any) -> SpanRecorder:
    """What the provider records from now on."""
    return SpanRecorder(tracer_provider)
