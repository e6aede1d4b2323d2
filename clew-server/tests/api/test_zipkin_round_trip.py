"""Zipkin spans through the receiver's decoder and back: the query API gives what was sent, field by field."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.api.zipkin.spans import trace_pieces
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import trace_from_spans
from clew_server.receivers.contract import Head
from clew_server.receivers.zipkin.decoder import decode

TRACE = "00f067aa0ba902b7a1b2c3d4e5f60718"
START_US = 1_795_000_000_000_000


def stored(request: bytes) -> StoredSpans:
    parsed = ExportTraceServiceRequest.FromString(request)
    return StoredSpans(
        StoredSpan(
            of_resource.resource.SerializeToString(), "", of_scope.scope.SerializeToString(), "", span.SerializeToString(), 0
        )
        for of_resource in parsed.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    )  # fmt: skip


def given_back(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the query API writes of the spans that the receiver makes of these."""
    batch = decode(json.dumps(spans).encode(), Head(path="/api/v2/spans"))
    found: list[dict[str, Any]] = json.loads(b"".join(trace_pieces(trace_from_spans(stored(batch.request)))))
    return found


texts = st.text(st.characters(codec="utf-8", exclude_characters="{|\0"), min_size=1, max_size=12)
times = st.integers(0, 10_000_000).map(lambda after_us: START_US + after_us)
addresses = st.fixed_dictionaries(
    {"serviceName": texts},
    optional={"ipv4": st.just("10.1.2.3"), "ipv6": st.just("2001:db8::c001"), "port": st.integers(1, 65535)},
)
tag_keys = texts.map(lambda text: f"my.{text}") | st.sampled_from(
    ["http.method", "http.path", "http.url", "sql.query", "error"]
)
bodies = st.fixed_dictionaries(
    {"localEndpoint": addresses},
    optional={
        "name": texts,
        "kind": st.sampled_from(["CLIENT", "SERVER", "PRODUCER", "CONSUMER"]),
        "timestamp": times,
        "duration": st.integers(1, 10**9),
        "remoteEndpoint": addresses,
        "annotations": st.lists(st.fixed_dictionaries({"timestamp": times, "value": texts}), min_size=1, max_size=3),
        "tags": st.dictionaries(tag_keys, texts, min_size=1, max_size=4),
        "debug": st.just(True),
    },
)


@st.composite
def traces(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Spans of one trace, some of them servers that share their client's id, with children."""
    made: list[dict[str, Any]] = []
    for number, body in enumerate(draw(st.lists(bodies, min_size=1, max_size=6)), 1):
        span = {"traceId": TRACE, "id": f"{number:016x}", **body}
        if made and draw(st.booleans()):
            span["parentId"] = draw(st.sampled_from(made))["id"]
        made.append(span)
        if span.get("kind") == "CLIENT" and draw(st.booleans()):
            server = {**span, **draw(bodies), "id": span["id"], "kind": "SERVER", "shared": True}
            if server["localEndpoint"]["serviceName"] != span["localEndpoint"]["serviceName"]:
                made.append(server)
    return made


def normal(span: dict[str, Any]) -> dict[str, Any]:
    """The span without its tags, its annotations in order."""
    kept = {key: value for key, value in span.items() if key != "tags"}
    if "annotations" in kept:
        kept["annotations"] = sorted(kept["annotations"], key=lambda one: (one["timestamp"], one["value"]))
    return kept


def texts_of(spans: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(normal(span), sort_keys=True) for span in spans)


@settings(max_examples=60)
@given(traces())
def test_every_span_comes_back_with_its_fields_and_tags(spans: list[dict[str, Any]]) -> None:
    found = given_back(spans)
    assert texts_of(found) == texts_of(spans)
    for sent in spans:
        kept = [one.get("tags", {}) for one in found if normal(one) == normal(sent)]
        assert any(sent.get("tags", {}).items() <= tags.items() for tags in kept)


def test_a_span_without_times_stays_without_and_events_of_opentelemetry_keep_their_attributes() -> None:
    value = '{"exception": {"exception.type": "Boom", "exception.escaped": "false"}}'
    sent = {
        "traceId": TRACE,
        "id": f"{1:016x}",
        "localEndpoint": {"serviceName": "a"},
        "annotations": [{"timestamp": START_US, "value": value}],
    }
    (found,) = given_back([sent])
    assert found == sent


def test_links_scope_and_state_come_back_as_the_collector_writes_them() -> None:
    tags = {
        "otel.scope.name": "shop",
        "otel.scope.version": "1.2",
        "w3c.tracestate": "a=b",
        "otlp.link.0": f"{'1' * 32}|{'2' * 16}|c=d|" + '{"k":"v"}|3',
        "otel.status_code": "ERROR",
        "error": "boom",
    }
    sent = {
        "traceId": TRACE,
        "id": f"{1:016x}",
        "localEndpoint": {"serviceName": "a"},
        "timestamp": START_US,
        "duration": 5,
        "tags": tags,
    }
    (found,) = given_back([sent])
    assert tags.items() <= found["tags"].items()
    assert found["tags"].keys() - tags.keys() == {"otel.status_description"}
