"""Whatever bytes come as OpenCensus', the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.opencensus.export import MessageDecoder
from clew_server.testing import opencensus

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
CAPTURED = [
    bytes.fromhex(line)
    for path in sorted((Path(__file__).parent / "golden/opencensus").glob("*.hex"))
    for line in path.read_text(encoding="utf-8").split()
]

_keys = st.sampled_from(
    ("span.kind", "error", "otel.status_code", "http.status_code", "/http/url", "error.kind", "event")
)
_values = st.text(max_size=20) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
_items = st.dictionaries(_keys | st.text(max_size=10), _values, max_size=5)
_times = st.integers(-(2**70), 2**70) | st.integers(0, 2**64 - 1)
_trace_ids = st.binary(min_size=16, max_size=16) | st.binary(max_size=40)
_span_ids = st.binary(min_size=8, max_size=8) | st.binary(max_size=20)
_texts = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
_resources = st.builds(opencensus.resource, st.text(max_size=8), _texts)
_spans = st.builds(
    opencensus.Span,
    _trace_ids,
    _span_ids,
    name=st.text(max_size=10),
    parent_id=_span_ids,
    start_ns=_times,
    end_ns=_times,
    kind=st.integers(-3, 9),
    attributes=_items,
    annotations=st.lists(st.tuples(_times, st.text(max_size=9), _items), max_size=2),
    messages=st.lists(
        st.tuples(_times, st.integers(-1, 4), *[st.integers(0, 2**64 - 1)] * 3),
        max_size=2,
    ),
    links=st.lists(st.tuples(_trace_ids, _span_ids, st.integers(-1, 4), _items), max_size=2),
    status=st.none() | st.tuples(st.integers(-3, 40), st.text(max_size=9)),
    same_process=st.none() | st.booleans(),
    children=st.none() | st.integers(0, 2**32 - 1),
    trace_state=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=2),
    resource=_resources | st.just(b""),
)
_nodes = st.builds(opencensus.node, st.text(max_size=8), _texts)
_messages = st.lists(_spans, max_size=3).flatmap(
    lambda spans: st.tuples(st.just(spans), _nodes | st.just(b""), _resources | st.just(b""))
)


def check(decode: MessageDecoder, body: bytes) -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = decode(body, Head())
    except BadInput:
        return 0
    parsed = ExportTraceServiceRequest.FromString(batch.request)
    spans = [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len(spans) == batch.spans
    assert all(len(s.trace_id) == 16 and any(s.trace_id) and len(s.span_id) == 8 and any(s.span_id) for s in spans)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert all(len({one.key for one in span.attributes}) == len(span.attributes) for span in spans)
    assert parsed.SerializeToString() == batch.request
    assert len(batch.heads or b"") == 28 * batch.spans
    return batch.spans + sum(batch.rejected.values())


@long
@given(st.lists(st.binary(max_size=300), max_size=3))
def test_any_bytes_are_taken_or_refused(bodies: list[bytes]) -> None:
    decode = MessageDecoder()
    for body in bodies:
        check(decode, body)


@long
@given(st.lists(_messages, max_size=3))
def test_every_span_that_is_written_as_opencensus_writes_it_is_taken(
    messages: list[tuple[list[opencensus.Span], bytes, bytes]],
) -> None:
    decode = MessageDecoder()
    for spans, node, resource in messages:
        assert check(decode, opencensus.request(spans, node, resource)) == len(spans)


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    decode = MessageDecoder()
    for whole in CAPTURED:
        broken = bytearray(whole)
        for _ in range(data.draw(st.integers(0, 3))):
            if not broken:
                break
            at = data.draw(st.integers(0, len(broken) - 1))
            how = data.draw(st.sampled_from(("flip", "cut", "double")))
            if how == "flip":
                broken[at] = data.draw(st.integers(0, 255))
            elif how == "cut":
                del broken[at : at + data.draw(st.integers(1, 8))]
            else:
                broken[at:at] = broken[at : at + 8]
        check(decode, bytes(broken))
