"""Zipkin's four encodings into OTLP: ids, times, kinds, endpoints, tags, shared spans, broken ones, and every field's place."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.ids import span_id_from_zipkin_server
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.zipkin import v2_json, v2_proto
from clew_server.receivers.zipkin.decoder import REPORT, V1_PATH, V2_PATH, decode
from clew_server.receivers.zipkin.receiver import ZIPKIN

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from zipkin_bytes import HEADS, PARENT_ID, SPAN_ID, TRACE_ID, Thrift, to_json, to_proto, v2_span

GOLDEN = Path(__file__).parent / "golden/zipkin"
US = 1_795_346_323_025_004
Encode = Callable[..., bytes]
v2 = pytest.mark.parametrize(("encode", "head"), [(to_json, HEADS["v2.json"]), (to_proto, HEADS["v2.pb"])])


def request_of(batch: OtlpBatch) -> ExportTraceServiceRequest:
    """The batch's request, which must be in canonical form and agree with the rest of the batch."""
    message = ExportTraceServiceRequest.FromString(batch.request)
    assert message.SerializeToString() == batch.request
    assert len(batch.heads or b"") == 28 * batch.spans == 28 * len(spans_of(message))
    return message


def spans_of(message: ExportTraceServiceRequest) -> list[Span]:
    return [span for group in message.resource_spans for scope in group.scope_spans for span in scope.spans]


def decoded(body: bytes, head: Head) -> list[Span]:
    return spans_of(request_of(decode(body, head)))


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for pair in span.attributes:
        assert pair.key not in found, f"{pair.key} twice"
        which = pair.value.WhichOneof("value")
        value = getattr(pair.value, which) if which else None
        found[pair.key] = [one.string_value for one in value.values] if which == "array_value" else value
    return found


def services(message: ExportTraceServiceRequest) -> list[str]:
    return [attributes(group.resource).get("service.name", "") for group in message.resource_spans]


def as_otlp_json(batch: OtlpBatch) -> str:
    """OTLP/JSON with one attribute a line, to be read."""

    def with_hex(item: Any) -> Any:
        if isinstance(item, list):
            return [with_hex(one) for one in item]
        if isinstance(item, dict):
            return {
                key: base64.b64decode(one).hex() if key in ("traceId", "spanId", "parentSpanId") else with_hex(one)
                for key, one in item.items()
            }
        return item

    text = json.dumps(with_hex(MessageToDict(request_of(batch), use_integers_for_enums=True)), indent=1)
    return text + "\n"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.hex")), ids=lambda path: path.stem)
def test_what_real_clients_send_is_read_as_it_was_reviewed(path: Path) -> None:
    """`CLEW_WRITE_GOLDEN=1` writes what is decoded now, to be reviewed."""
    head = HEADS[".".join(path.stem.split(".")[-2:])]
    made = as_otlp_json(decode(bytes.fromhex(path.read_text()), head))
    wanted = path.with_suffix(".otlp.json")
    if os.environ.get("CLEW_WRITE_GOLDEN"):
        wanted.write_text(made)
    assert made == wanted.read_text()


@v2
def test_ids_of_64_and_128_bits_are_16_bytes_and_a_root_has_no_parent(encode: Encode, head: Head) -> None:
    (short,) = decoded(encode(v2_span(traceId=TRACE_ID[16:])), head)
    assert short.trace_id.hex() == "0" * 16 + TRACE_ID[16:]
    for parent in (None, "0" * 16, SPAN_ID):
        (root,) = decoded(encode(v2_span(parentId=parent)), head)
        assert (root.trace_id.hex(), root.span_id.hex(), root.parent_span_id) == (TRACE_ID, SPAN_ID, b"")
    (child,) = decoded(encode(v2_span(parentId=PARENT_ID)), head)
    assert child.parent_span_id.hex() == PARENT_ID


def test_hex_ids_may_be_unpadded_and_in_upper_case() -> None:
    (span,) = decoded(to_json(v2_span(traceId="ABC", id="1", parentId="2F")), HEADS["v2.json"])
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (
        f"{0xABC:032x}",
        f"{1:016x}",
        f"{0x2F:016x}",
    )


@v2
def test_times_are_exact_to_the_microsecond(encode: Encode, head: Head) -> None:
    (span,) = decoded(encode(v2_span(annotations=[{"timestamp": US + 5, "value": "evt"}])), head)
    assert span.start_time_unix_nano == US * 1000
    assert span.end_time_unix_nano == (US + 5369) * 1000
    assert [(event.time_unix_nano, event.name) for event in span.events] == [((US + 5) * 1000, "evt")]
    assert "zipkin.absent" not in attributes(span)


