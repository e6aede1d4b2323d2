"""OTLP/JSON by the specification's rules, which differ from protobuf's own JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput
from clew_server.receivers.contract import JSON
from clew_server.receivers.otlp import decode_otlp

# As opentelemetry-exporter-otlp-json-http 0.66b1 sent it.
SEEN = (
    '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},"scopeSpans":[{"scope":{"name":"lib","version":"1"},'
    '"spans":[{"traceId":"ecb23f5b21ef2bc17645c21785544fa4","spanId":"9a4c9416cea1d8fc","flags":256,"name":"op","kind":2,"startTimeUnixNano":"1795346136783749738",'
    '"endTimeUnixNano":"1795346136783846832","attributes":[{"key":"i","value":{"intValue":"7"}},{"key":"b","value":{"bytesValue":"AQI="}},'
    '{"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"intValue":"2"}]}}}],"events":[{"timeUnixNano":"1795346136783827463","name":"e"}],"status":{}}]}]}]}'
)
IDS = {"traceId": "01" * 16, "spanId": "02" * 8}


def decode(value: Any) -> list[Span]:
    text = value if isinstance(value, (str, bytes)) else json.dumps(value)
    batch = decode_otlp(text if isinstance(text, bytes) else text.encode(), JSON)
    message = ExportTraceServiceRequest.FromString(batch.request)
    return [s for r in message.resource_spans for c in r.scope_spans for s in c.spans]


def of_span(**fields: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [IDS | fields]}]}]}


def of_value(value: Any) -> AnyValue:
    (span,) = decode(of_span(attributes=[{"key": "k", "value": value}]))
    return span.attributes[0].value


def test_what_a_real_client_sent_is_read_whole() -> None:
    batch = decode_otlp(SEEN.encode(), JSON)
    (resource,) = ExportTraceServiceRequest.FromString(batch.request).resource_spans
    assert resource.resource.attributes[0].value.string_value == "svc"
    assert (resource.scope_spans[0].scope.name, resource.scope_spans[0].scope.version) == ("lib", "1")
    (span,) = resource.scope_spans[0].spans
    assert span.trace_id.hex() == "ecb23f5b21ef2bc17645c21785544fa4"
    assert (span.name, span.kind, span.flags, span.parent_span_id) == ("op", 2, 256, b"")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1795346136783749738, 1795346136783846832)
    values = {pair.key: pair.value for pair in span.attributes}
    assert values["i"].int_value == 7
    assert values["b"].bytes_value == b"\1\2"
    assert [item.int_value for item in values["l"].array_value.values] == [1, 2]
    assert (span.events[0].name, span.events[0].time_unix_nano) == ("e", 1795346136783827463)
    assert span.HasField("status")


def test_every_field_of_otlp_comes_through() -> None:
    link = {"traceId": "0A" * 16, "spanId": "0B" * 8, "traceState": "a=b", "droppedAttributesCount": 1, "flags": 2}
    (span,) = decode(
        of_span(
            parentSpanId="03" * 8,
            traceState="c=d",
            droppedAttributesCount=4,
            droppedEventsCount=5,
            droppedLinksCount=6,
            links=[link],
            events=[{"droppedAttributesCount": 7, "attributes": [{"key": "x", "value": {}}]}],
            status={"message": "bad", "code": 2},
        )
    )
    assert {field.name for field, _ in span.ListFields()} >= {
        "parent_span_id", "trace_state", "dropped_attributes_count", "dropped_events_count", "dropped_links_count", "links", "events", "status",
    }  # fmt: skip
    assert {field.name for field, _ in span.links[0].ListFields()} == {
        "trace_id", "span_id", "trace_state", "dropped_attributes_count", "flags",
    }  # fmt: skip
    assert (span.status.code, span.status.message) == (2, "bad")
    (batch,) = [
        decode_otlp(
            json.dumps(
                {
                    "resourceSpans": [
                        {
                            "schemaUrl": "r",
                            "resource": {
                                "droppedAttributesCount": 1,
                                "entityRefs": [
                                    {"type": "service", "schemaUrl": "e", "idKeys": ["a"], "descriptionKeys": ["b"]}
                                ],
                            },
                            "scopeSpans": [
                                {
                                    "schemaUrl": "s",
                                    "scope": {"droppedAttributesCount": 2, "attributes": [{"key": "q"}]},
                                    "spans": [IDS],
                                }
                            ],
                        }
                    ]
                }
            ).encode(),
            JSON,
        )
    ]
    (resource,) = ExportTraceServiceRequest.FromString(batch.request).resource_spans
    assert (resource.schema_url, resource.scope_spans[0].schema_url) == ("r", "s")
    assert resource.resource.dropped_attributes_count == 1
    assert resource.resource.entity_refs[0].id_keys == ["a"]
    assert resource.scope_spans[0].scope.dropped_attributes_count == 2
    assert resource.scope_spans[0].scope.attributes[0].key == "q"


def test_ids_are_hex_in_any_case() -> None:
    (span,) = decode(of_span(traceId="aBcDeF" + "0" * 26, spanId="F" * 16))
    assert span.trace_id == bytes.fromhex("abcdef" + "0" * 26)


@pytest.mark.parametrize("bad", ["AQIDBAUGBwgJCgsMDQ4PEA==", "01", "0" * 32, "zz" * 16, "", "01" * 15 + "0"])
def test_a_span_whose_id_is_not_one_costs_only_itself(bad: str) -> None:
    sent = {"resourceSpans": [{"scopeSpans": [{"spans": [IDS, {**IDS, "traceId": bad}]}]}]}
    batch = decode_otlp(json.dumps(sent).encode(), JSON)
    assert (batch.spans, batch.rejected) == (1, {"trace_id": 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "SERVER"},
        {"kind": "span_kind_server"},
        {"kind": "STATUS_CODE_ERROR"},
        {"kind": "2"},
        {"kind": True},
        {"kind": 1.5},
        {"kind": 2**31},
        {"status": {"code": "ERROR"}},
        {"status": "STATUS_CODE_ERROR"},
        {"name": 5},
        {"startTimeUnixNano": "-1"},
        {"startTimeUnixNano": str(2**64)},
        {"startTimeUnixNano": "1_0"},
        {"startTimeUnixNano": " 1"},
        {"startTimeUnixNano": "1.5"},
        {"startTimeUnixNano": "9" * 5000},
        {"startTimeUnixNano": True},
        {"attributes": {}},
        {"attributes": [5]},
        {"attributes": [{"key": "k", "value": "text"}]},
        {"attributes": [{"key": "k", "value": {"intValue": str(2**63)}}]},
        {"attributes": [{"key": "k", "value": {"bytesValue": "*"}}]},
        {"attributes": [{"key": "k", "value": {"boolValue": 1}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": "much"}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": "1_000"}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": " 1"}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": "٣"}}]},
        {"attributes": [{"key": "k", "value": {"intValue": math.nan}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": True}}]},
        {"events": [{"timeUnixNano": []}]},
    ],
)
def test_a_wrong_value_costs_its_own_span_only(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        decode(of_span(**fields))
    spans: list[Any] = [{**IDS, "name": f"n{number}"} for number in range(100)]
    spans[41] = IDS | fields
    batch = decode_otlp(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), JSON)
    assert (batch.spans, batch.rejected) == (99, {"malformed": 1})
    assert "1 span rejected" in batch.rejection


@pytest.mark.parametrize("wrong", [5, None, "x", [], True])
def test_what_is_no_span_costs_itself_only(wrong: Any) -> None:
    sent = {"resourceSpans": [{"scopeSpans": [{"spans": [IDS, wrong, IDS]}]}]}
    batch = decode_otlp(json.dumps(sent).encode(), JSON)
    assert (batch.spans, batch.rejected) == (2, {"malformed": 1})


@pytest.mark.parametrize("first", [True, False], ids=["before its spans", "behind its spans"])
@pytest.mark.parametrize(
    ("where", "broken"),
    [
        ("resource", {"resource": {"attributes": [{"key": 5}]}}),
        ("resource", {"resource": 5}),
        ("resource", {"schemaUrl": 5}),
        ("scope", {"scope": {"name": 5}}),
        ("scope", {"schemaUrl": {}}),
    ],
)
def test_a_broken_resource_or_scope_costs_its_own_spans_only(where: str, broken: dict[str, Any], first: bool) -> None:
    scope: dict[str, Any] = {"spans": [IDS, IDS]}
    if where == "scope":
        bad = {"scopeSpans": [{**broken, **scope} if first else {**scope, **broken}]}
    else:
        bad = {**broken, "scopeSpans": [scope]} if first else {"scopeSpans": [scope], **broken}
    batch = decode_otlp(json.dumps({"resourceSpans": [bad, {"scopeSpans": [scope]}]}).encode(), JSON)
    assert (batch.spans, batch.rejected) == (2, {"malformed": 2})


def test_half_a_character_becomes_the_replacement_character_wherever_it_stands() -> None:
    """As Node's JSON.stringify writes a string that was cut by length."""
    cut, whole = "ab\ud83d", "a\ud83d\ude00"
    text = json.dumps(
        of_span(
            name=cut,
            traceState="\ude00x",
            attributes=[
                {"key": cut, "value": {"arrayValue": {"values": [{"stringValue": cut}, {"stringValue": whole}]}}}
            ],
            events=[{"name": cut}],
            status={"message": cut},
        )
    )
    (span,) = decode(text)
    assert (span.name, span.trace_state, span.events[0].name, span.status.message) == ("ab�", "�x", "ab�", "ab�")
    values = span.attributes[0].value.array_value.values
    assert [span.attributes[0].key, *(item.string_value for item in values)] == ["ab�", "ab�", "a😀"]


