"""CAT's real clients, each in an environment of its own: two services in one trace with an error, as the API shows it.

`make test` runs the client for Python with one codec, `make clients` with both, and the one for Java.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from clew.ids import trace_id_from_cat
from harness import cat_sdk, clients
from harness.answers import Item, attributes, receiver, spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.wire import fresh_name

APPS = Path(__file__).parent / "cat"


@pytest.fixture(scope="module")
def cat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes CAT's trees, and the router that tells clients where."""
    receive = "cat@127.0.0.1:0,cat-router@127.0.0.1:0"
    running = Server(tmp_path_factory.mktemp("cat") / "data", options=["--receive", receive]).start()
    yield running
    running.close()


@pytest.fixture
def sdk(cat_server: Server, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The interpreter with CAT's client for Python, and the environment in which it finds its settings below the current folder."""
    try:
        return cat_sdk.prepared(tmp_path, cat_server.receiver("cat-router"))
    except Absent as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("codec", ["binary", pytest.param("text", marks=clients.only_in_make_clients)])
def test_two_services_of_the_client_for_python_are_one_trace(
    cat_server: Server, sdk: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    python, environment = sdk
    monkeypatch.chdir(tmp_path)
    before = receiver(cat_server, "cat")["dropped"]
    said = clients.run([python, str(APPS / "sdk_app.py"), "front", codec, front, back], environment=environment)
    message_id = said.strip().splitlines()[-1]
    spans = whole_trace(cat_server, message_id, {"URL:/buy", "SQL:select", "Call:stock", "Service:stock"})
    check(spans, front, back, root="URL:/buy", message_id=message_id)
    query = attributes(spans["SQL:select"])["db.query.text"]
    assert query == "select *\n\tfrom items where a = 1 and b = '\\n'"
    assert attributes(spans["URL:/buy"]).items() >= {"user": "7", "http.request.method": "GET"}.items()
    (raised,) = spans["Service:stock"]["events"]
    exception = attributes(raised)
    assert (exception["exception.type"], exception["exception.message"]) == ("ValueError", "no stock")
    assert "no stock" in exception["exception.stacktrace"]
    lone = cat_server.found(q=f'service={front} name="shop:closed"')
    assert len(lone) == 1, "an event outside of all transactions is a span"
    after = receiver(cat_server, "cat")
    assert after["dropped"]["reboots"] == before.get("reboots", 0) + 2
    assert after["dropped"]["metrics"] > before.get("metrics", 0)
    assert (after["refused_requests"], after["last_error"]) == (0, None)


@pytest.mark.timeout(900)
@clients.only_in_make_clients
def test_two_services_of_the_client_for_java_are_one_trace(cat_server: Server, tmp_path: Path) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    try:
        java = clients.java("cat-java", APPS / "pom.xml", APPS / "CatApp.java")
    except Absent as reason:
        pytest.skip(str(reason))
    host, _, port = cat_server.receiver("cat").rpartition(":")
    router = cat_server.receiver("cat-router").rpartition(":")[2]
    before = receiver(cat_server, "cat")["refused_requests"]
    command = [java[0], f"-Duser.home={tmp_path}", *java[1:], "front", host, port, router, front, back]
    said = clients.run(command, timeout_s=240)
    (message_id,) = (line for line in said.splitlines() if line.startswith(f"{front}-"))
    names = {"URL:/buy", "SQL:select", "Call:stock", "Service:stock", "Task:mail", "URL:/next"}
    spans = whole_trace(cat_server, message_id, names, named=_parts_of_a_fork)
    check(spans, front, back, root="URL:/buy", message_id=message_id)
    buy = attributes(spans["URL:/buy"])
    assert buy.items() >= {"user": "7", "http.request.method": "GET", "url.query": "x=1&y=2"}.items()
    (raised,) = spans["Service:stock"]["events"]
    exception = attributes(raised)
    assert exception["exception.type"] == "java.lang.IllegalStateException"
    assert exception["exception.message"] == "no stock"
    assert "CatApp.back" in exception["exception.stacktrace"]
    # The other thread's tree hangs on the transaction that started it.
    starts, goes_on = spans["Detached:mailer in Forkable"], spans["Detached:mailer"]
    assert goes_on["parentSpanId"] == starts["spanId"]
    assert spans["Task:mail"]["parentSpanId"] == goes_on["spanId"]
    assert attributes(goes_on)["thread.name"] == "mailer"
    after = receiver(cat_server, "cat")
    assert after["refused_requests"] == before
    assert {"heartbeats", "metrics", "reboots"} <= set(after["dropped"])


def _parts_of_a_fork(span: Item) -> str:
    """Both halves have one name; the one in the tree that forks says which tree goes on."""
    is_first = "cat.next_message_id" in attributes(span)
    return f"{span['name']} in Forkable" if is_first else str(span["name"])


def whole_trace(
    server: Server, message_id: str, names: set[str], named: Callable[[Item], str] = lambda span: str(span["name"])
) -> dict[str, Item]:
    """The spans of the trace with this root by their names, when all of these are there."""
    trace_id = trace_id_from_cat(message_id).hex()
    seen: dict[str, Item] = {}

    def is_whole() -> bool:
        server.flush()
        answer = server.get(f"/api/v1/traces/{trace_id}")
        if answer.status_code == 200:
            seen.clear()
            seen.update(spans_by_name(answer.json(), named))
        return names <= set(seen)

    wait_until(is_whole, about=lambda: (sorted(seen), receiver(server, "cat")))
    return seen


def check(spans: Mapping[str, Item], front: str, back: str, *, root: str, message_id: str) -> None:
    """Whether two services are one tree with the times, kinds and the error that the programs gave them."""
    of_id = {span["spanId"]: name for name, span in spans.items()}
    parents = {name: of_id.get(span.get("parentSpanId", ""), "") for name, span in spans.items()}
    assert parents.items() >= {root: "", "SQL:select": root, "Call:stock": root, "Service:stock": "Call:stock"}.items()
    assert {name: spans[name]["kind"] for name in (root, "SQL:select", "Call:stock", "Service:stock")} == {
        root: 2,
        "SQL:select": 3,
        "Call:stock": 3,
        "Service:stock": 2,
    }
    assert {spans[name]["service"] for name in (root, "SQL:select", "Call:stock")} == {front}
    served = spans["Service:stock"]
    assert (served["service"], served["status"]["code"]) == (back, 2)
    assert "code" not in spans[root].get("status", {})
    times = {name: (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])) for name, span in spans.items()}
    # To the unit of the protocol: starts are in whole milliseconds.
    tolerance_ns = 2_000_000
    for inner, outer in (("SQL:select", root), ("Call:stock", root), ("Service:stock", "Call:stock")):
        assert times[outer][0] <= times[inner][0] <= times[inner][1] <= times[outer][1] + tolerance_ns
    assert times["SQL:select"][1] - times["SQL:select"][0] >= 3_000_000
    assert attributes(spans[root])["cat.message_id"] == message_id
    assert attributes(served)["cat.parent_message_id"] == message_id
    assert attributes(spans["Call:stock"])["peer.service"] == back
