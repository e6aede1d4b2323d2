"""Attributes of every type in every place: one text each, found by it, and never an answer that cannot be read."""

from __future__ import annotations

import base64
import os
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList

from clew_server.model.search import Search, SpanCondition
from clew_server.model.text import value_text

LISTED = AnyValue()
for _text in ("alpha", "", "beta"):
    LISTED.array_value.values.add().string_value = _text
LISTED.array_value.values.add().int_value = 7
LISTED.array_value.values.add().bytes_value = b"\xff"
NESTED = AnyValue()
NESTED.array_value.values.add().array_value.values.add().string_value = "deep"
EMPTY_LIST = AnyValue()
EMPTY_LIST.array_value.SetInParent()
PAIRS = AnyValue(kvlist_value=KeyValueList())
PAIRS.kvlist_value.values.add(key="k").value.double_value = 0.1
LONG_LIST = AnyValue()
for _number in range(200):
    LONG_LIST.array_value.values.add().string_value = f"{_number} " + "x" * (_number * 200)

VALUES = {
    "string": (AnyValue(string_value="é\n'"), ["é\n'"]),
    "empty string": (AnyValue(string_value=""), [""]),
    "int": (AnyValue(int_value=2), ["2"]),
    "smallest int": (AnyValue(int_value=-(2**63)), ["-9223372036854775808"]),
    "double": (AnyValue(double_value=0.1), ["0.1"]),
    "whole double": (AnyValue(double_value=-1e21), ["-1e21"]),
    "double of odd bytes": (AnyValue(double_value=3.141592653589793), ["3.141592653589793"]),
    "nan": (AnyValue(double_value=float("nan")), ["nan"]),
    "bool": (AnyValue(bool_value=True), ["true"]),
    "false": (AnyValue(bool_value=False), ["false"]),
    "bytes": (AnyValue(bytes_value=b"\x00\xff\xfe"), ["AP/+"]),
    "list": (LISTED, [base64.b64encode(LISTED.array_value.SerializeToString()).decode()]),
    "empty list": (EMPTY_LIST, [""]),
    "list in a list": (NESTED, [base64.b64encode(NESTED.array_value.SerializeToString()).decode()]),
    "pairs": (PAIRS, ["Cg4KAWsSCSGamZmZmZm5Pw=="]),
    "nothing": (AnyValue(), [""]),
    "long list": (LONG_LIST, [base64.b64encode(LONG_LIST.array_value.SerializeToString()).decode()]),
}


def request_of(value: AnyValue, service: AnyValue) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.CopyFrom(service)
    group.resource.attributes.add(key="of.resource").value.CopyFrom(value)
    scope = group.scope_spans.add()
    scope.scope.attributes.add(key="of.scope").value.CopyFrom(value)
    span = scope.spans.add(
        trace_id=os.urandom(16), span_id=os.urandom(8), name="op", start_time_unix_nano=time.time_ns()
    )
    span.attributes.add(key="of.span").value.CopyFrom(value)
    span.attributes.add(key="beside").value.string_value = "it"
    span.events.add(name="event").attributes.add(key="of.event").value.CopyFrom(value)
    span.links.add(trace_id=os.urandom(16), span_id=os.urandom(8)).attributes.add(key="of.link").value.CopyFrom(value)
    return request


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_any_type_is_found_by_its_text_in_a_span_and_in_a_resource(opened: Any, kind: str) -> None:
    value, texts = VALUES[kind]
    assert [value_text(value)] == texts
    request = request_of(value, AnyValue(string_value=f"values {kind}"))
    opened.put([request])
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    for key in ("of.span", "of.resource"):
        for text in texts:
            found = opened.store.reader.find(
                Search(
                    span=(
                        SpanCondition("service", "=", f"values {kind}"),
                        SpanCondition("attr", "=", text, key),
                        SpanCondition("attr", "=", "it", "beside"),
                    )
                )
            )
            assert [trace.trace_id for trace in found.traces] == [trace_id], (key, text[:99], found.reason)
    absent = SpanCondition("attr", "=", "something else", "of.span")
    assert not opened.store.reader.find(Search(span=(absent,))).traces
