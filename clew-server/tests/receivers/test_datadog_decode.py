"""Datadog's spans become OTLP: what a real tracer sends, against golden files, and each rule on a span of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<version>-<client>.hex` are captured bytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp import to_json
from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.datadog import decoder, info, specs
from clew_server.receivers.datadog.decoder import decode
from clew_server.receivers.datadog.payload import MAX_SPAN_BYTES, MAX_STRINGS
from clew_server.receivers.datadog.spans import MAX_PARTS
from clew_server.testing import datadog

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, request_of, spans_of

GOLDEN = Path(__file__).parent / "golden/datadog"
DOCS = Path(__file__).parents[3] / "docs/receivers/datadog.md"
HEADERS = {
    "datadog-meta-lang": "python",
    "datadog-meta-lang-version": "3.11.7",
    "datadog-meta-lang-interpreter": "CPython",
    "datadog-meta-tracer-version": "4.16.0",
}
TRACE_ID = 0x96AC6E089B6ED559_073B275EB478E41D
START = 1_795_415_211_795_788_001
EXCEPTION = {"error.type": "KeyError", "error.message": "no user", "error.stack": "Traceback"}


def head(version: str, content_type: str = "application/msgpack") -> Head:
    return Head(f"/{version}/traces", content_type, HEADERS)


def as_json(chunks: Any) -> bytes:
    return json.dumps(chunks).encode()


FORMS: dict[str, Callable[[Any], OtlpBatch]] = {
    "v0.3": lambda chunks: decode(datadog.v04(chunks), head("v0.3")),
    "v0.4": lambda chunks: decode(datadog.v04(chunks), head("v0.4")),
    "v0.5": lambda chunks: decode(datadog.v05(chunks), head("v0.5")),
    "json": lambda chunks: decode(as_json(chunks), head("v0.4", "application/json")),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def one_span(**fields: Any) -> Span:
    (span,) = spans_of(FORMS["v0.4"]([[datadog.span(TRACE_ID, 7, **fields)]]))
    return span


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_what_a_real_client_sends_becomes_this_otlp(name: str) -> None:
    sent = bytes.fromhex((GOLDEN / f"{name}.hex").read_text(encoding="utf-8"))
    found = decode(sent, head(name.partition("-")[0]))
    assert (found.received, dict(found.rejected)) == (sent, {})
    check_golden(GOLDEN / f"{name}.json", to_json.request(found.request))


@every_form
def test_a_span_keeps_all_it_says(form: Callable[[Any], OtlpBatch]) -> None:
    meta = {"http.method": "GET", "http.status_code": "404", "span.kind": "client", "ü": "Größe", **EXCEPTION}
    sent = datadog.span(
        TRACE_ID,
        0xF000000000000002,
        "requests.request",
        resource="GET /x",
        type="http",
        parent_id=5,
        error=1,
        meta=meta,
        metrics={"ratio": 0.5, "_sampling_priority_v1": 1.0},
    )
    (span,) = spans_of(form([[sent]]))
    assert (span.trace_id, span.span_id.hex(), span.parent_span_id[-1]) == (
        TRACE_ID.to_bytes(16, "big"),
        "f000000000000002",
        5,
    )
    assert (span.name, span.kind, span.flags) == ("requests.request", 3, 1)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (START, START + 1_000_000)
    assert attributes_of(span) == {
        "http.method": "GET",
        "http.status_code": "404",
        "ü": "Größe",
        "error.type": "KeyError",
        "error.message": "no user",
        "ratio": 0.5,
        "_sampling_priority_v1": 1.0,
        "datadog.resource": "GET /x",
        "datadog.type": "http",
        "http.request.method": "GET",
        "http.response.status_code": 404,
    }
    assert (span.status.code, span.status.message) == (2, "no user")
    (event,) = span.events
    assert (event.name, event.time_unix_nano, attributes_of(event)) == (
        "exception",
        START + 1_000_000,
        {"exception.type": "KeyError", "exception.message": "no user", "exception.stacktrace": "Traceback"},
    )


@every_form
def test_service_environment_version_and_process_are_the_resource(form: Callable[[Any], OtlpBatch]) -> None:
    meta = {"env": "prod", "version": "1.2", "runtime-id": "u", "language": "python", "_dd.hostname": "vm"}
    chunk = [
        datadog.span(TRACE_ID, 1, service="shop", meta=meta, metrics={"process_id": 4711.0}),
        datadog.span(TRACE_ID, 2, service="shop"),
        datadog.span(TRACE_ID, 3, service="postgres"),
    ]
    process = {
        "deployment.environment.name": "prod",
        "service.instance.id": "u",
        "host.name": "vm",
        "process.pid": 4711,
        "telemetry.sdk.name": "datadog",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "4.16.0",
        "process.runtime.name": "CPython",
        "process.runtime.version": "3.11.7",
    }
    groups = request_of(form([chunk])).resource_spans
    assert [attributes_of(group.resource) for group in groups] == [
        {"service.name": "shop", "service.version": "1.2", **process},
        {"service.name": "postgres", **process},
    ]
    assert [len(group.scope_spans[0].spans) for group in groups] == [2, 1]


def test_the_high_half_of_a_trace_id_holds_for_its_whole_chunk() -> None:
    high = datadog.span(TRACE_ID, 1)
    chunks = [
        [high, datadog.span(TRACE_ID & (1 << 64) - 1, 2), datadog.span(9, 3)],
        [datadog.span(TRACE_ID & (1 << 64) - 1, 4)],
    ]
    found = [one.trace_id.hex() for one in spans_of(FORMS["v0.4"](chunks))]
    assert found == [f"{TRACE_ID:032x}", f"{TRACE_ID:032x}", f"{9:032x}", f"{TRACE_ID & (1 << 64) - 1:032x}"]
    (odd,) = spans_of(FORMS["v0.4"]([[datadog.span(9, 1, meta={"_dd.p.tid": "xyz"})]]))
    assert odd.trace_id.hex() == f"{9:032x}"


@pytest.mark.parametrize(
    ("type_", "said", "kind", "left"),
    [
        ("", None, 1, {}),
        ("web", None, 2, {}),
        ("sql", None, 3, {}),
        ("worker", None, 5, {}),
        ("web", "producer", 4, {}),
        ("web", "sideways", 2, {"span.kind": "sideways"}),
    ],
)
def test_the_kind_is_the_tag_or_what_the_type_says(type_: str, said: str | None, kind: int, left: Any) -> None:
    span = one_span(type=type_, meta={"span.kind": said} if said else {}, resource="")
    found = attributes_of(span)
    assert (span.kind, {key: value for key, value in found.items() if key != "datadog.type"}) == (kind, left)


def test_the_text_of_a_query_is_the_resource() -> None:
    found = attributes_of(one_span(type="sql", resource="select 1", meta={"db.system": "mysql", "out.host": "db"}))
    assert found.items() >= {"db.query.text": "select 1", "db.system.name": "mysql", "server.address": "db"}.items()


def test_without_an_error_the_span_is_none_and_an_exception_stays_an_event() -> None:
    span = one_span(error=0, meta=EXCEPTION)
    assert (span.status.code, [event.name for event in span.events]) == (0, ["exception"])
    assert one_span(error=1, meta={"error.msg": "old"}).status.message == "old"
    assert one_span(meta={"otel.status_code": "Ok"}).status.code == 1


def test_an_exception_that_an_event_tells_of_is_not_told_twice() -> None:
    said = {"exception.type": "KeyError", "exception.message": "no user"}
    events = [{"name": "exception", "time_unix_nano": START, "attributes": said}]
    span = one_span(error=1, meta=EXCEPTION | {"events": json.dumps(events)})
    assert [(event.time_unix_nano, attributes_of(event)) for event in span.events] == [(START, said)]
    assert attributes_of(span)["error.stack"] == "Traceback"


def test_span_events_are_events_with_typed_attributes() -> None:
    typed = {
        "s": {"type": 0, "string_value": "x"},
        "b": {"type": 1, "bool_value": True},
        "i": {"type": 2, "int_value": 7},
        "d": {"type": 3, "double_value": 0.5},
        "a": {"type": 4, "array_value": {"values": [{"type": 2, "int_value": 1}, {"type": 2, "int_value": 2}]}},
        "o": {"type": 9},
    }
    native = one_span(span_events=[{"name": "e", "time_unix_nano": START, "attributes": typed}, {}])
    (event, odd) = native.events
    assert (event.name, event.time_unix_nano, attributes_of(event)) == (
        "e",
        START,
        {"s": "x", "b": True, "i": 7, "d": 0.5, "a": [1, 2], "o": '{"type": 9}'},
    )
    assert (odd.name, attributes_of(odd)) == ("event", {"datadog.time_unix_nano": "null"})
    tagged = one_span(meta={"events": json.dumps([{"name": "e", "time_unix_nano": 5, "attributes": {"a": [1, "x"]}}])})
    assert [(one.name, one.time_unix_nano, attributes_of(one)) for one in tagged.events] == [("e", 5, {"a": [1, "x"]})]
    assert "events" not in attributes_of(tagged)


def test_the_type_says_which_value_of_an_attribute_counts_whether_all_are_written_or_zero_is_left_out() -> None:
    values = {"string_value": "", "bool_value": False, "int_value": 0, "double_value": 0.0, "array_value": None}
    expected = {"s": "", "b": False, "i": 0, "d": 0.0, "a": []}
    for left in ({}, values):
        typed = {key: {**left, "type": at} for at, key in enumerate(expected)}
        (event,) = one_span(span_events=[{"name": "e", "time_unix_nano": START, "attributes": typed}]).events
        assert attributes_of(event) == expected
        assert [type(one) for one in attributes_of(event).values()] == [str, bool, int, float, list]


@pytest.mark.parametrize("text", ["[", "[1]", "many", '[{"name": 1}]', "[" * 5000])
def test_a_tag_that_is_no_list_of_events_stays_a_tag(text: str) -> None:
    span = one_span(meta={"events": text, "_dd.span_links": text})
    assert attributes_of(span).items() >= {"events": text, "_dd.span_links": text}.items()


def test_span_links_are_links() -> None:
    link = {
        "trace_id": TRACE_ID & (1 << 64) - 1,
        "trace_id_high": TRACE_ID >> 64,
        "span_id": 5,
        "attributes": {"why": "later"},
        "dropped_attributes_count": 2,
        "tracestate": "dd=s:1",
        "flags": 1 << 31 | 1,
    }
    written = {"trace_id": f"{TRACE_ID:032x}", "span_id": f"{5:016x}", "attributes": {"why": "later"}}
    native, bad = one_span(span_links=[link, {"trace_id": "x", "span_id": 1}]).links
    (tagged,) = one_span(meta={"_dd.span_links": json.dumps([written])}).links
    for one in (native, tagged):
        assert (one.trace_id, one.span_id[-1]) == (TRACE_ID.to_bytes(16, "big"), 5)
        assert attributes_of(one) == {"why": "later"}
    assert (native.trace_state, native.flags, native.dropped_attributes_count) == ("dd=s:1", 1, 2)
    assert (bad.trace_id, attributes_of(bad)) == (b"", {"datadog.trace_id": '"x"', "datadog.span_id": "1"})


def test_what_has_no_place_is_an_attribute_of_datadogs() -> None:
    struct = {"appsec": msgpack.packb({"a": 1}), "odd": [1]}
    found = attributes_of(one_span(meta_struct=struct, error=7, resource="r", meta={"k": None, "n": [1]}))
    assert found == {
        "k": "null",
        "n": "[1]",
        "datadog.resource": "r",
        "datadog.error": "7",
        "datadog.meta_struct.appsec": struct["appsec"],
        "datadog.meta_struct.odd": "[1]",
    }


@pytest.mark.parametrize(
    ("start", "duration", "times", "kept"),
    [
        (-5, 7, (0, 7), {"datadog.start": "-5"}),
        (5, -7, (5, 5), {"datadog.duration": "-7"}),
        (5, 1 << 63, (5, 5 + (1 << 63)), {}),
        ("x", 1.0, (0, 1), {"datadog.start": '"x"'}),
        (None, None, (0, 0), {}),
        (5, float("inf"), (5, 5), {"datadog.duration": "Infinity"}),
    ],
)
def test_times_that_otlp_does_not_have_are_kept_as_attributes(
    start: Any, duration: Any, times: tuple[int, int], kept: dict[str, str]
) -> None:
    span = one_span(start=start, duration=duration, resource="")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == times
    assert attributes_of(span) == kept


def test_a_rejected_trace_is_not_marked_as_sampled() -> None:
    assert one_span(metrics={"_sampling_priority_v1": 0}).flags == 0
    assert one_span(metrics={"_sampling_priority_v1": -1.0}).flags == 0


def test_spans_that_are_none_cost_the_payload_nothing_else() -> None:
    good = datadog.span(1, 1)
    bad = [datadog.span(0, 1), datadog.span(1, 0), {**good, "span_id": "x"}, 7, None, [good]]
    found = FORMS["v0.4"]([[*bad, good]])
    assert (found.spans, dict(found.rejected)) == (1, {"trace_id": 1, "span_id": 2, "malformed": 3})
    short = msgpack.packb([["", "a"], [[[0] * 11, [9] * 12, [0, 1, 1, 1, 1, 0, 1, 1, 0, {}, {}, 0]]]])
    found = decode(short, head("v0.5"))
    assert (found.spans, dict(found.rejected)) == (1, {"malformed": 2})


@every_form
def test_a_payload_without_spans_is_fine(form: Callable[[Any], OtlpBatch]) -> None:
    assert [form([]).spans, form([[]]).spans] == [0, 0]


def test_nil_is_an_empty_list() -> None:
    assert decode(b"\xc0", head("v0.4")).spans == 0


# -- other requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "kind"), decoder.OTHERS.items())
def test_what_is_no_trace_is_counted_by_kind(path: str, kind: str) -> None:
    decoder.check(Head(path, "multipart/form-data"))
    found = decode(b"anything", Head(path, "multipart/form-data"))
    assert (found.spans, dict(found.dropped)) == (0, {kind: 1})


def test_the_answers_keep_a_tracer_calm() -> None:
    nothing = OtlpBatch(b"", b"", 0, None, {})
    answer = specs.DATADOG.answers.accepted(nothing, head("v0.5"))
    assert (answer.status, json.loads(answer.body)) == (200, {"rate_by_service": {"service:,env:": 1.0}})
    config = specs.DATADOG.answers.accepted(nothing, Head("/v0.7/config"))
    assert (config.status, json.loads(config.body)) == (200, {})
    assert specs.DATADOG.answers.accepted(nothing, Head("/telemetry/proxy/api/v2/apmtelemetry")).status == 202


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/info", 200), ("POST", "/info", 405), ("GET", "/x", 404)]
)
def test_info_says_where_traces_go(method: str, path: str, status: int) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(info.info_app({"type": "http", "path": path, "method": method}, receive, send))
    assert sent[0]["status"] == status
    if status == 200:
        said = json.loads(sent[1]["body"])
        assert {"/v0.4/traces", "/v0.5/traces"} <= set(said["endpoints"])
        assert said["client_drop_p0s"] is False


# -- limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", ["text/plain", "application/x-protobuf"])
def test_another_media_type_is_unsupported(media: str) -> None:
    with pytest.raises(Unsupported, match="application/msgpack"):
        decoder.check(head("v0.4", media))


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("v0.4", b""),
        ("v0.4", b"\x80"),
        ("v0.4", b"\xdd\xff\xff\xff\xff"),
        ("v0.4", b"\x91\x91\x81\xa1"),
        ("v0.4", b"\x90\x90"),
        ("v0.4", b"\x91" * 2000),
        ("v0.4", b"\x91\x91\x81\x90\xc0"),
        ("v0.5", b"\x90"),
        ("v0.5", b"\x92\x90\x80"),
    ],
)
def test_bytes_that_are_no_payload_are_bad_input(version: str, body: bytes) -> None:
    with pytest.raises(BadInput, match="not traces of a Datadog tracer"):
        decode(body, head(version))


def test_too_many_spans_texts_and_bytes_are_too_large() -> None:
    many = b"\xdd" + (250_000).to_bytes(4, "big") + b"\x80" * 250_000
    for body in (b"\x91" + many, b"\x94" + many * 4):
        with pytest.raises(TooLarge, match="spans"):
            decode(body, head("v0.4"))
    with pytest.raises(TooLarge, match="spans"):
        decode(b"[[" + b",".join([b"{}"] * 250_000) + b"]]", head("v0.4", "application/json"))
    with pytest.raises(TooLarge, match="texts"):
        decode(b"\x92\xdd" + (MAX_STRINGS + 1).to_bytes(4, "big") + b"\xa0" * (MAX_STRINGS + 1), head("v0.5"))
    with pytest.raises(TooLarge, match="bytes"):
        FORMS["v0.4"]([[datadog.span(1, 1, meta={"k": "x" * MAX_SPAN_BYTES})]])


def test_a_span_of_too_many_events_or_links_is_none() -> None:
    for key in ("span_events", "span_links"):
        found = FORMS["v0.4"]([[datadog.span(1, 1, **{key: [{}] * (MAX_PARTS + 1)}), datadog.span(1, 2)]])
        assert (found.spans, dict(found.rejected)) == (1, {"malformed": 1})


def test_a_payload_that_grows_beyond_a_request_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_REQUEST_BYTES", 1 << 20)
    grows = datadog.span(1, 1, span_events=[{}] * MAX_PARTS)
    with pytest.raises(TooLarge, match="written as OTLP"):
        FORMS["v0.4"]([[grows], [grows]])


# -- every field of the protocol has its place --------------------------------------------------------------------------

# span.proto of the Datadog agent (pkg/proto/datadog/trace), whose names the msgpack has: fields of a span and what is in them.
FIELDS = {
    "Span": (
        *("service", "name", "resource", "traceID", "spanID", "parentID", "start", "duration", "error", "meta"),
        *("metrics", "type", "meta_struct", "spanLinks", "spanEvents"),
    ),
    "SpanLink": ("traceID", "traceID_high", "spanID", "attributes", "tracestate", "flags"),
    "SpanEvent": ("time_unix_nano", "name", "attributes"),
    "AttributeAnyValue": ("type", "string_value", "bool_value", "int_value", "double_value", "array_value"),
    "AttributeArray": ("values",),
}


LINK = {
    "trace_id": 5,
    "trace_id_high": 6,
    "span_id": 7,
    "attributes": {"k": "v"},
    "tracestate": "a=b",
    "flags": 0x80000001,
}
EVENT = {"time_unix_nano": 5, "name": "e", "attributes": {"k": {"type": 0, "string_value": "v"}}}
SAID = datadog.span(
    TRACE_ID,
    2,
    parent_id=3,
    meta={"k": "v"},
    metrics={"n": 1.5},
    meta_struct={"s": b"1"},
    span_links=[LINK],
    span_events=[EVENT],
)


def with_link(**fields: Any) -> dict[str, Any]:
    return {**SAID, "span_links": [{**LINK, **fields}]}


def with_event(**fields: Any) -> dict[str, Any]:
    return {**SAID, "span_events": [{**EVENT, **fields}]}


def with_value(**fields: Any) -> dict[str, Any]:
    return with_event(attributes={"k": fields})


CHANGED = {
    "Span.service": {**SAID, "service": "another"},
    "Span.name": {**SAID, "name": "another"},
    "Span.resource": {**SAID, "resource": "another"},
    "Span.traceID": {**SAID, "trace_id": 9},
    "Span.spanID": {**SAID, "span_id": 9},
    "Span.parentID": {**SAID, "parent_id": 9},
    "Span.start": {**SAID, "start": SAID["start"] + 1},
    "Span.duration": {**SAID, "duration": SAID["duration"] + 1},
    "Span.error": {**SAID, "error": 1},
    "Span.meta": {**SAID, "meta": {**SAID["meta"], "k": "w"}},
    "Span.metrics": {**SAID, "metrics": {"n": 2.5}},
    "Span.type": {**SAID, "type": "another"},
    "Span.meta_struct": {**SAID, "meta_struct": {"s": b"2"}},
    "Span.spanLinks": {**SAID, "span_links": []},
    "Span.spanEvents": {**SAID, "span_events": []},
    "SpanLink.traceID": with_link(trace_id=9),
    "SpanLink.traceID_high": with_link(trace_id_high=9),
    "SpanLink.spanID": with_link(span_id=9),
    "SpanLink.attributes": with_link(attributes={}),
    "SpanLink.tracestate": with_link(tracestate="a=c"),
    "SpanLink.flags": with_link(flags=0x80000000),
    "SpanEvent.time_unix_nano": with_event(time_unix_nano=6),
    "SpanEvent.name": with_event(name="another"),
    "SpanEvent.attributes": with_event(attributes={}),
    "AttributeAnyValue.type": with_value(type=2, string_value="v", int_value=5),
    "AttributeAnyValue.string_value": with_value(type=0, string_value="w"),
    "AttributeAnyValue.bool_value": with_value(type=1, bool_value=True),
    "AttributeAnyValue.int_value": with_value(type=2, int_value=5),
    "AttributeAnyValue.double_value": with_value(type=3, double_value=0.5),
    "AttributeAnyValue.array_value": with_value(type=4, array_value={"values": []}),
    "AttributeArray.values": with_value(type=4, array_value={"values": [{"type": 0, "string_value": "x"}]}),
}


def test_every_field_of_the_definition_counts_in_what_is_stored() -> None:
    fields = [f"{name}.{field}" for name, fields in FIELDS.items() for field in fields]
    check_each_field_counts(SAID, CHANGED, fields, lambda one: FORMS["v0.4"]([[one]]))


def test_every_field_of_the_definition_and_every_other_request_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    named = [f"{name}.{field}" for name, fields in FIELDS.items() for field in fields] + list(decoder.OTHERS)
    assert [name for name in named if f"`{name}`" not in page] == []