@v2
def test_a_span_without_times_says_so_and_begins_at_its_first_annotation(encode: Encode, head: Head) -> None:
    (span,) = decoded(encode(v2_span(duration=None)), head)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (US * 1000, US * 1000)
    assert attributes(span)["zipkin.absent"] == ["duration"]
    (span,) = decoded(encode(v2_span(timestamp=None)), head)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 5_369_000)
    assert attributes(span)["zipkin.absent"] == ["timestamp"]
    seen = [{"timestamp": US + 9, "value": "b"}, {"timestamp": US + 7, "value": "a"}]
    (span,) = decoded(encode(v2_span(timestamp=None, duration=None, annotations=seen)), head)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == ((US + 7) * 1000, (US + 7) * 1000)
    assert attributes(span)["zipkin.absent"] == ["timestamp", "duration"]


@v2
def test_a_time_that_otlp_cannot_hold_is_kept_as_text(encode: Encode, head: Head) -> None:
    (span,) = decoded(encode(v2_span(timestamp=1 << 63, annotations=[{"timestamp": 1 << 62, "value": "e"}])), head)
    assert span.start_time_unix_nano == 0
    assert attributes(span)["zipkin.timestamp"] == str(1 << 63)
    assert attributes(span.events[0]) == {"zipkin.timestamp": str(1 << 62)}
    (span,) = decoded(encode(v2_span(duration=1 << 60)), head)
    assert span.end_time_unix_nano == span.start_time_unix_nano == US * 1000
    assert attributes(span)["zipkin.duration"] == str(1 << 60)


@v2
def test_kinds_are_those_of_otlp(encode: Encode, head: Head) -> None:
    for kind, number in ((None, 1), ("SERVER", 2), ("CLIENT", 3), ("PRODUCER", 4), ("CONSUMER", 5)):
        (span,) = decoded(encode(v2_span(kind=kind)), head)
        assert span.kind == number


@v2
def test_endpoints_are_the_service_and_both_sides_of_the_network(encode: Encode, head: Head) -> None:
    both = {
        "localEndpoint": {"serviceName": "web", "ipv4": "10.0.0.1", "ipv6": "2001:db8::1", "port": 8080},
        "remoteEndpoint": {"serviceName": "db", "ipv4": "10.0.0.2", "ipv6": "2001:db8::2", "port": 5432},
    }
    batch = decode(encode(v2_span(kind="CLIENT", **both)), head)
    assert services(request_of(batch)) == ["web"]
    assert attributes(spans_of(request_of(batch))[0]) == {
        "peer.service": "db",
        "network.peer.address": "10.0.0.2",
        "server.address": "10.0.0.2",
        "network.peer.port": 5432,
        "server.port": 5432,
        "zipkin.remote_endpoint.ipv6": "2001:db8::2",
        "network.local.address": "10.0.0.1",
        "network.local.port": 8080,
        "zipkin.local_endpoint.ipv6": "2001:db8::1",
    }
    (span,) = decoded(encode(v2_span(kind="SERVER", remoteEndpoint={"ipv6": "::1", "port": 60000})), head)
    assert attributes(span) == {
        "network.peer.address": "::1",
        "client.address": "::1",
        "client.port": 60000,
        "network.peer.port": 60000,
    }


@v2
def test_a_tag_keeps_its_name_where_an_endpoint_has_it_too(encode: Encode, head: Head) -> None:
    tags = {"peer.service": "said", "network.peer.port": "1", "http.host": "shop", "network.local.port": "8080"}
    remote = {"serviceName": "seen", "ipv4": "10.0.0.2", "port": 2}
    local = {"serviceName": "svc", "port": 8080}
    (span,) = decoded(encode(v2_span(kind="CLIENT", tags=tags, remoteEndpoint=remote, localEndpoint=local)), head)
    found = attributes(span)
    assert found == {
        "peer.service": "said",
        "network.peer.port": 1,
        "http.host": "shop",
        "network.local.port": 8080,
        "server.address": "shop",
        "zipkin.remote_endpoint.service_name": "seen",
        "network.peer.address": "10.0.0.2",
        "zipkin.remote_endpoint.port": 2,
        "server.port": 2,
    }


@v2
def test_tags_stand_beside_their_standard_names_and_error_makes_the_status(encode: Encode, head: Head) -> None:
    tags = {"http.method": "GET", "http.status_code": "503", "error": "503", "empty": ""}
    (span,) = decoded(encode(v2_span(kind="SERVER", tags=tags)), head)
    assert attributes(span) == {**tags, "http.request.method": "GET", "http.response.status_code": 503}
    assert (span.status.code, span.status.message) == (2, "503")
    (span,) = decoded(encode(v2_span(tags={"error": ""})), head)
    assert (span.status.code, span.status.message) == (2, "")


