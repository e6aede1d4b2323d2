"""Files of Jaeger and of Zipkin, in the forms their tools write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput, TooLarge
from clew_server.model.otlp_raw import parse_raw
from clew_server.receivers.files.contract import Notes
from clew_server.receivers.files.read import read

TRACE = "3bd5e1f0a1b2c3d4"
JAEGER: dict[str, Any] = {
    "traceID": TRACE,
    "spans": [
        {
            "traceID": TRACE,
            "spanID": "a1",
            "flags": 1,
            "operationName": "HTTP GET /dispatch",
            "references": [],
            "startTime": 1_795_346_323_025_004,
            "duration": 701_100,
            "tags": [
                {"key": "span.kind", "type": "string", "value": "server"},
                {"key": "http.status_code", "type": "int64", "value": 500},
                {"key": "ratio", "type": "float64", "value": 2},
                {"key": "error", "type": "bool", "value": True},
                {"key": "raw", "type": "binary", "value": "AP8="},
                {"key": "long", "type": "int64", "value": "900719925474099312"},
            ],
            "logs": [
                {
                    "timestamp": 1_795_346_323_025_100,
                    "fields": [{"key": "event", "type": "string", "value": "cache miss"}],
                }
            ],
            "processID": "p1",
            "warnings": None,
        },
        {
            "traceID": TRACE,
            "spanID": "00000000000000b2",
            "operationName": "SQL SELECT",
            "references": [
                {"refType": "CHILD_OF", "traceID": TRACE, "spanID": "a1"},
                {"refType": "FOLLOWS_FROM", "traceID": "f" * 32, "spanID": "c3"},
            ],
            "startTime": 1_795_346_323_026_000,
            "duration": 300,
            "tags": [],
            "logs": [],
            "processID": "p2",
            "warnings": ["clock skew adjustment disabled"],
        },
    ],
    "processes": {
        "p1": {"serviceName": "frontend", "tags": [{"key": "hostname", "type": "string", "value": "vm"}]},
        "p2": {"serviceName": "mysql", "tags": []},
    },
    "warnings": None,
}
ANSWER = {"data": [JAEGER], "total": 0, "limit": 0, "offset": 0, "errors": None}

ZIPKIN: list[dict[str, Any]] = [
    {
        "traceId": "17133d482ba4f605",
        "id": "27133d482ba4f606",
        "name": "op",
        "kind": "CLIENT",
        "timestamp": 1_795_346_323_025_004,
        "duration": 5369,
        "localEndpoint": {"serviceName": "front"},
        "remoteEndpoint": {"serviceName": "back"},
        "tags": {"endpoint": "a tag of this name does not make it version 1"},
        "annotations": [{"timestamp": 1_795_346_323_025_009, "value": "evt"}],
    },
    {
        "id": "27133d482ba4f607",
        "traceId": "17133d482ba4f605",
        "parentId": "27133d482ba4f606",
        "kind": "SERVER",
        "localEndpoint": {"serviceName": "back"},
    },
]
ZIPKIN_V1 = [
    {
        "traceId": "5af7651916cd43dd",
        "id": "b7ad6b7169203331",
        "name": "get",
        "timestamp": 1_795_346_323_025_004,
        "duration": 1000,
        "annotations": [
            {"timestamp": 1_795_346_323_025_004, "value": "sr", "endpoint": {"serviceName": "old"}},
            {"timestamp": 1_795_346_323_026_004, "value": "ss", "endpoint": {"serviceName": "old"}},
        ],
        "binaryAnnotations": [{"key": "http.path", "value": "/x", "endpoint": {"serviceName": "old"}}],
    }
]

Found = dict[bytes, tuple[str, Span]]


def read_all(value: Any, notes: Notes | None = None, size: int = 1 << 20) -> Found:
    """Spans by their id, each with its service."""
    data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    found: Found = {}
    for part in read((data[at : at + size] for at in range(0, len(data), size)), notes or Notes()):
        count = 0
        for resource in parse_raw(part.request).resource_spans:
            attributes = {
                pair.key: pair.value.string_value for pair in Resource.FromString(resource.resource).attributes
            }
            for scope in resource.scope_spans:
                for raw in scope.spans:
                    span = Span.FromString(raw)
                    assert span.span_id not in found
                    found[span.span_id] = attributes.get("service.name", ""), span
                    count += 1
        assert count == part.spans
    return found


def plain(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


@pytest.mark.parametrize(
    "value",
    [
        ANSWER,
        {"total": 0, "data": [JAEGER]},
        {"data": JAEGER},
        JAEGER,
        [JAEGER],
        {"traceID": TRACE, "processes": JAEGER["processes"], "spans": JAEGER["spans"]},
        json.dumps(ANSWER, indent=2) + "\n",
    ],
    ids=["answer", "other order", "one as data", "a trace", "list of traces", "processes first", "pretty"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_every_form_of_jaegers_json_gives_the_same_spans(value: Any, size: int) -> None:
    notes = Notes()
    found = read_all(value, notes, size)
    assert found == read_all(ANSWER)
    assert {service for service, _ in found.values()} == {"frontend", "mysql"}
    assert (notes.format, notes.left_out.total(), notes.problems) == ("Jaeger JSON", 0, 0)


def test_a_span_of_jaegers_json_keeps_all_it_has() -> None:
    found = read_all(ANSWER)
    _, server = found[bytes.fromhex("00000000000000a1")]
    assert server.trace_id == bytes.fromhex(TRACE.zfill(32))
    assert server.name == "HTTP GET /dispatch"
    assert server.kind == Span.SPAN_KIND_SERVER
    assert server.start_time_unix_nano == 1_795_346_323_025_004_000
    assert server.end_time_unix_nano == 1_795_346_323_726_104_000
    assert server.status.code == 2
    values = plain(server)
    assert values["http.status_code"] == values["http.response.status_code"] == 500
    assert values["ratio"] == 2.0
    assert isinstance(values["ratio"], float)
    assert values["raw"] == b"\x00\xff"
    assert values["long"] == 900_719_925_474_099_312
    assert [(one.name, one.time_unix_nano) for one in server.events] == [("cache miss", 1_795_346_323_025_100_000)]
    _, child = found[bytes.fromhex("00000000000000b2")]
    assert child.parent_span_id == bytes.fromhex("00000000000000a1")
    assert [link.span_id.hex() for link in child.links] == ["00000000000000c3"]
    assert "jaeger.warnings" in {pair.key for pair in child.attributes}


def test_a_span_that_holds_its_process_as_jaegers_stores_write_it_is_read_line_by_line() -> None:
    lines = "\n".join(
        json.dumps({**span, "process": JAEGER["processes"][span["processID"]]}) for span in JAEGER["spans"]
    )
    assert read_all(lines) == read_all(ANSWER)


def test_wrong_spans_of_jaegers_are_counted_and_the_others_come() -> None:
    first = JAEGER["spans"][0]
    spans = [
        *JAEGER["spans"],
        {**first, "spanID": "b3", "startTime": "soon"},
        {**first, "spanID": "b4", "tags": {"a": 1}},
        {**first, "spanID": "zz"},
        {**first, "traceID": ""},
        [],
    ]
    notes = Notes()
    assert read_all({**JAEGER, "spans": spans}, notes) == read_all(ANSWER)
    assert notes.left_out == {"malformed": 3, "span_id": 1, "trace_id": 1}


def test_a_large_trace_of_jaegers_comes_in_pieces() -> None:
    first = JAEGER["spans"][0]
    spans = [{**first, "spanID": f"{number:x}"} for number in range(1, 2_501)]
    notes = Notes()
    parts = list(read([json.dumps({**JAEGER, "spans": spans}).encode()], notes))
    assert sum(part.spans for part in parts) == 2_500
    assert len(parts) > 1


@pytest.mark.parametrize(
    "value",
    [
        ZIPKIN,
        [ZIPKIN],
        [[ZIPKIN[0]], [ZIPKIN[1]]],
        json.dumps(ZIPKIN, indent=1),
        "\n".join(json.dumps(one) for one in ZIPKIN),
    ],
    ids=["a list", "a list of traces", "two lists", "pretty", "lines"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_every_form_of_zipkins_json_gives_the_same_spans(value: Any, size: int) -> None:
    notes = Notes()
    found = read_all(value, notes, size)
    assert found == read_all(ZIPKIN)
    assert notes.format == "Zipkin JSON"
    service, client = found[bytes.fromhex("27133d482ba4f606")]
    assert (service, client.name, client.kind) == ("front", "op", Span.SPAN_KIND_CLIENT)
    assert [one.name for one in client.events] == ["evt"]
    assert found[bytes.fromhex("27133d482ba4f607")][1].parent_span_id == client.span_id


def test_spans_of_zipkins_first_version_are_told_from_those_of_the_second() -> None:
    found = read_all([*ZIPKIN, *ZIPKIN_V1])
    assert len(found) == 3
    service, span = found[bytes.fromhex("b7ad6b7169203331")]
    assert (service, span.kind) == ("old", Span.SPAN_KIND_SERVER)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_000_000


def test_wrong_spans_of_zipkins_are_counted_and_the_others_come() -> None:
    notes = Notes()
    found = read_all([*ZIPKIN, {"traceId": "zz", "id": "1"}, {"traceId": "1", "id": "2", "tags": 5}], notes)
    assert found == read_all(ZIPKIN)
    assert notes.left_out.total() == 2
    notes = Notes()
    assert read_all([{"traceId": "zz", "id": "1"}], notes) == {}
    assert notes.left_out.total() == 1


def test_a_list_may_hold_what_other_tools_wrote() -> None:
    found = read_all([JAEGER, *ZIPKIN])
    assert len(found) == 4


def test_changed_bytes_are_bad_input_or_spans() -> None:
    for whole in (json.dumps(ANSWER).encode(), json.dumps([ZIPKIN, ZIPKIN_V1]).encode()):
        for at in range(0, len(whole), 13):
            for data in (whole[:at], whole[:at] + b"7" + whole[at + 1 :], whole[:at] + b'"' + whole[at + 1 :]):
                try:
                    list(read([data], Notes()))
                except BadInput:
                    continue


def test_a_trace_that_cannot_be_held_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew_server.receivers.files.held.MAX_HELD_BYTES", 100)
    with pytest.raises(TooLarge, match="a trace"):
        read_all(ANSWER)
