"""Real agents of other systems for five minutes against one server, each with a call a second and its own log watched.

All run at once, so it takes five minutes and not five for each: nothing in their logs, no connection made again and again, each call
arrived. `make clients` runs it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import cat_sdk, clients
from harness.answers import receiver, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.staying import Staying
from harness.wire import fresh_name

HERE = Path(__file__).parent
APP, APP_IN_NODE = HERE / "watched" / "app.py", HERE / "watched" / "app.js"
RECEIVERS = (
    "skywalking-grpc",
    "skywalking-http",
    "pinpoint",
    "pinpoint-json",
    "opencensus",
    "datadog",
    "sentry",
    "cat",
    "cat-router",
)

Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Agent:
    """One agent, and what it does when all is well."""

    command: Callable[[Server, str, Path], Command]
    """For a service that runs in a folder: its command without the seconds, and its environment."""
    receiver: str
    complains: str = r"^(?:WARNING|ERROR|CRITICAL)\b|Traceback"
    """A pattern of lines in its log that there must be none of."""
    unsent: int = 0
    """So many calls at most are made before it is connected, of which it sends nothing."""


def python(system: str, *requirements: str, address: str = "{address}") -> Callable[[Server, str, Path], Command]:
    def command(server: Server, service: str, folder: Path) -> Command:
        interpreter = clients.python(*requirements)
        found = server.receiver(system)
        host = found.removeprefix("http://")
        where = address.format(address=found, host=host, service=service)
        return [interpreter, str(APP), system, where, service], {}

    return command


def skywalking_node(server: Server, service: str, folder: Path) -> Command:
    packages = clients.node("skywalking-node", HERE / "skywalking" / "package.json")
    environment = {"NODE_PATH": str(packages / "node_modules"), "SW_AGENT_LOGGING_LEVEL": "debug"}
    return ["node", str(APP_IN_NODE), "skywalking", server.receiver("skywalking-grpc"), service], environment


def pinpoint_node(server: Server, service: str, folder: Path) -> Command:
    packages = clients.node("pinpoint-node", HERE / "pinpoint" / "package.json")
    host, _, port = server.receiver("pinpoint").rpartition(":")
    environment = {
        "NODE_PATH": str(packages / "node_modules"),
        "PINPOINT_AGENT_ID": f"{service}-1",
        "PINPOINT_APPLICATION_NAME": service,
        "PINPOINT_SAMPLING_RATE": "1",
        "PINPOINT_COLLECTOR_IP": host,
        "PINPOINT_COLLECTOR_TCP_PORT": port,
        "PINPOINT_COLLECTOR_STAT_PORT": str(int(port) + 1),
        "PINPOINT_COLLECTOR_SPAN_PORT": str(int(port) + 2),
        "PINPOINT_LOG_LEVEL": "DEBUG",
    }
    return ["node", str(APP_IN_NODE), "pinpoint", f"{host}:{port}", service], environment


def cat(server: Server, service: str, folder: Path) -> Command:
    interpreter, environment = cat_sdk.prepared(folder, server.receiver("cat-router"))
    return [interpreter, str(APP), "cat", server.receiver("cat"), service], environment


SKYWALKING = ("skywalking-python", "apache-skywalking==1.2.0", "requests", "setuptools<81")
OF_SKYWALKING = r"\[(?:ERROR|WARNING|CRITICAL)\]|Traceback"
FLASK = ("flask", "requests", "setuptools<81")
AGENTS = {
    "SkyWalking, Python, gRPC": Agent(python("skywalking-grpc", *SKYWALKING), "skywalking-grpc", OF_SKYWALKING),
    "SkyWalking, Python, HTTP": Agent(python("skywalking-http", *SKYWALKING, address="{host}"), "skywalking-http", OF_SKYWALKING),
    "SkyWalking, Node": Agent(skywalking_node, "skywalking-grpc", r"\b(?:error|warn)\b"),
    "Pinpoint, Node": Agent(pinpoint_node, "pinpoint", r"\b(?:ERROR|WARN|error)\b", unsent=3),
    "pinpointPy 1.4": Agent(
        python("pinpoint-json", "pinpoint-py14", "pinpointPy==1.4.1", *FLASK),
        "pinpoint-json",
        r"^(?:WARNING|ERROR|CRITICAL)\b|Traceback|should be",
        unsent=3,
    ),
    "pinpointPy 1.3": Agent(
        python("pinpoint-json", "pinpoint-py13", "pinpointPy==1.3.3", *FLASK),
        "pinpoint-json",
        r"^(?:WARNING|ERROR|CRITICAL)\b|Traceback|should be",
        unsent=3,
    ),
    "OpenCensus": Agent(
        python(
            "opencensus",
            "opencensus",
            "opencensus==0.11.4",
            "opencensus-ext-ocagent==0.7.1",
            "protobuf==3.20.3",
            "setuptools<81",
        ),
        "opencensus",
    ),
    # It shows the stack of a failed span at debug.
    "ddtrace": Agent(python("datadog", "ddtrace", "ddtrace==4.16.0"), "datadog", r"^(?:WARNING|ERROR|CRITICAL)\b"),
    "sentry-sdk": Agent(
        python("sentry", "sentry-sdk", "sentry-sdk==2.75.0", "brotli==1.2.1", address="http://0123@{host}/{service}/1"),
        "sentry",
        r"\b(?:WARNING|ERROR|CRITICAL)\b|Traceback",
    ),
    "cat-sdk": Agent(cat, "cat", r"(?i)\b(?:error|warn(?:ing)?|fail(?:ed)?)\b|^(?:WARNING|CRITICAL)"),
}  # fmt: skip
CONNECTIONS = {"skywalking-grpc": 8, "pinpoint": 6, "pinpoint-json": 4, "opencensus": 4, "cat": 4}
"""Of protocols that hold their connections: so many were heard of in a minute at most, all agents of a receiver together."""


class Running(Staying):
    """An agent's process, in a folder of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._folder = folder
        self.made: int | None = None
        """How many calls it made; None before it has made all."""
        own = ("SW_", "PINPOINT_", "DD_", "SENTRY_")
        super().__init__(command, folder / "stderr", environment=environment, without=own, folder=folder)

    def has_made_all(self) -> bool:
        """Whether it has said how many calls it made."""
        if self.made is None and (found := self.printed(r"made (\d+)")):
            self.made = int(found[1])
        return self.made is not None

    def logged(self) -> str:
        """Also what it logged into files below its folder."""
        files = [path for path in self._folder.glob("data/applogs/**/*") if path.is_file()]
        return super().logged() + "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes what all of them send."""
    receive = ",".join(f"{name}@127.0.0.1:0" for name in RECEIVERS)
    running = Server(tmp_path_factory.mktemp("watched") / "data", options=["--receive", receive]).start()
    yield running
    running.close()


