"""Real Zipkin clients, each in an environment of its own: two services in one trace with an error, as the API shows it.

`make test` runs py-zipkin, `make clients` all.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from py_zipkin import Encoding, Kind
from py_zipkin.zipkin import zipkin_span

from harness import clients
from harness.answers import attributes, spans_by_name
from harness.backends import Absent
from harness.server import Server, free_port
from harness.wire import fresh_name

APPS = Path(__file__).parent / "zipkin"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]


@dataclass
class Sent:
    """What a client says it sent."""

    trace_id: str
    times: dict[str, tuple[int, int]]
    """Start and length in µs, of the spans whose times are known."""
    queued_us: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    """Of the server's span of the second service, beside those of all clients."""
    peer: bool = True
    """Whether the client's span says which service it calls, at which port."""


def py_zipkin(encoding: str, path: str, *requirements: str) -> Callable[[str, str, str, int], Sent]:
    def send(address: str, front: str, back: str, start_us: int) -> Sent:
        python = clients.python("py-zipkin", *requirements) if requirements else sys.executable
        command = [python, str(APPS / "py_zipkin_app.py"), address + path, encoding, front, back, str(start_us)]
        trace_id = clients.run(command).strip()
        # py-zipkin measures the spans it begins from headers, whatever times it is given.
        times = {"post": (start_us + 62_500, 62_500), "look": (start_us + 78_125, 15_625)}
        return Sent(trace_id, times, start_us + 70_312)

    return send


def opentelemetry(form: str, requirement: str) -> Callable[[str, str, str, int], Sent]:
    def send(address: str, front: str, back: str, start_us: int) -> Sent:
        python = clients.python(f"otel-{form}", requirement)
        command = [python, str(APPS / "otel_app.py"), f"{address}/api/v2/spans", form, front, back, str(start_us)]
        trace_id = clients.run(command).strip()
        return Sent(trace_id, fixed_times(start_us), start_us + 65_000, {"zipkin.debug": True}, peer=False)

    return send


def zipkin_js(address: str, front: str, back: str, start_us: int) -> Sent:
    folder = clients.node("zipkin-js", APPS / "package.json")
    command = ["node", str(APPS / "app.js"), f"{address}/api/v2/spans", front, back]
    spans = json.loads(clients.run(command, environment={"NODE_PATH": str(folder / "node_modules")}))
    times = {span["name"]: (span["timestamp"], span["duration"]) for span in spans}
    (queued,) = (one["timestamp"] for span in spans for one in span.get("annotations", ()))
    return Sent(spans[0]["traceId"], times, queued)


def brave(address: str, front: str, back: str, start_us: int) -> Sent:
    command = clients.java("brave", APPS / "pom.xml", APPS / "BraveApp.java")
    trace_id = clients.run([*command, f"{address}/api/v2/spans", front, back, str(start_us)]).strip()
    return Sent(trace_id, fixed_times(start_us), start_us + 65_000)


def fixed_times(start_us: int) -> dict[str, tuple[int, int]]:
    return {
        "get /buy": (start_us, 250_000),
        "post": (start_us + 62_500, 62_500),
        "post /stock": (start_us + 70_000, 30_000),
        "look": (start_us + 78_125, 15_625),
    }


CLIENTS = [
    pytest.param(py_zipkin("V2_JSON", "/api/v2/spans"), id="py-zipkin v2 JSON"),
    *(
        pytest.param(client, id=name, marks=clients.only_in_make_clients)
        for name, client in (
            ("py-zipkin v2 protobuf", py_zipkin("V2_PROTO3", "/api/v2/spans")),
            ("py-zipkin v1 JSON", py_zipkin("V1_JSON", "/api/v1/spans")),
            ("py-zipkin v1 Thrift", py_zipkin("V1_THRIFT", "/api/v1/spans", "py-zipkin==0.20.2", "requests==2.34.2")),
            ("OpenTelemetry JSON", opentelemetry("json", "opentelemetry-exporter-zipkin-json==1.45.1")),
            ("OpenTelemetry protobuf", opentelemetry("proto", "opentelemetry-exporter-zipkin-proto-http==1.45.1")),
            ("zipkin-js", zipkin_js),
            ("Brave", brave),
        )
    ),
]


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes Zipkin's spans."""
    running = Server(tmp_path_factory.mktemp("zipkin") / "data", options=["--receive", "zipkin@127.0.0.1:0"]).start()
    yield running
    running.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_between_two_services_arrives_whole(
    zipkin: Server, client: Callable[[str, str, str, int], Sent]
) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    start_us = int(time.time()) * 1_000_000
    try:
        sent = client(zipkin.receiver("zipkin"), front, back, start_us)
    except Absent as reason:
        pytest.skip(str(reason))
    zipkin.flush()
    spans = spans_by_name(zipkin.get_json(f"/api/v1/traces/{sent.trace_id}"))
    services = {name: span["service"] for name, span in spans.items()}
    assert services == {"get /buy": front, "post": front, "post /stock": back, "look": back}
    assert {name: KINDS[span.get("kind", 0)] for name, span in spans.items()} == {
        "get /buy": "server",
        "post": "client",
        "post /stock": "server",
        "look": "internal",
    }
    assert parents(zipkin, sent.trace_id) == {
        "get /buy": "",
        "post": "get /buy",
        "post /stock": "post",
        "look": "post /stock",
    }
    assert len({span["spanId"] for span in spans.values()}) == 4
    for name, (at_us, length_us) in sent.times.items():
        start_ns, end_ns = int(spans[name]["startTimeUnixNano"]), int(spans[name]["endTimeUnixNano"])
        assert (start_ns, end_ns) == (at_us * 1000, (at_us + length_us) * 1000), name
    assert [(event["name"], int(event["timeUnixNano"])) for event in spans["post"]["events"]] == [
        ("queued", (sent.queued_us or 0) * 1000)
    ]
    assert spans["post /stock"]["status"] == {"message": "no stock", "code": 2}
    assert spans["get /buy"].get("status", {}) == {}
    bought, stock, post = (attributes(spans[name]) for name in ("get /buy", "post /stock", "post"))
    assert bought.items() >= {
        "http.method": "GET", "http.request.method": "GET", "http.path": "/buy", "url.path": "/buy"
    }.items()  # fmt: skip
    assert stock.items() >= {"http.response.status_code": 500, "error": "no stock", **sent.attributes}.items()
    if sent.peer:
        assert post.items() >= {"peer.service": back, "server.port": 8081, "server.address": "127.0.0.1"}.items()
    found = zipkin.found(service=back, q="http.response.status_code=500")
    assert [trace["trace_id"] for trace in found] == [sent.trace_id]

    in_jaegers = zipkin.get_json(f"/api/v3/traces/{sent.trace_id}")["result"]
    assert {name: span["spanId"] for name, span in spans_by_name(in_jaegers).items()} == {
        name: span["spanId"] for name, span in spans.items()
    }
    answer = httpx.get(f"{zipkin.receiver('zipkin')}/api/v2/trace/{sent.trace_id}", trust_env=False, timeout=100)
    in_zipkins = {span["name"]: span for span in answer.json()}
    assert {
        name: (span["kind"], span["localEndpoint"]["serviceName"])
        for name, span in in_zipkins.items()
        if "kind" in span
    } == {
        "get /buy": ("SERVER", front),
        "post": ("CLIENT", front),
        "post /stock": ("SERVER", back),
    }
    # A server that shared its client's id is given back as it was reported.
    shared = in_zipkins["post /stock"].get("shared", False)
    assert shared == ("zipkin.shared" in stock)
    assert (in_zipkins["post /stock"]["id"] == in_zipkins["post"]["id"]) == shared
    assert in_zipkins["look"]["parentId"] == in_zipkins["post /stock"]["id"]


