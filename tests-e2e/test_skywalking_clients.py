"""Real SkyWalking agents, each in an environment of its own: two services in one trace with an error and a step in another thread.

`make test` runs the agent for Node, which is the quickest to install, `make clients` all, and watches the log of the one for Java for minutes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from clew.ids import trace_id_from_text
from clew_server.testing import skywalking
from harness import clients
from harness.answers import attributes, spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server, free_port
from harness.staying import Staying
from harness.wire import fresh_name

APPS = Path(__file__).parent / "skywalking"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]
TRACE_ID = r"(?:trace )?([0-9a-f]{32}(?:\.\d+\.\d+)?)"
COLLECT = "/skywalking.v3.TraceSegmentReportService/collect"
WATCHED_S = {"Java": clients.WATCHED_S}
"""How long an agent stays after its trace with its log watched, if not for 3 s. `test_watched_clients.py` watches the others."""

Command = tuple[list[str], dict[str, str]]
"""What starts a client, and its environment."""


@dataclass(frozen=True)
class Agent:
    """One client, and what is its own of the trace that all of them send."""

    command: Callable[[Server, str, str], Command]
    receiver: str
    parents: dict[str, str]
    """Of each span the name of its parent, by name; the two spans of a call have the same name, and the client's `>` before it."""
    error: tuple[str, str]
    """Type and message of the exception that is the origin."""
    language: str
    complains: str
    """A pattern of lines in its log that there must be none of."""
    dropped: frozenset[str] = field(default=frozenset())
    """What must have come beside spans."""


def python(how: str) -> Callable[[Server, str, str], Command]:
    def command(server: Server, front: str, back: str) -> Command:
        interpreter = clients.python("skywalking-python", "apache-skywalking==1.2.0", "requests", "setuptools<81")
        return [interpreter, str(APPS / "app.py"), how, address(server, f"skywalking-{how}"), front, back], {}

    return command


def node(server: Server, front: str, back: str) -> Command:
    folder = clients.node("skywalking-node", APPS / "package.json")
    command = ["node", str(APPS / "app.js"), address(server, "skywalking-grpc"), front, back]
    return command, {"NODE_PATH": str(folder / "node_modules")}


def java(server: Server, front: str, back: str) -> Command:
    program = clients.java("skywalking-java", APPS / "pom.xml", APPS / "SkyWalkingApp.java")
    classes, _, jars = program[program.index("-cp") + 1].partition(":")
    home = Path(classes).parent / "agent"
    jar = home / "skywalking-agent.jar"
    if not jar.exists():  # the agent wants these folders beside it
        (home / "config").mkdir(parents=True, exist_ok=True)
        (home / "plugins").mkdir(exist_ok=True)
        (home / "config" / "agent.config").touch()
        shutil.copy(next(Path(jars).parent.glob("apm-agent-*.jar")), jar)
    where = address(server, "skywalking-grpc")
    options = f"agent.service_name={front},agent.instance_name={front}-1,collector.backend_service={where}"
    attached = f"-javaagent:{jar}={options},logging.output=CONSOLE,logging.level=INFO"
    return [
        program[0],
        "-Xmx128m",
        attached,
        "-cp",
        f"{classes}:{jar}",
        "SkyWalkingApp",
        str(jar),
        where,
        front,
        back,
    ], {}


PYTHON = Agent(
    python("grpc"),
    "skywalking-grpc",
    {"/buy": "", ">/stock": "/buy", "/stock": ">/stock", "look": "/stock", "select": "look"},
    ("LookupError", "no stock"),
    "python",
    r"\[(?:ERROR|WARNING|CRITICAL)\]|Traceback",
    frozenset(("meter",)),
)
AGENTS = {
    "Python, gRPC": PYTHON,
    "Python, HTTP": Agent(
        python("http"),
        "skywalking-http",
        PYTHON.parents,
        PYTHON.error,
        "python",
        PYTHON.complains,
    ),
    "Node": Agent(
        node,
        "skywalking-grpc",
        {"GET:/buy": "", ">/stock": "GET:/buy", "GET:/stock": ">/stock", "look": "GET:/stock"},
        ("RangeError", "no stock"),
        "nodejs",
        r"\b(?:error|warn)\b",
    ),
    "Java": Agent(
        java,
        "skywalking-grpc",
        {
            "GET:/buy": "",
            ">/stock": "GET:/buy",
            "POST:/stock": ">/stock",
            "look": "POST:/stock",
            "PostgreSQL/JDBI/Statement/execute": "look",
        },
        ("java.lang.IllegalStateException", "no stock"),
        "java",
        r"^(?:ERROR|WARN)\b|Exception",
        frozenset(("jvm_metrics", "event")),
    ),
}
IN_MAKE_TEST = "Node"


@pytest.fixture(scope="module")
def skywalking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes SkyWalking's segments."""
    receive = "skywalking-grpc@127.0.0.1:0,skywalking-http@127.0.0.1:0"
    running = Server(tmp_path_factory.mktemp("skywalking") / "data", options=["--receive", receive]).start()
    yield running
    running.close()