@v2
def test_two_tags_that_mean_one_thing_make_one_attribute(encode: Encode, head: Head) -> None:
    (span,) = decoded(encode(v2_span(kind="SERVER", tags={"http.path": "/a", "http.url": "http://h/b"})), head)
    assert attributes(span)["url.path"] == "/a"


@v2
def test_spans_are_grouped_by_service(encode: Encode, head: Head) -> None:
    names = ["a", "b", "a", ""]
    spans = [v2_span(id=f"{number:016x}", localEndpoint={"serviceName": name}) for number, name in enumerate(names, 1)]
    message = request_of(decode(encode(*spans), head))
    assert services(message) == ["a", "b", ""]
    assert [len(group.scope_spans[0].spans) for group in message.resource_spans] == [2, 1, 1]


@v2
def test_what_an_opentelemetry_sdk_put_into_tags_comes_out_again(encode: Encode, head: Head) -> None:
    tags = {
        "service.name": "svc",
        "telemetry.sdk.language": "python",
        "host.name": "vm",
        "otel.scope.name": "lib",
        "otel.scope.version": "1.2",
        "otel.status_code": "ERROR",
        "error": "why",
        "w3c.tracestate": "a=b",
        "k": "v",
        "otlp.link.0": f"{TRACE_ID}|{PARENT_ID}||{{}}|0",
    }
    events = [
        {"timestamp": US, "value": '{"retry": {"n": 1, "list": ["x"], "deep": {"a": 1}}}'},
        {"timestamp": US, "value": 'cache|{"hit":true}|2'},
        {"timestamp": US, "value": '{"a": 1}'},
        {"timestamp": US, "value": "{not json"},
    ]
    message = request_of(decode(encode(v2_span(tags=tags, annotations=events)), head))
    (group,) = message.resource_spans
    assert attributes(group.resource) == {"service.name": "svc", "telemetry.sdk.language": "python", "host.name": "vm"}
    assert (group.scope_spans[0].scope.name, group.scope_spans[0].scope.version) == ("lib", "1.2")
    (span,) = group.scope_spans[0].spans
    assert attributes(span) == {"error": "why", "k": "v"}
    assert (span.status.code, span.status.message, span.trace_state) == (2, "why", "a=b")
    assert span.links[0].span_id.hex() == PARENT_ID
    assert [event.name for event in span.events] == ["retry", "cache", '{"a": 1}', "{not json"]
    assert attributes(span.events[0]) == {"n": 1, "list": ["x"], "deep": '{"a": 1}'}
    assert attributes(span.events[1]) == {"hit": True}
    assert span.events[1].dropped_attributes_count == 2


@v2
def test_another_service_name_in_the_tags_is_not_lost(encode: Encode, head: Head) -> None:
    tags = {"service.name": "other", "telemetry.sdk.name": "x"}
    message = request_of(decode(encode(v2_span(tags=tags)), head))
    assert services(message) == ["svc"]
    assert attributes(spans_of(message)[0]) == {"service.name": "other"}
    message = request_of(decode(encode(v2_span(tags=tags, localEndpoint=None)), head))
    assert services(message) == ["other"]


@v2
def test_a_shared_span_becomes_two_and_the_servers_children_hang_on_the_server(encode: Encode, head: Head) -> None:
    client = v2_span(kind="CLIENT", parentId=PARENT_ID, localEndpoint={"serviceName": "front"})
    server = v2_span(kind="SERVER", parentId=PARENT_ID, shared=True, localEndpoint={"serviceName": "back", "port": 80})
    child = v2_span(id="00000000000000c1", parentId=SPAN_ID, localEndpoint={"serviceName": "back", "port": 80})
    elsewhere = v2_span(id="00000000000000c2", parentId=SPAN_ID, localEndpoint={"serviceName": "back"})
    fronts = v2_span(id="00000000000000c3", parentId=SPAN_ID, localEndpoint={"serviceName": "front"})
    found = {
        (span.kind, span.span_id.hex()): span
        for span in decoded(encode(child, client, server, elsewhere, fronts), head)
    }
    made = span_id_from_zipkin_server(bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID), "back", "", "", 80)
    assert made.hex() != SPAN_ID
    assert found[3, SPAN_ID].parent_span_id.hex() == PARENT_ID
    assert found[2, made.hex()].parent_span_id.hex() == SPAN_ID
    assert attributes(found[2, made.hex()])["zipkin.id"] == SPAN_ID
    assert attributes(found[2, made.hex()])["zipkin.parent_id"] == PARENT_ID
    assert attributes(found[2, made.hex()])["zipkin.shared"] is True
    assert found[1, "00000000000000c1"].parent_span_id == made
    assert found[1, "00000000000000c2"].parent_span_id == made
    assert found[1, "00000000000000c3"].parent_span_id.hex() == SPAN_ID


