"""Large requests are decoded a piece at a time, and small ones that unfold to very much are refused before they do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp.encode import delimited
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers import pieces as pieces_module
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, PROTOBUF
from clew_server.receivers.otlp import decode_otlp
from clew_server.receivers.pieces import MAX_PART_FIELDS, PIECE_BYTES, pieces
from clew_server.receivers.wire import count_fields, fields

MIB = 1 << 20


def group(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 3,)) + content + bytes((number << 3 | 4,))


def ids(number: int) -> bytes:
    return b"\x0a\x10" + (number + 1).to_bytes(16, "big") + b"\x12\x08" + (number + 1).to_bytes(8, "big")


def spans_of(request: bytes) -> list[tuple[bytes, bytes, Span]]:
    """(resource, scope, span) of each span, in order."""
    return [
        (resource.resource.SerializeToString(), scope.scope.SerializeToString(), span)
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def made(seed: int) -> ExportTraceServiceRequest:
    """A request of several resources and scopes of very different sizes."""
    chance = random.Random(seed)
    message = ExportTraceServiceRequest()
    number = 0
    for _ in range(chance.choice((1, 2, 9))):
        resource = message.resource_spans.add(schema_url="r" * chance.choice((0, 5)))
        for _ in range(chance.choice((0, 1, 3))):
            resource.resource.attributes.add(key="k").value.string_value = "v" * chance.choice((1, 50, 3000))
        for _ in range(chance.choice((0, 1, 2, 20))):
            scope = resource.scope_spans.add(schema_url="s" * chance.choice((0, 5)))
            scope.scope.name = "lib"
            for _ in range(chance.choice((0, 1, 10, 300))):
                span = scope.spans.add(trace_id=number.to_bytes(15, "big") + b"\1", span_id=b"\1" * 8, name=str(number))
                span.attributes.add(key="a").value.string_value = "x" * chance.choice((0, 10, 100, 5000))
                number += 1
    return message


@pytest.mark.parametrize("piece_bytes", [1, 100, 5000, 100_000])
@pytest.mark.parametrize("seed", range(8))
def test_the_pieces_together_are_the_request(seed: int, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(pieces_module, "_HEAD_SHARE", 1)
    body = made(seed).SerializeToString()
    joined = b"".join(pieces(body))
    assert spans_of(joined) == spans_of(body)


def test_a_large_request_is_decoded_as_a_small_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    message = made(3)
    while message.ByteSize() < 3 * PIECE_BYTES:
        message.MergeFrom(made(3))
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in list(scope.spans)[::50]:
                span.trace_id = b"short"
    body = message.SerializeToString()
    cut = decode_otlp(body, PROTOBUF)
    monkeypatch.setattr("clew_server.receivers.otlp.PIECE_BYTES", 1 << 40)
    whole = decode_otlp(body, PROTOBUF)
    assert spans_of(cut.request) == spans_of(whole.request)
    assert (cut.spans, cut.heads, cut.rejected, cut.received) == (whole.spans, whole.heads, whole.rejected, body)
    assert cut.rejected["trace_id"] > 0


def test_unknown_fields_beside_a_resource_and_a_scope_stand_once() -> None:
    spans = b"".join(delimited(2, ids(number) + delimited(5, b"n" * 1000)) for number in range(2000))
    scope = delimited(2, delimited(1, b"") + b"\x7a\x04more" + spans)
    resource = b"\x72\x05other" + b"\x68\x01" + group(12, b"\x08\x01") + delimited(1, b"") + scope
    cut = list(pieces(delimited(1, resource)))
    assert len(cut) > 3
    joined = b"".join(cut)
    assert (joined.count(b"\x72\x05other"), joined.count(b"\x7a\x04more")) == (1, 1)
    assert decode_otlp(delimited(1, resource), PROTOBUF).spans == 2000


def test_one_broken_span_of_a_large_request_costs_itself() -> None:
    spans = [delimited(2, ids(number) + delimited(5, b"n" * 1000)) for number in range(2000)]
    spans[1500] = delimited(2, ids(1500) + delimited(5, b"\xff" * 1000))
    batch = decode_otlp(delimited(1, delimited(2, b"".join(spans))), PROTOBUF)
    assert (batch.spans, batch.rejected) == (1999, {"malformed": 1})


def test_a_large_request_of_broken_spans_only_is_bad_input() -> None:
    span = delimited(2, ids(1) + delimited(5, b"\xff" * 1000))
    with pytest.raises(BadInput, match="not an OTLP request"):
        decode_otlp(delimited(1, delimited(2, span * 2000)), PROTOBUF)


def test_a_full_request_is_taken() -> None:
    """200,000 spans in 64 MiB, in one scope, as in many."""
    filling = delimited(5, b"n" * 296)
    spans = [delimited(2, ids(number) + filling) for number in range(MAX_REQUEST_SPANS)]
    head = delimited(1, delimited(1, delimited(1, b"service.name")))
    one_scope = delimited(1, head + delimited(2, b"".join(spans)))
    assert MAX_REQUEST_BYTES - 2 * MIB < len(one_scope) <= MAX_REQUEST_BYTES
    padding = delimited(3, b"u" * (MAX_REQUEST_BYTES - len(one_scope) - 5))
    one_scope = delimited(1, head + delimited(2, b"".join(spans) + padding))
    assert MAX_REQUEST_BYTES - 10 < len(one_scope) <= MAX_REQUEST_BYTES
    batch = decode_otlp(one_scope, PROTOBUF)
    assert (batch.spans, batch.rejected) == (MAX_REQUEST_SPANS, {})
    many = b"".join(
        delimited(1, head + delimited(2, b"".join(spans[at : at + 500]))) for at in range(0, MAX_REQUEST_SPANS, 500)
    )
    assert decode_otlp(many, PROTOBUF).spans == MAX_REQUEST_SPANS


MANY = 3_000_000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: b"\x0a\x00" * MANY, id="resources"),
        pytest.param(lambda: delimited(1, b"\x12\x00" * MANY), id="scopes"),
        pytest.param(lambda: b"\x0a\x02\x12\x00" * 250_000, id="scopes, one a resource"),
        pytest.param(lambda: delimited(1, delimited(2, b"\x12\x00" * MANY)), id="spans"),
        pytest.param(lambda: delimited(1, delimited(2, b"\x92\x00\x00" * MANY)), id="spans, long tags"),
        pytest.param(lambda: delimited(1, b"\x0a\x00" * MANY), id="resources of one group"),
        pytest.param(lambda: delimited(1, b"\x08\x05" * MANY), id="unknown numbers"),
        pytest.param(lambda: delimited(1, b"\x2b\x2c" * MANY), id="unknown groups"),
        pytest.param(lambda: delimited(1, delimited(2, b"\x1a\x00" * MANY)), id="schema urls"),
        pytest.param(lambda: in_span(b"\x4a\x00" * MANY), id="attributes"),
        pytest.param(lambda: in_span(b"\x5a\x00" * MANY), id="events"),
        pytest.param(lambda: in_span(b"\x6a\x00" * MANY), id="links"),
        pytest.param(lambda: in_span(delimited(11, b"\x1a\x00" * MANY)), id="attributes of an event"),
        pytest.param(lambda: in_span(delimited(13, b"\x22\x00" * MANY)), id="attributes of a link"),
        pytest.param(lambda: in_span(value(delimited(5, b"\x0a\x00" * MANY))), id="values of a list"),
        pytest.param(lambda: in_span(value(delimited(6, b"\x0a\x00" * MANY))), id="entries of a map"),
        pytest.param(lambda: in_span(value(nested(MANY))), id="values of a list far inside"),
        pytest.param(lambda: in_span(b"\x50\x01" * MANY), id="a number again and again"),
        pytest.param(
            lambda: delimited(1, delimited(1, b"\x0a\x00" * MANY) + in_scope(ids(1))),
            id="attributes of a resource",
        ),
        pytest.param(lambda: delimited(1, delimited(1, b"\x1a\x00" * MANY) + in_scope(ids(1))), id="entities"),
        pytest.param(
            lambda: delimited(1, delimited(2, delimited(1, b"\x1a\x00" * MANY))),
            id="attributes of a scope",
        ),
        pytest.param(
            lambda: delimited(
                1,
                delimited(1, delimited(1, delimited(1, b"k" * MIB)))
                + delimited(2, delimited(2, ids(1) + b"\x4a\x00" * 100_000) * 100),
            ),
            id="attributes beside a long resource",
        ),
        pytest.param(lambda: many_spans(b"\x4a\x00" * 1000), id="attributes in many spans"),
        pytest.param(lambda: many_spans(b"\x4a\x05\x0a\x03key" * 500), id="attributes without a value in many spans"),
        pytest.param(lambda: many_spans(delimited(11, b"\x1a\x00" * 1000)), id="attributes in many events"),
    ],
)
def test_what_unfolds_to_very_much_is_refused(body: Callable[[], bytes]) -> None:
    sent = body()
    assert len(sent) < MAX_REQUEST_BYTES
    with pytest.raises(TooLarge, match="more than"):
        decode_otlp(sent, PROTOBUF)


def in_scope(span: bytes) -> bytes:
    return delimited(2, delimited(2, span))


def in_span(content: bytes) -> bytes:
    return delimited(1, in_scope(ids(1) + content))


def many_spans(content: bytes) -> bytes:
    return delimited(1, delimited(2, b"".join(delimited(2, ids(n) + content) for n in range(2000))))


def value(content: bytes) -> bytes:
    """An attribute with this value."""
    return delimited(9, delimited(1, b"k") + delimited(2, content))


def nested(count: int) -> bytes:
    content = delimited(5, b"\x0a\x00" * count)
    for _ in range(10):
        content = delimited(5, delimited(1, content))
    return content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x4a\x09\x0a\x03key\x12\x02\x18\x05" * 20_000, id="tiny attributes"),
        pytest.param(value(delimited(5, b"\x0a\x02\x18\x05" * 50_000)), id="a long list of numbers"),
        pytest.param(value(delimited(5, b"\x0a\x02\x08\x00" * 50_000)), id="a long list of false"),
        pytest.param(delimited(11, b"\x12\x01e") * 20_000, id="many events"),
        pytest.param(value(delimited(1, b'{"a": "\x22\x01"}' * 10_000)), id="a text with marks like tags"),
        pytest.param(value(delimited(7, b"\x4a\x00\x1a\x00" * 50_000)), id="bytes that look like attributes"),
        pytest.param(b"\x4a\x00" * 16, id="a few empty attributes"),
    ],
)
def test_what_is_small_but_in_order_is_taken(content: bytes) -> None:
    for body in (in_span(content), in_span(content + delimited(5, b"n" * 2 * PIECE_BYTES))):
        assert decode_otlp(body, PROTOBUF).spans == 1


def test_fields_are_counted_with_what_is_nested_in_them() -> None:
    content = b"\x4a\x09\x0a\x03key\x12\x02\x18\x05" * 3 + delimited(11, b"\x1a\x00" * 2)
    assert count_fields(content, 0, len(content), "spans", 1000) == 3 * 4 + 1 + 2
    assert count_fields(content, 0, len(content), "spans", 5) == 6
    assert MAX_PART_FIELDS == PIECE_BYTES // 2


@pytest.mark.parametrize(
    "sent",
    [b"\x0a", b"\x0a\x05ab", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0b", b"\x0c", b"\x0f", b"\x0b\x14",
     b"\x0b" * 200, b"\x02\x00", b"\x08", b"\x09\x01", b"\x0d\x01", b"\xff" * 12],
)  # fmt: skip
def test_what_is_no_message_is_bad_input(sent: bytes) -> None:
    with pytest.raises(BadInput):
        list(fields(sent, 0, len(sent)))


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_walked_or_refused(sent: bytes) -> None:
    try:
        found = list(fields(sent, 0, len(sent)))
    except BadInput:
        return
    assert b"".join(sent[field.start : field.end] for field in found) == sent
