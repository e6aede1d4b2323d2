"""Whatever bytes come as SkyWalking's, a decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Decoder, Head
from clew_server.receivers.skywalking.properties import properties_of_message, resource_of
from clew_server.receivers.skywalking.segments import decode_collection, decode_segment
from clew_server.receivers.skywalking.segments_json import (
    PATHS,
    decode_segment_json,
    decode_segments_json,
    properties_of_json,
)
from clew_server.testing import skywalking as sent

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
HEAD = Head()
DECODERS: dict[str, Decoder] = {
    "segment": decode_segment,
    "collection": decode_collection,
    "json": decode_segment_json,
    "json list": decode_segments_json,
}
WRITERS = {
    "segment": sent.segment,
    "collection": lambda one: sent.collection([one]),
    "json": sent.segment_json,
    "json list": lambda one: sent.segments_json([one]),
}
CAPTURED = [
    (path.stem.partition("-")[0], bytes.fromhex(path.read_text(encoding="utf-8")))
    for path in sorted((Path(__file__).parent / "golden/skywalking").glob("*.hex"))
]

_int32, _int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_keys = st.sampled_from(
    (
        "url",
        "http.url",
        "status_code",
        "http.status_code",
        "db.type",
        "db.system.name",
        "cache.type",
        "mq.topic",
        "mq.queue",
        "server.address",
        "sw8.span_id",
        "sw8.segment_id",
        "event",
        "error.kind",
        "message",
        "Traceback",
        "Stack",
    )
)
_pairs = st.lists(st.tuples(_keys | _text, _text), max_size=5)
_references = st.builds(
    sent.Reference,
    trace_id=st.sampled_from(("t", "")) | _text,
    segment_id=_text,
    span_number=_int32,
    type=st.integers(0, 1),
    service=_text,
    instance=_text,
    endpoint=_text,
    address=_text,
)
_spans = st.builds(
    sent.Span,
    number=_int32,
    parent=_int32,
    name=_text,
    type=st.integers(0, 2),
    layer=st.integers(0, 6),
    component=st.sampled_from((0, 1, 7, 33, 41, 47, 7001)) | _int32,
    peer=_text,
    start_ms=st.just(1_795_000_000_000) | _int64,
    end_ms=st.just(1_795_000_000_010) | _int64,
    is_error=st.booleans(),
    tags=_pairs,
    logs=st.lists(st.tuples(_int64, _pairs), max_size=2),
    references=st.lists(_references, max_size=2),
    skips_analysis=st.booleans(),
)
_segments = st.builds(
    sent.Segment,
    trace_id=st.just("t") | _text,
    segment_id=_text,
    spans=st.lists(_spans, max_size=3),
    service=_text,
    instance=_text,
    is_size_limited=st.booleans(),
)


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
@given(_segments, st.sampled_from(sorted(DECODERS)))
def test_every_span_that_is_written_as_agents_write_it_is_taken(segment: sent.Segment, name: str) -> None:
    assert check(name, WRITERS[name](segment)) == len(segment.spans)


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    name, body = data.draw(st.sampled_from(CAPTURED))
    made = broken(data, body)
    check(name, made)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "spans",
                    "tags",
                    "refs",
                    "logs",
                    "data",
                    "key",
                    "value",
                    "spanId",
                    "traceId",
                    "traceSegmentId",
                    "spanType",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@long
@given(_json, st.sampled_from(("json", "json list")))
def test_json_of_any_shape_is_taken_or_refused(value: object, name: str) -> None:
    check(name, json.dumps(value).encode())


@long
@given(st.binary(max_size=200), _json, st.sampled_from(sorted(PATHS)))
def test_what_carries_no_spans_is_read_or_refused(body: bytes, value: object, path: str) -> None:
    for one in (body, json.dumps(value).encode()):
        for read in (PATHS[path], properties_of_message, properties_of_json):
            try:
                found = read(one, HEAD)
            except BadInput:
                continue
            if isinstance(found, list):
                (fact,) = found
                service, _, instance = fact.agent.partition("\0")
                assert resource_of(service, instance, Head(known=_Known({fact.key: fact.value})))


class _Known:
    def __init__(self, facts: dict[str, bytes]) -> None:
        self._facts = facts

    def of(self, agent: str) -> dict[str, bytes]:
        return self._facts
