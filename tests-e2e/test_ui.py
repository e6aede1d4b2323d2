"""The UI in a real Chromium: from the first-run page to the span that failed, by roles and labels only; axe on every page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import expect

from harness.answers import wait_until
from harness.pages import OpenPage, row, view_menu, violations
from harness.server import Server
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

if TYPE_CHECKING:
    pass

MS = 1_000_000
ORIGIN = "SELECT messages_7"


class Story:
    """A request of `user` that `message` failed in its database, and one that went well."""

    def __init__(self, server: Server) -> None:
        self.user, self.message = fresh_name("user"), fresh_name("message")
        self.failing, self.fine = new_trace_id(), new_trace_id()
        self.span_of_fine = b""
        now = time.time_ns() - 5_000 * MS
        for trace_id, fails in ((self.failing, True), (self.fine, False)):
            root, client, called, query = (new_span_id() for _ in range(4))
            self.span_of_fine = called
            server.export(
                request(
                    self.user,
                    [
                        span(
                            trace_id,
                            span_id=root,
                            name="GET /users/{name}/messages",
                            start_unix_nano=now,
                            duration_ns=40 * MS,
                            failed=fails,
                        ),
                        span(
                            trace_id,
                            span_id=client,
                            parent_id=root,
                            name="/message.v1.MessageService/ListMessages",
                            kind=Span.SPAN_KIND_CLIENT,
                            start_unix_nano=now + 2 * MS,
                            duration_ns=36 * MS,
                            failed=fails,
                        ),
                    ],
                )
            )
            server.export(
                request(
                    self.message,
                    [
                        span(
                            trace_id,
                            span_id=called,
                            parent_id=client,
                            name="/message.v1.MessageService/ListMessages",
                            start_unix_nano=now + 4 * MS,
                            duration_ns=30 * MS,
                            failed=fails,
                        ),
                        span(
                            trace_id,
                            span_id=query,
                            parent_id=called,
                            name=ORIGIN,
                            kind=Span.SPAN_KIND_CLIENT,
                            start_unix_nano=now + 6 * MS,
                            duration_ns=5 * MS,
                            failed=fails,
                            values={"db.system.name": "sqlite", "app.shard": 7},
                        ),
                    ],
                )
            )
            now += 1_000 * MS
        server.flush()


@pytest.fixture(scope="module")
def story(server: Server) -> Story:
    return Story(server)


def test_the_failing_trace_is_clicked_in_search_and_names_the_span_that_failed(
    server: Server, story: Story, open_page: OpenPage
) -> None:
    page = open_page(server, "/search")
    box = page.get_by_role("combobox", name="Query or trace id")
    box.fill(f"service={story.user}")
    box.press("Enter")
    table = page.get_by_role("table", name="Traces")
    failing = table.get_by_role("row").filter(has_text=f"{story.message} · {ORIGIN}")
    failing.wait_for()
    # The row waited for is in the unfiltered list too: only the count says that the query's own rows are there.
    expect(table.get_by_role("row").filter(has_text="no span failed")).to_have_count(1, timeout=60_000)
    failing.get_by_role("link", name="GET /users/{name}/messages").click()

    page.wait_for_url(f"**/trace/{story.failing.hex()}*")
    origin = row(page, story.message, ORIGIN, "failed, 5")
    origin.wait_for()
    row(page, story.user, "GET /users/{name}/messages", "failed, passed on from below").wait_for()
    origin.click()
    details = page.get_by_role("complementary", name="Span details")
    details.get_by_role("heading", name=ORIGIN).wait_for()
    details.get_by_text("it failed").first.wait_for()
    details.get_by_role("tab", name=re.compile("Attributes")).click()
    details.get_by_text("app.shard").wait_for()
    assert violations(page) == []


def test_a_trace_opens_by_its_address_with_every_span_in_the_treegrid(
    server: Server, story: Story, open_page: OpenPage
) -> None:
    page = open_page(server, f"/trace/{story.fine.hex()}")
    grid = page.get_by_role("treegrid")
    expect(grid).to_have_attribute("aria-rowcount", re.compile("^[45]$"))  # a head may count
    for service, name, level in (
        (story.user, "GET /users/{name}/messages", "1"),
        (story.user, "/message.v1.MessageService/ListMessages", "2"),
        (story.message, "/message.v1.MessageService/ListMessages", "3"),
        (story.message, ORIGIN, "4"),
    ):
        expect(row(page, service, name, "")).to_have_attribute("aria-level", level)
    expect(page.get_by_role("row", name=re.compile("failed"))).to_have_count(0)


def test_a_pasted_trace_id_opens_its_trace(server: Server, story: Story, open_page: OpenPage) -> None:
    page = open_page(server, "/search")
    box = page.get_by_role("combobox", name="Query or trace id")
    box.fill(story.failing.hex().upper())
    box.press("Enter")
    page.wait_for_url(f"**/trace/{story.failing.hex()}*")
    row(page, story.message, ORIGIN, "failed").wait_for()


def test_the_waterfall_is_walked_with_keys(server: Server, story: Story, open_page: OpenPage) -> None:
    page = open_page(server, f"/trace/{story.failing.hex()}")
    grid = page.get_by_role("treegrid")
    grid.focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    expect(grid).to_have_attribute(
        "aria-activedescendant", re.compile(".")
    )  # focus stays on the grid and names its row
    page.keyboard.press("Enter")
    page.get_by_role("complementary", name="Span details").wait_for()


def test_equal_siblings_are_one_row_until_they_are_asked_for(server: Server, open_page: OpenPage) -> None:
    shop, trace_id, root = fresh_name("shop"), new_trace_id(), new_span_id()
    now = time.time_ns() - 5_000 * MS
    calls = [
        span(trace_id, parent_id=root, name="SELECT rates", start_unix_nano=now + n * 10 * MS, duration_ns=(n + 1) * MS)
        for n in range(7)
    ]
    whole = span(trace_id, span_id=root, name="POST /pay", start_unix_nano=now, duration_ns=100 * MS)
    server.export(request(shop, [whole, *calls]))
    server.flush()
    page = open_page(server, f"/trace/{trace_id.hex()}")
    group = row(page, shop, "SELECT rates", "7 equal calls, 28")
    group.wait_for()
    expect(group).to_have_attribute("aria-expanded", "false")
    grid = page.get_by_role("treegrid")
    expect(grid).to_have_attribute("aria-rowcount", "3")
    assert violations(page) == []

    grid.focus()
    page.keyboard.press("g")
    expect(grid).to_have_attribute("aria-rowcount", "9")
    view_menu(page).get_by_role("button", name="Group equal").click()
    expect(grid).to_have_attribute("aria-rowcount", "3")


def test_unknown_traces_and_wrong_addresses_say_so(server: Server, open_page: OpenPage) -> None:
    unknown = new_trace_id().hex()
    context_page = open_page(server, "/search")
    context_page.goto(f"{server.http}/trace/not-an-id")
    context_page.get_by_role("region", name="Not a trace id").wait_for()
    assert violations(context_page) == []
    assert server.get(f"/api/v1/traces/{unknown}/skeleton").status_code == 404


def test_a_span_id_or_the_beginning_of_an_id_leads_to_the_trace_that_was_meant(
    server: Server, story: Story, open_page: OpenPage
) -> None:
    pasted = story.span_of_fine.hex()
    page = open_page(server, f"/trace/{pasted}", loads_may_fail=True)
    page.get_by_role("region", name="Trace not found").wait_for()
    similar = page.get_by_role("list", name="A similar id")
    expect(similar).to_contain_text("has a span with this id")
    assert violations(page) == []
    similar.get_by_role("link").click()
    row(page, story.user, "GET /users/{name}/messages", "").wait_for()

    page.goto(f"{server.http}/trace/{story.failing.hex()[:20]}")
    page.get_by_role("region", name="Not a trace id").wait_for()
    page.get_by_role("link", name=story.failing.hex()).click()
    row(page, story.user, "GET /users/{name}/messages", "").wait_for()

    answer = server.get(f"/api/v1/traces/{pasted}/explain")
    assert answer.status_code == 404
    assert answer.json()["error"]["similar"] == [{"trace_id": story.fine.hex(), "because": "span_id"}]
    assert server.get(f"/api/v1/traces/{new_trace_id().hex()}").json()["error"].keys() == {
        "code",
        "message",
        "position",
    }


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that never gets a span."""
    running = Server(tmp_path_factory.mktemp("empty") / "data").start()
    yield running
    ended_with = running.stop()
    running.close()
    assert ended_with == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_objects_to_nothing_on_any_page(
    server: Server, empty: Server, story: Story, open_page: OpenPage, theme: str
) -> None:
    for path in (f"/search?q=service%3D{story.user}", "/search?q=service%3Dnobody", f"/trace/{story.failing.hex()}"):
        for width in (1440, 360):
            page = open_page(server, path, theme, width)
            assert violations(page) == [], (path, width)
    page = open_page(empty, "/", theme)
    page.get_by_role("heading", name="No spans yet").wait_for()
    assert violations(page) == []


