"""OTLP passes the kit of receivers over each transport; so does a protocol of datagrams, which is OTLP here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.receivers.contract import JSON, PROTOBUF, Head, OtlpBatch, ReceiverSpec
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.otlp_receivers import EXPORT, OTLP_GRPC, OTLP_HTTP
from clew_server.testing import ReceiverKit, SentSpan


def _encoded(spans: Sequence[SentSpan]) -> bytes:
    request = ExportTraceServiceRequest()
    for span in spans:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = span.service
        resource.scope_spans.add().spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            name=span.name,
            start_time_unix_nano=span.start_unix_nano,
            end_time_unix_nano=span.start_unix_nano + 1_000_000,
        )
    return request.SerializeToString()


class TestProtobufOverHttp(ReceiverKit):
    spec = OTLP_HTTP
    path = "/v1/traces"
    accepted_status = 200

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return _encoded(spans)


class TestJsonOverHttp(ReceiverKit):
    spec = OTLP_HTTP
    path = "/v1/traces"
    content_type = JSON
    accepted_status = 200

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return json.dumps(
            {
                "resourceSpans": [
                    {
                        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": span.service}}]},
                        "scopeSpans": [
                            {
                                "spans": [
                                    {
                                        "traceId": span.trace_id.hex(),
                                        "spanId": span.span_id.hex(),
                                        "name": span.name,
                                        "startTimeUnixNano": str(span.start_unix_nano),
                                    }
                                ]
                            }
                        ],
                    }
                    for span in spans
                ]
            }
        ).encode()


class TestGrpc(ReceiverKit):
    spec = OTLP_GRPC
    path = EXPORT

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return _encoded(spans)


def _decode_datagram(body: bytes, head: Head) -> OtlpBatch:
    return decode_otlp(body, PROTOBUF)


OTLP_UDP = ReceiverSpec(name="otlp-udp", transport="udp", default_port=0, decode=_decode_datagram)


class TestDatagrams(ReceiverKit):
    spec = OTLP_UDP

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return _encoded(spans)


def test_the_kit_notices_a_receiver_that_mixes_spans_up(tmp_path: Path) -> None:
    """A decoder that remembers the name of the request before is what the kit is there to find."""
    names: list[str] = []

    def forgetful(body: bytes, head: Head) -> OtlpBatch:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    names.append(span.name)
                    span.name = names[-2] if len(names) > 1 else span.name
        return decode_otlp(request.SerializeToString(), PROTOBUF)._replace(received=body)

    class Forgetful(TestProtobufOverHttp):
        spec = dataclasses.replace(OTLP_HTTP, decode=forgetful)

    try:
        Forgetful().test_every_span_is_in_the_log_once_and_as_itself_whatever_happens_on_the_way(tmp_path)
    except AssertionError:
        return
    raise AssertionError("the kit says nothing about spans whose names were exchanged")
