"""docs/systems.md with real agents: a service of each system calls a service of clew, which calls a service of each system."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import cat_sdk, clients
from harness.answers import attributes, wait_until
from harness.backends import Absent
from harness.server import Server, free_port
from harness.staying import Staying

APPS = Path(__file__).parent / "systems"
PROPAGATORS = "tracecontext,b3multi,jaeger,skywalking,pinpoint,cat,datadog,sentry"

Said = dict[str, dict[str, dict[str, str]]]
"""Headers, by caller and callee."""


class Agent(NamedTuple):
    """One system's agent for Python."""

    receiver: str
    header: str
    """What it reads and writes, in lower case."""
    requirements: tuple[str, ...] = ()
    """The environment it runs in, with its name; none for that of the tests."""
    sends_at_its_end: bool = True
    """Whether it has sent all when it has ended, and else in its own time."""


AGENTS = {
    "jaeger": Agent("jaeger-compact", "uber-trace-id", ("jaeger-client", "jaeger-client==4.8.0", "six")),
    "zipkin": Agent("zipkin", "x-b3-traceid"),
    "skywalking": Agent(
        "skywalking-grpc", "sw8", ("skywalking-python", "apache-skywalking==1.2.0", "requests", "setuptools<81")
    ),
    "pinpoint": Agent(
        "pinpoint-json",
        "pinpoint-traceid",
        ("pinpoint-py14", "pinpointPy==1.4.1", "flask", "requests", "setuptools<81"),
        sends_at_its_end=False,
    ),
    "cat": Agent("cat", "x-cat-id", sends_at_its_end=False),
    "datadog": Agent("datadog", "x-datadog-trace-id", ("ddtrace", "ddtrace==4.16.0")),
    "sentry": Agent("sentry", "sentry-trace", ("sentry-sdk", "sentry-sdk==2.75.0", "brotli==1.2.1")),
    "opencensus": Agent(
        "opencensus",
        "traceparent",
        ("opencensus", "opencensus==0.11.4", "opencensus-ext-ocagent==0.7.1", "protobuf==3.20.3", "setuptools<81"),
    ),
}
PAIRS = list(itertools.product(AGENTS, AGENTS))
CLIENT, SERVER = 3, 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    receivers = [agent.receiver for agent in AGENTS.values()] + ["cat-router"]
    named = ",".join(f"{receiver}@127.0.0.1:{free_port()}" for receiver in receivers)
    with closing(Server(tmp_path_factory.mktemp("systems") / "data", options=["--receive", named])) as running:
        yield running.start()


@pytest.fixture(scope="module")
def said(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """Everything called once; the headers that the agents wrote. The spans of all are stored."""
    folder = tmp_path_factory.mktemp("agents")
    with contextlib.ExitStack() as staying:

        def started(system: str, what: str, about: Any) -> Staying:
            agent = AGENTS[system]
            where = server.receiver(agent.receiver)
            own = folder / f"{system}-{what}"
            own.mkdir()
            python, environment = interpreter(system, own, server)
            command = [python, str(APPS / "agent_app.py"), system, where, system, what, json.dumps(about)]
            environment |= {"DD_TRACE_AGENT_URL": where, "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false"}
            running = Staying(command, own / "log", environment=environment, folder=own)
            staying.callback(running.end)
            return running

        def called(system: str) -> dict[str, dict[str, str]]:
            running = started(system, "calls", list(AGENTS))
            found: dict[str, dict[str, str]] = json.loads(running.next(r"\{.*\}")[0])
            ended(system, running)
            return found

        def answered(system: str) -> None:
            ended(system, started(system, "answers", {caller: between[caller][system] for caller in AGENTS}))

        with ThreadPoolExecutor(2) as threads:
            try:
                wrote = dict(zip(AGENTS, threads.map(called, AGENTS), strict=True))
            except Absent as reason:
                pytest.skip(str(reason))
            between = through_clew(server, wrote)
            list(threads.map(answered, AGENTS))
        every = (2 + 2 + 1) * len(PAIRS)  # by the caller's agent, by clew, by the callee's
        wait_until(lambda: flushed(server) >= every, about=lambda: came(server))
        yield wrote


def ended(system: str, running: Staying) -> None:
    """Wait until it has made its spans, and sent them where it does so at its end."""
    running.next("sent")
    if AGENTS[system].sends_at_its_end:
        running.end()


def interpreter(system: str, folder: Path, server: Server) -> tuple[str, dict[str, str]]:
    """With what a system's agent runs. Raises Absent."""
    if system == "cat":
        python, environment = cat_sdk.prepared(folder, server.receiver("cat-router"))
        return python, dict(environment)
    requirements = AGENTS[system].requirements
    return (clients.python(*requirements) if requirements else sys.executable), {}


def through_clew(server: Server, wrote: Said) -> Said:
    """What clew's propagators make of these headers."""
    environment = {
        "OTEL_PROPAGATORS": PROPAGATORS,
        "OTEL_SERVICE_NAME": "between",
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp_http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    command = [sys.executable, str(APPS / "between_app.py")]
    done = subprocess.run(
        command,
        input=json.dumps(wrote),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found: Said = json.loads(done.stdout)
    return found


def flushed(server: Server) -> int:
    """Spans that are stored. Datagrams come when they come."""
    server.flush()
    return int(server.status()["stored_spans"])


def came(server: Server) -> list[tuple[str, int, str]]:
    """Which receivers have how many spans, and what was wrong last."""
    receivers = server.status()["receivers"]
    return [(one["name"], one["spans"], one["last_error"]) for one in receivers if one["state"] == "open"]


@clients.only_in_make_clients
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_call_through_clew_between_two_agents_is_one_trace(
    server: Server, said: Said, caller: str, callee: str
) -> None:
    assert AGENTS[caller].header in {key.lower() for key in said[caller][callee]}
    (found,) = server.found(service="between", operation=f"{caller} to {callee}")
    spans = {span["spanId"]: span for span in spans_of(server.get_json(f"/api/v1/traces/{found['trace_id']}"))}
    (served_by_clew,) = (span for span in spans.values() if span["name"] == f"{caller} to {callee}")
    (called_by_clew,) = (span for span in spans.values() if span["name"] == f"to {callee}")
    above = spans[served_by_clew["parentSpanId"]]
    (root,) = (span for span in spans.values() if not span.get("parentSpanId"))
    (below,) = (span for span in spans.values() if span.get("parentSpanId") == called_by_clew["spanId"])
    assert called_by_clew["parentSpanId"] == served_by_clew["spanId"]
    assert above["parentSpanId"] == root["spanId"]
    assert len(spans) == 5
    assert [(one["service"], one["kind"]) for one in (above, served_by_clew, called_by_clew, below)] == [
        (caller, CLIENT),
        ("between", SERVER),
        ("between", CLIENT),
        (callee, SERVER),
    ]


def spans_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The spans of an OTLP answer, each with its service."""
    found = []
    for group in answer["resourceSpans"]:
        service = attributes(group["resource"])["service.name"]
        found += [{**span, "service": service} for scope in group["scopeSpans"] for span in scope["spans"]]
    return found