def test_bytes_that_are_not_utf8_in_a_string_become_the_replacement_character() -> None:
    (span,) = decode(json.dumps(of_span(name="MARK")).encode().replace(b"MARK", b"a\xff"))
    assert span.name == "a�"


def test_enum_values_by_their_full_names_are_taken() -> None:
    (span,) = decode(of_span(kind="SPAN_KIND_SERVER", status={"code": "STATUS_CODE_ERROR"}))
    assert (span.kind, span.status.code) == (2, 2)


def test_blanks_and_keys_in_any_order_are_read() -> None:
    sent = json.dumps(json.loads(SEEN), indent=3)
    assert decode(" \r\n\t" + sent + "\n ") == decode(SEEN)
    backwards = json.loads(SEEN, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert decode(backwards) == decode(SEEN)
    assert decode("\ufeff" + SEEN) == decode(SEEN)


@pytest.mark.parametrize("at", [1, 20, 200, len(SEEN) - 1])
def test_text_that_is_cut_or_goes_on_is_refused_with_the_place(at: int) -> None:
    for text in (SEEN[:at], SEEN + "x", SEEN + SEEN, SEEN.replace(",", ";", 1), SEEN.replace('"resourceSpans"', "5")):
        with pytest.raises(BadInput) as refusal:
            decode(text)
        assert refusal.value.position is not None


def test_a_large_request_in_json_is_taken() -> None:
    spans = [{"traceId": f"{number + 1:032x}", "spanId": "02" * 8, "name": "n" * 100} for number in range(20_000)]
    batch = decode_otlp(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), JSON)
    assert (batch.spans, batch.rejected) == (20_000, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"x"',
        '{"resourceSpans":{}}',
        '{"resourceSpans":[1]}',
        "[" * 100_000,
        b"\xff{}",
        "{" * 3 + "NaN",
    ],
)
def test_what_is_not_a_json_request_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadInput):
        decode(text)


