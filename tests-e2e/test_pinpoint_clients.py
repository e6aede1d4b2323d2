"""Real Pinpoint agents, each in an environment of its own: two services in one trace with an error, as the API shows it.

`make test` runs the agent for Node, which is the quickest to install, `make clients` all, and watches the logs of the ones for Java for minutes.
"""

from __future__ import annotations

import contextlib
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness import clients
from harness.answers import attributes, receiver, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.staying import Staying
from harness.wire import fresh_name

APPS = Path(__file__).parent / "pinpoint"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]
WATCHED_S = {"Java": clients.WATCHED_S}
"""How long agents stay after their trace with their logs watched, if not for 3 s. `test_watched_clients.py` watches the others."""

Command = tuple[list[str], dict[str, str]]
"""What starts a service, and its environment."""


@dataclass(frozen=True)
class Agent:
    """One agent, and what is its own of the trace that all of them send."""

    command: Callable[[Server, str, str, Path], Command]
    receiver: str
    parents: Mapping[str, str]
    """Of spans that must be there the name of the parent."""
    kinds: Mapping[str, str]
    origin: str
    """The name of the span that failed first."""
    error: tuple[str, str] | None
    """Type and message of its exception."""
    language: str
    complains: str
    """A pattern of lines in the agent's log that there must be none of."""
    dropped: frozenset[str] = field(default=frozenset())


def node(server: Server, role: str, name: str, folder: Path) -> Command:
    packages = clients.node("pinpoint-node", APPS / "package.json")
    host, _, port = server.receiver("pinpoint").rpartition(":")
    environment = {
        "NODE_PATH": str(packages / "node_modules"),
        "PINPOINT_AGENT_ID": f"{name}-1",
        "PINPOINT_APPLICATION_NAME": name,
        "PINPOINT_SAMPLING_RATE": "1",
        "PINPOINT_COLLECTOR_IP": host,
        "PINPOINT_COLLECTOR_TCP_PORT": port,
        "PINPOINT_COLLECTOR_STAT_PORT": str(int(port) + 1),
        "PINPOINT_COLLECTOR_SPAN_PORT": str(int(port) + 2),
    }
    return ["node", str(APPS / "app.js"), role], environment


def python(name: str, *requirements: str) -> Callable[[Server, str, str, Path], Command]:
    def command(server: Server, role: str, service: str, folder: Path) -> Command:
        interpreter = clients.python(name, *requirements, "flask", "requests", "setuptools<81")
        return [interpreter, str(APPS / "app.py"), role, service, server.receiver("pinpoint-json")], {}

    return command


def java(server: Server, role: str, name: str, folder: Path) -> Command:
    program = clients.java("pinpoint-java", APPS / "pom.xml", APPS / "PinpointApp.java")
    agent = clients.maven("com.navercorp.pinpoint:pinpoint-agent:3.0.1:tar.gz")
    home = folder / role / "agent"  # it writes its logs beside itself
    with tarfile.open(agent) as archive:
        archive.extractall(home, filter="data")
    (jar,) = home.rglob("pinpoint-bootstrap.jar")
    host, _, port = server.receiver("pinpoint").rpartition(":")
    ports = {"agent": int(port), "metadata": int(port), "stat": int(port) + 1, "span": int(port) + 2}
    options = [
        f"-javaagent:{jar}",
        f"-Dpinpoint.agentId={name}-1",
        f"-Dpinpoint.applicationName={name}",
        "-Dpinpoint.profiler.profiles.active=release",
        "-Dprofiler.sampling.counting.sampling-rate=1",
        *(f"-Dprofiler.transport.grpc.{one}.collector.ip={host}" for one in ports),
        *(f"-Dprofiler.transport.grpc.{one}.collector.port={at}" for one, at in ports.items()),
    ]
    return [program[0], *options, *program[1:], str(folder / role)], {}


_FLASK = {"/stock": "server", "/buy": "server", "requests.api.request": "client"}
AGENTS = {
    "Node": Agent(
        node,
        "pinpoint",
        {"/buy": "", "http.request": "/buy", "GET": "Asynchronous Invocation", "/stock": "GET"},
        {"/buy": "server", "GET": "client", "/stock": "server", "http.request": "internal"},
        "/stock",
        None,
        "nodejs",
        r"\b(?:ERROR|error)\b",
        frozenset(("agent_statistics",)),
    ),
    "pinpointPy 1.4": Agent(
        python("pinpoint-py14", "pinpointPy==1.4.1"),
        "pinpoint-json",
        {"/buy": "", "/stock": "requests.api.request", "look": "?"},
        _FLASK,
        "look",
        None,
        "python",
        r"^(?!.*ERROR in app).*ERROR|should be",
    ),
    "pinpointPy 1.3": Agent(
        python("pinpoint-py13", "pinpointPy==1.3.3"),
        "pinpoint-json",
        {"/buy": "", "/stock": "requests.api.request", "look": "?"},
        _FLASK,
        "look",
        None,
        "python",
        r"^(?!.*ERROR in app).*ERROR|should be",
    ),
    "Java": Agent(
        java,
        "pinpoint",
        {"/buy": "", "/stock": "MultiExchange.responseAsyncImpl", "MultiExchange.responseAsyncImpl": "?"},
        {"/buy": "server", "/stock": "server", "MultiExchange.responseAsyncImpl": "client"},
        "/stock",
        None,
        "java",
        r"\b(?:ERROR|WARN)\b",
        frozenset(("agent_statistics",)),
    ),
}
IN_MAKE_TEST = "Node"


