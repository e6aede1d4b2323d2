"""Whatever bytes come as Datadog's, the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
from pathlib import Path

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.datadog.decoder import decode

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
HEADS = {
    "v0.4": Head("/v0.4/traces", "application/msgpack"),
    "v0.5": Head("/v0.5/traces", "application/msgpack"),
    "json": Head("/v0.4/traces", "application/json"),
}
CAPTURED = [
    (path.stem.partition("-")[0], bytes.fromhex(path.read_text(encoding="utf-8")))
    for path in sorted((Path(__file__).parent / "golden/datadog").glob("*.hex"))
]

_numbers = st.integers(-(2**63), 2**64 - 1)
_scalars = st.none() | st.booleans() | _numbers | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)
_names = st.sampled_from(
    (
        *("service", "name", "resource", "trace_id", "span_id", "parent_id", "start", "duration", "error", "meta"),
        *("metrics", "type", "meta_struct", "span_links", "span_events"),
    )
)
_keys = st.sampled_from(("span.kind", "_dd.p.tid", "events", "error.type", "error.stack", "http.url", "process_id"))
_tags = st.dictionaries(_keys | st.text(max_size=9), st.text(max_size=20) | _values, max_size=5)
_parts = st.lists(
    st.dictionaries(
        st.sampled_from(("trace_id", "span_id", "trace_id_high", "attributes", "name", "time_unix_nano", "flags")),
        _values,
        max_size=5,
    ),
    max_size=2,
)
_spans = st.builds(
    lambda fields, known: known | fields,
    st.dictionaries(_names, _values, max_size=4),
    st.fixed_dictionaries(
        {
            "trace_id": _numbers,
            "span_id": _numbers,
            "start": _numbers,
            "duration": _numbers,
            "name": st.text(max_size=9),
        },
        optional={"meta": _tags, "metrics": _tags, "span_links": _parts, "span_events": _parts},
    ),
)


def check(form: str, body: bytes) -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = decode(body, HEADS[form])
    except BadInput:
        return 0
    parsed = ExportTraceServiceRequest.FromString(batch.request)
    spans = [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len(spans) == batch.spans
    assert all(len(s.trace_id) == 16 and any(s.trace_id) and len(s.span_id) == 8 and any(s.span_id) for s in spans)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert all(len({one.key for one in span.attributes}) == len(span.attributes) for span in spans)
    assert parsed.SerializeToString() == batch.request
    return batch.spans + sum(batch.rejected.values())


@long
@given(st.binary(max_size=300), st.sampled_from(sorted(HEADS)))
def test_any_bytes_are_taken_or_refused(body: bytes, form: str) -> None:
    check(form, body)


@long
@given(_values, st.sampled_from(("v0.4", "v0.5")))
def test_any_msgpack_is_taken_or_refused(value: object, form: str) -> None:
    check(form, msgpack.packb(value))


@long
@given(st.lists(st.lists(_spans, max_size=3), max_size=2))
def test_every_span_of_whatever_values_is_taken_or_counted(chunks: list[list[object]]) -> None:
    assert check("v0.4", msgpack.packb(chunks)) == sum(map(len, chunks))


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    form, body = data.draw(st.sampled_from(CAPTURED))
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        how = data.draw(st.sampled_from(("flip", "cut", "double")))
        if how == "flip":
            broken[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del broken[at : at + data.draw(st.integers(1, 8))]
        else:
            broken[at:at] = broken[at : at + 8]
    check(form, bytes(broken))
