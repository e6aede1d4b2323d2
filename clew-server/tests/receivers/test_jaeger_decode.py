"""Jaeger's spans become OTLP: what real clients send, against golden files, and each rule on a span of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<name>.hex` are captured bytes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp import to_json
from clew.otlp.encode import delimited
from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.jaeger import batch, model
from clew_server.receivers.jaeger.batch import decode_binary, decode_compact, decode_http
from clew_server.receivers.jaeger.post_spans import decode_post_spans
from clew_server.receivers.jaeger.tags import TAG
from clew_server.testing import jaeger

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, request_of, spans_of
from filled import changes, fill

GOLDEN = Path(__file__).parent / "golden/jaeger"
THRIFT = Head(content_type="application/x-thrift")
NO_HEAD = Head()

Decode = Callable[[jaeger.Batch], OtlpBatch]
FORMS: dict[str, Decode] = {
    "http": lambda sent: decode_http(jaeger.http_body(sent), THRIFT),
    "binary": lambda sent: decode_binary(jaeger.binary_datagram(sent), NO_HEAD),
    "compact": lambda sent: decode_compact(jaeger.compact_datagram(sent), NO_HEAD),
    "grpc": lambda sent: decode_post_spans(jaeger.post_spans(sent), NO_HEAD),
}
BY_NAME = {
    "http": lambda body: decode_http(body, THRIFT),
    "binary": lambda body: decode_binary(body, NO_HEAD),
    "compact": lambda body: decode_compact(body, NO_HEAD),
    "grpc": lambda body: decode_post_spans(body, NO_HEAD),
}
every_form = pytest.mark.parametrize("decode", FORMS.values(), ids=FORMS)

TRACE_ID = 0x96AC6E089B6ED559073B275EB478E41D
SHOP = jaeger.Batch(
    "shop",
    [
        jaeger.Span(
            TRACE_ID,
            0x7B2CF876A209E683,
            "GET /users/{id}",
            parent_id=0x9999AAAABBBBCCCC,
            tags=[
                ("span.kind", "server"),
                ("http.method", "GET"),
                ("http.url", "http://shop/users/7?x=1"),
                ("http.status_code", 500),
                ("error", True),
                ("ratio", 0.5),
                ("sure", False),
                ("raw", b"\x00\xff"),
                ("ü", "Größe"),
            ],
            logs=[
                (1_795_415_211_795_800, [("event", "retry"), ("attempt", 2)]),
                (1_795_415_211_795_900, [("event", "error"), ("error.kind", "KeyError"), ("message", "no user 7")]),
                (1_795_415_211_795_950, [("message", "said")]),
                (1_795_415_211_795_960, [("x", 1.5)]),
            ],
            references=[(1, 0x1111222233334444, 0x5555)],
        ),
        jaeger.Span(0x8000000000000001, 0xF000000000000002, flags=3),
    ],
)


def one_span(decode: Decode, **fields: Any) -> Span:
    (span,) = spans_of(decode(jaeger.Batch("svc", [jaeger.Span(TRACE_ID, 7, **fields)])))
    return span


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_what_a_real_client_sends_becomes_this_otlp(name: str) -> None:
    sent = bytes.fromhex((GOLDEN / f"{name}.hex").read_text(encoding="utf-8"))
    found = BY_NAME[name.partition("-")[0]](sent)
    assert (found.received, dict(found.rejected)) == (sent, {})
    check_golden(GOLDEN / f"{name}.json", to_json.request(found.request))


def test_every_form_of_a_batch_becomes_the_same_otlp() -> None:
    requests = {name: decode(SHOP).request for name, decode in FORMS.items()}
    assert requests["http"] == requests["binary"] == requests["compact"] == requests["grpc"]


@every_form
def test_a_span_keeps_all_it_says(decode: Decode) -> None:
    (group,) = request_of(decode(SHOP)).resource_spans
    assert attributes_of(group.resource) == {
        "service.name": "shop",
        "hostname": "vm",
        "ip": "127.0.0.1",
        "host.name": "vm",
        "host.ip": ["127.0.0.1"],
    }
    first, second = group.scope_spans[0].spans
    assert (first.trace_id, first.span_id) == (TRACE_ID.to_bytes(16, "big"), bytes.fromhex("7b2cf876a209e683"))
    assert (first.parent_span_id.hex(), first.name, first.kind) == ("9999aaaabbbbcccc", "GET /users/{id}", 2)
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (1795415211795788000, 1795415211796788000)
    assert attributes_of(first) == {
        "http.method": "GET",
        "http.url": "http://shop/users/7?x=1",
        "http.status_code": 500,
        "error": True,
        "ratio": 0.5,
        "sure": False,
        "raw": b"\x00\xff",
        "ü": "Größe",
        "http.request.method": "GET",
        "url.full": "http://shop/users/7?x=1",
        "url.scheme": "http",
        "url.path": "/users/7",
        "url.query": "x=1",
        "http.response.status_code": 500,
    }
    assert first.status.code == 2
    assert [(event.name, attributes_of(event)) for event in first.events] == [
        ("retry", {"attempt": 2}),
        (
            "exception",
            {
                "event": "error",
                "error.kind": "KeyError",
                "message": "no user 7",
                "exception.type": "KeyError",
                "exception.message": "no user 7",
            },
        ),
        ("said", {}),
        ("log", {"x": 1.5}),
    ]
    assert first.events[0].time_unix_nano == 1795415211795800000
    assert [(one.trace_id[8:].hex(), one.span_id[6:].hex(), attributes_of(one)) for one in first.links] == [
        ("1111222233334444", "5555", {"opentracing.ref_type": "follows_from"})
    ]
    # 64-bit ids, also those that Thrift writes as negative numbers; nothing of its own otherwise.
    assert second.trace_id.hex() == "00000000000000008000000000000001"
    assert (second.span_id.hex(), second.parent_span_id, second.kind) == ("f000000000000002", b"", 0)
    assert attributes_of(second) == {"jaeger.flags": 3, "jaeger.debug": True}
    assert (first.flags, second.flags) == (1, 1)


@every_form
def test_the_parent_is_the_first_span_of_the_same_trace_that_it_is_a_child_of(decode: Decode) -> None:
    span = one_span(decode, references=[(0, 5, 1), (1, TRACE_ID, 2), (0, TRACE_ID, 3), (0, TRACE_ID, 4)])
    assert span.parent_span_id == (3).to_bytes(8, "big")
    assert [(link.span_id[-1], attributes_of(link)["opentracing.ref_type"]) for link in span.links] == [
        (1, "child_of"),
        (2, "follows_from"),
        (4, "child_of"),
    ]


@every_form
def test_a_span_that_only_follows_from_another_hangs_on_it_and_says_so(decode: Decode) -> None:
    span = one_span(decode, references=[(1, 5, 1), (1, TRACE_ID, 2)])
    assert span.parent_span_id == (2).to_bytes(8, "big")
    assert [(link.span_id[-1], attributes_of(link)["opentracing.ref_type"]) for link in span.links] == [
        (1, "follows_from"),
        (2, "follows_from"),
    ]


@every_form
@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ([("error", True)], (2, "")),
        ([("error", "true")], (2, "")),
        ([("error", False)], (0, "")),
        ([("error", "false")], (0, "")),
        ([("error", True), ("http.status_message", "down")], (2, "down")),
        ([("otel.status_code", "ERROR"), ("otel.status_description", "boom"), ("error", True)], (2, "boom")),
        ([("otel.status_code", "OK")], (1, "")),
        ([("otel.status_code", "OK"), ("http.status_code", 503)], (1, "")),
        ([("http.status_code", 503)], (2, "")),
        ([("http.status_code", "503")], (2, "")),
        ([("http.status_code", 503.0)], (2, "")),
        ([("http.status_code", 404)], (0, "")),
        ([("http.status_code", 404), ("span.kind", "client")], (2, "")),
        ([("http.status_code", 404), ("span.kind", "client"), ("error", False)], (0, "")),
        ([("http.status_code", True)], (0, "")),
    ],
)
def test_tags_make_the_status(decode: Decode, tags: list[jaeger.Tag], status: tuple[int, str]) -> None:
    span = one_span(decode, tags=tags)
    assert (span.status.code, span.status.message) == status


@every_form
def test_a_code_that_javascript_writes_as_a_double_has_its_standard_name_as_a_number(decode: Decode) -> None:
    found = attributes_of(one_span(decode, tags=[("http.status_code", 200.0), ("peer.port", 8080.0)]))
    assert {key: (value, type(value)) for key, value in found.items()} == {
        "http.status_code": (200.0, float),
        "peer.port": (8080.0, float),
        "http.response.status_code": (200, int),
        "network.peer.port": (8080, int),
    }
    broken = one_span(decode, tags=[("http.status_code", 200.5), ("http.flavor", float("inf"))])
    assert "http.response.status_code" not in attributes_of(broken)


@every_form
def test_scope_and_trace_state_leave_the_tags(decode: Decode) -> None:
    tags = [
        ("otel.scope.name", "lib"),
        ("otel.scope.version", "1"),
        ("otel.library.name", "lib"),
        ("w3c.tracestate", "a=1"),
    ]
    sent = jaeger.Batch("svc", [jaeger.Span(1, 1, tags=tags), jaeger.Span(1, 2), jaeger.Span(1, 3, tags=tags)])
    (group,) = request_of(decode(sent)).resource_spans
    assert [(c.scope.name, c.scope.version, [s.span_id[-1] for s in c.spans]) for c in group.scope_spans] == [
        ("lib", "1", [1, 3]),
        ("", "", [2]),
    ]
    span = group.scope_spans[0].spans[0]
    assert (span.trace_state, attributes_of(span)) == ("a=1", {})


@every_form
def test_a_kind_that_nobody_knows_stays_a_tag(decode: Decode) -> None:
    span = one_span(decode, tags=[("span.kind", "sideways")])
    assert (span.kind, attributes_of(span)) == (0, {"span.kind": "sideways"})
    assert one_span(decode, tags=[("span.kind", "consumer")]).kind == 5


@every_form
def test_a_key_that_comes_twice_keeps_what_it_said_before(decode: Decode) -> None:
    span = one_span(decode, tags=[("k", "a"), ("k", 1), ("same", "x"), ("same", "x"), ("k", True)])
    assert attributes_of(span) == {"k": True, "jaeger.tag.k": ["a", "1"], "same": "x"}


@every_form
def test_the_client_of_jaeger_is_named_as_a_sdk_is(decode: Decode) -> None:
    tags = [("jaeger.version", "Node-3.19.0"), ("client-uuid", "u"), ("service.name", "other")]
    (group,) = request_of(decode(jaeger.Batch("svc", [jaeger.Span(1, 1)], tags))).resource_spans
    assert attributes_of(group.resource) == {
        "service.name": "svc",
        "jaeger.version": "Node-3.19.0",
        "client-uuid": "u",
        "jaeger.tag.service.name": "other",
        "telemetry.sdk.name": "jaeger",
        "telemetry.sdk.language": "nodejs",
        "telemetry.sdk.version": "3.19.0",
        "service.instance.id": "u",
    }


@every_form
def test_spans_without_an_id_are_rejected_and_counted(decode: Decode) -> None:
    found = decode(jaeger.Batch("svc", [jaeger.Span(0, 1), jaeger.Span(1, 0), jaeger.Span(1, 1)]))
    assert (found.spans, dict(found.rejected)) == (1, {"trace_id": 1, "span_id": 1})


@pytest.mark.parametrize("name", ["http", "compact"])
def test_times_that_otlp_does_not_have_are_kept_as_attributes(name: str) -> None:
    span = one_span(FORMS[name], start_us=-5, duration_us=-7, logs=[(-1, [("event", "e")])])
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 0)
    assert attributes_of(span) == {"jaeger.start_time_us": -5, "jaeger.duration_us": -7}
    assert attributes_of(span.events[0]) == {"jaeger.timestamp_us": -1}
    far = one_span(FORMS[name], start_us=2**62, duration_us=1)
    assert (far.start_time_unix_nano, attributes_of(far)) == (0, {"jaeger.start_time_us": 2**62})


@pytest.mark.parametrize("name", ["binary", "compact"])
def test_text_that_is_not_utf8_is_kept_as_bytes(name: str) -> None:
    sent = jaeger.Batch("svc", [jaeger.Span(1, 1, tags=[("k", "~~"), ("k~~", "v")])])
    datagram = {"binary": jaeger.binary_datagram, "compact": jaeger.compact_datagram}[name](sent)
    (span,) = spans_of(BY_NAME[name](datagram.replace(b"~~", b"\xff\xfe")))
    assert attributes_of(span) == {"k": b"\xff\xfe", "k\ufffd\ufffd": "v"}


@every_form
def test_a_long_text_and_many_tags_come_whole(decode: Decode) -> None:
    chance = random.Random(3)
    tags: list[jaeger.Tag] = [(f"key{n}", chance.choice(("", "x" * n, n, -n, n / 7, True))) for n in range(300)]
    tags.append(("long", "ü" * 40_000))
    assert attributes_of(one_span(decode, tags=tags)) == dict(tags)


# Node's client writes every value of a tag, whatever its type: the type alone counts.
_ALL_VALUES = (
    "0b0001000000016b"
    "0800020000000{}"
    "0b00030000000173"
    "04000400000000000000000200050"
    "00a0006000000000000000{}0b000700000001ff"
    "00"
)


def test_of_a_tag_with_all_values_its_type_says_which_counts() -> None:
    tags = "".join(_ALL_VALUES.format(type_, type_) for type_ in (3, 0, 4))
    body = bytes.fromhex(f"0f00020c000000010a000100000000000000010a000300000000000000010f000a0c00000003{tags}0000")
    (span,) = spans_of(decode_http(body, THRIFT))
    assert attributes_of(span) == {"k": b"\xff", "jaeger.tag.k": ["3", "s"]}


def test_spans_may_come_before_their_process() -> None:
    body = bytes.fromhex("0f00020c000000010a000100000000000000010a00030000000000000001000c00010b0001000000037376630000")
    (group,) = request_of(decode_http(body, THRIFT)).resource_spans
    assert attributes_of(group.resource) == {"service.name": "svc"}
    assert len(group.scope_spans[0].spans) == 1


def test_over_grpc_each_span_may_name_its_own_process() -> None:
    def span(number: int, service: bytes) -> bytes:
        process = b"\x0a" + bytes((len(service),)) + service
        inner = b"\x0a\x08" + number.to_bytes(8, "big") + b"\x12\x08" + number.to_bytes(8, "big")
        inner += b"\x52" + bytes((len(process),)) + process + b"\x5a\x02p1" + b"\x62\x01w\x62\x01v"
        return b"\x0a" + bytes((len(inner),)) + inner

    spans = span(1, b"a") + span(2, b"b") + span(3, b"a")
    found = decode_post_spans(b"\x0a" + bytes((len(spans),)) + spans, NO_HEAD)
    groups = request_of(found).resource_spans
    assert [attributes_of(group.resource)["service.name"] for group in groups] == ["a", "b"]
    assert [span.trace_id[-1] for span in groups[0].scope_spans[0].spans] == [1, 3]
    assert attributes_of(groups[1].scope_spans[0].spans[0]) == {
        "jaeger.process_id": "p1",
        "jaeger.warnings": ["w", "v"],
    }


def test_over_grpc_a_reference_with_ids_of_another_length_is_a_link_that_says_so() -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes((number << 3 | 2, len(content))) + content

    own = bytes(15) + b"\x01"
    # Too long, too short, and a span id that no parent can have.
    references = [(b"\xaa" * 20, b"\xbb" * 8), (own, b"\xcc" * 3), (own, b"\xdd" * 9), (b"", b"")]
    inner = field(1, own) + field(2, bytes(7) + b"\x02")
    inner += b"".join(field(4, field(1, trace_id) + field(2, span_id)) for trace_id, span_id in references)
    batch_bytes = b"\x0a" + bytes((len(inner) & 0x7F | 0x80, len(inner) >> 7)) + inner
    found = decode_post_spans(
        b"\x0a" + bytes((len(batch_bytes) & 0x7F | 0x80, len(batch_bytes) >> 7)) + batch_bytes, NO_HEAD
    )
    (span,) = spans_of(found)
    assert span.parent_span_id == b""
    assert [(link.trace_id, attributes_of(link)["jaeger.span_id"]) for link in span.links] == [
        (b"", "bb" * 8),
        (b"", "cc" * 3),
        (b"", "dd" * 9),
        (b"", ""),
    ]


def test_over_grpc_a_span_that_is_none_costs_its_batch_nothing_else() -> None:
    good = b"\x0a\x14" + b"\x0a\x08" + bytes(7) + b"\x01" + b"\x12\x08" + bytes(7) + b"\x01"
    spans = b"\x0a\x02\x0a\x05" + good
    found = decode_post_spans(b"\x0a" + bytes((len(spans),)) + spans, NO_HEAD)
    assert (found.spans, dict(found.rejected)) == (1, {"malformed": 1})


@pytest.mark.parametrize("media", ["", "application/json", "text/plain; charset=utf-8"])
def test_another_media_type_is_unsupported(media: str) -> None:
    with pytest.raises(Unsupported, match="application/x-thrift"):
        decode_http(jaeger.http_body(SHOP), Head(content_type=media))
    assert (
        decode_http(jaeger.http_body(SHOP), Head(content_type="Application/VND.apache.thrift.binary; x=1")).spans == 2
    )


def test_other_calls_and_empty_ones_are_bad_input() -> None:
    with pytest.raises(BadInput, match="emitZipkinBatch"):
        decode_binary(b"\x80\x01\x00\x04\x00\x00\x00\x0femitZipkinBatch\x00\x00\x00\x00\x00", NO_HEAD)
    with pytest.raises(BadInput, match="without a batch"):
        decode_compact(bytes.fromhex("82810109") + b"emitBatch" + b"\0", NO_HEAD)


@pytest.mark.parametrize("name", FORMS)
def test_bytes_behind_the_end_or_missing_before_it_are_bad_input(name: str) -> None:
    written = {
        "http": jaeger.http_body,
        "binary": jaeger.binary_datagram,
        "compact": jaeger.compact_datagram,
        "grpc": jaeger.post_spans,
    }[name](SHOP)
    for broken in (written[:-1], written[: len(written) // 2], written + b"\x01"):
        with pytest.raises(BadInput):
            BY_NAME[name](broken)


def test_more_spans_than_a_request_may_have_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"\x0f\0\2\x0c" + (300_000).to_bytes(4, "big") + bytes(1_200_000)
    with pytest.raises(TooLarge):
        decode_http(many, THRIFT)
    spans = b"\x0a\0" * 300_000
    with pytest.raises(TooLarge):
        decode_post_spans(b"\x0a" + bytes((0xC0, 0xCF, 0x24)) + spans, NO_HEAD)


def test_more_tags_than_a_list_may_have_are_too_many() -> None:
    tags = b"\x42\x02\x0a\0" * 300_000  # key "", which is nothing
    span = b"\x0a" + bytes((0x80, 0x9F, 0x49)) + tags
    with pytest.raises(TooLarge):
        decode_post_spans(b"\x0a" + bytes((0x84, 0x9F, 0x49)) + span, NO_HEAD)
    head = bytes.fromhex("0f00020c000000010f000a0c") + (300_000).to_bytes(4, "big")
    with pytest.raises(TooLarge):
        decode_http(head + bytes(1_300_000), THRIFT)


# -- every field of the protocols' definitions has its place ------------------------------------------------------------

# jaeger.thrift and agent.thrift of jaegertracing/jaeger-idl: number → name of each field that says something of a span.
THRIFT_FIELDS = {
    "Process": {1: "serviceName", 2: "tags"},
    "Span": {
        1: "traceIdLow",
        2: "traceIdHigh",
        3: "spanId",
        4: "parentSpanId",
        5: "operationName",
        6: "references",
        7: "flags",
        8: "startTime",
        9: "duration",
        10: "tags",
        11: "logs",
    },
    "SpanRef": {1: "refType", 2: "traceIdLow", 3: "traceIdHigh", 4: "spanId"},
    "Tag": {1: "key", 2: "vType", 3: "vStr", 4: "vDouble", 5: "vBool", 6: "vLong", 7: "vBinary"},
    "Log": {1: "timestamp", 2: "fields"},
}
# Of a batch, not of its spans: a number of the batch, and what the client lost before it sent anything.
NOT_OF_SPANS = {"Batch.seqNo", "Batch.stats", "ClientStats"}
# model.proto of api_v2.
PROTO_FIELDS = {
    "KeyValue": {1: "key", 2: "v_type", 3: "v_str", 4: "v_bool", 5: "v_int64", 6: "v_float64", 7: "v_binary"},
    "Log": {1: "timestamp", 2: "fields"},
    "SpanRef": {1: "trace_id", 2: "span_id", 3: "ref_type"},
    "Process": {1: "service_name", 2: "tags"},
    "Span": {
        1: "trace_id",
        2: "span_id",
        3: "operation_name",
        4: "references",
        5: "flags",
        6: "start_time",
        7: "duration",
        8: "tags",
        9: "logs",
        10: "process",
        11: "process_id",
        12: "warnings",
    },
}
DOCS = Path(__file__).parents[3] / "docs/receivers/jaeger.md"


def test_every_field_of_the_definitions_is_read() -> None:
    tables = {
        "Process": batch.BINARY_TABLES.process,
        "Span": batch.BINARY_TABLES.span,
        "SpanRef": batch.REFERENCE,
        "Tag": TAG,
        "Log": batch.BINARY_TABLES.log,
    }
    assert {name: set(table) for name, table in tables.items()} == {
        name: set(fields) for name, fields in THRIFT_FIELDS.items()
    }
    compact = batch.COMPACT_TABLES
    assert (compact.process.keys(), compact.span.keys(), compact.log.keys()) == (
        tables["Process"].keys(),
        tables["Span"].keys(),
        tables["Log"].keys(),
    )
    assert {
        name: {number: field[0] for number, field in fields.items()}
        for name, fields in model.MESSAGES.items()
        if name != "Time"
    } == PROTO_FIELDS


def test_every_field_of_the_definitions_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    named = [f"{s}.{f}" for s, fields in THRIFT_FIELDS.items() for f in fields.values()]
    named += [f"{s}.{f}" for s, fields in PROTO_FIELDS.items() for f in fields.values()]
    assert [name for name in (*named, *NOT_OF_SPANS) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("kind", range(5))
def test_every_field_of_a_message_counts_in_what_is_stored(kind: int) -> None:
    """Of a tag, its key, its type, and the value of that type."""
    whole = model.SpanMessage()
    fill(whole)
    whole.trace_id, whole.span_id = b"t" * 16, b"s" * 8
    whole.references[0].trace_id, whole.references[0].span_id = b"u" * 16, b"q" * 8
    for tag in (*whole.tags, *whole.logs[0].fields, *whole.process.tags):
        tag.v_type = kind
    value = ("v_str", "v_bool", "v_int64", "v_float64", "v_binary")[kind]
    changed = {
        path: one
        for path, one in changes(whole)
        if not (last := path.rpartition(".")[2]).startswith("v_") or last == value or (last == "v_type" and kind != 4)
    }
    assert len(changed) >= 25
    process = delimited(2, whole.process.SerializeToString())
    check_each_field_counts(
        whole,
        changed,
        changed,
        lambda one: decode_post_spans(delimited(1, delimited(1, one.SerializeToString()) + process), NO_HEAD),
    )