@v2
def test_the_server_of_a_shared_span_has_the_same_id_in_whatever_request_it_comes(encode: Encode, head: Head) -> None:
    server = v2_span(kind="SERVER", shared=True, localEndpoint={"serviceName": "back"})
    client = v2_span(kind="CLIENT")
    (alone,) = decoded(encode(server), head)
    together = {span.kind: span for span in decoded(encode(client, server), head)}
    assert alone == together[2]
    assert alone.parent_span_id.hex() == SPAN_ID


@v2
def test_client_and_server_with_one_id_are_told_apart_without_the_flag_too(encode: Encode, head: Head) -> None:
    spans = decoded(encode(v2_span(kind="SERVER", localEndpoint={"serviceName": "b"}), v2_span(kind="CLIENT")), head)
    assert len({span.span_id for span in spans}) == 2
    assert {span.kind: span.parent_span_id.hex() for span in spans}[2] == SPAN_ID


@v2
def test_two_servers_of_one_shared_span_have_two_ids(encode: Encode, head: Head) -> None:
    servers = [v2_span(kind="SERVER", shared=True, localEndpoint={"serviceName": "b", "port": n}) for n in (1, 2)]
    assert len({span.span_id for span in decoded(encode(*servers), head)}) == 2


@v2
def test_chains_of_shared_spans_within_one_process_have_no_loop(encode: Encode, head: Head) -> None:
    here = {"localEndpoint": {"serviceName": "loop"}}
    spans = [
        v2_span(kind="CLIENT", id="000000000000000a", **here),
        v2_span(kind="SERVER", id="000000000000000a", shared=True, **here),
        v2_span(kind="CLIENT", id="000000000000000b", parentId="000000000000000a", **here),
        v2_span(kind="SERVER", id="000000000000000b", parentId="000000000000000a", shared=True, **here),
    ]
    parents = {span.span_id: span.parent_span_id for span in decoded(encode(*spans), head)}
    assert len(parents) == 4
    for at in parents:
        steps = 0
        while at:
            at, steps = parents[at], steps + 1
        assert steps <= 4
    deepest = [span for span in decoded(encode(*spans), head) if span.kind == 2][-1]
    walked = [deepest.span_id]
    while parents[walked[-1]]:
        walked.append(parents[walked[-1]])
    assert len(walked) == 4


@v2
def test_debug_is_an_attribute(encode: Encode, head: Head) -> None:
    (span,) = decoded(encode(v2_span(debug=True)), head)
    assert attributes(span) == {"zipkin.debug": True}


@v2
@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"traceId": b"\1" * 7}, "trace_id"),
        ({"traceId": bytes(16)}, "trace_id"),
        ({"id": b"\1" * 9}, "span_id"),
        ({"id": bytes(8)}, "span_id"),
        ({"parentId": b"\1" * 3}, "malformed"),
    ],
)
def test_one_broken_span_does_not_cost_the_others(encode: Encode, head: Head, broken: dict[str, Any], why: str) -> None:
    def shown(value: Any) -> Any:
        return value if encode is to_proto else "x" if len(value) in (3, 7, 9) else value.hex()

    bad = {**v2_span(id="00000000000000bb"), **{key: shown(value) for key, value in broken.items()}}
    batch = decode(encode(bad, v2_span()), head)
    assert [span.span_id.hex() for span in spans_of(request_of(batch))] == [SPAN_ID]
    assert dict(batch.rejected) == {why: 1}
    with pytest.raises(BadInput):
        decode(encode(bad), head)


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "12 4"},
        {"traceId": "g" * 16},
        {"traceId": "1" * 33},
        {"traceId": 5},
        {"traceId": None},
        {"id": "-1"},
        {"parentId": ["a"]},
        {"name": {}},
        {"timestamp": "soon"},
        {"duration": True},
        {"timestamp": 1.5},
        {"localEndpoint": "svc"},
        {"localEndpoint": {"serviceName": []}},
        {"localEndpoint": {"serviceName": 7}},
        {"remoteEndpoint": {"port": "x"}},
        {"annotations": {}},
        {"annotations": ["x"]},
        {"annotations": [{"timestamp": {}, "value": "x"}]},
        {"tags": []},
    ],
)
def test_a_wrong_value_in_json_costs_its_span_only(fields: dict[str, Any]) -> None:
    batch = decode(to_json({**v2_span(id="bb"), **fields}, v2_span(), 7, None), HEADS["v2.json"])
    assert (batch.spans, sum(batch.rejected.values())) == (1, 3)