def address(server: Server, receiver: str) -> str:
    return server.receiver(receiver).removeprefix("http://")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == IN_MAKE_TEST else clients.only_in_make_clients) for name in AGENTS]
)
def test_a_call_between_two_services_arrives_whole(skywalking_server: Server, tmp_path: Path, name: str) -> None:
    server, agent = skywalking_server, AGENTS[name]
    front, back = fresh_name("front"), fresh_name("back")
    before = server.status()["accepted_spans"]
    try:
        command, environment = agent.command(server, front, back)
    except Absent as reason:
        pytest.skip(str(reason))
    client = Staying(command, tmp_path / "log", environment=environment, without=("SW_",))
    try:
        said = client.next(TRACE_ID, fails=agent.complains)[1]
        wait_until(
            lambda: server.status()["accepted_spans"] >= before + len(agent.parents) or not client.is_running(),
            120,
            client.logged,
        )
        server.flush()
        check_trace(server, agent, said, front, back)
        end_s = time.monotonic() + WATCHED_S.get(name, 3.0)
        while time.monotonic() < end_s or agent.dropped - set(dropped(server, agent.receiver)):
            assert client.is_running(), client.logged()
            assert time.monotonic() < end_s + 60, dropped(server, agent.receiver)
            time.sleep(0.1)
        assert client.matching(agent.complains) == []
    finally:
        client.end()
    (found,) = (one for one in server.status()["receivers"] if one["name"] == agent.receiver)
    assert (found["refused_requests"], found["last_error"]) == (0, None)


def check_trace(server: Server, agent: Agent, said: str, front: str, back: str) -> None:
    trace_id = trace_id_from_text(said).hex()
    spans = spans_by_name(server.get_json(f"/api/v1/traces/{trace_id}"), named)
    names = {span["spanId"]: name for name, span in spans.items()}
    assert {name: names.get(span.get("parentSpanId", ""), "") for name, span in spans.items()} == agent.parents
    at_front = {name for name, span in spans.items() if span["service"] == front}
    assert len(at_front) == 2
    assert {span["service"] for span in spans.values()} == {front, back}
    (root,) = (name for name, parent in agent.parents.items() if not parent)
    (entry,) = (name for name, parent in agent.parents.items() if parent == ">/stock")
    kinds = {name: KINDS[span.get("kind", 0)] for name, span in spans.items()}
    assert kinds.items() >= {root: "server", ">/stock": "client", entry: "server", "look": "internal"}.items()
    call, look = spans[">/stock"], spans["look"]
    assert {name for name, span in spans.items() if span.get("status", {}).get("code") == 2} == {
        root,
        ">/stock",
        entry,
        "look",
    }
    assert look["status"]["message"] == agent.error[1]
    (failed,) = look["events"]
    assert failed["name"] == "exception"
    assert (attributes(failed)["exception.type"], attributes(failed)["exception.message"]) == agent.error
    stated = attributes(call)
    assert stated["server.address"] == "127.0.0.1"
    assert stated["http.response.status_code"] == 500
    assert str(stated["url.full"]).startswith("http://127.0.0.1:")
    assert attributes(spans[entry])["sw8.parent_service"] == front
    resource = look["resource"]
    assert resource["service.instance.id"] == f"{back}-1"
    for span in spans.values():
        assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) < time.time_ns()
    for name, span in spans.items():
        if name.startswith(("select", "Postgre")):
            query = attributes(span)
            assert (
                query.items()
                >= {
                    "db.system.name": "postgresql",
                    "db.namespace": "shop",
                    "db.query.text": "select 1",
                    "server.address": "db",
                    "server.port": 5432,
                }.items()
            )
    verdict = server.get_json(f"/api/v1/traces/{trace_id}/explain")
    assert [failure["span_id"] for failure in verdict["failures"] if failure["role"] == "origin"] == [look["spanId"]]
    found = server.found(service=back, q="http.response.status_code=500")
    assert [trace["trace_id"] for trace in found] == [trace_id]


@clients.only_in_make_clients
@pytest.mark.timeout(300)
def test_what_an_agent_says_of_itself_is_in_its_resource_also_after_a_restart(tmp_path: Path) -> None:
    receive = f"skywalking-grpc@127.0.0.1:{free_port()}"
    server = Server(tmp_path / "data", options=["--receive", receive]).start()
    try:
        front, back = fresh_name("front"), fresh_name("back")
        try:
            command, environment = PYTHON.command(server, front, back)
        except Absent as reason:
            pytest.skip(str(reason))
        client = Staying(command, tmp_path / "log", environment=environment, without=("SW_",))
        try:
            client.next(TRACE_ID, fails=PYTHON.complains)
        finally:
            client.end()
        server.kill()
        server.start()
        segment = skywalking.Segment("later.1.2", "segment.1.2", [skywalking.Span()], back, f"{back}-1")
        with connected(server) as channel:
            channel.stream_unary(COLLECT)(iter((skywalking.segment(segment),)), timeout=100)
        server.flush()
        (group,) = server.get_json(f"/api/v1/traces/{trace_id_from_text('later.1.2').hex()}")["resourceSpans"]
        resource = attributes(group["resource"])
        assert (resource["telemetry.sdk.language"], resource["telemetry.sdk.name"]) == ("python", "skywalking")
        assert resource["process.pid"] == int(resource["sw8.process_no"])
        assert resource["host.name"] == resource["sw8.hostname"]
    finally:
        server.close()


def connected(server: Server) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(address(server, "skywalking-grpc"), options=options)


def dropped(server: Server, receiver: str) -> dict[str, int]:
    (found,) = (one for one in server.status()["receivers"] if one["name"] == receiver)
    kinds: dict[str, int] = found["dropped"]
    return kinds


def named(span: dict[str, Any]) -> str:
    """A client span has `>` before its name, since both sides of a call have the same one."""
    is_call = span.get("kind") == 3 and "db.system.name" not in attributes(span)
    return ">" + str(span["name"]) if is_call else str(span["name"])
