"""Spans by trace id out of the log: from the moment they are acknowledged until the store has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.collector import record
from clew_server.collector.recent import RecentReader
from clew_server.collector.wal import Wal
from clew_server.model.otlp_raw import parse_raw


def put(wal: Wal, body: bytes, *, indexed: bool) -> None:
    spans = [s for r in parse_raw(body).resource_spans for c in r.scope_spans for s in c.spans]
    heads = b"".join(span[:28] for span in spans) if indexed else None
    wal.append(body, len(spans), wal.body_hash(body), heads).result(10)


def trace_id(seed: int) -> bytes:
    return (seed + 1).to_bytes(16, "big")


@pytest.mark.parametrize("indexed", [True, False])
def test_an_acknowledged_span_is_found_at_once_with_every_byte(
    indexed: bool, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal(clock_ns=lambda: 77)
    for seed in range(5):
        put(wal, request_of(seed, 3), indexed=indexed)
    found = RecentReader(wal).get(trace_id(2))
    sent = ExportTraceServiceRequest.FromString(request_of(2, 3)).resource_spans[0]
    assert [Span.FromString(one.span) for one in found] == list(sent.scope_spans[0].spans)
    assert {one.resource for one in found} == {sent.resource.SerializeToString()}
    assert {one.scope for one in found} == {sent.scope_spans[0].scope.SerializeToString()}
    assert {(one.resource_schema_url, one.scope_schema_url) for one in found} == {
        ("https://example.org/resource", "https://example.org/scope")
    }
    assert {one.received_unix_nano for one in found} == {77}
    assert RecentReader(wal).get(trace_id(9)) == []


@pytest.mark.parametrize("indexed", [True, False])
def test_a_trace_spread_over_segments_is_found_until_they_are_deleted(
    indexed: bool, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    reader = RecentReader(wal)
    for _ in range(3):
        put(wal, request_of(1, 2), indexed=indexed)
        put(wal, request_of(7, 1), indexed=indexed)
        wal.seal()
    put(wal, request_of(1, 1), indexed=indexed)
    assert len(reader.get(trace_id(1))) == 7
    for segment in wal.sealed():
        wal.delete(segment)
    assert len(reader.get(trace_id(1))) == 1


def test_a_segment_of_an_earlier_process_is_searched_in_its_file(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for seed in range(20):
        put(wal, request_of(seed, 2), indexed=True)
    wal.close()
    assert len(RecentReader(open_wal()).get(trace_id(13))) == 2


def test_an_id_across_two_pieces_of_a_file_is_found(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    probe = record.length_prefix(1 << 20)
    for shift in range(40):
        body = request_of(shift, 2, name="x" * ((1 << 20) - 150 - shift - len(probe)))
        put(wal, body, indexed=False)
        wal.seal()
    assert [len(RecentReader(wal).get(trace_id(shift))) for shift in range(40)] == [2] * 40


def test_beyond_the_bound_older_segments_lose_their_index_and_are_still_found(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal(indexed_spans=5)
    for seed in range(4):
        put(wal, request_of(seed, 3), indexed=True)
        wal.seal()
    assert [segment.heads is None for segment in wal.sealed()] == [True, True, True, False]
    assert [len(RecentReader(wal).get(trace_id(seed))) for seed in range(4)] == [3, 3, 3, 3]


@pytest.mark.parametrize("indexed", [True, False])
def test_the_state_of_a_trace_changes_with_its_records_only(
    indexed: bool, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    reader = RecentReader(wal)
    states = [reader.state(trace_id(1))]
    put(wal, request_of(1, 2), indexed=indexed)
    states.append(reader.state(trace_id(1)))
    put(wal, request_of(7, 1), indexed=indexed)
    assert reader.state(trace_id(1)) == states[-1]
    wal.seal()
    put(wal, request_of(1, 2), indexed=indexed)
    states.append(reader.state(trace_id(1)))
    assert reader.read(trace_id(1)).state == states[-1]
    for segment in wal.sealed():
        wal.delete(segment)
    states.append(reader.state(trace_id(1)))
    assert len(set(states)) == 4
