"""CAT's real clients, each in an environment of its own: two services in one trace with an error, as the API shows it.

`make test` runs the client for Python with one codec, `make clients` with both, and the one for Java.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from clew.ids import trace_id_from_cat
from harness import cat_sdk, clients
from harness.answers import Item, attributes, receiver, spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.staying import Staying
from harness.wire import fresh_name

APPS = Path(__file__).parent / "cat"
OF_JAVA = r"\bERROR\b|\bWARN|Exception"
"""Lines in what the client for Java says that there must be none of."""


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
    cat_server: Server, sdk: tuple[str, dict[str, str]], tmp_path: Path, codec: str
) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    python, environment = sdk
    before = receiver(cat_server, "cat")["dropped"]
    command = [python, str(APPS / "sdk_app.py"), "front", codec, front, back]
    with running(command, tmp_path, environment) as client:
        message_id = client.next(f"{front}-.*")[0]
        names = {"URL:/buy", "SQL:select", "Call:stock", "Service:stock"}
        spans = whole_trace(cat_server, message_id, names, client)
        wait_until(lambda: beside_spans(cat_server, before, "reboots", "metrics") >= (2, 1), about=client.logged)
        wait_until(lambda: len(flushed(cat_server, f'service={front} name="shop:closed"')) == 1, about=client.logged)
    check(spans, front, back, root="URL:/buy", message_id=message_id)
    query = attributes(spans["SQL:select"])["db.query.text"]
    assert query == "select *\n\tfrom items where a = 1 and b = '\\n'"
    assert attributes(spans["URL:/buy"]).items() >= {"user": "7", "http.request.method": "GET"}.items()
    (raised,) = spans["Service:stock"]["events"]
    exception = attributes(raised)
    assert (exception["exception.type"], exception["exception.message"]) == ("ValueError", "no stock")
    assert "no stock" in exception["exception.stacktrace"]
    after = receiver(cat_server, "cat")
    assert beside_spans(cat_server, before, "reboots") == (2,)
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
    state = receiver(cat_server, "cat")
    before, beside = state["refused_requests"], state["dropped"]
    command = [java[0], f"-Duser.home={tmp_path}", *java[1:], "front", host, port, router, front, back]
    with running(command, tmp_path, {}) as client:
        message_id = client.next(f"{front}-.*", fails=OF_JAVA)[0]
        names = {"URL:/buy", "SQL:select", "Call:stock", "Service:stock", "Task:mail", "URL:/next"}
        spans = whole_trace(cat_server, message_id, names, client, named=_parts_of_a_fork)
        # Heartbeats and metrics go once a minute, or when it ends.
        wait_until(
            lambda: all(beside_spans(cat_server, beside, "heartbeats", "metrics", "reboots")), 150, client.logged
        )
        assert client.matching(OF_JAVA) == []
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
    assert receiver(cat_server, "cat")["refused_requests"] == before


def _parts_of_a_fork(span: Item) -> str:
    """Both halves have one name; the one in the tree that forks says which tree goes on."""
    is_first = "cat.next_message_id" in attributes(span)
    return f"{span['name']} in Forkable" if is_first else str(span["name"])


@contextlib.contextmanager
def running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Staying]:
    """A client that has made its trace, or is about to."""
    client = Staying(command, folder / "log", environment=environment, folder=folder)
    try:
        yield client
    finally:
        client.end()


def beside_spans(server: Server, before: Mapping[str, int], *kinds: str) -> tuple[int, ...]:
    """How many of each of these have come since then."""
    dropped = receiver(server, "cat")["dropped"]
    return tuple(dropped.get(kind, 0) - before.get(kind, 0) for kind in kinds)


def flushed(server: Server, query: str) -> list[Item]:
    """The traces that match, of all that has come."""
    server.flush()
    return list(server.found(q=query))


def whole_trace(
    server: Server,
    message_id: str,
    names: set[str],
    client: Staying,
    named: Callable[[Item], str] = lambda span: str(span["name"]),
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
        return names <= set(seen) or not client.is_running()

    wait_until(is_whole, 120, lambda: f"{sorted(seen)}, {receiver(server, 'cat')}, {client.logged()}")
    assert names <= set(seen), client.logged()
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
