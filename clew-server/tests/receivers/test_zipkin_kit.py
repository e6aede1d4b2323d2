"""Zipkin's four encodings pass the kit of receivers, over HTTP and over gRPC. And the page of documentation names every field."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from py_zipkin import Encoding
from py_zipkin.zipkin import zipkin_span

from clew_server.receivers.zipkin.decoder import REPORT, V1_PATH, V2_PATH
from clew_server.receivers.zipkin.receiver import ZIPKIN
from clew_server.testing import ReceiverKit, ReceiverStand, SentSpan

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from zipkin_bytes import Thrift, to_json, to_proto

PAGE = Path(__file__).parents[3] / "docs/receivers/zipkin.md"


def v2(span: SentSpan) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "name": span.name,
        "timestamp": span.start_unix_nano // 1000,
        "duration": 1000,
        "localEndpoint": {"serviceName": span.service},
    }


def v1(span: SentSpan) -> dict[str, Any]:
    made = v2(span)
    service = made.pop("localEndpoint")
    return {**made, "binaryAnnotations": [{"key": "lc", "value": "", "endpoint": service}]}


class TestV2Json(ReceiverKit):
    spec, path, content_type = ZIPKIN, V2_PATH, "application/json"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return to_json(*map(v2, spans))


class TestV2Protobuf(ReceiverKit):
    spec, path = ZIPKIN, V2_PATH

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return to_proto(*map(v2, spans))


class TestGrpcBesideHttp(ReceiverKit):
    spec, path, over = ZIPKIN, REPORT, "grpc"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return to_proto(*map(v2, spans))


def test_spans_of_py_zipkin_reported_over_grpc_are_kept(tmp_path: Path) -> None:
    with ReceiverStand(ZIPKIN, tmp_path) as stand:
        host, port = stand.address
        with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            report = channel.unary_unary(REPORT)

            def send(payload: bytes) -> None:
                assert report(payload, timeout=100) == b""

            with (
                zipkin_span("shop", "buy", transport_handler=send, sample_rate=100.0, encoding=Encoding.V2_PROTO3),
                zipkin_span("shop", "look"),
            ):
                pass
            assert sorted((span.service, span.name) for span in stand.logged()) == [("shop", "buy"), ("shop", "look")]
            with pytest.raises(grpc.RpcError) as refused:
                report(b"\x0a\x7f", timeout=100)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "Zipkin spans in protobuf" in refused.value.details()
            assert stand.state.spans == 2
            assert stand.state.refused_requests == 1


class TestV1Json(ReceiverKit):
    spec, path, content_type = ZIPKIN, V1_PATH, "application/json"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return to_json(*map(v1, spans))


class TestV1Thrift(ReceiverKit):
    spec, path, content_type = ZIPKIN, V1_PATH, "application/x-thrift"

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        return Thrift.body(
            *(
                {
                    1: Thrift.id(span.trace_id[8:]),
                    3: Thrift.string(span.name.encode()),
                    4: Thrift.id(span.span_id),
                    8: Thrift.list_of(
                        {
                            1: Thrift.string(b"lc"),
                            2: Thrift.string(b""),
                            3: Thrift.i32(6),
                            4: Thrift.inner({3: Thrift.string(span.service.encode())}),
                        }
                    ),
                    10: Thrift.i64(span.start_unix_nano // 1000),
                    11: Thrift.i64(1000),
                    12: Thrift.id(span.trace_id[:8]),
                }
                for span in spans
            )
        )


_FIELDS = """
traceId parentId kind name timestamp duration localEndpoint remoteEndpoint annotations tags debug shared serviceName ipv4 ipv6 port
annotations.timestamp annotations.value binaryAnnotations endpoint trace_id parent_id local_endpoint remote_endpoint service_name
trace_id_high binary_annotations Annotation.timestamp Annotation.value Annotation.host BinaryAnnotation.key annotation_type
"""
_ATTRIBUTES = """
shared id parent_id debug kind absent timestamp duration local_endpoint.ipv6 remote_endpoint.ipv6 endpoint endpoint.KEY sa ca ma
"""


@pytest.mark.parametrize("name", [*_FIELDS.split(), *(f"zipkin.{name}" for name in _ATTRIBUTES.split())])
def test_the_page_about_zipkin_names_every_field_and_every_attribute(name: str) -> None:
    assert name in PAGE.read_text(encoding="utf-8")
