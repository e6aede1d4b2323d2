"""SIGKILL under load, of every receiver that answers at once: what its clients were told is taken is there after the next start."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew import ids
from clew_server.receivers import table
from clew_server.receivers.jaeger.specs import POST_SPANS
from clew_server.receivers.opencensus.specs import EXPORT
from clew_server.receivers.otlp_receivers import EXPORT as EXPORT_OTLP
from clew_server.receivers.pinpoint.specs import SEND_SPAN, SEND_SPAN_BATCH
from clew_server.receivers.skywalking.specs import COLLECT
from clew_server.receivers.zipkin.decoder import REPORT
from clew_server.receivers.zipkin.v2_proto import message
from clew_server.testing import datadog, jaeger, opencensus, pinpoint, sentry, skywalking
from harness.answers import attributes, wait_until
from harness.server import PROTOBUF, Server, free_port

TAKE_NO_SPANS = {"jaeger-sampling", "cat-router"}
TRACES_A_REQUEST = 5
AT_LEAST_REQUESTS = 20
"""Of each sender, before the server is killed."""
PAUSE_S = 0.01
"""Between two requests of one sender: thirteen of them share a machine with the server."""
SPAN_ID = b"\x01" * 8

Bodies = Callable[[Sequence[bytes], int], list[bytes]]
"""The messages that say one span of each of these traces; the number is that of the request."""


class Sender(NamedTuple):
    """How one protocol's client sends."""

    receiver: str
    path: str
    bodies: Bodies
    media: str = ""
    """Over HTTP; empty over gRPC."""
    status: int = 200
    call: str = "unary"
    """Over gRPC: `unary`, `client` for a stream with one answer, `both` for one that ends when all is taken."""
    metadata: Mapping[str, str] = {}


def otlp(traces: Sequence[bytes], number: int) -> list[bytes]:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for trace in traces:
        scope.spans.add(
            trace_id=trace, span_id=SPAN_ID, name="killed", start_time_unix_nano=now, end_time_unix_nano=now
        )
    return [request.SerializeToString()]


def zipkin_json(traces: Sequence[bytes], number: int) -> list[bytes]:
    now_us = time.time_ns() // 1000
    spans = [{"traceId": one.hex(), "id": SPAN_ID.hex(), "timestamp": now_us, "duration": 5} for one in traces]
    return [json.dumps(spans).encode()]


def zipkin_protobuf(traces: Sequence[bytes], number: int) -> list[bytes]:
    now_us = time.time_ns() // 1000
    spans = [message("Span", trace_id=one, id=SPAN_ID, timestamp=now_us, duration=5) for one in traces]
    body: bytes = message("ListOfSpans", spans=spans).SerializeToString()
    return [body]


def jaeger_batch(traces: Sequence[bytes]) -> jaeger.Batch:
    now_us = time.time_ns() // 1000
    return jaeger.Batch("killed", [jaeger.Span(int.from_bytes(one, "big"), 1, start_us=now_us) for one in traces])


def opencensus_stream(traces: Sequence[bytes], number: int) -> list[bytes]:
    """As Python's exporter: one stream for one export, the node in its first message."""
    now = time.time_ns()
    spans = [opencensus.Span(one, SPAN_ID, start_ns=now, end_ns=now) for one in traces]
    return [opencensus.request(spans[:2], opencensus.node("killed")), opencensus.request(spans[2:])]


def segments(traces: Sequence[bytes]) -> list[skywalking.Segment]:
    now_ms = time.time_ns() // 1_000_000
    spans = [skywalking.Span(start_ms=now_ms, end_ms=now_ms + 1)]
    return [skywalking.Segment(one.hex(), ids.span_id_to_skywalking(SPAN_ID), spans) for one in traces]


def pinpoint_spans(traces: Sequence[bytes], number: int) -> list[bytes]:
    """Each named by a method, whose name the agent says once, before."""
    now_ms = time.time_ns() // 1_000_000
    made = []
    for trace in traces:
        agent, start, sequence = ids.trace_id_to_pinpoint(trace).split("^")
        transaction = (agent, int(start), int(sequence))
        one = pinpoint.Span(7, transaction, start_ms=now_ms, rpc="", api_id=number, flag=number)
        made.append(pinpoint.span_message(one))
    return made


