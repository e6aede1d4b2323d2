"""Datadog's tracer for Python in an environment of its own: two services in one trace with an error and a job in another thread, as
the API shows it.

`make test` runs it with v0.5 of the protocol, `make clients` with v0.4 too, and watches its log for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from harness import clients
from harness.answers import attributes, receiver, spans_by_name
from harness.backends import Absent
from harness.server import Server
from harness.wire import fresh_name

APP = Path(__file__).parent / "datadog" / "ddtrace_app.py"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes what Datadog's tracers send."""
    folder = tmp_path_factory.mktemp("datadog")
    running = Server(folder / "data", options=["--receive", "datadog@127.0.0.1:0"]).start()
    yield running
    running.close()


def run(server: Server, version: str, *arguments: str, watched_s: str = "0") -> str:
    """What the tracer's program printed. It ends with an error where the tracer logged anything."""
    environment = {
        "DD_TRACE_AGENT_URL": server.receiver("datadog"),
        "DD_TRACE_API_VERSION": version,
        "DD_ENV": "prod",
        "DD_SERVICE": arguments[0],
        "DD_VERSION": "1.2",
    }
    python = clients.python("ddtrace", "ddtrace==4.16.0")
    command = [python, str(APP), *arguments, watched_s]
    return clients.run(command, environment=environment, timeout_s=float(watched_s) + 60).strip()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["v0.5", pytest.param("v0.4", marks=clients.only_in_make_clients)])
def test_a_call_between_two_services_arrives_whole(agent: Server, version: str) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    try:
        trace_id = run(agent, version, front, back)
    except Absent as reason:
        pytest.skip(str(reason))
    agent.flush()
    spans = spans_by_name(agent.get_json(f"/api/v1/traces/{trace_id}"))
    resources = {span["service"]: span["resource"] for span in spans.values()}
    assert {name: span["service"] for name, span in spans.items()} == {
        "web.request": front,
        "requests.request": front,
        "flask.request": back,
        "postgres.query": back,
        "job": back,
    }
    assert {name: KINDS[span.get("kind", 0)] for name, span in spans.items()} == {
        "web.request": "server",
        "requests.request": "client",
        "flask.request": "server",
        "postgres.query": "client",
        "job": "consumer",
    }
    names = {span["spanId"]: name for name, span in spans.items()}
    assert {name: names.get(span.get("parentSpanId", ""), "") for name, span in spans.items()} == {
        "web.request": "",
        "requests.request": "web.request",
        "flask.request": "requests.request",
        "postgres.query": "flask.request",
        "job": "flask.request",
    }
    assert resources[front].items() >= {"deployment.environment.name": "prod", "service.version": "1.2"}.items()
    assert resources[back]["telemetry.sdk.language"] == "python"
    found = {name: attributes(span) for name, span in spans.items()}
    assert (
        found["web.request"].items()
        >= {"datadog.resource": "GET /buy", "http.request.method": "GET", "http.response.status_code": 500}.items()
    )
    assert found["requests.request"]["peer.service"] == back
    assert (
        found["postgres.query"].items()
        >= {
            "db.query.text": "select 1 from stock",
            "db.system.name": "postgresql",
            "db.response.returned_rows": 7,
            "ratio": 0.5,
        }.items()
    )
    assert {name: span.get("status", {}).get("code", 0) for name, span in spans.items()} == {
        "web.request": 2,
        "requests.request": 2,
        "flask.request": 2,
        "postgres.query": 0,
        "job": 0,
    }
    assert spans["flask.request"]["status"]["message"] == "no stock"
    (raised,) = spans["flask.request"]["events"]
    said = attributes(raised)
    assert (raised["name"], said["exception.type"], said["exception.message"]) == (
        "exception",
        "builtins.LookupError",
        "no stock",
    )
    assert "raise LookupError" in said["exception.stacktrace"]
    (queued,) = spans["requests.request"]["events"]
    assert (queued["name"], attributes(queued)) == ("queued", {"size": 3})
    (cause,) = spans["job"]["links"]
    assert (cause["traceId"], cause["spanId"]) == (trace_id, spans["flask.request"]["spanId"])
    assert attributes(cause) == {"why": "later"}
    assert [trace["trace_id"] for trace in agent.found(service=back, q='datadog.resource="POST /stock"')] == [trace_id]
    explained = agent.get_json(f"/api/v1/traces/{trace_id}/explain")
    assert (explained["verdict"], explained["origin"]) == ("failed", [spans["flask.request"]["spanId"]])
    assert receiver(agent, "datadog")["refused_requests"] == 0
    assert receiver(agent, "datadog")["dropped"]["telemetry"] >= 1


@clients.only_in_make_clients
@pytest.mark.timeout(900)
def test_the_tracer_logs_nothing_for_minutes(agent: Server) -> None:
    service = fresh_name("watched")
    try:
        run(agent, "v0.5", service, fresh_name("back"), watched_s=str(clients.WATCHED_S))
    except Absent as reason:
        pytest.skip(str(reason))
    agent.flush()
    assert len(agent.found(service=service, limit=1000)) >= 2
    assert receiver(agent, "datadog")["refused_requests"] == 0


def test_what_is_refused_is_said_in_words(agent: Server) -> None:
    address = agent.receiver("datadog")
    before = receiver(agent, "datadog")["refused_requests"]
    media = {"Content-Type": "application/msgpack"}
    answers = [
        httpx.put(f"{address}/v0.4/traces", content=b"\x91\x91\x81", headers=media),
        httpx.put(f"{address}/v0.4/traces", content=b"\x90", headers={"Content-Type": "text/plain"}),
        httpx.get(f"{address}/v0.4/traces"),
    ]
    assert [answer.status_code for answer in answers] == [400, 415, 405]
    assert "not traces of a Datadog tracer" in answers[0].text
    assert (answers[2].headers["allow"], answers[2].text) == ("PUT, POST", "GET /v0.4/traces: use PUT")
    assert receiver(agent, "datadog")["refused_requests"] == before + 3
    assert httpx.get(f"{address}/info").json()["client_drop_p0s"] is False
    assert httpx.get(f"{address}/elsewhere").status_code == 404
