"""Whatever bytes come as Pinpoint's, a decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import trace_from_spans
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.pinpoint import specs
from clew_server.receivers.pinpoint.collector_json import decode_span
from clew_server.testing import pinpoint
from clew_server.testing.pinpoint import Chunk, Event, Span

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
METHODS = (specs.SEND_SPAN, specs.EXCEPTIONS, "json", *specs.COLLECTOR.remembers)
CAPTURED = [
    (method, bytes.fromhex(message))
    for path in sorted((Path(__file__).parent / "golden/pinpoint").glob("*.sent.json"))
    for method, message in json.loads(path.read_text(encoding="utf-8"))["messages"]
]

_int32 = st.integers(-(2**31), 2**31 - 1)
_int64 = st.integers(-(2**63), 2**63 - 1)
_types = st.sampled_from((0, 100, 1010, 2101, 5000, 8203, 8660, 9052, 9161)) | _int32
_text = st.text(max_size=12)
_values = _text | st.booleans() | _int32 | st.floats() | st.binary(max_size=12) | st.tuples(_int32, _text, _text)
_keys = st.sampled_from((12, 14, 20, 25, 40, 46, -30, 310)) | _int32
_annotations = st.lists(st.tuples(_keys, _values), max_size=4)
_exceptions = st.none() | st.tuples(_int32, _text)
_events = st.lists(
    st.builds(
        Event,
        sequence=_int32,
        depth=st.integers(-3, 6) | _int32,
        start_elapsed=_int32,
        end_elapsed=_int32,
        service_type=_types,
        api_id=_int32,
        next_span_id=st.sampled_from((0, -1)) | _int64,
        end_point=_text,
        destination=_text,
        starts_async=st.integers(0, 2),
        exception=_exceptions,
        annotations=_annotations,
    ),
    max_size=6,
)
_transactions = st.tuples(st.sampled_from(("", "a")), _int64, _int64)
_spans = st.builds(
    Span,
    span_id=_int64.filter(bool),
    transaction=_transactions,
    parent_id=st.sampled_from((0, -1)) | _int64,
    start_ms=_int64,
    elapsed_ms=_int32,
    rpc=_text,
    end_point=_text,
    remote=_text,
    service_type=_types,
    api_id=_int32,
    err=_int32,
    exception=_exceptions,
    annotations=_annotations,
    events=_events,
)
_chunks = st.builds(
    Chunk,
    span_id=_int64,
    events=_events,
    transaction=_transactions,
    key_time_ms=_int64,
    async_id=st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
_json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_json_keys = st.sampled_from(
    (
        ":S",
        ":E",
        "S",
        "E",
        "sid",
        "psid",
        "nsid",
        "stp",
        "calls",
        "event",
        "anno",
        "clues",
        "EXP_V2",
        "ERR",
        "dst",
        ":depth",
    )
)
_json_spans = st.dictionaries(_json_keys | _text, _json_values, max_size=8)


def decoded(method: str, body: bytes) -> OtlpBatch | None:
    """None where the bytes are refused, or carry no spans."""
    head = Head(method, headers=pinpoint.HEADERS)
    try:
        if method == "json":
            return decode_span(body, Head())
        if method in specs.COLLECTOR.remembers:
            specs.COLLECTOR.remembers[method](body, head)
            return None
        return specs.COLLECTOR.decode(body, head)
    except BadInput:
        return None


def check(batch: OtlpBatch | None) -> int:
    """How many spans there were, the rejected ones included."""
    return check_foreign(batch) if batch is not None else 0


@long
@given(st.binary(max_size=300), st.sampled_from(METHODS))
def test_any_bytes_are_taken_or_refused(body: bytes, method: str) -> None:
    check(decoded(method, body))


@long
@given(_spans)
def test_every_span_and_event_that_is_written_as_pinpoint_writes_it_is_taken(span: Span) -> None:
    assert check(decoded(specs.SEND_SPAN, pinpoint.span_message(span))) == 1 + len(span.events)


@long
@given(st.lists(_chunks, max_size=4))
def test_pieces_of_any_shape_can_be_read_as_a_trace(chunks: list[Chunk]) -> None:
    spans = StoredSpans()
    for chunk in chunks:
        batch = decoded(specs.SEND_SPAN, pinpoint.chunk_message(chunk))
        assert check(batch) == len(chunk.events)
        assert batch is not None
        for one in ExportTraceServiceRequest.FromString(batch.request).resource_spans:
            for scope in one.scope_spans:
                spans.extend(StoredSpan(b"", "", b"", "", span.SerializeToString(), 0) for span in scope.spans)
    expected = len(spans.distinct())
    assert len(trace_from_spans(spans)) == expected


@long
@given(_json_spans)
def test_any_json_is_taken_or_refused(span: dict[str, Any]) -> None:
    check(decoded("json", json.dumps(span).encode()))
    check(decoded("json", json.dumps(span | {"tid": "a^1^2", "sid": "7"}).encode()))


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    method, body = data.draw(st.sampled_from(CAPTURED))
    made = broken(data, body)
    check(decoded(method, made))
