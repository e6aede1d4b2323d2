"""Whatever bytes come as Zipkin spans, the decoder says yes, or no in its own words; what it says yes to is canonical."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.zipkin.decoder import decode

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from zipkin_bytes import HEADS

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "25"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
SEEDS = [
    (bytes.fromhex(path.read_text()), HEADS[".".join(path.stem.split(".")[-2:])])
    for path in sorted((Path(__file__).parent / "golden/zipkin").glob("*.hex"))
]
heads = st.sampled_from([*HEADS.values(), Head(), Head(path="/api/v1/spans")])


def check(body: bytes, head: Head) -> None:
    try:
        batch = decode(body, head)
    except BadInput:
        return
    check_foreign(batch)


@long
@given(st.binary(max_size=300), heads)
def test_any_bytes_are_taken_or_refused(body: bytes, head: Head) -> None:
    check(body, head)


@long
@given(st.sampled_from(SEEDS), st.data())
def test_a_real_request_with_flipped_cut_or_doubled_bytes_is_taken_or_refused(
    seed: tuple[bytes, Head], data: st.DataObject
) -> None:
    body, head = bytearray(seed[0]), seed[1]
    for _ in range(data.draw(st.integers(1, 5))):
        if not body:
            break
        at = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from(("flip", "cut", "double", "swap")))
        if how == "flip":
            body[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del body[at : at + data.draw(st.integers(1, 40))]
        elif how == "double":
            body[at:at] = body[at : at + data.draw(st.integers(1, 40))]
        else:
            body[at : at + 4] = data.draw(st.sampled_from((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4)))
    check(bytes(body), head)


_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(("ab" * 16, "cd" * 8, "7", "CLIENT", "SERVER", "cs", "sr", "ss", "cr", "sa", "ca", "true"))
)
_NAMES = """traceId id parentId name kind timestamp duration localEndpoint remoteEndpoint annotations binaryAnnotations tags debug
shared serviceName ipv4 ipv6 port key value endpoint error otel.status_code http.url http.path http.host telemetry.sdk.name
service.name otlp.link.0 w3c.tracestate peer.service"""
_keys = st.sampled_from(_NAMES.split())
_json: st.SearchStrategy[Any] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6), max_leaves=30
)
_texts = st.dictionaries(_keys, st.text(max_size=12), max_size=6)
_endpoints = _json | st.fixed_dictionaries(
    {}, optional={"serviceName": st.sampled_from("ab"), "port": st.integers(0, 9)}
)
_annotations = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.integers(0, 99), "value": st.sampled_from(("cs", "cr", "sr", "ss", "ms", "mr", "ws", "x"))},
        optional={"endpoint": _endpoints},
    ),
    max_size=6,
)
_fields = {
    "parentId": st.sampled_from(("a", "b", "c")) | _json,
    "kind": st.sampled_from(("CLIENT", "SERVER")) | _json,
    "shared": st.booleans(),
    "timestamp": st.integers(0, 99) | _json,
    "duration": st.integers(0, 99) | _json,
    "localEndpoint": _endpoints,
    "remoteEndpoint": _endpoints,
    "annotations": _annotations | _json,
    "tags": _texts | _json,
    "name": _json,
    "debug": _json,
}
_ids = {"traceId": st.just("ab"), "id": st.sampled_from(("a", "b", "c"))}
_v2 = st.fixed_dictionaries(_ids, optional=_fields)
_v1 = st.fixed_dictionaries(
    _ids,
    optional={
        **{key: value for key, value in _fields.items() if key not in ("kind", "localEndpoint", "tags", "shared")},
        "binaryAnnotations": st.lists(
            st.fixed_dictionaries(
                {"key": st.sampled_from(("sa", "ca", "ma", "lc", "k")), "value": _leaves},
                optional={"endpoint": _endpoints},
            ),
            max_size=4,
        ),
    },
)


@long
@given(_json, heads)
def test_any_json_is_taken_or_refused(value: Any, head: Head) -> None:
    check(json.dumps(value).encode(), head)


@long
@given(st.lists(_v2, min_size=1, max_size=5))
def test_any_v2_spans_are_taken_or_refused(spans: Any) -> None:
    check(json.dumps(spans).encode(), HEADS["v2.json"])


@long
@given(st.lists(_v1, min_size=1, max_size=5))
def test_any_v1_spans_are_taken_or_refused(spans: Any) -> None:
    check(json.dumps(spans).encode(), HEADS["v1.json"])
