"""OTLP/gRPC on a socket: the right code to every kind of call, and what a client needs to retry well."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew_server.collector.intake import DiskRoom
from clew_server.config import Listening
from clew_server.receivers.contract import MAX_REQUEST_BYTES
from clew_server.receivers.listeners import Listeners
from clew_server.receivers.otlp_receivers import EXPORT
from clew_server.sockets.listening import PortTaken

RequestOf = Callable[..., ExportTraceServiceRequest]
Call = Callable[..., bytes]


@pytest.fixture
def server(listen: Callable[..., Any]) -> Any:
    return listen()


@pytest.fixture
def call(server: Any) -> Iterator[Call]:
    yield from calling(server)


def calling(server: Any) -> Iterator[Call]:
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:

        def call(body: bytes, method: str = EXPORT, **options: Any) -> bytes:
            return channel.unary_unary(method)(body, timeout=100, **options)

        yield call


def test_a_request_is_in_the_log_when_it_is_answered(server: Any, call: Call, otlp_request: RequestOf) -> None:
    assert call(otlp_request(3).SerializeToString()) == b""
    assert len(server.logged()) == 3
    assert call(otlp_request(2, first=10).SerializeToString(), compression=grpc.Compression.Gzip) == b""
    assert len(server.logged()) == 5
    assert call(b"") == b""
    state = server.grpc.as_dict()
    assert (state["spans"], state["state"], state["address"]) == (5, "open", server.grpc_address)
    assert state["last_client"].startswith("127.0.0.1:")


def test_a_request_larger_than_grpcs_usual_limit_is_accepted(server: Any, call: Call, otlp_request: RequestOf) -> None:
    message = otlp_request(1)
    message.resource_spans[0].scope_spans[0].spans[0].name = "x" * (6 << 20)
    assert call(message.SerializeToString()) == b""
    assert len(server.logged()) == 1


def test_rejected_spans_are_a_partial_success(server: Any, call: Call, otlp_request: RequestOf) -> None:
    message = otlp_request(3)
    message.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    partial = ExportTraceServiceResponse.FromString(call(message.SerializeToString())).partial_success
    assert partial.rejected_spans == 1
    assert len(server.logged()) == 2


def test_what_cannot_be_decoded_is_invalid_argument(server: Any, call: Call, otlp_request: RequestOf) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        call(otlp_request(1).SerializeToString()[:-3])
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert server.grpc.refused_requests == server.intake.statistics().refused_requests == 1
    assert call(otlp_request(1).SerializeToString()) == b""


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_more_than_the_limit_is_resource_exhausted_without_retry_information(
    compression: grpc.Compression, server: Any, call: Call, otlp_request: RequestOf
) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        call(bytes(MAX_REQUEST_BYTES + 1), compression=compression)
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not [key for key, _ in refusal.value.trailing_metadata() or () if "retry" in key or "details" in key]
    assert call(otlp_request(1).SerializeToString()) == b""
    assert len(server.logged()) == 1


@pytest.mark.parametrize(
    "method", ["/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/a.B/C", EXPORT + "2"]
)
def test_other_services_are_unimplemented(method: str, call: Call) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"", method)
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_without_room_the_answer_is_unavailable_with_retry_information_in_both_places(
    listen: Callable[..., Any], otlp_request: RequestOf
) -> None:
    server = listen(disk_room=lambda: DiskRoom(0, 10**12))
    for call in calling(server):
        with pytest.raises(grpc.RpcError) as refusal:
            call(otlp_request(1).SerializeToString())
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
        trailers = dict(refusal.value.trailing_metadata() or ())
        status = Status.FromString(trailers["grpc-status-details-bin"])
        assert status.code == 14
        inside = RetryInfo()
        assert status.details[0].Unpack(inside)
        alone = RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
        assert inside == alone
        assert alone.retry_delay.ToNanoseconds() >= 1_000_000_000


def test_with_a_token_a_call_needs_it(listen: Callable[..., Any], otlp_request: RequestOf) -> None:
    server = listen(token="secret")
    for call in calling(server):
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            with pytest.raises(grpc.RpcError) as refusal:
                call(otlp_request(1).SerializeToString(), metadata=metadata)
            assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert server.logged() == []
        assert call(otlp_request(1).SerializeToString(), metadata=(("authorization", "Bearer secret"),)) == b""
        assert len(server.logged()) == 1


def test_bytes_that_are_no_http2_and_truncated_frames_do_no_harm(
    server: Any, call: Call, otlp_request: RequestOf
) -> None:
    host, port = server.grpc_address.split(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    # A HEADERS frame that promises 100 bytes and ends after three.
    for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, preface + b"\0\0\x64\1\4\0\0\0\1abc"):
        with socket.create_connection((host, int(port)), timeout=100) as connection:
            connection.sendall(bad)
    assert call(otlp_request(1).SerializeToString()) == b""
    assert len(server.logged()) == 1


def test_a_taken_port_is_said_and_ends_the_start_only_where_the_receiver_must_open(server: Any) -> None:
    port = int(server.grpc_address.rpartition(":")[2])

    async def start() -> None:
        for must_open in (True, False):
            second = Listeners()
            second.bind([Listening("otlp-grpc", "127.0.0.1", port, must_open)])
            if must_open:
                with pytest.raises(PortTaken, match="--otlp-grpc-port"):
                    await second.start(server.intake, token=None, others={})
            else:
                await second.start(server.intake, token=None, others={})
            state = next(state for state in second.states if state.name == "otlp-grpc")
            assert state.state == "failed"
            assert f"port {port} on 127.0.0.1 is taken" in str(state.last_error)
            await second.stop()

    server.run(start())
