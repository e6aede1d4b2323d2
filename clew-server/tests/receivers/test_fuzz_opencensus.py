"""Whatever bytes come as OpenCensus', the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.opencensus.export import MessageDecoder
from clew_server.testing import opencensus

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
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
    return check_foreign(batch)


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
        made = broken(data, whole, least=0)
        check(decode, made)
