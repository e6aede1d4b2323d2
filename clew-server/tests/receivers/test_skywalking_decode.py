"""SkyWalking's segments become OTLP: what real agents send, against golden files, and each rule on a segment of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<name>.hex` are captured bytes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew import ids
from clew.otlp import to_json
from clew.propagation.skywalking import SkyWalkingPropagator
from clew_server.errors import BadInput, TooLarge
from clew_server.model.facts import Fact
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.skywalking import messages, specs
from clew_server.receivers.skywalking.components import NAMES, SYSTEMS
from clew_server.receivers.skywalking.properties import properties_of_message
from clew_server.receivers.skywalking.segments import decode_collection, decode_segment
from clew_server.receivers.skywalking.segments_json import (
    PATHS,
    decode_segment_json,
    decode_segments_json,
    properties_of_json,
)
from clew_server.testing import skywalking as sent

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, request_of, spans_of

GOLDEN = Path(__file__).parent / "golden/skywalking"
DOCS = Path(__file__).parents[3] / "docs/receivers/skywalking.md"
HEAD = Head()
TRACE = "56a5e1c519ae4c76a2b8b11d92cead7f.12.16563474296430001"
SEGMENT = "56a5e1c519ae4c76a2b8b11d92cead7f.12.16563474296430000"

Decode = Callable[[sent.Segment], OtlpBatch]
FORMS: dict[str, Decode] = {
    "stream": lambda one: decode_segment(sent.segment(one), HEAD),
    "bulk": lambda one: decode_collection(sent.collection([one]), HEAD),
    "json": lambda one: decode_segment_json(sent.segment_json(one), HEAD),
    "json list": lambda one: decode_segments_json(sent.segments_json([one]), HEAD),
}
every_form = pytest.mark.parametrize("decode", FORMS.values(), ids=FORMS)


class Known:
    """What agents said, as the listeners pass it on."""

    def __init__(self, *facts: Fact) -> None:
        self._facts = facts

    def of(self, agent: str) -> dict[str, bytes]:
        return {fact.key: fact.value for fact in self._facts if fact.agent == agent}


def only(batch: OtlpBatch) -> Span:
    (span,) = spans_of(batch)
    return span


def one_span(**fields: Any) -> Span:
    return only(decode_segment(sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span(**fields)])), HEAD))


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_what_real_agents_send_becomes_otlp_as_reviewed(name: str) -> None:
    body = bytes.fromhex((GOLDEN / f"{name}.hex").read_text(encoding="utf-8"))
    decode = decode_segment_json if name.startswith("json") else decode_segment
    found = decode(body, HEAD)
    assert (found.received, dict(found.rejected)) == (body, {})
    check_golden(GOLDEN / f"{name}.json", to_json.request(found.request))


def test_the_segments_of_one_trace_join_across_processes() -> None:
    spans = {}
    for name in ("caller", "middle", "callee"):
        body = bytes.fromhex((GOLDEN / f"segment-node-{name}.hex").read_text(encoding="utf-8"))
        for span in spans_of(decode_segment(body, HEAD)):
            spans[span.span_id] = span
    names = {span_id: (span.kind, span.name) for span_id, span in spans.items()}
    assert {names[span.span_id]: names.get(span.parent_span_id) for span in spans.values()} == {
        (3, "/in"): None,
        (2, "GET:/in"): (3, "/in"),
        (3, "/down"): (2, "GET:/in"),
        (2, "GET:/down"): (3, "/down"),
    }
    assert len({span.trace_id for span in spans.values()}) == 1


@every_form
def test_a_segment_keeps_all_it_says(decode: Decode) -> None:
    reference = sent.Reference(TRACE, "caller.1.2", 3)
    other = sent.Reference("another.1.2", "batch.1.2", 0, type=1, address="")
    batch = decode(
        sent.Segment(
            TRACE,
            SEGMENT,
            [
                sent.Span(1, 0, "SELECT", 1, 1, 37, "db:5432", tags=[("db.type", "sql"), ("db.statement", "select 1")]),
                sent.Span(
                    name="GET:/in",
                    peer="10.0.0.5:40000",
                    component=1,
                    is_error=True,
                    tags=[("url", "http://shop/in?x=1"), ("http.status_code", "500")],
                    logs=[
                        (
                            1_794_999_999_000,
                            [("event", "error"), ("error.kind", "E"), ("message", "no"), ("stack", "at")],
                        )
                    ],
                    references=[reference, other],
                    skips_analysis=True,
                ),
            ],
            is_size_limited=True,
        )
    )
    (group,) = request_of(batch).resource_spans
    assert attributes_of(group.resource) == {"service.name": "svc", "service.instance.id": "svc-1"}
    query, entry = group.scope_spans[0].spans
    assert query.trace_id == entry.trace_id == ids.t16(TRACE)
    assert query.span_id == ids.s8(f"{SEGMENT}|1")
    assert query.parent_span_id == entry.span_id == ids.s8(f"{SEGMENT}|0")
    assert entry.parent_span_id == ids.s8("caller.1.2|3")
    assert (query.kind, entry.kind, query.name, entry.name) == (3, 2, "SELECT", "GET:/in")
    assert (query.flags, entry.flags) == (0x100, 0x300)
    assert (entry.start_time_unix_nano, entry.end_time_unix_nano) == (
        1_795_000_000_000_000_000,
        1_795_000_000_010_000_000,
    )
    own = {"sw8.segment_id": SEGMENT, "sw8.trace_id": TRACE, "sw8.size_limited": True}
    assert attributes_of(query) == own | {
        "db.type": "sql",
        "db.statement": "select 1",
        "sw8.span_layer": "Database",
        "sw8.component_id": 37,
        "sw8.component": "postgresql-jdbc-driver",
        "db.system.name": "postgresql",
        "sw8.peer": "db:5432",
        "server.address": "db",
        "server.port": 5432,
        "db.query.text": "select 1",
        "sw8.span_id": 1,
    }
    assert attributes_of(entry) == own | {
        "url": "http://shop/in?x=1",
        "http.status_code": "500",
        "sw8.span_layer": "Http",
        "sw8.component_id": 1,
        "sw8.component": "Tomcat",
        "sw8.peer": "10.0.0.5:40000",
        "client.address": "10.0.0.5",
        "client.port": 40000,
        "server.address": "10.0.0.9",
        "server.port": 80,
        "url.full": "http://shop/in?x=1",
        "url.scheme": "http",
        "url.path": "/in",
        "url.query": "x=1",
        "http.response.status_code": 500,
        "sw8.span_id": 0,
        "sw8.skip_analysis": True,
        "sw8.ref_type": "CrossProcess",
        "sw8.parent_segment_id": "caller.1.2",
        "sw8.parent_span_id": 3,
        "sw8.parent_service": "caller",
        "sw8.parent_service_instance": "caller-1",
        "sw8.parent_endpoint": "/front",
        "sw8.network_address_used_at_peer": "10.0.0.9:80",
    }
    assert (entry.status.code, entry.status.message, query.status.code) == (2, "no", 0)
    (event,) = entry.events
    # An agent's clock may have an event before its span: it stays there.
    assert (event.name, event.time_unix_nano) == ("exception", 1_794_999_999_000_000_000)
    assert attributes_of(event)["exception.type"] == "E"
    (link,) = entry.links
    assert (link.trace_id, link.span_id, link.flags) == (ids.t16("another.1.2"), ids.s8("batch.1.2|0"), 0x100)
    assert attributes_of(link) == {
        "sw8.ref_type": "CrossThread",
        "sw8.parent_segment_id": "batch.1.2",
        "sw8.parent_span_id": 0,
        "sw8.parent_service": "caller",
        "sw8.parent_service_instance": "caller-1",
        "sw8.parent_endpoint": "/front",
        "sw8.trace_id": "another.1.2",
    }


def test_a_trace_that_goes_from_clew_to_skywalking_and_back_is_one_trace() -> None:
    trace_id, span_id = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
    here = trace.set_span_in_context(
        trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, False, trace.TraceFlags(1)))
    )
    headers: dict[str, str] = {}
    SkyWalkingPropagator().inject(headers, here)
    # What an agent makes of that header, it reports as the reference of its segment.
    _, trace_text, segment_text, number, *_ = headers["sw8"].split("-")
    reference = sent.Reference(_decoded(trace_text), _decoded(segment_text), int(number))
    entry = only(
        decode_segment(
            sent.segment(sent.Segment(reference.trace_id, SEGMENT, [sent.Span(references=[reference])])), HEAD
        )
    )
    assert (entry.trace_id, entry.parent_span_id) == (trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big"))
    # And what it sends on is read by clew as a child of the span that it reports.
    out = f"1-{trace_text}-{_encoded(SEGMENT)}-1-{'-'.join(map(_encoded, ('svc', 'svc-1', '/in', 'back:80')))}"
    there = trace.get_current_span(SkyWalkingPropagator().extract({"sw8": out})).get_span_context()
    assert there.trace_id == trace_id
    exit_span = only(
        decode_segment(sent.segment(sent.Segment(reference.trace_id, SEGMENT, [sent.Span(1, 0, type=1)])), HEAD)
    )
    assert exit_span.span_id == there.span_id.to_bytes(8, "big")


def _decoded(text: str) -> str:
    import base64

    return base64.b64decode(text).decode()


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("type_", "layer", "kind"), [(0, 3, 2), (0, 4, 5), (1, 3, 3), (1, 1, 3), (1, 4, 4), (2, 0, 1), (7, 0, 0)]
)
def test_type_and_layer_make_the_kind(type_: int, layer: int, kind: int) -> None:
    body = sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span(type=type_, layer=layer, component=0)]))
    assert only(decode_segment(body, HEAD)).kind == kind


@pytest.mark.parametrize(
    ("layer", "component", "type_", "expected"),
    [
        (1, 33, 1, {"db.system.name": "mysql"}),
        (5, 30, 1, {"db.system.name": "redis"}),
        (4, 40, 1, {"messaging.system": "kafka", "messaging.operation.type": "send"}),
        (4, 41, 0, {"messaging.system": "kafka", "messaging.operation.type": "process"}),
        (2, 23, 0, {"rpc.system": "grpc"}),
        (3, 47, 1, {"db.system.name": "elasticsearch"}),
        (3, 7002, 1, {}),
        (0, 37, 2, {}),
    ],
)
def test_layers_and_components_name_the_system(
    layer: int, component: int, type_: int, expected: dict[str, str]
) -> None:
    found = attributes_of(one_span(layer=layer, component=component, type=type_))
    systems = {key: value for key, value in found.items() if not key.startswith("sw8.")}
    assert systems == expected
    assert found["sw8.component"] == NAMES[component]


def test_every_system_of_a_component_has_a_standard_attribute() -> None:
    assert set(SYSTEMS) < set(NAMES)
    assert {key for key, _ in SYSTEMS.values()} == {"db.system.name", "messaging.system", "rpc.system"}


@pytest.mark.parametrize(
    ("peer", "address", "port"),
    [
        ("db:5432", "db", 5432),
        ("[::ffff:127.0.0.1]:49036", "127.0.0.1", 49036),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
        ("k1:9092,k2:9092", "k1", 9092),
        ("k1:9092;k2:9092", "k1", 9092),
        ("http://shop.example:8080/path", "shop.example", 8080),
        ("shop.example", "shop.example", None),
        ("localhost:-1", "localhost", None),
        ("unknown", None, None),
        ("not an address", None, None),
    ],
)
def test_a_peer_is_an_address_where_it_is_one(peer: str, address: str | None, port: int | None) -> None:
    found = attributes_of(one_span(type=1, peer=peer))
    assert (found["sw8.peer"], found.get("server.address"), found.get("server.port")) == (peer, address, port)


def test_tags_of_the_agents_have_their_standard_names_beside_them_and_no_name_comes_twice() -> None:
    tags = [
        ("mq.topic", "orders"),
        ("mq.broker", "k1:9092"),
        ("status_code", "200"),
        ("http.status_code", "404"),
        ("http.method", "get"),
        ("server.address", "said"),
        ("cache.cmd", "GET"),
    ]
    found = attributes_of(one_span(type=1, layer=4, component=40, peer="k1:9092", tags=tags))
    assert found["messaging.destination.name"] == "orders"
    assert (found["http.response.status_code"], found["status_code"], found["http.status_code"]) == (404, "200", "404")
    assert (found["http.request.method"], found["server.address"], found["db.operation.name"]) == ("GET", "said", "GET")


def test_a_key_that_comes_twice_keeps_both_values() -> None:
    found = attributes_of(one_span(tags=[("k", "1"), ("k", "2"), ("k", "2")]))
    assert (found["k"], found["sw8.tag.k"]) == ("2", ["1"])


def test_a_tag_named_like_a_field_of_the_span_stands_beside_it() -> None:
    found = attributes_of(one_span(number=3, tags=[("sw8.span_id", "x"), ("sw8.trace_id", "y")]))
    assert (found["sw8.span_id"], found["sw8.tag.sw8.span_id"]) == (3, "x")
    assert (found["sw8.trace_id"], found["sw8.tag.sw8.trace_id"]) == (TRACE, "y")


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ([("event", "retry"), ("n", "1")], "retry", {"n": "1"}),
        ([("n", "1")], "log", {"n": "1"}),
        (
            [("Traceback", 'Traceback\n  File "a.py", line 1, in f\n    raise E("no")\nshop.NoStock: no: really\n')],
            "exception",
            {"exception.type": "shop.NoStock", "exception.message": "no: really"},
        ),
        ([("Traceback", "x\nKeyboardInterrupt\n")], "exception", {"exception.type": "KeyboardInterrupt"}),
        (
            [("Stack", "RangeError: no stock\n    at f (a.js:1:1)")],
            "exception",
            {"exception.type": "RangeError", "exception.message": "no stock"},
        ),
        (
            [("event", "error"), ("error.kind", "a.B"), ("message", "m"), ("stack", "a.B: m\nat c")],
            "exception",
            {"exception.type": "a.B", "exception.message": "m", "exception.stacktrace": "a.B: m\nat c"},
        ),
    ],
)
def test_logs_of_each_agent_become_events(fields: list[tuple[str, str]], name: str, expected: dict[str, str]) -> None:
    span = one_span(logs=[(1_795_000_000_001, fields)], is_error=True)
    (event,) = span.events
    assert event.name == name
    assert attributes_of(event).items() >= expected.items()
    assert span.status.message == expected.get("exception.message", "")
    if name == "exception":
        assert attributes_of(event).items() >= dict(fields).items(), "the agent's own fields stay"


def test_times_that_otlp_has_not_are_kept_as_attributes() -> None:
    never = one_span(start_ms=-5, end_ms=-7)
    assert (never.start_time_unix_nano, never.end_time_unix_nano) == (0, 0)
    assert attributes_of(never).items() >= {"sw8.start_time_ms": -5, "sw8.end_time_ms": -7}.items()
    no_end = one_span(end_ms=0)
    assert no_end.end_time_unix_nano == no_end.start_time_unix_nano
    assert "sw8.end_time_ms" not in attributes_of(no_end)
    (event,) = one_span(logs=[(-1, [("event", "e")])]).events
    assert (event.time_unix_nano, attributes_of(event)) == (0, {"sw8.log_time_ms": -1})


def test_a_local_span_has_its_parent_in_its_own_process_whatever_its_agent_says() -> None:
    span = one_span(type=2, layer=0, references=[sent.Reference(TRACE, "caller.1.2", 0, type=0, address="")])
    assert span.flags == 0x100


def test_a_reference_beside_a_parent_in_the_segment_is_a_link() -> None:
    span = one_span(number=2, parent=1, references=[sent.Reference(TRACE, "caller.1.2", 3)])
    assert span.parent_span_id == ids.s8(f"{SEGMENT}|1")
    assert [link.span_id for link in span.links] == [ids.s8("caller.1.2|3")]


@every_form
def test_spans_without_ids_are_rejected_and_counted(decode: Decode) -> None:
    spans = [sent.Span(), sent.Span(1, 0)]
    assert dict(decode(sent.Segment("", SEGMENT, spans)).rejected) == {"trace_id": 2}
    assert dict(decode(sent.Segment("0" * 32, SEGMENT, spans)).rejected) == {"trace_id": 2}
    assert dict(decode(sent.Segment(TRACE, "", spans)).rejected) == {"span_id": 2}


def test_a_broken_span_costs_its_segment_nothing_else() -> None:
    body = sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span()])) + b"\x1a\x02\x32\x05"
    batch = decode_segment(body, HEAD)
    assert (batch.spans, dict(batch.rejected)) == (1, {"malformed": 1})
    body = sent.segment_json(sent.Segment(TRACE, SEGMENT, [sent.Span(), sent.Span(1)])).replace(
        b'"spanId": 1', b'"spanId": "one"'
    )
    batch = decode_segment_json(body, HEAD)
    assert (batch.spans, dict(batch.rejected)) == (1, {"malformed": 1})


def test_text_that_is_no_utf8_is_kept_with_a_mark() -> None:
    body = sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span(name="xx")])).replace(b"xx", b"\xff\xff")
    assert only(decode_segment(body, HEAD)).name == "\ufffd\ufffd"


def test_what_is_no_segment_is_refused() -> None:
    for body in (b"\x0a", b"\x0b\x0b"):
        with pytest.raises(BadInput, match="not a SegmentObject of SkyWalking"):
            decode_segment(body, HEAD)
        with pytest.raises(BadInput, match="not a SegmentCollection of SkyWalking"):
            decode_collection(body, HEAD)
    for text in (b"", b"[1]", b"1", b"{", b'{"spans": 1}', b"{}{}"):
        with pytest.raises(BadInput):
            decode_segment_json(text, HEAD)
    with pytest.raises(TooLarge, match="spans in one request"):
        decode_segment(sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span()])) + b"\x1a\0" * 200_001, HEAD)


@pytest.mark.parametrize("form", ["message", "json"])
def test_what_an_instance_says_of_itself_is_in_the_resource_of_its_spans(form: str) -> None:
    pairs = [
        ("language", "python"),
        ("OS Name", "Linux"),
        ("Process No.", "42"),
        ("hostname", "vm"),
        ("ipv4", "10.0.0.1"),
        ("ipv4", "10.0.0.2"),
    ]
    if form == "message":
        (fact,) = properties_of_message(sent.properties("svc", "svc-1", pairs, "GENERAL"), HEAD)
    else:
        body = {
            "service": "svc",
            "serviceInstance": "svc-1",
            "properties": [{"key": key, "value": value} for key, value in pairs],
            "layer": "GENERAL",
        }
        (fact,) = properties_of_json(json.dumps(body).encode(), HEAD)
    body_of_segment = sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span()]))
    (group,) = request_of(decode_segment(body_of_segment, Head(known=Known(fact)))).resource_spans
    assert attributes_of(group.resource) == {
        "service.name": "svc",
        "service.instance.id": "svc-1",
        "sw8.language": "python",
        "sw8.os_name": "Linux",
        "sw8.process_no": "42",
        "sw8.hostname": "vm",
        "sw8.ipv4": ["10.0.0.1", "10.0.0.2"],
        "sw8.layer": "GENERAL",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "skywalking",
        "os.description": "Linux",
        "process.pid": 42,
        "host.name": "vm",
        "host.ip": ["10.0.0.1", "10.0.0.2"],
    }
    other = sent.segment(sent.Segment(TRACE, SEGMENT, [sent.Span()], instance="svc-2"))
    (group,) = request_of(decode_segment(other, Head(known=Known(fact)))).resource_spans
    assert attributes_of(group.resource) == {"service.name": "svc", "service.instance.id": "svc-2"}


def test_old_agents_in_lua_say_their_language_in_a_form_of_their_own() -> None:
    (fact,) = properties_of_json(b'{"service": "s", "serviceInstance": "i", "properties": [{"language": "Lua"}]}', HEAD)
    assert json.loads(fact.value) == [["language", "Lua"]]


def test_properties_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(BadInput, match="InstanceProperties"):
        properties_of_message(b"\x0a", HEAD)
    with pytest.raises(BadInput, match="without the name of its service"):
        properties_of_json(b"{}", HEAD)
    with pytest.raises(TooLarge, match="1024 properties"):
        properties_of_message(sent.properties("s", "i", [("k", "v")] * 1025), HEAD)


def test_what_carries_no_spans_over_http_is_counted() -> None:
    logs = PATHS["/v3/logs"](b'[{"body": {}}, {"body": {}}]', HEAD)
    assert (logs.spans, dict(logs.dropped)) == (0, {"log": 2})
    beat = PATHS["/v3/management/keepAlive"](b'{"service": "s"}', HEAD)
    assert (beat.spans, dict(beat.dropped)) == (0, {})


def test_old_agents_find_every_method_without_its_package() -> None:
    methods = {*specs.GRPC.paths, *specs.GRPC.streams, *specs.GRPC.others, *specs.GRPC.remembers}
    for method in methods:
        if method.startswith("/skywalking.v3."):
            assert method.replace("skywalking.v3.", "") in methods


# -- every field of the protocol's definitions has its place ------------------------------------------------------------

DEFINITIONS = """
SegmentCollection 1 segments
SegmentObject 1 traceId 2 traceSegmentId 3 spans 4 service 5 serviceInstance 6 isSizeLimited
SegmentReference 1 refType 2 traceId 3 parentTraceSegmentId 4 parentSpanId 5 parentService 6 parentServiceInstance 7 parentEndpoint 8 networkAddressUsedAtPeer
SpanObject 1 spanId 2 parentSpanId 3 startTime 4 endTime 5 refs 6 operationName 7 peer 8 spanType 9 spanLayer 10 componentId 11 isError 12 tags 13 logs 14 skipAnalysis
Log 1 time 2 data
KeyStringValuePair 1 key 2 value
InstanceProperties 1 service 2 serviceInstance 3 properties 4 layer
"""  # fmt: skip
"""Of Tracing.proto, Common.proto and Management.proto of apache/skywalking-data-collect-protocol."""

REFERENCE = sent.Reference(TRACE, "caller.1.2", 3)
ALL_SAID = sent.Span(
    1,
    0,
    "op",
    1,
    3,
    1,
    "10.0.0.5:80",
    tags=[("k", "v")],
    logs=[(1_795_000_000_001, [("a", "b")])],
    references=[REFERENCE],
)
SAID = sent.Segment(TRACE, SEGMENT, [ALL_SAID])


def with_span(**fields: Any) -> sent.Segment:
    return dataclasses.replace(SAID, spans=[dataclasses.replace(ALL_SAID, **fields)])


def with_reference(**fields: Any) -> sent.Segment:
    return with_span(references=[dataclasses.replace(REFERENCE, **fields)])


CHANGED = {
    "SegmentObject.traceId": dataclasses.replace(SAID, trace_id="another.1.2"),
    "SegmentObject.traceSegmentId": dataclasses.replace(SAID, segment_id="another.1.3"),
    "SegmentObject.spans": dataclasses.replace(SAID, spans=[ALL_SAID, sent.Span()]),
    "SegmentObject.service": dataclasses.replace(SAID, service="another"),
    "SegmentObject.serviceInstance": dataclasses.replace(SAID, instance="another"),
    "SegmentObject.isSizeLimited": dataclasses.replace(SAID, is_size_limited=True),
    "SegmentReference.refType": with_reference(type=1),
    "SegmentReference.traceId": with_reference(trace_id="another.1.2"),
    "SegmentReference.parentTraceSegmentId": with_reference(segment_id="another.1.2"),
    "SegmentReference.parentSpanId": with_reference(span_number=4),
    "SegmentReference.parentService": with_reference(service="another"),
    "SegmentReference.parentServiceInstance": with_reference(instance="another"),
    "SegmentReference.parentEndpoint": with_reference(endpoint="/another"),
    "SegmentReference.networkAddressUsedAtPeer": with_reference(address="10.0.0.8:80"),
    "SpanObject.spanId": with_span(number=2),
    "SpanObject.parentSpanId": with_span(parent=-1),
    "SpanObject.startTime": with_span(start_ms=ALL_SAID.start_ms + 1),
    "SpanObject.endTime": with_span(end_ms=ALL_SAID.end_ms + 1),
    "SpanObject.refs": with_span(references=[]),
    "SpanObject.operationName": with_span(name="another"),
    "SpanObject.peer": with_span(peer="10.0.0.6:80"),
    "SpanObject.spanType": with_span(type=2),
    "SpanObject.spanLayer": with_span(layer=2),
    "SpanObject.componentId": with_span(component=2),
    "SpanObject.isError": with_span(is_error=True),
    "SpanObject.tags": with_span(tags=[]),
    "SpanObject.logs": with_span(logs=[]),
    "SpanObject.skipAnalysis": with_span(skips_analysis=True),
    "Log.time": with_span(logs=[(1_795_000_000_002, [("a", "b")])]),
    "Log.data": with_span(logs=[(1_795_000_000_001, [])]),
    "KeyStringValuePair.key": with_span(tags=[("l", "v")]),
    "KeyStringValuePair.value": with_span(tags=[("k", "w")]),
}


def defined() -> dict[str, dict[int, str]]:
    found = {}
    for line in DEFINITIONS.strip().splitlines():
        name, *fields = line.split()
        found[name] = dict(zip(map(int, fields[::2]), fields[1::2], strict=True))
    return found


def test_every_field_of_the_definitions_is_read() -> None:
    read = {name: {number: one.name for number, one in fields.items()} for name, fields in messages.MESSAGES.items()}
    assert read == defined()


@every_form
def test_every_field_of_a_segment_counts_in_what_is_stored(decode: Decode) -> None:
    of_segments = {
        name: one for name, one in defined().items() if name not in ("SegmentCollection", "InstanceProperties")
    }
    fields = [f"{name}.{field}" for name, numbered in of_segments.items() for field in numbered.values()]
    check_each_field_counts(SAID, CHANGED, fields, decode)


def test_every_field_of_skywalkings_messages_has_its_place_in_the_docs() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for message, fields in messages.MESSAGES.items():
        for field in fields.values():
            assert f"`{message}.{field.name}`" in page, f"{message}.{field.name} has no row in {DOCS.name}"
    for method in specs.GRPC.others:
        assert method.rpartition("/")[2] in page, method
    for kind in {other.kind for other in specs.GRPC.others.values() if other.kind}:
        assert f"`{kind}`" in page, kind