def test_with_a_token_the_page_asks_for_it_and_then_shows_the_traces(
    make_server: Callable[..., Server], open_page: OpenPage, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("open-sesame-0123456789\n")
    server = make_server(options=["--token-file", str(token_file)], token="open-sesame-0123456789").start()
    server.export(request("guarded", [span(name="GET /guarded")]))
    server.flush()
    page = open_page(server, "/search", awaits_data=False)
    prompt = page.get_by_role("dialog", name="This server wants a token")
    prompt.get_by_label("Token").fill("open-sesame-0123456789")
    assert violations(page) == []
    prompt.get_by_role("button", name="Continue").click()
    page.get_by_role("table", name="Traces").get_by_role("link", name="GET /guarded").wait_for()
    page.close()
    assert server.stop() == 0


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, bytes]]:
    """A server whose log is damaged, and a trace it has."""
    server = Server(tmp_path_factory.mktemp("troubled") / "data")
    wal = server.data_dir / "wal"
    wal.mkdir(parents=True)
    (server.data_dir / "VERSION").write_text("1\n")
    (wal / "00000000000000000001-00000000.damaged").write_bytes(b"lost")
    server.start()
    trace_id = new_trace_id()
    server.export(request("troubled", [span(trace_id)]))
    server.flush()
    yield server, trace_id
    ended_with = server.stop()
    server.close()
    assert ended_with == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 420])
def test_trouble_is_said_on_every_page_and_read_with_the_keyboard(
    troubled: tuple[Server, bytes], open_page: OpenPage, theme: str, width: int
) -> None:
    server, trace_id = troubled
    wal = server.data_dir / "wal"
    for path in ("/search?from=all", f"/trace/{trace_id.hex()}"):
        page = open_page(server, path, theme=theme, width=width)
        notice = page.get_by_role("region", name="Trouble on the server")
        summary = notice.locator("summary")
        expect(summary).to_have_text("Some spans were lost: the log is damaged.")
        message = notice.get_by_text(str(wal))
        expect(message).to_be_hidden()
        summary.focus()
        page.keyboard.press("Enter")
        expect(message).to_be_visible()
        assert violations(page) == []
        overflows = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        wait_until(lambda: not page.evaluate(overflows), about=lambda: "the page is wider than the window")  # noqa: B023
