"""OTLP protobuf in, canonical batches out: what is broken is named and counted, what is good comes through untouched."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput, TooLarge, Unavailable, Unsupported
from clew_server.model.unknown import whole
from clew_server.receivers.compression import encoding_of, gunzip
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, PROTOBUF
from clew_server.receivers.otlp import decode_otlp, media_type

RequestOf = Callable[..., ExportTraceServiceRequest]


def spans_of(request: bytes) -> list[Span]:
    message = ExportTraceServiceRequest.FromString(request)
    return [s for r in message.resource_spans for c in r.scope_spans for s in c.spans]


def test_the_bytes_of_a_real_client_pass_unchanged() -> None:
    # What opentelemetry-python sends for one server span, over gRPC and HTTP alike (version 1.45.2).
    sent = bytes.fromhex(
        "0a96010a170a150a0c736572766963652e6e616d6512050a03737663127b0a080a036c6962120131126f0a10fb591e7dc66fe1fbb0523e18f55917b7"
        "1208f01d0f4334553cf42a026f70300239ba464e55b75cea18411cef4f55b75cea184a070a0169120218074a090a016212043a0201024a0f0a016c12"
        "0a2a080a0218010a0218025a0c091d9c4f55b75cea181201657a00850100010000"
    )
    batch = decode_otlp(sent, "application/x-protobuf; charset=utf-8")
    assert batch.request == batch.received == sent
    assert (batch.spans, batch.rejected, batch.rejection) == (1, {}, "")
    assert batch.heads == bytes.fromhex("0a10fb591e7dc66fe1fbb0523e18f55917b71208f01d0f4334553cf4")


def test_an_empty_request_is_a_batch_without_spans() -> None:
    assert decode_otlp(b"", PROTOBUF).spans == 0


def test_spans_with_forbidden_ids_are_left_out_and_counted(otlp_request: RequestOf) -> None:
    message = otlp_request(8)
    spans = message.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = bytes(16)
    spans[1].trace_id = b""
    spans[2].trace_id = b"\1" * 15
    spans[3].span_id = bytes(8)
    spans[4].span_id = b""
    spans[5].span_id = b"\1" * 16
    batch = decode_otlp(message.SerializeToString(), PROTOBUF)
    assert batch.rejected == {"trace_id": 3, "span_id": 3}
    assert spans_of(batch.request) == list(spans[6:8])
    assert (batch.spans, len(batch.heads or b"")) == (2, 56)
    assert "3 spans rejected: a trace id is 16 bytes" in batch.rejection


def test_a_64_bit_trace_id_padded_with_zeros_is_a_good_one(otlp_request: RequestOf) -> None:
    batch = decode_otlp(otlp_request(3).SerializeToString(), PROTOBUF)
    assert (batch.spans, batch.rejected) == (3, {})


def test_odd_parents_times_kinds_and_unknown_fields_are_kept(otlp_request: RequestOf) -> None:
    message = otlp_request(1)
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.parent_span_id = b"\1\2\3"
    span.start_time_unix_nano = 0
    span.end_time_unix_nano = 2**64 - 1
    span.kind = 99  # type: ignore[assignment]
    span.MergeFromString(b"\xfa\x3f\x03new")
    batch = decode_otlp(message.SerializeToString(), PROTOBUF)
    assert batch.rejected == {}
    (kept,) = spans_of(batch.request)
    assert whole(kept.SerializeToString()) == span.SerializeToString()
    kept.DiscardUnknownFields()
    span.DiscardUnknownFields()
    assert kept == span
    assert b"\xfa\x3f\x03new" in batch.request


def test_bytes_in_another_order_become_canonical(otlp_request: RequestOf) -> None:
    name, ids = b"\x2a\x02op", b"\x12\x08" + b"\2" * 8 + b"\x0a\x10" + b"\1" * 16
    span = name + ids
    scope = b"\x12" + bytes([len(span)]) + span
    resource = b"\x12" + bytes([len(scope)]) + scope
    # The length is a varint of two bytes where one would do.
    batch = decode_otlp(b"\x0a" + bytes([len(resource) | 0x80, 0]) + resource, PROTOBUF)
    assert batch.heads == b"\x0a\x10" + b"\1" * 16 + b"\x12\x08" + b"\2" * 8
    assert (batch.heads or b"") + name in batch.request
    assert batch.request[1] == len(batch.request) - 2


def test_a_client_that_sends_our_mark_loses_it(otlp_request: RequestOf) -> None:
    sent = otlp_request(2).SerializeToString()
    for extra in (b"\xc2\x3e\x29" + os.urandom(41), b"\xc2\x3e\x00", b"\x10\x05", b"\x1a\x01x"):
        batch = decode_otlp(sent + extra, PROTOBUF)
        assert batch.request == sent
        assert batch.received == sent + extra


def test_one_span_that_is_not_utf8_costs_only_itself(otlp_request: RequestOf) -> None:
    message = otlp_request(100)
    message.resource_spans[0].scope_spans[0].spans[41].name = "MARK"
    sent = message.SerializeToString().replace(b"MARK", b"\xff\xfe\xfd\xfc")
    batch = decode_otlp(sent, PROTOBUF)
    assert batch.rejected == {"malformed": 1}
    assert [span.attributes[0].value.int_value for span in spans_of(batch.request)] == [*range(1, 42), *range(43, 101)]
    (resource,) = ExportTraceServiceRequest.FromString(batch.request).resource_spans
    assert resource.resource == message.resource_spans[0].resource
    assert resource.scope_spans[0].scope.name == "lib"


def test_a_broken_resource_or_scope_costs_its_own_spans_only(otlp_request: RequestOf) -> None:
    broken_resource, broken_scope, good = otlp_request(2, first=1), otlp_request(3, first=10), otlp_request(4, first=20)
    broken_resource.resource_spans[0].resource.attributes[0].value.string_value = "MARK"
    broken_scope.resource_spans[0].scope_spans[0].scope.name = "MARK"
    sent = b"".join(one.SerializeToString() for one in (broken_resource, broken_scope, good))
    batch = decode_otlp(sent.replace(b"MARK", b"\xff\xfe\xfd\xfc"), PROTOBUF)
    assert batch.rejected == {"malformed": 5}
    assert [span.attributes[0].value.int_value for span in spans_of(batch.request)] == [20, 21, 22, 23]


def test_a_span_nested_too_deeply_costs_only_itself(otlp_request: RequestOf) -> None:
    value = b"\x0a\x01x"
    for _ in range(200):
        value = field(5, field(1, value))
    span = field(1, b"\1" * 16) + field(2, b"\2" * 8) + field(9, field(1, b"k") + field(2, value))
    deep = field(1, field(2, field(2, span)))
    batch = decode_otlp(deep + otlp_request(1).SerializeToString(), PROTOBUF)
    assert (batch.spans, batch.rejected) == (1, {"malformed": 1})


def field(number: int, content: bytes) -> bytes:
    length, rest = bytearray(), len(content)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([rest]) + content


@pytest.mark.parametrize("sent", [b"not protobuf at all", b"\x0a\xff", b"\x0a", b"{}", b"\xff" * 100, b"\x0b\x0b\x0b"])
def test_bytes_that_are_no_request_are_refused_whole(sent: bytes) -> None:
    with pytest.raises(BadInput) as refusal:
        decode_otlp(sent, PROTOBUF)
    assert refusal.value.code == "malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_bad_input(sent: bytes) -> None:
    try:
        batch = decode_otlp(sent, PROTOBUF)
    except BadInput:
        return
    assert len(spans_of(batch.request)) == batch.spans


@given(st.data())
def test_any_damage_to_a_good_request_is_a_batch_or_bad_input(data: st.DataObject) -> None:
    message = ExportTraceServiceRequest()
    for number in (1, 2, 3):
        spans = message.resource_spans.add().scope_spans.add().spans
        spans.add(trace_id=bytes([number]) * 16, span_id=bytes([number]) * 8, name="name", trace_state="a=b")
    sent = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = decode_otlp(bytes(sent), PROTOBUF)
    except BadInput:
        return
    again = decode_otlp(batch.request, PROTOBUF)
    assert (again.spans, again.heads, again.rejected) == (batch.spans, batch.heads, {})
    # Fields 1001 and 1002: what has fields OTLP does not know, or with another wire type, is wrapped once more.
    if b"\xca\x3e" not in batch.request and b"\xd2\x3e" not in batch.request:
        assert again.request == batch.request


def test_more_spans_than_a_request_may_have_are_refused() -> None:
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for _ in range(MAX_REQUEST_SPANS + 1):
        spans.add()
    with pytest.raises(TooLarge):
        decode_otlp(message.SerializeToString(), PROTOBUF)


def test_very_many_empty_resources_are_refused() -> None:
    with pytest.raises(TooLarge):
        decode_otlp(b"\x0a\x00" * 300_000, PROTOBUF)


def test_more_bytes_than_a_request_may_have_are_refused() -> None:
    with pytest.raises(TooLarge):
        decode_otlp(bytes(MAX_REQUEST_BYTES + 1), PROTOBUF)


def test_media_types_and_encodings() -> None:
    assert media_type("Application/X-Protobuf;charset=utf-8") == PROTOBUF
    assert media_type("application/json") == "application/json"
    assert encoding_of("GZIP") == "gzip"
    assert encoding_of("identity") is None
    for wrong in ("", "text/plain", "application/grpc"):
        with pytest.raises(Unsupported):
            media_type(wrong)
    for other in ("zstd", "deflate", "br"):
        with pytest.raises(Unsupported, match="send gzip or none"):
            encoding_of(other)


@given(st.binary(max_size=5000), st.binary(max_size=100))
def test_gzip_is_unpacked_also_in_several_members(one: bytes, other: bytes) -> None:
    assert gunzip(gzip.compress(one)) == one
    assert gunzip(gzip.compress(one) + gzip.compress(other)) == one + other


def test_gzip_that_is_broken_or_cut_is_refused() -> None:
    whole = gzip.compress(os.urandom(3000))
    for bad in (b"", b"plain", whole[:-1], whole[:100], whole[:5], whole + b"tail", zlib.compress(b"x")):
        with pytest.raises(BadInput):
            gunzip(bad)


def test_a_gzip_bomb_is_given_up_at_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    asked: list[int] = []
    with pytest.raises(TooLarge):
        gunzip(bomb, grow_to=asked.append)
    assert max(asked) <= MAX_REQUEST_BYTES + (1 << 20)


def test_unpacking_stops_when_there_is_no_room() -> None:
    def grow_to(size_bytes: int) -> None:
        if size_bytes > 3 << 20:
            raise Unavailable("no room")

    with pytest.raises(Unavailable):
        gunzip(gzip.compress(bytes(10 << 20)), grow_to=grow_to)
