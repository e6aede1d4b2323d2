"""Sentry's SDK for Python in an environment of its own: two services in one trace, an error in a span, and one that comes after its span.

`make test` runs it with transactions, `make clients` with streamed spans too. One service packs with brotli, the other with gzip.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew_server.testing import sentry
from harness import clients
from harness.answers import attributes, receiver, spans_by_name
from harness.backends import Absent
from harness.server import Server
from harness.wire import fresh_name

pytest.importorskip("brotli", reason="the SDK packs with brotli where it is installed: `pip install brotli`")
APP = Path(__file__).parent / "sentry" / "sentry_app.py"
REQUIREMENTS = ("sentry-sdk==2.75.0", "brotli==1.2.1")
KINDS = ["", "internal", "server", "client", "producer", "consumer"]
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes what Sentry's SDKs send."""
    folder = tmp_path_factory.mktemp("sentry")
    running = Server(folder / "data", options=["--receive", "sentry@127.0.0.1:0"]).start()
    yield running
    running.close()


def run(server: Server, lifecycle: str, *services: str) -> str:
    """What the program printed. It ends with an error where the SDK logged a warning."""
    host = server.receiver("sentry").removeprefix("http://")
    python = clients.python("sentry-sdk", *REQUIREMENTS)
    command = [python, str(APP), lifecycle, *(f"http://{KEY}@{host}/{service}/1" for service in services)]
    return clients.run(command, timeout_s=120).strip()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lifecycle", ["static", pytest.param("stream", marks=clients.only_in_make_clients)])
def test_a_call_between_two_services_arrives_whole(server: Server, lifecycle: str) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    try:
        trace_id = run(server, lifecycle, front, back)
    except Absent as reason:
        pytest.skip(str(reason))
    server.flush()
    spans = spans_by_name(server.get_json(f"/api/v1/traces/{trace_id}"))
    assert {name: (one["service"], KINDS[one["kind"]]) for name, one in spans.items()} == {
        "GET /buy": (front, "server"),
        "POST": (front, "client"),
        "generic WSGI request": (back, "server"),
        "SELECT": (back, "client"),
        "orders": (back, "producer"),
    }
    names = {one["spanId"]: name for name, one in spans.items()}
    assert {name: names.get(one.get("parentSpanId", ""), "") for name, one in spans.items()} == {
        "GET /buy": "",
        "POST": "GET /buy",
        "generic WSGI request": "POST",
        "SELECT": "generic WSGI request",
        "orders": "generic WSGI request",
    }
    process = {
        "service.version": "1.2",
        "deployment.environment.name": "prod",
        "host.name": "vm",
        "telemetry.sdk.name": "sentry.python",
        "telemetry.sdk.language": "python",
        "process.runtime.name": "CPython",
    }
    assert spans["generic WSGI request"]["resource"].items() >= process.items()
    found = {name: attributes(one) for name, one in spans.items()}
    assert found["POST"].items() >= {"http.request.method": "POST", "http.response.status_code": 500}.items()
    assert found["POST"]["url.full"].endswith("/stock?n=1")
    assert found["POST"]["server.address"] == "127.0.0.1"
    database = {"db.query.text": "select 1 from stock", "db.system.name": "postgresql", "sentry.op": "db"}
    assert found["SELECT"].items() >= database.items()
    assert found["orders"]["messaging.destination.name"] == "orders"
    request = found["generic WSGI request"]
    assert request.items() >= {"user.id": "7", "user.name": "ann", "http.request.method": "POST"}.items()
    if lifecycle == "static":
        assert request.items() >= {"user.plan": "free", "shelf": "b", "sentry.contexts.cart.items": 2}.items()
    assert spans["generic WSGI request"]["status"]["code"] == 2

    (raised,) = exceptions(spans["orders"])
    assert (raised["exception.type"], raised["exception.message"]) == ("LookupError", "no stock")
    assert "KeyError: 'shelf'\n\nThe above exception was the direct cause" in raised["exception.stacktrace"]
    assert (raised["clew.from"], raised["log.severity_number"]) == ("sentry", 17)
    (late,) = exceptions(spans["GET /buy"])
    assert (late["exception.type"], late["exception.message"]) == ("RuntimeError", "too late")
    assert [one["trace_id"] for one in server.found(q='event.exception.message="no stock"', service=back)] == [trace_id]
    explained = server.get_json(f"/api/v1/traces/{trace_id}/explain")
    assert (explained["verdict"], explained["origin"]) == ("failed", [spans["orders"]["spanId"]])
    assert explained["completeness"]["missing_parents"] == 0

    state = receiver(server, "sentry")
    assert state["refused_requests"] == 0
    assert state["dropped"]["session"] >= 1


def exceptions(span: Any) -> list[dict[str, Any]]:
    return [attributes(one) for one in span["events"] if one["name"] == "exception"]


def test_an_error_that_comes_before_its_transaction_is_an_event_of_it(server: Server) -> None:
    address = server.receiver("sentry")
    trace_id, span_id = "5ce0" * 8, "b3" * 8
    error = sentry.envelope(("event", sentry.error(trace_id, span_id)), event_id="c" * 32)
    answer = httpx.post(f"{address}/shop/api/1/envelope/", content=error)
    assert (answer.status_code, answer.json()) == (200, {"id": "c" * 32})
    server.flush()
    assert server.get(f"/api/v1/traces/{trace_id}").status_code == 404
    sent = sentry.envelope(("transaction", sentry.transaction(trace_id, span_id, "GET /late")))
    assert httpx.post(f"{address}/shop/api/1/envelope/", content=sent).json() == {}
    server.flush()
    (span,) = spans_by_name(server.get_json(f"/api/v1/traces/{trace_id}")).values()
    assert [one["exception.message"] for one in exceptions(span)] == ["no stock"]


SPOTLIGHT = """
import sys, sentry_sdk
sentry_sdk.init(spotlight=sys.argv[1], traces_sample_rate=1.0, release="desk@1")
with sentry_sdk.start_transaction(name="work") as work:
    pass
print(work.trace_id)
"""


@clients.only_in_make_clients
def test_an_sdk_without_a_dsn_sends_to_where_it_expects_a_tool_on_the_developers_machine(server: Server) -> None:
    try:
        python = clients.python("sentry-sdk", *REQUIREMENTS)
    except Absent as reason:
        pytest.skip(str(reason))
    trace_id = clients.run([python, "-c", SPOTLIGHT, f"{server.receiver('sentry')}/stream"]).strip()
    server.flush()
    (span,) = spans_by_name(server.get_json(f"/api/v1/traces/{trace_id}")).values()
    assert (span["name"], span["service"]) == ("work", "desk")


def test_what_is_refused_is_said_in_words(server: Server) -> None:
    address = server.receiver("sentry")
    before = receiver(server, "sentry")["refused_requests"]
    answers = [
        httpx.post(f"{address}/api/1/envelope/", content=b"no envelope"),
        httpx.post(f"{address}/api/1/envelope/", content=b"x", headers={"Content-Encoding": "zstd"}),
        httpx.get(f"{address}/api/1/store/"),
    ]
    assert [answer.status_code for answer in answers] == [400, 415, 405]
    assert "no envelope of Sentry's" in answers[0].json()["detail"]
    assert receiver(server, "sentry")["refused_requests"] == before + 3
    elsewhere = httpx.post(f"{address}/api/1/elsewhere/")
    assert (elsewhere.status_code, "/api/{project}/envelope/" in elsewhere.text) == (404, True)