class Reporting(threading.Thread):
    """py-zipkin, reporting traces of two spans; each report is repeated, the same bytes, until it is acknowledged."""

    def __init__(self, url: str, service: str, encoding: Encoding, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url, self._service, self._encoding, self._stop_sending = url, service, encoding, stop
        self.acknowledged: list[str] = []
        self.wrong: list[str] = []
        self._http = httpx.Client(timeout=100)

    def run(self) -> None:
        with self._http:
            self._report()

    def _report(self) -> None:
        while not self._stop_sending.is_set() and not self.wrong:
            common = {"service_name": self._service, "encoding": self._encoding, "transport_handler": self._send}
            with zipkin_span(
                span_name="root", kind=Kind.SERVER, sample_rate=100.0, use_128bit_trace_id=True, **common
            ) as root:
                trace_id = root.zipkin_attrs.trace_id
                with zipkin_span(service_name=self._service, span_name="inner"):
                    pass
            if not self.wrong:
                self.acknowledged.append(trace_id)
            time.sleep(0.01)  # the pace of the load, nothing is waited for

    def _send(self, body: str | bytes) -> None:
        media = "application/x-protobuf" if self._encoding is Encoding.V2_PROTO3 else "application/json"
        while True:
            try:
                answer = self._http.post(self._url, content=body, headers={"Content-Type": media})
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if answer.status_code == 202:
                return
            if answer.status_code != 503:
                self.wrong.append(f"{answer.status_code} {answer.text}")
                return
            time.sleep(0.05)


@pytest.mark.timeout(240)
def test_what_was_acknowledged_before_the_server_was_killed_is_there_once(
    make_server: Callable[..., Server],
) -> None:
    port = free_port()
    server = make_server(options=["--receive", f"zipkin@127.0.0.1:{port}"]).start()
    stop = threading.Event()
    service, url = fresh_name("killed"), f"http://127.0.0.1:{port}/api/v2/spans"
    reporting = [Reporting(url, service, encoding, stop) for encoding in (Encoding.V2_JSON, Encoding.V2_PROTO3)]
    for one in reporting:
        one.start()
    until(lambda: all(len(one.acknowledged) >= 30 for one in reporting))
    server.kill()
    server.start()
    until(lambda: all(len(one.acknowledged) >= 60 for one in reporting))
    stop.set()
    for one in reporting:
        one.join(100)
        assert not one.is_alive()
        assert one.wrong == []
    server.flush()
    acknowledged = [trace_id for one in reporting for trace_id in one.acknowledged]
    found = server.found(service=service, limit=1000)
    assert sorted((trace["trace_id"], trace["spans"]) for trace in found) == sorted((one, 2) for one in acknowledged)


def until(is_so: Callable[[], bool]) -> None:
    """Return when something is so; the test's own timeout ends what never is."""
    while not is_so():
        time.sleep(0.02)


def parents(server: Server, trace_id: str) -> dict[str, str]:
    """The name of each span's parent in the tree that the UI draws."""
    tree = server.get_json(f"/api/v1/traces/{trace_id}/skeleton")
    names = [tree["names"][number] for number in tree["name"]]
    return {names[row]: names[parent] if parent >= 0 else "" for row, parent in enumerate(tree["parent"])}