def test_json_that_means_one_thing_only_is_taken() -> None:
    span = {
        **v2_span(timestamp=str(US), duration=5369.0, parentId="", debug=None, shared=None, annotations=None),
        "kind": None,
        "tags": {"n": 5, "f": 0.5, "t": True, "none": None, "list": [1, {"a": 2}], "big": 1 << 70, "half": "\ud800"},
        "localEndpoint": {"serviceName": "svc", "port": "80", "ipv4": None},
        "strange": {"x": [1]},
    }
    (found,) = decoded(b"\xef\xbb\xbf \n" + to_json(span), HEADS["v2.json"])
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (US * 1000, (US + 5369) * 1000)
    assert attributes(found) == {
        "n": 5,
        "f": 0.5,
        "t": True,
        "none": "",
        "list": '[1, {"a": 2}]',
        "big": str(1 << 70),
        "half": "�",
        "network.local.port": 80,
    }
    (found,) = decoded(to_json(v2_span(kind="LOCAL")), HEADS["v2.json"])
    assert (found.kind, attributes(found)) == (1, {"zipkin.kind": "LOCAL"})


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"[ ]"])
@pytest.mark.parametrize("path", [V1_PATH, V2_PATH])
def test_no_spans_are_taken(body: bytes, path: str) -> None:
    batch = decode(body, Head(path=path))
    assert (batch.spans, batch.request, dict(batch.rejected)) == (0, b"", {})
    assert (
        decode(
            b"", Head(path=path, content_type="application/x-protobuf" if path == V2_PATH else "application/x-thrift")
        ).spans
        == 0
    )


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (b"{}", HEADS["v2.json"]),
        (b"[", HEADS["v2.json"]),
        (b"[{]", HEADS["v2.json"]),
        (b"[1] x", HEADS["v2.json"]),
        (b"[" + b"9" * 5000 + b"]", HEADS["v2.json"]),
        (b"[" * 100_000, HEADS["v2.json"]),
        (b"hello", HEADS["v2.json"]),
        (b"\xff\xfe", HEADS["v2.json"]),
        (b"\x0a\x05abc", HEADS["v2.pb"]),
        (b"hello", HEADS["v2.pb"]),
        (b"hello", HEADS["v1.thrift"]),
        (b"\x0c\x7f\xff\xff\xff", HEADS["v1.thrift"]),
        (b"\x0c\0\0\0\1\0x", HEADS["v1.thrift"]),
        (b"\x0c\0\0\0\0", HEADS["v2.json"]),
        (b"[7]", HEADS["v1.json"]),
        (b"", Head(path=V2_PATH, content_type="application/x-thrift")),
        (b"", Head(path=V1_PATH, content_type="application/x-protobuf")),
    ],
)
def test_what_is_no_list_of_spans_is_refused(body: bytes, head: Head) -> None:
    with pytest.raises(BadInput):
        decode(body, head)


def test_v1_on_the_path_of_v2_is_refused_with_the_path_to_use_and_the_reverse() -> None:
    v1 = {"traceId": "1", "id": "1", "annotations": [{"timestamp": 1, "value": "x", "endpoint": {"serviceName": "a"}}]}
    for span in (v1, {"traceId": "1", "id": "1", "binaryAnnotations": []}):
        with pytest.raises(BadInput, match="/api/v1/spans"):
            decode(to_json(span), HEADS["v2.json"])
    with pytest.raises(BadInput, match="/api/v2/spans"):
        decode(to_json(v2_span()), HEADS["v1.json"])


def test_the_encoding_is_seen_where_no_content_type_says_it() -> None:
    assert decode(to_json(v2_span()), Head(path=V2_PATH)).spans == 1
    assert decode(b"\n" + to_json(v2_span()), Head(path=V2_PATH)).spans == 1
    assert decode(to_proto(v2_span()), Head(path=V2_PATH)).spans == 1
    assert decode(to_proto(v2_span()), Head(path=V2_PATH, content_type="application/octet-stream")).spans == 1
    assert decode(to_proto(v2_span()), Head(path=REPORT)).spans == 1
    thrift = Thrift.body({1: Thrift.i64(1), 4: Thrift.i64(2)})
    assert decode(thrift, Head(path=V1_PATH)).spans == 1
    assert decode(to_json(v2_span()), Head(path=V2_PATH, content_type="application/json; charset=utf-8")).spans == 1


