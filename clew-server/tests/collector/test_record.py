"""The bytes of a record: what is written is read, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record

hashes = st.binary(min_size=16, max_size=16)
numbers = st.integers(0, 2**64 - 1)


def write(body: bytes, sequence: int = 0, arrival: int = 1, request_hash: bytes = bytes(16)) -> bytes:
    prefix = record.length_prefix(len(body))
    return prefix + body + record.make_mark(prefix, body, sequence, arrival, request_hash)


@given(st.binary(max_size=300), numbers, numbers, hashes)
def test_a_record_is_read_as_it_was_written(body: bytes, sequence: int, arrival: int, request_hash: bytes) -> None:
    data = write(body, sequence, arrival, request_hash)
    read = record.read_record(data, 0)
    assert read is not None
    assert data[read.body : read.mark] == body
    assert (read.sequence, read.arrival_unix_nano, read.request_hash, read.end) == (
        sequence,
        arrival,
        request_hash,
        len(data),
    )


@given(st.binary(max_size=40), st.data())
def test_any_changed_bit_is_noticed(body: bytes, data: st.DataObject) -> None:
    whole = bytearray(write(body))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert record.read_record(bytes(whole), 0) is None


def test_a_record_is_an_ordinary_otlp_message_whose_mark_is_an_unknown_field() -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="op")
    data = write(request.SerializeToString())
    prefix = len(record.length_prefix(request.ByteSize()))
    read = ExportTraceServiceRequest.FromString(data[prefix:])
    assert read.resource_spans == request.resource_spans


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.data())
def test_a_file_cut_anywhere_keeps_every_whole_record(bodies: list[bytes], data: st.DataObject) -> None:
    records = [write(body, number) for number, body in enumerate(bodies)]
    whole = b"".join(records)
    cut = data.draw(st.integers(0, len(whole)))
    found = record.scan(whole[:cut])
    assert not found.damaged
    kept = [whole[one.start : one.end] for one in found.records]
    assert kept == records[: len(kept)]
    assert found.end == sum(map(len, kept))
    assert len(kept) == len(records) or found.end + len(records[len(kept)]) > cut


@given(st.lists(st.binary(max_size=200), min_size=2, max_size=5), st.data())
def test_damage_in_one_record_costs_only_that_record(bodies: list[bytes], data: st.DataObject) -> None:
    records = [write(body, number) for number, body in enumerate(bodies)]
    victim = data.draw(st.integers(0, len(records) - 2))
    start = sum(map(len, records[:victim]))
    whole = bytearray(b"".join(records))
    byte = data.draw(st.integers(0, len(records[victim]) - record.MARK_BYTES - 1))
    whole[start + byte] ^= 0xFF
    found = record.scan(bytes(whole))
    assert [one.sequence for one in found.records] == [n for n in range(len(records)) if n != victim]
    assert found.damaged == [(start, start + len(records[victim]))]
