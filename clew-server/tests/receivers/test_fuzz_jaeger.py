"""Whatever bytes come as Jaeger's, a decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Decoder, Head
from clew_server.receivers.jaeger.batch import decode_binary, decode_compact, decode_http
from clew_server.receivers.jaeger.post_spans import decode_post_spans
from clew_server.testing import jaeger

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
DECODERS: dict[str, Decoder] = {
    "http": decode_http,
    "binary": decode_binary,
    "compact": decode_compact,
    "grpc": decode_post_spans,
}
HEAD = Head(content_type="application/x-thrift")
CAPTURED = [
    (path.stem.partition("-")[0], bytes.fromhex(path.read_text(encoding="utf-8")))
    for path in sorted((Path(__file__).parent / "golden/jaeger").glob("*.hex"))
]
WRITERS = {
    "http": jaeger.http_body,
    "binary": jaeger.binary_datagram,
    "compact": jaeger.compact_datagram,
    "grpc": jaeger.post_spans,
}

_ids = st.integers(0, 2**64 - 1)
_int64 = st.integers(-(2**63), 2**63 - 1)
_values = st.text(max_size=20) | st.booleans() | _int64 | st.floats() | st.binary(max_size=20)
_keys = st.sampled_from(
    (
        "span.kind",
        "error",
        "otel.status_code",
        "http.status_code",
        "http.url",
        "otlp.link.0",
        "event",
        "message",
        "error.kind",
    )
)
_tags = st.lists(st.tuples(_keys | st.text(max_size=10), _values), max_size=6)
_spans = st.builds(
    jaeger.Span,
    trace_id=st.integers(0, 2**128 - 1),
    span_id=_ids,
    parent_id=_ids,
    name=st.text(max_size=10),
    # Beyond what nanoseconds in 64 bits can say, as far as both protocols can write it.
    start_us=st.integers(-(2**50), 2**62),
    duration_us=st.integers(-(2**50), 2**62),
    flags=st.integers(0, 2**31 - 1),
    tags=_tags,
    logs=st.lists(st.tuples(st.integers(-(2**50), 2**62), _tags), max_size=2),
    references=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**128 - 1), _ids), max_size=2),
)
_batches = st.builds(jaeger.Batch, service=st.text(max_size=8), spans=st.lists(_spans, max_size=3), tags=_tags)


def check(name: str, body: bytes) -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = DECODERS[name](body, HEAD)
    except BadInput:
        return 0
    return check_foreign(batch)


@long
@given(st.binary(max_size=300), st.sampled_from(sorted(DECODERS)))
def test_any_bytes_are_taken_or_refused(body: bytes, name: str) -> None:
    check(name, body)


@long
@given(_batches, st.sampled_from(sorted(DECODERS)))
def test_every_span_that_is_written_as_jaeger_writes_it_is_taken(batch: jaeger.Batch, name: str) -> None:
    assert check(name, WRITERS[name](batch)) == len(batch.spans)


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    name, body = data.draw(st.sampled_from(CAPTURED) | st.sampled_from(sorted(WRITERS)).map(_written))
    made = broken(data, body)
    check(name, made)


def _written(name: str) -> tuple[str, bytes]:
    span = jaeger.Span(1, 2, tags=[("k", "v"), ("n", 7), ("b", True), ("f", 0.5)], logs=[(5, [("event", "e")])])
    return name, WRITERS[name](jaeger.Batch("svc", [span, span]))