def transactions(traces: Sequence[bytes], number: int) -> list[bytes]:
    made = [sentry.transaction(one.hex(), SPAN_ID.hex(), "killed", start_timestamp=time.time()) for one in traces]
    return [sentry.envelope(*(("transaction", one) for one in made))]


def datadog_payload(traces: Sequence[bytes], number: int) -> list[bytes]:
    return [
        datadog.v05([[datadog.span(int.from_bytes(one, "big"), 1, "killed", start=time.time_ns())] for one in traces])
    ]


SENDERS = (
    Sender("otlp-grpc", EXPORT_OTLP, otlp),
    Sender("otlp-http", "/v1/traces", otlp, PROTOBUF),
    Sender("zipkin", "/api/v2/spans", zipkin_json, "application/json", 202),
    Sender("zipkin", REPORT, zipkin_protobuf),
    Sender(
        "jaeger-http",
        "/api/traces",
        lambda traces, _: [jaeger.http_body(jaeger_batch(traces))],
        "application/x-thrift",
        202,
    ),
    Sender(
        "jaeger-grpc",
        POST_SPANS,
        lambda traces, _: [jaeger.post_spans(jaeger_batch(traces))],
    ),
    Sender("opencensus", EXPORT, opencensus_stream, call="both"),
    Sender(
        "skywalking-grpc",
        COLLECT,
        lambda traces, _: [skywalking.segment(one) for one in segments(traces)],
        call="client",
    ),
    Sender(
        "skywalking-http",
        "/v3/segments",
        lambda traces, _: [skywalking.segments_json(segments(traces))],
        "application/json",
    ),
    Sender("pinpoint", SEND_SPAN, pinpoint_spans, call="client", metadata=pinpoint.HEADERS),
    Sender(
        "pinpoint",
        SEND_SPAN_BATCH,
        lambda traces, number: [pinpoint.batch_message(pinpoint_spans(traces, number))],
        metadata=pinpoint.HEADERS,
    ),
    Sender("datadog", "/v0.5/traces", datadog_payload, "application/msgpack"),
    Sender("sentry", "/api/1/envelope/", transactions, "application/x-sentry-envelope"),
)


class Sent(NamedTuple):
    """What one sender did, by trace id."""

    began: list[bytes]
    acknowledged: list[bytes]


def test_every_receiver_that_answers_is_here() -> None:
    answering = {line.name for line in table.RECEIVERS if line.transport in ("grpc", "http")}
    assert {one.receiver for one in SENDERS} == answering - TAKE_NO_SPANS


@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_a_kill_under_load(tmp_path: Path) -> None:
    named = sorted({one.receiver for one in SENDERS} & set(table.OPTIONAL))
    places = [f"{name}@127.0.0.1:{port}" for name, port in zip(named, ports(len(named)), strict=True)]
    with closing(Server(tmp_path / "data", options=["--receive", ",".join(places)])) as server:
        server.start()
        addresses = {one.receiver: server.receiver(one.receiver) for one in SENDERS}
        done = [Sent([], []) for _ in SENDERS]
        problems: list[str] = []
        threads = [
            threading.Thread(target=send_until_it_ends, args=(number, addresses[one.receiver], done[number], problems))
            for number, one in enumerate(SENDERS)
        ]
        for thread in threads:
            thread.start()
        enough = AT_LEAST_REQUESTS * TRACES_A_REQUEST
        wait_until(
            lambda: bool(problems) or all(len(one.acknowledged) >= enough for one in done), 120, lambda: problems
        )
        server.kill()
        for thread in threads:
            thread.join(100)
        assert not problems
        server.start()
        server.flush()
        # What was on its way and whose answer was lost may be there too.
        acknowledged = sum(len(one.acknowledged) for one in done)
        assert acknowledged <= server.status()["stored_spans"] <= sum(len(one.began) for one in done)
        stored = stored_traces(server)
        lost = {
            f"{one.receiver} {one.path}": len(missing)
            for one, sent in zip(SENDERS, done, strict=True)
            if (missing := set(sent.acknowledged) - stored)
        }
        assert not lost
        for one, sent in zip(SENDERS, done, strict=True):
            if one.receiver == "pinpoint":
                check_names(server, sent.acknowledged[::50])