def test_a_long_json_text_is_read_a_span_at_a_time() -> None:
    spans = [v2_span(id=f"{number:016x}", tags={"text": "x" * 1000}) for number in range(1, 1200)]
    body = json.dumps(spans, indent=1).encode()
    assert len(body) > 1 << 20
    assert len(decoded(body, HEADS["v2.json"])) == 1199
    for broken in (body[:-1], body[:-1] + b"]]", body[:-5], body.replace(b"},", b"} ", 1)):
        with pytest.raises(BadInput):
            decode(broken, HEADS["v2.json"])
    assert list(v2_json.elements(b"[" + b" " * (600 << 10) + b"]")) == []


def test_a_long_json_text_may_span_several_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_json, "_WHOLE_CHARACTERS", 10)
    monkeypatch.setattr(v2_json, "_LONGEST_SPAN", 60)
    values = [f"{'x' * (number % 50)}" for number in range(200)]
    assert list(v2_json.elements(json.dumps(values).encode())) == values
    assert list(v2_json.elements(json.dumps(values, indent=3).encode())) == values
    for long in ("y" * 500, {"a": ["b"] * 100}, [[1]] * 100):
        with pytest.raises(TooLarge):
            list(v2_json.elements(json.dumps([*values, long, *values]).encode()))


def test_a_large_protobuf_body_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    body = to_proto(*[v2_span(id=f"{number:016x}", tags={"text": "x" * 1000}) for number in range(1, 1200)])
    assert len(body) > 1 << 20
    assert [span.span_id for span in decoded(body, HEADS["v2.pb"])] == [n.to_bytes(8, "big") for n in range(1, 1200)]
    long = v2_proto.message("ListOfSpans")
    long.spans.add(tags=[b""] * 300_000)
    with pytest.raises(TooLarge):
        decode(long.SerializeToString(), HEADS["v2.pb"])


