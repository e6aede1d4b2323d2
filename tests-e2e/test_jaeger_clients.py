"""Real Jaeger clients, each in an environment of its own: two services in one trace with an error, as the API shows it.

`make test` runs the one for Node, which is the quickest to install, `make clients` all.
"""

from __future__ import annotations

import json
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.recorder.sampler.jaeger_remote import JaegerRemote
from clew_server.collector.intake import Batch
from clew_server.collector.watching import Watcher
from clew_server.receivers.jaeger.adaptive import AdaptiveRates
from clew_server.receivers.jaeger.roots import roots
from clew_server.receivers.jaeger.sampling import Sampling
from clew_server.receivers.jaeger.specs import COMPACT
from clew_server.sockets.listening import listen
from clew_server.sockets.server import serve
from clew_server.testing import ReceiverStand, jaeger
from harness import backends, clients
from harness.answers import attributes, spans_by_name, wait_until
from harness.backends import Absent
from harness.server import Server
from harness.wire import fresh_name

APPS = Path(__file__).parent / "jaeger"
KINDS = ["", "internal", "server", "client", "producer", "consumer"]
RECEIVERS = ("jaeger-compact", "jaeger-binary", "jaeger-http", "jaeger-grpc", "jaeger-sampling")
SDK = ("opentelemetry-sdk==1.21.0", "opentelemetry-api==1.21.0", "deprecated")
THRIFT = ("otel-jaeger-thrift", "opentelemetry-exporter-jaeger-thrift==1.21.0", *SDK, "six", "setuptools<81")
GRPC = (
    "otel-jaeger-grpc",
    "opentelemetry-exporter-jaeger-proto-grpc==1.21.0",
    *SDK,
    "protobuf==3.20.3",
    "setuptools<81",
)

Client = Callable[[Server, list[str]], str]
"""Sends the trace to a server; the arguments are the services and the start. What it printed last is the trace id."""


def jaeger_client_python(server: Server, story: list[str]) -> str:
    python = clients.python("jaeger-client", "jaeger-client==4.8.0", "six")
    host, _, port = server.receiver("jaeger-compact").rpartition(":")
    return clients.run([python, str(APPS / "opentracing_app.py"), host, port, *story])


def opentelemetry_python(how: str, receiver: str, requirements: tuple[str, ...]) -> Client:
    def send(server: Server, story: list[str]) -> str:
        python = clients.python(*requirements)
        return clients.run([python, str(APPS / "otel_app.py"), how, server.receiver(receiver), *story])

    return send


def jaeger_client_node(how: str, receiver: str) -> Client:
    def send(server: Server, story: list[str]) -> str:
        folder = clients.node("jaeger-client-node", APPS / "package.json")
        command = ["node", str(APPS / "app.js"), how, server.receiver(receiver), *story]
        return clients.run(command, environment={"NODE_PATH": str(folder / "node_modules")})

    return send


def jaeger_client_java(how: str, receiver: str) -> Client:
    def send(server: Server, story: list[str]) -> str:
        command = clients.java("jaeger-client-java", APPS / "pom.xml", APPS / "JaegerApp.java")
        return clients.run([*command, how, server.receiver(receiver), *story])

    return send


def opentelemetry_go(server: Server, story: list[str]) -> str:
    program = backends.build_go("jaeger-go", APPS / "go")
    return clients.run([str(program), server.receiver("jaeger-http"), *story])


OF_JAEGER: dict[str, Client] = {
    "jaeger-client Python": jaeger_client_python,
    "jaeger-client Node, UDP": jaeger_client_node("udp", "jaeger-binary"),
    "jaeger-client Node, HTTP": jaeger_client_node("http", "jaeger-http"),
    "jaeger-client Java, UDP": jaeger_client_java("udp", "jaeger-compact"),
    "jaeger-client Java, HTTP": jaeger_client_java("http", "jaeger-http"),
}
OF_OPENTELEMETRY: dict[str, Client] = {
    "OpenTelemetry Python, UDP": opentelemetry_python("udp", "jaeger-compact", THRIFT),
    "OpenTelemetry Python, HTTP": opentelemetry_python("http", "jaeger-http", THRIFT),
    "OpenTelemetry Python, gRPC": opentelemetry_python("grpc", "jaeger-grpc", GRPC),
    "OpenTelemetry Go, HTTP": opentelemetry_go,
}
IN_MAKE_TEST = "jaeger-client Node, UDP"
CLIENTS = [
    pytest.param(client, id=name, marks=() if name == IN_MAKE_TEST else clients.only_in_make_clients)
    for name, client in (OF_JAEGER | OF_OPENTELEMETRY).items()
]