def check_names(server: Server, traces: Sequence[bytes]) -> None:
    """What the agent said before its spans is known after the kill."""
    for trace in traces:
        (group,) = server.get_json(f"/api/v1/traces/{trace.hex()}")["resourceSpans"]
        (span,) = group["scopeSpans"][0]["spans"]
        assert span["name"] == f"Agent.m{attributes(span)['pinpoint.flag']}"
        assert "pinpoint.unresolved" not in attributes(span)


def stored_traces(server: Server) -> set[bytes]:
    """All trace ids that search finds."""
    found = set[bytes]()
    cursor: dict[str, str] = {}
    while True:
        page = server.get_json("/api/v1/traces", limit=1000, **cursor)
        found.update(bytes.fromhex(trace["trace_id"]) for trace in page["traces"])
        if not page["next"]:
            return found
        cursor = {"cursor": page["next"]}


def ports(count: int) -> list[int]:
    """Free ones, each with two behind it: Pinpoint's receiver takes three in a row."""
    return list(itertools.islice((port for port in iter(free_port, 0) if port % 3 == 0), count))


def send_until_it_ends(number: int, address: str, sent: Sent, problems: list[str]) -> None:
    """Send until the server is gone; note what is acknowledged. An answer that is neither goes to `problems`."""
    sender = SENDERS[number]
    with sending(sender, address) as send:
        for count in itertools.count(1):
            request = number << 24 | count
            traces = [(0xC1E3 << 112 | request << 16 | at).to_bytes(16, "big") for at in range(1, 1 + TRACES_A_REQUEST)]
            sent.began.extend(traces)
            try:
                send(traces, request)
            except (httpx.TransportError, grpc.RpcError) as error:
                if isinstance(error, grpc.Call) and error.code() is not grpc.StatusCode.UNAVAILABLE:
                    problems.append(f"{sender.receiver} {sender.path}: {error.code()} {error.details()}")
                return
            except AssertionError as error:
                problems.append(f"{sender.receiver} {sender.path}: {error}")
                return
            sent.acknowledged.extend(traces)
            time.sleep(PAUSE_S)


@contextmanager
def sending(sender: Sender, address: str) -> Iterator[Callable[[Sequence[bytes], int], None]]:
    """What sends one request and returns when all of it is acknowledged."""
    if sender.media:
        with httpx.Client(headers={"Content-Type": sender.media}, timeout=100) as client:

            def post(traces: Sequence[bytes], number: int) -> None:
                for body in sender.bodies(traces, number):
                    answer = client.post(f"{address.removesuffix('/')}{sender.path}", content=body)
                    assert answer.status_code == sender.status, f"{answer.status_code} {answer.text}"

            yield post
        return
    target = address.removeprefix("http://")
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    metadata = tuple(sender.metadata.items())
    with grpc.insecure_channel(target, options=options) as channel:
        unary = channel.unary_unary(sender.path, request_serializer=bytes, response_deserializer=bytes)
        client_stream = channel.stream_unary(sender.path, request_serializer=bytes, response_deserializer=bytes)
        both = channel.stream_stream(sender.path, request_serializer=bytes, response_deserializer=bytes)
        says: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/v1.Metadata/RequestApiMetaData", request_serializer=bytes
        )

        def call(traces: Sequence[bytes], number: int) -> None:
            if sender.receiver == "pinpoint":
                says(pinpoint.api_metadata(number, f"shop.Agent.m{number}()"), timeout=100, metadata=metadata)
            bodies = sender.bodies(traces, number)
            match sender.call:
                case "client":
                    client_stream(iter(bodies), timeout=100, metadata=metadata)
                case "both":
                    list(both(iter(bodies), timeout=100, metadata=metadata))
                case _:
                    for body in bodies:
                        unary(body, timeout=100, metadata=metadata)

        yield call
