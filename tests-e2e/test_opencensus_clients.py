"""Real OpenCensus exporters, each in an environment of its own: two services in one trace with an error and a job in another
thread, as the API shows it.

`make test` runs the one for Python, `make clients` both, and watches the Java exporter's log for minutes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import clients
from harness.answers import attributes, receiver, spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.staying import Staying
from harness.wire import fresh_name

APPS = Path(__file__).parent / "opencensus"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]
PYTHON = ("opencensus", "opencensus==0.11.4", "opencensus-ext-ocagent==0.7.1", "protobuf==3.20.3", "setuptools<81")

Client = Callable[[Server, str, str], str]
"""Sends the trace of two services to a server; returns the trace id."""


def python(server: Server, front: str, back: str) -> str:
    interpreter = clients.python(*PYTHON)
    return clients.run(
        [interpreter, str(APPS / "opencensus_app.py"), server.receiver("opencensus"), front, back]
    ).strip()


COMPLAINS = r"WARNING|SEVERE|xception"


def java_service(server: Server, service: str) -> Staying:
    """One service in a JVM. Its exporter connects when it has the first spans, and sends every five seconds."""
    command = clients.java("opencensus-java", APPS / "pom.xml", APPS / "OpenCensusApp.java")
    return Staying([*command, server.receiver("opencensus"), service], server.data_dir.parent / f"{service}.log")


@contextlib.contextmanager
def java_services(server: Server, *services: str) -> Iterator[list[Staying]]:
    """JVMs that wait for commands."""
    running: list[Staying] = []
    try:
        running.extend(java_service(server, service) for service in services)
        yield running
    finally:
        for one in running:
            one.end()


def java(server: Server, front: str, back: str) -> str:
    before = server.status()["accepted_spans"]
    with java_services(server, front, back) as (first, second):
        first.say(f"front {back}")
        context = first.next(r"[0-9a-f]+", fails=COMPLAINS)[0]
        second.say(f"back {context}")
        first.say(second.next("answered", fails=COMPLAINS)[0])
        wait_until(
            lambda: server.status()["accepted_spans"] >= before + 5,
            about=lambda: first.logged() + second.logged(),
        )
    # 00, 00 and 16 bytes: version, field, trace id.
    return context[4:36]


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes OpenCensus' spans."""
    folder = tmp_path_factory.mktemp("opencensus")
    running = Server(folder / "data", options=["--receive", "opencensus@127.0.0.1:0"]).start()
    yield running
    running.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", [python, pytest.param(java, marks=clients.only_in_make_clients)])
def test_a_call_between_two_services_arrives_whole(census: Server, client: Client) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    refused, began_ns = receiver(census, "opencensus")["refused_requests"], time.time_ns()
    try:
        trace_id = client(census, front, back)
    except Absent as reason:
        pytest.skip(str(reason))
    ended_ns = time.time_ns()
    census.flush()
    spans = spans_by_name(census.get_json(f"/api/v1/traces/{trace_id}"))
    assert {name: span["service"] for name, span in spans.items()} == {
        "get /buy": front,
        "post": front,
        "post /stock": back,
        "look": back,
        "job": back,
    }
    assert {name: KINDS[span.get("kind", 0)] for name, span in spans.items()} == {
        "get /buy": "server",
        "post": "client",
        "post /stock": "server",
        "look": "internal",
        "job": "consumer",
    }
    names = {span["spanId"]: name for name, span in spans.items()}
    assert {name: names.get(span.get("parentSpanId", ""), "") for name, span in spans.items()} == {
        "get /buy": "",
        "post": "get /buy",
        "post /stock": "post",
        "look": "post /stock",
        "job": "post /stock",
    }
    for span in spans.values():
        # Clients in Python cut off what is less than a microsecond.
        assert began_ns - 1000 <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= ended_ns
    found = {name: attributes(span) for name, span in spans.items()}
    assert found["get /buy"].items() >= {"http.method": "GET", "http.request.method": "GET"}.items()
    assert found["post"]["peer.service"] == back
    assert found["look"].items() >= {"ratio": 0.5, "ok": True}.items()
    assert (
        found["post /stock"].items()
        >= {
            "http.response.status_code": 500,
            "error.type": "NOT_FOUND",
            "opencensus.status_code": 5,
        }.items()
    )
    assert spans["post /stock"]["status"] == {"code": 2, "message": "no stock"}
    assert spans["post"]["status"] == {"code": 2, "message": "answered with 500"}
    assert spans["get /buy"]["status"] == {"code": 2}
    assert not any(spans[name].get("status") for name in ("look", "job"))
    queued, sent = spans["post"]["events"]
    assert (queued["name"], attributes(queued)) == ("queued", {"size": 3})
    assert (sent["name"], attributes(sent)) == (
        "message",
        {
            "message.type": "SENT",
            "message.id": 7,
            "message.uncompressed_size": 200,
            "message.compressed_size": 100,
        },
    )
    (cause,) = spans["job"]["links"]
    assert (cause["traceId"], cause["spanId"]) == (trace_id, spans["post"]["spanId"])
    assert attributes(cause) == {"why": "later", "opencensus.link_type": "parent"}
    assert [name for name, span in spans.items() if span["flags"] >> 8 == 3] == ["post /stock"]
    assert [trace["trace_id"] for trace in census.found(service=back, q="error.type=NOT_FOUND")] == [trace_id]
    explained = census.get_json(f"/api/v1/traces/{trace_id}/explain")
    assert (explained["verdict"], explained["origin"]) == ("failed", [spans["post /stock"]["spanId"]])
    assert receiver(census, "opencensus")["refused_requests"] == refused


@clients.only_in_make_clients
@pytest.mark.timeout(clients.WATCHED_S + 300)
def test_the_java_exporter_stays_connected_and_logs_nothing(census: Server) -> None:
    service = fresh_name("watched")
    refused = receiver(census, "opencensus")["refused_requests"]
    try:
        with java_services(census, service) as (one,):
            one.say("tick")
            wait_until(lambda: len(census.found(service=service)) == 1, about=one.logged)
            client, end_s, ticks = (
                receiver(census, "opencensus")["last_client"],
                time.monotonic() + clients.WATCHED_S,
                1,
            )
            while time.monotonic() < end_s:
                one.say("tick")
                ticks += 1
                time.sleep(1)
            wait_until(lambda: len(census.found(service=service, limit=1000)) >= min(ticks, 1000))
            assert receiver(census, "opencensus")["last_client"] == client, "it connected again"
            complaints = one.matching(COMPLAINS)
    except Absent as reason:
        pytest.skip(str(reason))
    assert complaints == []
    assert receiver(census, "opencensus")["refused_requests"] == refused
