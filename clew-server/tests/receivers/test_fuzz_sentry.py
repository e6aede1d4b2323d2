"""Whatever bytes come as Sentry's, the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.sentry.decoder import decode
from clew_server.testing import sentry

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
HEADS = {
    "envelope": Head("/api/7/envelope/", parts={"project": "7"}),
    "store": Head("/api/7/store/", parts={"project": "7"}),
}
CAPTURED = [path.read_bytes() for path in sorted((Path(__file__).parent / "golden/sentry").glob("*.envelope"))]
TRACE, SPAN = "96ac6e089b6ed559073b275eb478e41d", "a4b1c2d3e4f50617"

_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)
_ids = st.sampled_from((TRACE, SPAN, "0" * 32, "x")) | _values
_names = st.sampled_from(
    (
        *(
            "trace_id",
            "span_id",
            "parent_span_id",
            "op",
            "description",
            "status",
            "start_timestamp",
            "timestamp",
            "data",
        ),
        *(
            "tags",
            "measurements",
            "links",
            "name",
            "attributes",
            "end_timestamp",
            "is_segment",
            "level",
            "body",
            "items",
        ),
    )
)
_ops = st.sampled_from(("db", "http.client", "http.server", "queue.task.x", ""))
_spans = st.builds(
    lambda known, fields: known | fields,
    st.fixed_dictionaries({"trace_id": _ids, "span_id": _ids, "op": _ops, "description": st.text(max_size=20)}),
    st.dictionaries(
        _names, _values | st.dictionaries(st.sampled_from(("url", "http.query", "value")), _values), max_size=5
    ),
)
_events = st.builds(
    lambda trace, fields: {"contexts": {"trace": trace}, **fields},
    _spans,
    st.dictionaries(
        st.sampled_from(
            (
                *("type", "transaction", "contexts", "tags", "user", "request", "breadcrumbs", "exception", "message"),
                *("logentry", "release", "sdk", "platform", "timestamp", "level", "extra", "measurements", "new"),
            )
        ),
        _values,
        max_size=5,
    ),
)


def check(body: bytes, form: str = "envelope") -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = decode(body, HEADS[form])
    except BadInput:
        return 0
    return check_foreign(batch)


@long
@given(st.binary(max_size=300), st.sampled_from(sorted(HEADS)))
def test_any_bytes_are_taken_or_refused(body: bytes, form: str) -> None:
    check(body, form)
    check(b"{}\n" + body, form)


@long
@given(_values, st.sampled_from(("transaction", "event", "span", "log", "other")))
def test_any_json_is_taken_or_refused(value: object, type_: str) -> None:
    check(sentry.envelope((type_, value)))
    check(json.dumps(value).encode(), "store")


@long
@given(_events, st.lists(_spans, max_size=3))
def test_every_span_of_whatever_values_is_taken_or_counted(event: dict[str, object], spans: list[object]) -> None:
    assert check(sentry.envelope(("transaction", {**event, "spans": spans}))) == 1 + len(spans)
    assert check(sentry.envelope(("span", sentry.contained(spans)))) == len(spans)
    check(sentry.envelope(("event", event), ("log", sentry.contained(spans))))


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    check(broken(data, data.draw(st.sampled_from(CAPTURED))))
