"""OpenCensus' spans become OTLP: what real clients send, against golden files, and each rule on a span of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<name>.hex` are captured bytes, a line a message of
one stream.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp import to_json
from clew.otlp.encode import delimited
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.opencensus import model
from clew_server.receivers.opencensus.export import MAX_NODE_BYTES, MessageDecoder, decode_export
from clew_server.testing import opencensus
from clew_server.testing.opencensus import message, text, time

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, request_of, spans_of
from filled import changes, fill

GOLDEN = Path(__file__).parent / "golden/opencensus"
HEAD = Head()
TRACE_ID = bytes.fromhex("96ac6e089b6ed559073b275eb478e41d")
SPAN_ID = bytes.fromhex("7b2cf876a209e683")
START_NS = 1_795_415_211_795_788_001


def one_span(**fields: Any) -> Span:
    (span,) = spans_of(decode_export(opencensus.request([opencensus.Span(TRACE_ID, SPAN_ID, **fields)]), HEAD))
    return span


def span_with(*more: bytes, trace_id: bytes = TRACE_ID, span_id: bytes = SPAN_ID) -> Span:
    """A span of ids and these fields, which are written already."""
    raw = message({1: trace_id, 2: span_id}) + b"".join(more)
    (span,) = spans_of(decode_export(opencensus.request([raw]), HEAD))
    return span


def resource_of(node: bytes = b"", resource: bytes = b"") -> dict[str, Any]:
    body = opencensus.request([opencensus.Span(TRACE_ID, SPAN_ID)], node, resource)
    (group,) = request_of(decode_export(body, HEAD)).resource_spans
    return attributes_of(group.resource)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_what_a_real_client_sends_becomes_this_otlp(name: str) -> None:
    decode, shown = MessageDecoder(), []
    for line in (GOLDEN / f"{name}.hex").read_text(encoding="utf-8").split():
        found = decode(bytes.fromhex(line), HEAD)
        assert dict(found.rejected) == {}
        shown.append(to_json.request(found.request))
    check_golden(GOLDEN / f"{name}.json", shown)


def test_a_span_keeps_all_it_says() -> None:
    span = one_span(
        name="GET /users/{id}",
        parent_id=bytes.fromhex("9999aaaabbbbcccc"),
        kind=1,
        attributes={"http.method": "GET", "n": -1, "ratio": 0.5, "sure": False, "zero": 0, "ü": "Größe"},
        annotations=[(START_NS + 1, "note", {"k": "v"}), (START_NS + 2, "", {})],
        messages=[(START_NS + 3, 1, 7, 200, 100), (START_NS + 4, 2, 0, 0, 0)],
        links=[
            (TRACE_ID, b"\x01" * 8, 1, {"why": "batch"}),
            (TRACE_ID, b"\x02" * 8, 2, {}),
            (TRACE_ID, b"\x03" * 8, 0, {}),
        ],
        status=(5, "no such user"),
        same_process=False,
        children=2,
        trace_state=[("a", "1"), ("b", "2")],
    )
    assert (span.trace_id, span.span_id, span.parent_span_id.hex()) == (TRACE_ID, SPAN_ID, "9999aaaabbbbcccc")
    assert (span.name, span.kind, span.trace_state) == ("GET /users/{id}", 2, "a=1,b=2")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (START_NS, START_NS + 1_000_001)
    assert attributes_of(span) == {
        "http.method": "GET",
        "n": -1,
        "ratio": 0.5,
        "sure": False,
        "zero": 0,
        "ü": "Größe",
        "http.request.method": "GET",
        "error.type": "NOT_FOUND",
        "opencensus.status_code": 5,
        "opencensus.child_span_count": 2,
    }
    assert (span.status.code, span.status.message) == (2, "no such user")
    assert [(one.name, one.time_unix_nano - START_NS, attributes_of(one)) for one in span.events] == [
        ("note", 1, {"k": "v"}),
        ("annotation", 2, {}),
        (
            "message",
            3,
            {
                "message.type": "SENT",
                "message.id": 7,
                "message.uncompressed_size": 200,
                "message.compressed_size": 100,
            },
        ),
        ("message", 4, {"message.type": "RECEIVED", "message.id": 0}),
    ]
    assert [(one.trace_id, one.span_id[0], attributes_of(one)) for one in span.links] == [
        (TRACE_ID, 1, {"why": "batch", "opencensus.link_type": "child"}),
        (TRACE_ID, 2, {"opencensus.link_type": "parent"}),
        (TRACE_ID, 3, {}),
    ]
    assert span.flags == 0x301


@pytest.mark.parametrize(("same_process", "flags"), [(None, 0x001), (True, 0x101), (False, 0x301)])
def test_the_flags_say_whether_the_parent_is_in_another_process(same_process: bool | None, flags: int) -> None:
    assert one_span(same_process=same_process).flags == flags


def test_the_node_and_the_resource_are_the_resource() -> None:
    node = opencensus.node("shop", {"zone": "a", "host.name": "other", "service.name": "shop"})
    labels = {"k8s.pod.name": "shop-1", "cloud.zone": "eu-1b", "zone": "b"}
    assert resource_of(node, opencensus.resource("k8s", labels)) == {
        "service.name": "shop",
        "host.name": "vm",
        "process.pid": 4711,
        "process.creation.time": "2026-11-23T06:23:20.000000001Z",
        "telemetry.sdk.name": "opencensus",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "0.11.4",
        "opencensus.exporter_version": "0.0.1",
        "zone": "a",
        "opencensus.attribute.host.name": "other",
        "opencensus.resource_type": "k8s",
        "k8s.pod.name": "shop-1",
        "cloud.zone": "eu-1b",
        "cloud.availability_zone": "eu-1b",
        "opencensus.label.zone": "b",
    }
    assert resource_of() == {}


def test_a_node_of_a_later_version_or_with_a_strange_time_is_kept() -> None:
    node = opencensus.node("svc", identifier=message({3: time(-5)}), library_info=message({1: 77}))
    assert resource_of(node) == {
        "service.name": "svc",
        "process.creation.time": "-5",
        "telemetry.sdk.name": "opencensus",
        "telemetry.sdk.language": "77",
    }


# -- streams ------------------------------------------------------------------------------------------------------------


def services_of(found: OtlpBatch) -> list[tuple[str, str, int]]:
    """Service, label and number of spans of each resource."""
    groups = []
    for group in request_of(found).resource_spans:
        said = attributes_of(group.resource)
        groups.append((said.get("service.name", ""), said.get("pod", ""), len(group.scope_spans[0].spans)))
    return groups


def test_node_and_resource_of_a_message_hold_for_the_later_ones_of_its_stream() -> None:
    decode, span = MessageDecoder(), opencensus.Span(TRACE_ID, SPAN_ID)
    pod = opencensus.resource("k8s", {"pod": "p1"})
    steps = [
        (opencensus.request([], opencensus.node("a"), pod), []),
        (opencensus.request([span, span]), [("a", "p1", 2)]),
        (opencensus.request([span], opencensus.node("b")), [("b", "p1", 1)]),
        (opencensus.request([span]), [("b", "p1", 1)]),
        (opencensus.request([span], b"", opencensus.resource("k8s", {"pod": "p2"})), [("b", "p2", 1)]),
        (opencensus.request([span]), [("b", "p2", 1)]),
    ]
    for body, expected in steps:
        assert services_of(decode(body, HEAD)) == expected
    assert services_of(MessageDecoder()(opencensus.request([span]), HEAD)) == [("", "", 1)]


def test_a_message_that_is_refused_leaves_the_node_as_it_was() -> None:
    decode, span = MessageDecoder(), opencensus.Span(TRACE_ID, SPAN_ID)
    decode(opencensus.request([], opencensus.node("a")), HEAD)
    with pytest.raises(BadInput):
        decode(opencensus.request([], opencensus.node("b")) + b"\x0a\x7f", HEAD)
    with pytest.raises(BadInput):
        decode(delimited(1, b"\x0a\x05x"), HEAD)
    assert services_of(decode(opencensus.request([span]), HEAD)) == [("a", "", 1)]


def test_the_same_bytes_of_two_nodes_are_no_repetition() -> None:
    body = opencensus.request([opencensus.Span(TRACE_ID, SPAN_ID)])
    received = []
    for service in ("a", "b"):
        decode = MessageDecoder()
        decode(opencensus.request([], opencensus.node(service)), HEAD)
        received.append(decode(body, HEAD).received)
    assert received[0] != received[1]
    # What says it all itself is the same as what says it in two messages.
    whole = opencensus.request([], opencensus.node("a")) + body
    assert received[0] == MessageDecoder()(whole, HEAD).received


def test_a_span_with_a_resource_of_its_own_has_that_of_the_message_not() -> None:
    own = opencensus.Span(TRACE_ID, SPAN_ID, resource=opencensus.resource("k8s", {"pod": "own"}))
    plain = opencensus.Span(TRACE_ID, b"\x09" * 8)
    body = opencensus.request([own, plain, own], opencensus.node("a"), opencensus.resource("k8s", {"pod": "p1"}))
    assert services_of(decode_export(body, HEAD)) == [("a", "own", 2), ("a", "p1", 1)]


def test_a_node_in_two_parts_is_merged() -> None:
    parts = delimited(1, message({3: message({1: "a"})})) + delimited(1, message({1: message({1: "host"})}))
    body = parts + opencensus.request([opencensus.Span(TRACE_ID, SPAN_ID)])
    (group,) = request_of(decode_export(body, HEAD)).resource_spans
    assert attributes_of(group.resource) == {"service.name": "a", "host.name": "host"}


# -- rules --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said", "expected", "left"),
    [
        (0, None, 1, {}),
        (1, None, 2, {}),
        (2, None, 3, {}),
        (0, "producer", 4, {}),
        (0, "CONSUMER", 5, {}),
        (0, "sideways", 1, {"span.kind": "sideways"}),
        (1, "server", 2, {}),
        (1, "client", 2, {"span.kind": "client"}),
        (9, None, 1, {"opencensus.kind": 9}),
    ],
)
def test_the_kind_is_the_field_or_the_attribute(
    kind: int, said: str | None, expected: int, left: dict[str, Any]
) -> None:
    span = one_span(kind=kind, attributes={"span.kind": said} if said else {})
    assert (span.kind, attributes_of(span)) == (expected, left)


@pytest.mark.parametrize(
    ("status", "attributes", "expected"),
    [
        (None, {}, (0, "")),
        ((0, ""), {}, (0, "")),
        ((2, ""), {}, (2, "UNKNOWN")),
        ((14, "down"), {}, (2, "down")),
        ((99, ""), {}, (2, "99")),
        (None, {"error": True}, (2, "")),
        ((5, "gone"), {"error": True}, (2, "gone")),
        ((5, "gone"), {"otel.status_code": "OK"}, (1, "")),
        ((0, ""), {"otel.status_code": "ERROR", "otel.status_description": "boom"}, (2, "boom")),
        ((0, ""), {"http.status_code": 503}, (2, "")),
        ((0, ""), {"http.status_code": 404}, (0, "")),
    ],
)
def test_status_attributes_and_answers_make_the_status(
    status: tuple[int, str] | None, attributes: dict[str, Any], expected: tuple[int, str]
) -> None:
    span = one_span(status=status, attributes=attributes, kind=1)
    assert (span.status.code, span.status.message) == expected


def test_a_status_that_is_none_of_ours_is_kept_as_attributes() -> None:
    assert attributes_of(one_span(status=(0, "fine"))) == {"opencensus.status_message": "fine"}
    found = attributes_of(one_span(status=(5, ""), attributes={"error.type": "KeyError"}))
    assert found == {"error.type": "KeyError", "opencensus.status_code": 5}


def test_a_client_fails_with_4xx_too() -> None:
    assert one_span(kind=2, attributes={"/http/status_code": 404, "http.status_code": 404}).status.code == 2


@pytest.mark.parametrize(
    ("start", "end", "expected", "kept"),
    [
        (5, 0, (5, 5), {}),
        (0, 5, (5, 5), {}),
        (7, 5, (7, 7), {"opencensus.end_time_ns": "5"}),
        (-5, 7, (7, 7), {"opencensus.start_time_ns": "-5"}),
        (1 << 64, 7, (7, 7), {"opencensus.start_time_ns": str(1 << 64)}),
        (5, 1 << 64, (5, 5), {"opencensus.end_time_ns": str(1 << 64)}),
    ],
)
def test_times_that_otlp_does_not_have_are_kept_as_attributes(
    start: int, end: int, expected: tuple[int, int], kept: dict[str, str]
) -> None:
    span = one_span(start_ns=start, end_ns=end)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == expected
    assert attributes_of(span) == kept


def test_a_strange_time_of_an_event_is_kept_as_its_attribute() -> None:
    (event,) = one_span(annotations=[(-1, "e", {})]).events
    assert (event.time_unix_nano, attributes_of(event)) == (0, {"opencensus.time_ns": "-1"})


def test_ids_may_be_hex_digits_or_short() -> None:
    span = span_with(
        delimited(3, b"00000000000000ff"), trace_id=TRACE_ID.hex().encode(), span_id=SPAN_ID.hex().encode()
    )
    assert (span.trace_id, span.span_id, span.parent_span_id[-1]) == (TRACE_ID, SPAN_ID, 0xFF)
    assert span_with(trace_id=b"\x01" * 8).trace_id == bytes(8) + b"\x01" * 8


def test_ids_of_another_length_cost_the_message_nothing_else() -> None:
    spans = [
        opencensus.Span(bytes(16), SPAN_ID),
        opencensus.Span(b"x" * 32, SPAN_ID),
        opencensus.Span(TRACE_ID, bytes(8)),
        opencensus.Span(TRACE_ID, b"\x01" * 7),
        opencensus.Span(TRACE_ID, SPAN_ID, parent_id=b"\x01\x02\x03", links=[(b"\xaa", b"\xbb", 1, {})]),
    ]
    found = decode_export(opencensus.request([*spans, b"\x0a\x05x"]), HEAD)
    assert (found.spans, dict(found.rejected)) == (1, {"trace_id": 2, "span_id": 2, "malformed": 1})
    (span,) = spans_of(found)
    assert (span.parent_span_id, attributes_of(span)) == (b"", {"opencensus.parent_span_id": "010203"})
    assert attributes_of(span.links[0]) == {
        "opencensus.link_type": "child",
        "opencensus.trace_id": "aa",
        "opencensus.span_id": "bb",
    }


def test_what_was_cut_off_or_dropped_is_counted() -> None:
    entry = message({1: "k", 2: delimited(1, text("v", 9))})
    annotation = message({1: text("note", 4), 2: message({1: [entry], 2: 5})})
    event = message({1: time(START_NS), 2: annotation})
    link = message({1: TRACE_ID, 2: SPAN_ID, 4: message({2: 8}), 5: message({1: [message({1: "a", 2: "b"})]})})
    span = span_with(
        delimited(4, text("name", 3)),
        delimited(7, message({1: [entry], 2: 2})),
        delimited(9, message({1: [event], 2: 6, 3: 1})),
        delimited(10, message({1: [link], 2: 7})),
    )
    assert attributes_of(span) == {
        "k": "v",
        "opencensus.truncated_byte_count.k": 9,
        "opencensus.truncated_byte_count": 3,
        "opencensus.dropped_annotations_count": 6,
        "opencensus.dropped_message_events_count": 1,
    }
    assert (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count) == (2, 7, 7)
    assert span.events[0].dropped_attributes_count == 5
    assert attributes_of(span.events[0]) == {
        "k": "v",
        "opencensus.truncated_byte_count.k": 9,
        "opencensus.truncated_byte_count": 4,
    }
    assert (span.links[0].dropped_attributes_count, span.links[0].trace_state) == (8, "a=b")


def test_a_stack_trace_is_readable_and_whole() -> None:
    first = message(
        {
            1: text("m.f", 1),
            2: text("f()"),
            3: text("a.js"),
            4: 7,
            5: 3,
            6: message({1: text("app"), 2: text("b1")}),
            7: text("v2"),
        }
    )
    second = message({1: text("g"), 6: message({1: text("libc.so")})})
    frames = message({1: [first, second, b""], 2: 4})
    found = attributes_of(span_with(delimited(8, message({1: frames, 2: 0xAB}))))
    assert found["code.stacktrace"] == "at f() (a.js:7:3)\nat g (libc.so)\nat ? (?)"
    assert json.loads(found["opencensus.stack_trace"]) == [
        {
            "function_name": "m.f",
            "function_name.truncated_byte_count": 1,
            "original_function_name": "f()",
            "file_name": "a.js",
            "source_version": "v2",
            "line_number": 7,
            "column_number": 3,
            "module": "app",
            "build_id": "b1",
        },
        {"function_name": "g", "module": "libc.so"},
        {},
    ]
    assert found["opencensus.stack_trace.dropped_frames_count"] == 4
    assert found["opencensus.stack_trace.hash_id"] == "00000000000000ab"


def test_text_that_is_not_utf8_is_kept_as_bytes() -> None:
    entry = message({1: b"k\xff", 2: delimited(1, delimited(1, b"\xff\xfe"))})
    assert attributes_of(span_with(delimited(7, message({1: [entry]})))) == {"k\ufffd": b"\xff\xfe"}


def test_of_a_key_that_comes_twice_the_last_value_counts_as_in_every_map() -> None:
    entries = [message({1: "k", 2: opencensus.value(one)}) for one in ("a", 1)]
    assert attributes_of(span_with(delimited(7, message({1: entries})))) == {"k": 1}


def test_an_attribute_with_a_name_of_ours_stays_the_senders() -> None:
    found = attributes_of(one_span(children=1, attributes={"opencensus.child_span_count": "mine"}))
    assert found == {"opencensus.child_span_count": "mine"}


def test_scope_and_links_that_a_collector_wrote_as_attributes_are_fields_again() -> None:
    attributes = {"otel.scope.name": "lib", "otlp.link.0": f"{TRACE_ID.hex()}|{SPAN_ID.hex()}||{{}}|0"}
    body = opencensus.request([opencensus.Span(TRACE_ID, SPAN_ID, attributes=attributes)])
    (group,) = request_of(decode_export(body, HEAD)).resource_spans
    (scope,) = group.scope_spans
    assert scope.scope.name == "lib"
    assert [link.span_id for link in scope.spans[0].links] == [SPAN_ID]


# -- limits -------------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_message_are_bad_input_that_says_so() -> None:
    with pytest.raises(BadInput, match="not an ExportTraceServiceRequest of OpenCensus"):
        decode_export(b"\x12\x7f", HEAD)
    with pytest.raises(BadInput, match="not an ExportTraceServiceRequest of OpenCensus"):
        decode_export(b"\x0a\x02\x0a\x05", HEAD)


def test_more_spans_than_a_message_may_have_are_too_many() -> None:
    with pytest.raises(TooLarge):
        decode_export(b"\x12\0" * 300_000, HEAD)


@pytest.mark.parametrize(
    "many",
    [
        delimited(7, b"\x0a\0" * 300_000),
        delimited(9, delimited(1, b"") * 300_000),
        delimited(10, delimited(1, b"") * 300_000),
        delimited(8, delimited(1, delimited(1, b"") * 300_000)),
        delimited(15, delimited(1, b"") * 300_000),
        delimited(16, delimited(2, b"") * 300_000),
        delimited(9, delimited(1, delimited(2, delimited(2, b"\x0a\0" * 300_000)))),
    ],
)
def test_more_parts_than_a_span_may_have_are_too_many(many: bytes) -> None:
    with pytest.raises(TooLarge):
        decode_export(delimited(2, message({1: TRACE_ID, 2: SPAN_ID}) + many), HEAD)


@pytest.mark.parametrize("number", [1, 3])
def test_a_node_or_a_resource_too_long_to_be_remembered_is_refused(number: int) -> None:
    with pytest.raises(TooLarge, match="65536 bytes"):
        decode_export(delimited(number, message({4: [b"x" * MAX_NODE_BYTES]})), HEAD)


# -- every field of the protocol's definition has its place -------------------------------------------------------------

# trace.proto, resource.proto, common.proto of census-instrumentation/opencensus-proto: number → name of each field.
FIELDS = {
    "Span": {
        1: "trace_id",
        2: "span_id",
        3: "parent_span_id",
        4: "name",
        5: "start_time",
        6: "end_time",
        7: "attributes",
        8: "stack_trace",
        9: "time_events",
        10: "links",
        11: "status",
        12: "same_process_as_parent_span",
        13: "child_span_count",
        14: "kind",
        15: "tracestate",
        16: "resource",
    },
    "Attributes": {1: "attribute_map", 2: "dropped_attributes_count"},
    "AttributeValue": {1: "string_value", 2: "int_value", 3: "bool_value", 4: "double_value"},
    "TruncatableString": {1: "value", 2: "truncated_byte_count"},
    "TimeEvents": {1: "time_event", 2: "dropped_annotations_count", 3: "dropped_message_events_count"},
    "TimeEvent": {1: "time", 2: "annotation", 3: "message_event"},
    "Annotation": {1: "description", 2: "attributes"},
    "MessageEvent": {1: "type", 2: "id", 3: "uncompressed_size", 4: "compressed_size"},
    "Links": {1: "link", 2: "dropped_links_count"},
    "Link": {1: "trace_id", 2: "span_id", 3: "type", 4: "attributes", 5: "tracestate"},
    "Tracestate": {1: "entries"},
    "Entry": {1: "key", 2: "value"},
    "Status": {1: "code", 2: "message"},
    "StackTrace": {1: "stack_frames", 2: "stack_trace_hash_id"},
    "StackFrames": {1: "frame", 2: "dropped_frames_count"},
    "StackFrame": {
        1: "function_name",
        2: "original_function_name",
        3: "file_name",
        4: "line_number",
        5: "column_number",
        6: "load_module",
        7: "source_version",
    },
    "Module": {1: "module", 2: "build_id"},
    "Resource": {1: "type", 2: "labels"},
    "Node": {1: "identifier", 2: "library_info", 3: "service_info", 4: "attributes"},
    "ProcessIdentifier": {1: "host_name", 2: "pid", 3: "start_timestamp"},
    "LibraryInfo": {1: "language", 2: "exporter_version", 3: "core_library_version"},
    "ServiceInfo": {1: "name"},
}
# Of protobuf itself: times, wrapped numbers, entries of maps.
OF_PROTOBUF = {"Timestamp", "BoolValue", "UInt32Value", "AttributeEntry", "TextEntry"}
DOCS = Path(__file__).parents[3] / "docs/receivers/opencensus.md"


def test_every_field_of_the_definition_is_read() -> None:
    assert {
        name: {number: field.name for number, field in fields.items()}
        for name, fields in model.MESSAGES.items()
        if name not in OF_PROTOBUF
    } == FIELDS


def test_every_field_of_the_definition_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    named = [f"{name}.{field}" for name, fields in FIELDS.items() for field in fields.values()]
    assert [name for name in named if f"`{name}`" not in page] == []


def whole_span() -> Any:
    """A span in which every field says something."""
    one = model.SpanMessage()
    fill(one)
    one.trace_id, one.span_id, one.parent_span_id = b"t" * 16, b"s" * 8, b"p" * 8
    for link in one.links.link:
        link.trace_id, link.span_id = b"u" * 16, b"w" * 8
    entry = model.AttributeEntryMessage()
    fill(entry)
    moments = one.time_events.time_event
    moments.add().annotation.SetInParent()
    fill(moments[1].annotation)
    for owner in (one.attributes, one.links.link[0].attributes, moments[1].annotation.attributes):
        owner.attribute_map[:] = [entry.SerializeToString()]
    return one


def test_every_field_of_a_span_a_node_and_a_resource_counts_in_what_is_stored() -> None:
    one, node, resource = whole_span(), model.NodeMessage(), model.ResourceMessage()
    fill(node)
    fill(resource)
    del node.attributes[:]  # labels of the resource have the same names here
    alone = whole_span()
    alone.ClearField("resource")

    def body(span: Any = alone, node: Any = node, resource: Any = resource) -> bytes:
        return b"".join(delimited(at, part.SerializeToString()) for at, part in enumerate((node, span, resource), 1))

    parts = {"span": (one, lambda it: body(span=it)), "node": (node, lambda it: body(node=it))} | {
        "resource": (resource, lambda it: body(resource=it))
    }
    for name, (whole, written) in parts.items():
        changed = dict(changes(whole))
        assert len(changed) >= {"span": 60, "node": 8, "resource": 4}[name]
        check_each_field_counts(whole, changed, changed, lambda it, written=written: decode_export(written(it), HEAD))