def test_nan_and_infinity_are_numbers_with_quotes_and_without() -> None:
    """Without quotes they are no JSON, but Python's json writes them so, and one must not cost a batch."""
    assert math.isnan(of_value({"doubleValue": math.nan}).double_value)
    assert of_value({"doubleValue": -math.inf}).double_value == -math.inf
    assert math.isnan(of_value({"doubleValue": "NaN"}).double_value)
    assert of_value({"doubleValue": "-Infinity"}).double_value == -math.inf
    assert of_value({"doubleValue": "-1.5e3"}).double_value == -1500


def test_values_that_are_nested_too_deeply_are_refused() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(30):
        value = {"arrayValue": {"values": [value]}}
    assert of_value(value).HasField("array_value")
    for _ in range(30):
        value = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
    with pytest.raises(BadInput, match="nested"):
        of_value(value)


def test_unknown_keys_snake_case_and_nulls_are_ignored() -> None:
    (span,) = decode(of_span(name=None, newField={"a": [1]}, trace_state="no", kind=None, attributes=None, status=None))
    assert {field.name for field, _ in span.ListFields()} == {"trace_id", "span_id"}
    assert decode({"resource_spans": []}) == []


def test_integers_are_text_or_numbers() -> None:
    for value in (5, "5", 5.0):
        assert of_value({"intValue": value}).int_value == 5
    assert of_value({"intValue": str(-(2**63))}).int_value == -(2**63)
    assert of_value({"doubleValue": 5}).double_value == 5.0


def test_every_kind_of_value_keeps_its_type_and_presence() -> None:
    assert of_value({"stringValue": ""}).WhichOneof("value") == "string_value"
    assert of_value({"boolValue": False}).WhichOneof("value") == "bool_value"
    assert of_value({"arrayValue": {}}).WhichOneof("value") == "array_value"
    assert of_value({"kvlistValue": {"values": [{"key": "a"}]}}).kvlist_value.values[0].key == "a"
    assert of_value({}).WhichOneof("value") is None


@pytest.mark.parametrize("text", ["+/8=", "-_8=", "-_8", "+/8"])
def test_bytes_are_base64_in_both_alphabets_padded_or_not(text: str) -> None:
    assert of_value({"bytesValue": text}).bytes_value == b"\xfb\xff"