@pytest.mark.parametrize("form", ["v2.json", "v2.pb", "v1.json", "v1.thrift"])
def test_more_spans_than_a_request_may_have_are_refused(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew_server.receivers.zipkin.spans.MAX_REQUEST_SPANS", 3)
    bodies = {
        "v2.json": to_json(*[v2_span()] * 4),
        "v2.pb": to_proto(*[v2_span()] * 4),
        "v1.json": to_json(*[{"traceId": "1", "id": "1"}] * 4),
        "v1.thrift": Thrift.body(*[{1: Thrift.i64(1), 4: Thrift.i64(2)}] * 4),
    }
    with pytest.raises(TooLarge):
        decode(bodies[form], HEADS[form])


def test_a_short_body_of_real_spans_is_decoded_at_once_and_one_of_empty_spans_in_a_thread() -> None:
    spans = [v2_span(kind="CLIENT", parentId=PARENT_ID, tags={"http.method": "GET", "http.path": "/a"})] * 20
    for body, head in ((to_json(*spans), HEADS["v2.json"]), (to_proto(*spans), HEADS["v2.pb"])):
        assert ZIPKIN.is_quick(body, head)
        assert not ZIPKIN.is_quick(body * 20, head)
    for body in (b"[" + b"{}," * 3000 + b"{}]", b"[" + b"1," * 3000 + b"1]", b"\x0a\0" * 3000):
        assert not ZIPKIN.is_quick(body, HEADS["v2.json"])
    assert not ZIPKIN.is_quick(bytes(10_000), HEADS["v1.thrift"])


def test_a_protobuf_span_whose_bytes_are_broken_costs_itself() -> None:
    good = to_proto(v2_span())
    broken = b"\x0a\x02\x42\x7f"  # a field that ends beyond its span
    wrong_wire_type = b"\x0a\x03\x0a\x01\x01"
    batch = decode(broken + good + wrong_wire_type, HEADS["v2.pb"])
    assert (batch.spans, dict(batch.rejected)) == (1, {"malformed": 1, "trace_id": 1})
    bad_tag = v2_proto.message("ListOfSpans")
    bad_tag.spans.add(trace_id=b"\1" * 16, id=b"\1" * 8, tags=[b"\x0a\x7f"])
    batch = decode(bad_tag.SerializeToString() + good, HEADS["v2.pb"])
    assert (batch.spans, dict(batch.rejected)) == (1, {"malformed": 1})


def test_text_that_is_not_utf8_keeps_its_other_characters() -> None:
    request = v2_proto.message("ListOfSpans")
    request.spans.add(trace_id=b"\1" * 16, id=b"\1" * 8, name=b"a\xff", tags=[b"\x0a\x01\xff\x12\x01\xfe"])
    (span,) = decoded(request.SerializeToString(), HEADS["v2.pb"])
    assert (span.name, attributes(span)) == ("a�", {"�": "�", "zipkin.absent": ["timestamp", "duration"]})


# Zipkin's own definitions: every field, with a value that can be seen in what is decoded. Names are those of zipkin.proto,
# zipkin2-api.yaml, zipkin-api.yaml (v1) and zipkinCore.thrift.

V2_FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "traceId": ({"traceId": "77" * 16}, "77" * 16),
    "parentId": ({"parentId": PARENT_ID}, PARENT_ID),
    "id": ({"id": "6" * 16}, "6" * 16),
    "kind": ({"kind": "PRODUCER"}, 4),
    "name": ({"name": "zname"}, "zname"),
    "timestamp": ({"timestamp": 77_000_000_000_000}, "77000000000000000"),
    "duration": ({"duration": 7}, str((US + 7) * 1000)),
    "localEndpoint.serviceName": ({"localEndpoint": {"serviceName": "zlocal"}}, "zlocal"),
    "localEndpoint.ipv4": ({"localEndpoint": {"ipv4": "10.7.7.7"}}, "10.7.7.7"),
    "localEndpoint.ipv6": ({"localEndpoint": {"ipv6": "7::7"}}, "7::7"),
    "localEndpoint.port": ({"localEndpoint": {"port": 7777}}, "7777"),
    "remoteEndpoint.serviceName": ({"remoteEndpoint": {"serviceName": "zremote"}}, "zremote"),
    "remoteEndpoint.ipv4": ({"remoteEndpoint": {"ipv4": "10.8.8.8"}}, "10.8.8.8"),
    "remoteEndpoint.ipv6": ({"remoteEndpoint": {"ipv6": "8::8"}}, "8::8"),
    "remoteEndpoint.port": ({"remoteEndpoint": {"port": 8888}}, "8888"),
    "annotations.timestamp": ({"annotations": [{"timestamp": 88, "value": "a"}]}, "88000"),
    "annotations.value": ({"annotations": [{"timestamp": 1, "value": "zvalue"}]}, "zvalue"),
    "tags": ({"tags": {"zkey": "ztag"}}, "ztag"),
    "debug": ({"debug": True}, True),
    "shared": ({"shared": True}, True),
}
_PROTO_NAMES = {
    "trace_id": 1,
    "parent_id": 2,
    "id": 3,
    "kind": 4,
    "name": 5,
    "timestamp": 6,
    "duration": 7,
    "local_endpoint": 8,
    "remote_endpoint": 9,
    "annotations": 10,
    "tags": 11,
    "debug": 12,
    "shared": 13,
}
_V1_HOST = {"serviceName": "zhost", "ipv4": "10.9.9.9", "ipv6": "9::9", "port": 9999}
V1_FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    **{key: V2_FIELDS[key] for key in ("traceId", "parentId", "id", "name", "timestamp", "duration", "debug")},
    "annotations.timestamp": V2_FIELDS["annotations.timestamp"],
    "annotations.value": V2_FIELDS["annotations.value"],
    "annotations.endpoint": ({"annotations": [{"timestamp": 1, "value": "a", "endpoint": _V1_HOST}]}, "zhost"),
    "binaryAnnotations.key": ({"binaryAnnotations": [{"key": "zkey", "value": "b"}]}, "zkey"),
    "binaryAnnotations.value": ({"binaryAnnotations": [{"key": "a", "value": "zbinary"}]}, "zbinary"),
    "binaryAnnotations.endpoint": ({"binaryAnnotations": [{"key": "a", "value": "b", "endpoint": _V1_HOST}]}, "zhost"),
    **{
        f"endpoint.{key}": ({"binaryAnnotations": [{"key": "sa", "value": True, "endpoint": {key: value}}]}, str(value))
        for key, value in _V1_HOST.items()
    },
}
_host = {
    1: Thrift.i32(0x0A090909),
    2: Thrift.i16(9999),
    3: Thrift.string(b"zhost"),
    4: Thrift.string(b"\0\x09" + bytes(13) + b"\x09"),
}
_SA = {1: Thrift.string(b"sa"), 2: Thrift.string(b"\1"), 3: Thrift.i32(0)}


def _typed(value: bytes, type_: int) -> dict[int, tuple[int, bytes]]:
    return {8: Thrift.list_of({1: Thrift.string(b"k"), 2: Thrift.string(value), 3: Thrift.i32(type_)})}


