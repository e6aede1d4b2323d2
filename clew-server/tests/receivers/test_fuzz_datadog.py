"""Whatever bytes come as Datadog's, the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.datadog.decoder import decode

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
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
    return check_foreign(batch)


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
    made = broken(data, body)
    check(form, made)