@pytest.fixture(scope="module")
def pinpoint_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes Pinpoint's spans."""
    receive = "pinpoint@127.0.0.1:0,pinpoint-json@127.0.0.1:0"
    running = Server(tmp_path_factory.mktemp("pinpoint") / "data", options=["--receive", receive]).start()
    yield running
    running.close()


class Service(Staying):
    """A process that listens and stays."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path, complains: str) -> None:
        super().__init__(command, log, environment=environment, without=("PINPOINT_",))
        try:
            self.port = int(self.next(r"port (\d+)", fails=complains)[1])
        except AssertionError:
            self.end()
            raise


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == IN_MAKE_TEST else clients.only_in_make_clients) for name in AGENTS]
)
def test_a_call_between_two_services_arrives_whole(pinpoint_server: Server, tmp_path: Path, name: str) -> None:
    server, agent = pinpoint_server, AGENTS[name]
    names = {"front": fresh_name("front"), "back": fresh_name("back")}
    with contextlib.ExitStack() as stack:
        services: dict[str, Service] = {}
        for role, service in names.items():
            try:
                command, environment = agent.command(server, role, service, tmp_path)
            except Absent as reason:
                pytest.skip(str(reason))
            services[role] = Service(command, environment, tmp_path / f"{role}.log", agent.complains)
            stack.callback(services[role].end)
        trace = wait_for_trace(server, services, names, agent)
        check_trace(server, trace, agent, names)
        end_s = time.monotonic() + WATCHED_S.get(name, 3.0)
        while time.monotonic() < end_s:
            assert all(service.is_running() for service in services.values()), logs(services)
            time.sleep(0.1)
        wait_until(
            lambda: agent.dropped <= set(receiver(server, agent.receiver)["dropped"]),
            about=lambda: receiver(server, agent.receiver),
        )
        assert [line for service in services.values() for line in service.matching(agent.complains)] == []
    found = receiver(server, agent.receiver)
    assert (found["refused_requests"], found["last_error"]) == (0, None)


def logs(services: Mapping[str, Service]) -> str:
    return "\n".join(service.logged() for service in services.values())


def wait_for_trace(
    server: Server, services: Mapping[str, Service], names: Mapping[str, str], agent: Agent
) -> dict[str, Any]:
    """Ask the front for something until the trace of it is whole: an agent traces nothing before it is connected."""
    end_s = time.monotonic() + 90
    seen: list[str] = []
    with httpx.Client(timeout=100, trust_env=False) as client:
        while time.monotonic() < end_s:
            answer = client.get(
                f"http://127.0.0.1:{services['front'].port}/buy", params={"port": services["back"].port}
            )
            assert answer.text == "bought", logs(services)
            asked_s = time.monotonic()
            while time.monotonic() < asked_s + 5:
                server.flush()
                for found in server.found(service=names["back"]):
                    trace: dict[str, Any] = server.get_json(f"/api/v1/traces/{found['trace_id']}")
                    seen = [span["name"] for span in spans_of(trace)]
                    if set(agent.parents) <= set(seen):
                        return trace
                time.sleep(0.2)
    raise AssertionError(f"no whole trace within 90 s; the last had {seen}; {logs(services)}")


def check_trace(server: Server, trace: dict[str, Any], agent: Agent, names: Mapping[str, str]) -> None:
    spans = spans_of(trace)
    by_name = {span["name"]: span for span in spans}
    of_id = {span["spanId"]: span["name"] for span in spans}
    parents = {name: of_id.get(by_name[name].get("parentSpanId", ""), "") for name in agent.parents}
    expected = {name: parents[name] if parent == "?" else parent for name, parent in agent.parents.items()}
    assert parents == expected
    assert all(of_id.get(span.get("parentSpanId", "")) for span in spans if span["name"] != "/buy"), "one tree"
    assert {name: KINDS[by_name[name]["kind"]] for name in agent.kinds} == agent.kinds
    assert by_name["/buy"]["service"] == names["front"]
    assert by_name["/stock"]["service"] == names["back"]
    for span in spans:
        assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) < time.time_ns() + 60_000_000_000
        assert span["resource"]["service.instance.id"] == span["service"] + "-1"
        assert span["resource"]["telemetry.sdk.language"] == agent.language
        assert "pinpoint.unresolved" not in attributes(span), span["name"]
    stock = attributes(by_name["/stock"])
    assert stock.items() >= {"url.path": "/stock", "peer.service": names["front"]}.items()
    assert by_name["/stock"]["status"]["code"] == 2
    verdict = server.get_json(f"/api/v1/traces/{stock_trace(by_name)}/explain")
    # Handled: Java's agent says nothing of the answer at the event that called.
    roles = ("origin", "handled")
    origins = [failure["span_id"] for failure in verdict["failures"] if failure["role"] in roles]
    # The cause comes first; Java's agent notes the answer at another event than the one that called, which then is failed too.
    assert of_id[origins[0]] == agent.origin


def stock_trace(by_name: Mapping[str, dict[str, Any]]) -> str:
    found: str = by_name["/stock"]["traceId"]
    return found


def spans_of(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """The spans of an OTLP answer, each with its service and its resource."""
    found = []
    for group in trace["resourceSpans"]:
        resource = attributes(group["resource"])
        for scope in group["scopeSpans"]:
            found += [{**span, "service": resource["service.name"], "resource": resource} for span in scope["spans"]]
    return found
