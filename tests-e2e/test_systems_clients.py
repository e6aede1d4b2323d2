"""docs/systems.md with real agents: a service of each system calls a service of clew, which calls a service of each system."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import clients
from harness.answers import spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server, free_port

APPS = Path(__file__).parent / "systems"
PROPAGATORS = "tracecontext,b3multi,jaeger,skywalking,datadog,sentry"

Said = dict[str, dict[str, dict[str, str]]]
"""Headers, by caller and callee."""


class Agent(NamedTuple):
    """One system's agent for Python."""

    receiver: str
    python: Callable[[], str]
    """Its interpreter. Raises Absent."""
    header: str
    """What it reads and writes, in lower case."""


AGENTS = {
    "jaeger": Agent(
        "jaeger-compact", lambda: clients.python("jaeger-client", "jaeger-client==4.8.0", "six"), "uber-trace-id"
    ),
    "zipkin": Agent("zipkin", lambda: sys.executable, "x-b3-traceid"),
    "skywalking": Agent(
        "skywalking-grpc",
        lambda: clients.python("skywalking-python", "apache-skywalking==1.2.0", "requests", "setuptools<81"),
        "sw8",
    ),
    "datadog": Agent("datadog", lambda: clients.python("ddtrace", "ddtrace==4.16.0"), "x-datadog-trace-id"),
    "sentry": Agent(
        "sentry", lambda: clients.python("sentry-sdk", "sentry-sdk==2.75.0", "brotli==1.2.1"), "sentry-trace"
    ),
    "opencensus": Agent(
        "opencensus",
        lambda: clients.python(
            "opencensus",
            *("opencensus==0.11.4", "opencensus-ext-ocagent==0.7.1", "protobuf==3.20.3", "setuptools<81"),
        ),
        "traceparent",
    ),
}
PAIRS = list(itertools.product(AGENTS, AGENTS))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    named = ",".join(f"{agent.receiver}@127.0.0.1:{free_port()}" for agent in AGENTS.values())
    with closing(Server(tmp_path_factory.mktemp("systems") / "data", options=["--receive", named])) as running:
        yield running.start()


@pytest.fixture(scope="module")
def said(server: Server) -> Said:
    """Everything called once; the headers that the agents wrote. The spans of all are stored."""

    def run(system: str, what: str, about: Any) -> str:
        agent = AGENTS[system]
        where = server.receiver(agent.receiver)
        command = [agent.python(), str(APPS / "agent_app.py"), system, where, system, what, json.dumps(about)]
        environment = {"DD_TRACE_AGENT_URL": where, "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false"}
        return clients.run(command, environment=environment, timeout_s=120)

    with ThreadPoolExecutor(2) as threads:
        try:
            called = dict(zip(AGENTS, threads.map(lambda one: run(one, "calls", list(AGENTS)), AGENTS), strict=True))
        except Absent as reason:
            pytest.skip(str(reason))
        wrote: Said = {system: json.loads(printed.splitlines()[-1]) for system, printed in called.items()}
        between = through_clew(server, wrote)
        answered = {callee: {caller: between[caller][callee] for caller in AGENTS} for callee in AGENTS}
        list(threads.map(lambda one: run(one, "answers", answered[one]), AGENTS))
    every = (2 + 2 + 1) * len(PAIRS)  # by the caller's agent, by clew, by the callee's
    wait_until(lambda: flushed(server) >= every, about=lambda: came(server))
    return wrote


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
        timeout=60,
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
    (found,) = server.found(service=callee, operation=f"called by {caller}")
    spans = spans_by_name(server.get_json(f"/api/v1/traces/{found['trace_id']}"))
    names = {span["spanId"]: name for name, span in spans.items()}
    assert {name: names.get(span.get("parentSpanId", ""), "") for name, span in spans.items()} == {
        "work": "",
        f"calls {callee}": "work",
        f"{caller} to {callee}": f"calls {callee}",
        f"to {callee}": f"{caller} to {callee}",
        f"called by {caller}": f"to {callee}",
    }
    assert [spans[name]["service"] for name in (f"calls {callee}", f"to {callee}", f"called by {caller}")] == [
        caller,
        "between",
        callee,
    ]