@clients.only_in_make_clients
@pytest.mark.timeout(clients.WATCHED_S + 3600)
def test_no_agent_complains_or_connects_again_and_again_in_five_minutes(server: Server, tmp_path: Path) -> None:
    commands: dict[str, tuple[list[str], dict[str, str], str, Path]] = {}
    absent: dict[str, str] = {}
    for name, agent in AGENTS.items():  # installs what is not here yet, before anything runs
        folder, service = tmp_path / re.sub(r"\W+", "-", name), fresh_name("watched")
        folder.mkdir()
        try:
            command, environment = agent.command(server, service, folder)
        except Absent as reason:
            absent[name] = str(reason)
        else:
            commands[name] = [*command, str(clients.WATCHED_S)], environment, service, folder
    if not commands:
        pytest.skip(f"none of the agents can be had: {absent}")
    wrong: dict[str, list[str]] = {}
    with contextlib.ExitStack() as stack:
        running: dict[str, Running] = {}
        for name, (command, environment, _, folder) in commands.items():
            running[name] = Running(command, environment, folder)
            stack.callback(running[name].end)
        wait_until(
            lambda: all(not one.is_running() or one.has_made_all() for one in running.values()),
            clients.WATCHED_S + 300,
            lambda: {name: one.logged()[-3000:] for name, one in running.items() if one.made is None},
        )
        last_s = time.monotonic() + 100
        for name, one in running.items():
            service = commands[name][2]
            if one.made is None:
                wrong[name] = [f"it ended: {one.logged()[-3000:]}"]
                continue
            expected, arrived = one.made - AGENTS[name].unsent, 0
            while arrived < expected and time.monotonic() < last_s:
                server.flush()
                arrived = len(server.found(service=service, limit=1000))
            print(f"{name}: {one.made} calls, {arrived} traces, {one.logged().count(chr(10))} lines logged")
            found = one.matching(AGENTS[name].complains)
            if arrived < expected:
                found.insert(0, f"{arrived} of {one.made} calls arrived")
            if found or not one.is_running():
                wrong[name] = found[:20] or ["it ended"]
        for name in sorted({AGENTS[one].receiver for one in running}):
            state = receiver(server, name)
            print(f"{name}: {state['connections']} connections in a minute, dropped {state['dropped']}")
            if (state["refused_requests"], state["last_error"]) != (0, None):
                wrong[name] = [str(state)]
            elif state["connections"] > CONNECTIONS.get(name, 1000):
                wrong[name] = [f"{state['connections']} connections in a minute"]
    assert wrong == {}
    if absent:
        pytest.skip(f"nothing is wrong with the others, but these are not here: {absent}")