THRIFT_FIELDS: dict[str, tuple[dict[int, tuple[int, bytes]], Any]] = {
    "Span.trace_id": ({1: Thrift.i64(0x7777777777777777)}, "0" * 16 + "7" * 16),
    "Span.name": ({3: Thrift.string(b"zname")}, "zname"),
    "Span.id": ({4: Thrift.i64(0x6666666666666666)}, "6" * 16),
    "Span.parent_id": ({5: Thrift.i64(0x20000000000001)}, PARENT_ID),
    "Span.debug": ({9: Thrift.true()}, True),
    "Span.timestamp": ({10: Thrift.i64(77_000_000_000_000)}, "77000000000000000"),
    "Span.duration": ({10: Thrift.i64(US), 11: Thrift.i64(7)}, str((US + 7) * 1000)),
    "Span.trace_id_high": ({12: Thrift.i64(-1)}, "f" * 16 + f"{1:016x}"),
    "Annotation.timestamp": ({6: Thrift.list_of({1: Thrift.i64(88), 2: Thrift.string(b"a")})}, "88000"),
    "Annotation.value": ({6: Thrift.list_of({1: Thrift.i64(88), 2: Thrift.string(b"zvalue")})}, "zvalue"),
    "Annotation.host": ({6: Thrift.list_of({2: Thrift.string(b"a"), 3: Thrift.inner(_host)})}, "zhost"),
    "BinaryAnnotation.key": ({8: Thrift.list_of({1: Thrift.string(b"zkey")})}, "zkey"),
    "BinaryAnnotation.value": (_typed(b"ztext", 6), "ztext"),
    "BinaryAnnotation.annotation_type BOOL": (_typed(b"\1", 0), True),
    "BinaryAnnotation.annotation_type BYTES": (_typed(b"\1\2", 1), base64.b64encode(b"\1\2").decode()),
    "BinaryAnnotation.annotation_type I16": (_typed(struct.pack(">h", -5), 2), "-5"),
    "BinaryAnnotation.annotation_type I32": (_typed(struct.pack(">i", -6), 3), "-6"),
    "BinaryAnnotation.annotation_type I64": (_typed(struct.pack(">q", -7), 4), "-7"),
    "BinaryAnnotation.annotation_type DOUBLE": (_typed(struct.pack(">d", 0.5), 5), 0.5),
    "BinaryAnnotation.host": ({8: Thrift.list_of({1: Thrift.string(b"k"), 4: Thrift.inner(_host)})}, "zhost"),
    "Endpoint.ipv4": ({8: Thrift.list_of({**_SA, 4: Thrift.inner({1: _host[1]})})}, "10.9.9.9"),
    "Endpoint.port": ({8: Thrift.list_of({**_SA, 4: Thrift.inner({2: _host[2]})})}, "9999"),
    "Endpoint.service_name": ({8: Thrift.list_of({**_SA, 4: Thrift.inner({3: _host[3]})})}, "zhost"),
    "Endpoint.ipv6": ({8: Thrift.list_of({**_SA, 4: Thrift.inner({4: _host[4]})})}, "9::9"),
}


def _values(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [value for one in item.values() for value in _values(one)]
    if isinstance(item, list):
        return [value for one in item for value in _values(one)]
    return [item]


def _has(body: bytes, form: str, wanted: Any) -> bool:
    found = _values(json.loads(as_otlp_json(decode(body, HEADS[form]))))
    return any(type(value) is type(wanted) and value == wanted for value in found)


@pytest.mark.parametrize("field", V2_FIELDS)
@v2
def test_every_field_of_v2_has_a_place(field: str, encode: Encode, head: Head) -> None:
    fields, wanted = V2_FIELDS[field]
    form = "v2.json" if encode is to_json else "v2.pb"
    assert not _has(encode(v2_span()), form, wanted)
    assert _has(encode(v2_span(**fields)), form, wanted)


def test_the_fields_of_the_protobuf_definition_are_those_that_are_read() -> None:
    described = v2_proto.message("Span").DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in described.items()} == _PROTO_NAMES
    assert {name.partition(".")[0] for name in V2_FIELDS} == {
        "".join(part.title() if number else part for number, part in enumerate(name.split("_")))
        for name in _PROTO_NAMES
    }


@pytest.mark.parametrize("field", V1_FIELDS)
def test_every_field_of_v1_in_json_has_a_place(field: str) -> None:
    fields, wanted = V1_FIELDS[field]
    base = {"traceId": TRACE_ID, "id": SPAN_ID, "timestamp": US, "duration": 5369}
    assert not _has(to_json(base), "v1.json", wanted)
    assert _has(to_json({**base, **fields}), "v1.json", wanted)


@pytest.mark.parametrize("field", THRIFT_FIELDS)
def test_every_field_of_v1_in_thrift_has_a_place(field: str) -> None:
    fields, wanted = THRIFT_FIELDS[field]
    base = {1: Thrift.i64(1), 4: Thrift.i64(2), 10: Thrift.i64(US + 9)}
    assert not _has(Thrift.body(base), "v1.thrift", wanted)
    assert _has(Thrift.body({**base, **fields}), "v1.thrift", wanted)