@pytest.fixture(scope="module")
def jaeger_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes Jaeger's spans."""
    folder = tmp_path_factory.mktemp("jaeger")
    strategies = folder / "strategies.json"
    strategies.write_text(
        json.dumps({"service_strategies": [{"service": "half", "type": "probabilistic", "param": 0.5}]}),
        encoding="utf-8",
    )
    receive = ",".join(f"{name}@127.0.0.1:0" for name in RECEIVERS)
    options = ["--receive", receive, "--jaeger-sampling-file", str(strategies)]
    running = Server(folder / "data", options=options).start()
    yield running
    running.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_between_two_services_arrives_whole(jaeger_server: Server, client: Client) -> None:
    front, back = fresh_name("front"), fresh_name("back")
    start_us = int(time.time()) * 1_000_000
    before = jaeger_server.status()["accepted_spans"]
    try:
        # Some leave out zeros that an id begins with.
        trace_id = client(jaeger_server, [front, back, str(start_us)]).split()[-1].zfill(32)
    except Absent as reason:
        pytest.skip(str(reason))
    # A datagram is acknowledged by nobody.
    wait_until(lambda: jaeger_server.status()["accepted_spans"] >= before + 4)
    jaeger_server.flush()
    spans = spans_by_name(jaeger_server.get_json(f"/api/v1/traces/{trace_id}"))
    assert {name: span["service"] for name, span in spans.items()} == {
        "get /buy": front,
        "post": front,
        "post /stock": back,
        "look": back,
    }
    says_internal = client is jaeger_client_python or (
        client in OF_OPENTELEMETRY.values() and client is not opentelemetry_go
    )
    assert {name: KINDS[span.get("kind", 0)] for name, span in spans.items()} == {
        "get /buy": "server",
        "post": "client",
        "post /stock": "server",
        "look": "internal" if says_internal else "",
    }
    names = {span["spanId"]: name for name, span in spans.items()}
    assert {name: names.get(span.get("parentSpanId", ""), "") for name, span in spans.items()} == {
        "get /buy": "",
        "post": "get /buy",
        "post /stock": "post",
        "look": "post /stock",
    }
    for name, (begin_us, end_us) in {
        "get /buy": (0, 250_000),
        "post": (62_500, 125_000),
        "post /stock": (70_000, 100_000),
        "look": (78_125, 93_750),
    }.items():
        began_us, ended_us = times(spans[name], start_us)
        # Clients in Python count in floating point, and cut off.
        assert (began_us, end_us - ended_us in (0, 1)) == (begin_us, True), name
    (queued,) = spans["post"]["events"]
    assert (queued["name"], attributes(queued)) == ("queued", {"size": 3})
    assert abs(int(queued["timeUnixNano"]) // 1000 - start_us - 70_312) <= 1
    buy, post, stock, look = (attributes(spans[name]) for name in ("get /buy", "post", "post /stock", "look"))
    assert buy.items() >= {"http.method": "GET", "http.request.method": "GET"}.items()
    assert post["peer.service"] == back
    assert stock.items() >= {"http.status_code": 500, "http.response.status_code": 500, "error": True}.items()
    assert look.items() >= {"ratio": 0.5, "ok": True}.items()
    assert spans["post /stock"]["status"]["code"] == 2
    assert not any(spans[name].get("status") for name in ("get /buy", "post", "look"))
    (failed,) = spans["post /stock"]["events"]
    assert (failed["name"], attributes(failed)["exception.message"]) == ("exception", "no stock")
    if client in OF_OPENTELEMETRY.values():
        assert spans["post /stock"]["status"]["message"] == "no stock"
        assert {span["scope"] for span in spans.values()} == {("shop", "1.2")}
    else:
        assert attributes(failed)["exception.type"] == "LookupError"
    found = jaeger_server.found(service=back, q="http.response.status_code=500")
    assert [trace["trace_id"] for trace in found] == [trace_id]


def test_clews_own_sampler_reads_what_the_server_says(jaeger_server: Server) -> None:
    for endpoint in (
        jaeger_server.receiver("jaeger-sampling"),
        jaeger_server.receiver("jaeger-http") + "/api/sampling",
    ):
        half = JaegerRemote("half", endpoint, initial_sampling_rate=0.0)
        half.refresh()
        assert "0.5" in half.get_description()
        other = JaegerRemote("other", endpoint, initial_sampling_rate=0.0)
        other.refresh()
        assert other.should_sample(None, 1, "op").decision.is_sampled()
    with grpc.insecure_channel(
        jaeger_server.receiver("jaeger-grpc"), options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        ask = channel.unary_unary("/jaeger.api_v2.SamplingManager/GetSamplingStrategy")
        assert ask(b"\x0a\x04half", timeout=100) == b"\x12\x09\x09" + struct.pack("<d", 0.5)
        with pytest.raises(grpc.RpcError, match="serviceName is missing"):
            ask(b"", timeout=100)


@clients.only_in_make_clients
@pytest.mark.timeout(300)
def test_a_jaeger_client_records_the_wanted_rate_of_each_operation(tmp_path: Path) -> None:
    """The rates have a clock that runs 30 times as fast, so that the client, which does not, is told new ones every 2 s."""
    try:
        python = clients.python("jaeger-client", "jaeger-client==4.8.0", "six")
    except Absent as reason:
        pytest.skip(str(reason))
    faster, target = 30.0, 30.0  # 30 traces a second by the client's clock
    rates = AdaptiveRates(target / faster, clock_s=lambda: faster * time.monotonic())
    strategies = tmp_path / "strategies.json"
    strategies.write_text('{"default_strategy": {"type": "probabilistic", "param": 0.25}}', encoding="utf-8")
    sampling = Sampling(strategies, rates=rates)
    watcher = Watcher(lambda request: list(roots(request)), rates.saw)
    arrived: list[Span] = []

    def accepted(batch: Batch) -> None:
        watcher.saw(batch)
        parsed = ExportTraceServiceRequest.FromString(batch.request)
        arrived.extend(span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans)

    with ReceiverStand(COMPACT, tmp_path / "log", on_accepted=accepted) as stand:
        listener = listen("127.0.0.1", 0, "")
        stop = stand.run(serve(sampling, listener))
        host, port = stand.address
        command = [python, str(APPS / "adaptive_app.py"), host, str(port), str(listener.getsockname()[1]), "shop"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
            try:

                async def told() -> dict[str, float]:
                    return dict(rates.of("shop", sampling.strategies()).operations)

                # At least three intervals: 0.25, 0.5, 1.0. That of the busy one has fallen by then.
                wait_until(lambda: stand.run(told()).get("quiet") == 1.0, 120)
                seen = len(arrived)
                wait_until(lambda: sum(span.name == "busy" for span in arrived[seen:]) >= 300, 120)
            finally:
                client.stdin.close()
                client.wait(100)
                stand.run(stop())
                listener.close()
                watcher.close()
    # The first ones were sampled before the client had asked again.
    busy = sorted((span.start_time_unix_nano, number_of(span)) for span in arrived[seen:] if span.name == "busy")[150:]
    seconds = (busy[-1][0] - busy[0][0]) / 1e9
    calls = (busy[-1][1] - busy[0][1]) / seconds  # on a slow machine fewer than it wants
    assert 0.5 * min(calls, target) <= len(busy) / seconds <= 1.7 * target
    quiet = sorted(number_of(span) for span in arrived[seen:] if span.name == "quiet")
    assert len(quiet) >= 0.8 * (quiet[-1] - quiet[0] + 1)  # all, but for the time until the client asked


def number_of(span: Span) -> int:
    """Which call of its operation it was."""
    (found,) = (pair.value.int_value for pair in span.attributes if pair.key == "number")
    return int(found)


def test_a_strategies_file_that_cannot_be_used_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    strategies = tmp_path / "strategies.json"
    strategies.write_text('{"default_strategy": {"type": "adaptive", "param": 1}}', encoding="utf-8")
    server = Server(tmp_path / "data", options=["--jaeger-sampling-file", str(strategies)])
    server.launch()
    try:
        assert server.wait_ended() == 2
        assert f"--jaeger-sampling-file {strategies}: default_strategy: the type" in server.printed()
    finally:
        server.close()


def test_what_is_refused_over_http_is_said_in_words(jaeger_server: Server) -> None:
    url = jaeger_server.receiver("jaeger-http") + "/api/traces"
    body = jaeger.http_body(jaeger.Batch("svc", [jaeger.Span(1, 1)]))
    refusals = {
        "json": httpx.post(url, content=body, headers={"Content-Type": "application/json"}),
        "cut": httpx.post(url, content=body[:-2], headers={"Content-Type": "application/x-thrift"}),
    }
    assert {name: answer.status_code for name, answer in refusals.items()} == {"json": 400, "cut": 400}
    assert "application/x-thrift" in refusals["json"].text
    assert "end inside a value" in refusals["cut"].text


def times(span: dict[str, Any], start_us: int) -> tuple[int, int]:
    """Start and end in µs after the trace's start."""
    return int(span["startTimeUnixNano"]) // 1000 - start_us, int(span["endTimeUnixNano"]) // 1000 - start_us
