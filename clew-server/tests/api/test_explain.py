"""The explanation of any trace, however its spans lie: it is made, its parts fit together, and order of arrival does not show."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.api.explain import MOST_FAILURES, MOST_SECTIONS, explanation
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans
from clew_server.model.usual import NOTHING, Durations, Operation, Usual, Within

T0 = 1_795_000_000_000_000_000
MS = 1_000_000
NAMES = ("GET", "SELECT", "publish", "")
SERVICES = ("web", "shop", "")
ATTRIBUTES = (
    ("db.query.text", "SELECT 1"), ("server.address", "db"), ("db.client.connection.wait_time", "0.5"),
    ("messaging.servicebus.message.enqueued_time", "1"), ("http.response.status_code", "503"),
)  # fmt: skip


def usual(chance: random.Random) -> Usual:
    """Few values, many of them zero."""
    counted = Durations(40, 0, MS, chance.choice([0, MS]), 2 * MS, 0, 0, [MS] * 99)
    within = Within(chance.choice([1, 40]), chance.choice([1, 40]), 0, 0, chance.choice([0, MS]), 1.0, 2.0, 0, 0)
    every = [Operation(service, name) for service in SERVICES for name in NAMES]
    return Usual(counted, dict.fromkeys(every, counted), dict.fromkeys(every, within), chance.choice([0, 40]))


def spans(chance: random.Random) -> list[StoredSpan]:
    made = []
    for number in range(1, chance.randint(2, 25)):
        start = T0 + chance.choice([0, 0, 100, 500, 2_000]) * MS + chance.randint(0, 3) * MS
        span = Span(
            trace_id=b"t" * 16,
            span_id=chance.randint(max(1, number - 1), number).to_bytes(8, "big"),
            parent_span_id=chance.randint(0, number).to_bytes(8, "big"),
            name=chance.choice(NAMES),
            kind=chance.randint(0, 5),  # type: ignore[arg-type]
            start_time_unix_nano=chance.choice([start, start, start, start, 0]),
            end_time_unix_nano=start + chance.choice([-1, 0, 1, 100, 500, 2_000, 2_010]) * MS,
        )
        if chance.random() < 0.3:
            span.status.code = 2  # type: ignore[assignment]
            span.status.message = chance.choice(["", "deadline", "no\nway"])
        if chance.random() < 0.3:
            key, value = chance.choice(ATTRIBUTES)
            attribute = KeyValue(key=key)
            attribute.value.string_value = value
            span.attributes.append(attribute)
        if chance.random() < 0.2:
            span.links.add(span_id=chance.randint(1, number).to_bytes(8, "big"))
        resource = Resource()
        resource.attributes.add(key="service.name").value.string_value = chance.choice(SERVICES)
        resource.attributes.add(key="host.name").value.string_value = chance.choice("ab")
        made.append(StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), T0))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_any_trace_has_an_explanation_whose_parts_fit_together(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(30):
        came = spans(chance)
        known = chance.choice([NOTHING, usual(chance)])
        made = explanation(trace_from_spans(came), known, T0 + 10**12)
        answer = json.loads(made.json)
        assert answer["etag"] == made.etag

        root_ns = int(answer["root"]["duration_ns"])
        path = answer["critical_path"]
        assert all(one["end_unix_nano"] == other["start_unix_nano"] for one, other in itertools.pairwise(path))
        assert sum(int(one["end_unix_nano"]) - int(one["start_unix_nano"]) for one in path) == root_ns
        assert sum(int(share["critical_ns"]) for share in answer["shares"]) == root_ns
        ids = {Span.FromString(one.span).span_id.hex() for one in came}
        for finding in answer["findings"]:
            assert 0 <= finding["share"] <= 1
            assert finding["text"]
            assert finding["span_ids"]
            assert set(finding["span_ids"]) <= ids
            about_failures = ("failure", "abandoned_failure", "handled_failure", "missing")
            assert finding["share"] >= 0.1 or finding["kind"] in about_failures
        assert answer["summary"].endswith((".", "!", "?", "…"))
        assert (answer["verdict"] == "failed") == bool(answer["origin"])
        assert answer["origin"] == [one["span_id"] for one in answer["failures"] if one["role"] == "origin"]

        chance.shuffle(came)
        assert explanation(trace_from_spans([*came, *came[:3]]), known, T0 + 10**12).json == made.json


def large(calls: int) -> list[StoredSpan]:
    """A root with so many calls one after the other, each a ms longer than the one before and failed."""
    start, made = T0, []
    for number in range(1, calls + 1):
        end = start + number * MS
        call = Span(trace_id=b"t" * 16, span_id=(number + 1).to_bytes(8, "big"), parent_span_id=(1).to_bytes(8, "big"))
        call.start_time_unix_nano, call.end_time_unix_nano = start, end
        call.status.code = 2  # type: ignore[assignment]
        made.append(call)
        start = end + MS // 2
    root = Span(trace_id=b"t" * 16, span_id=(1).to_bytes(8, "big"), start_time_unix_nano=T0, end_time_unix_nano=start)
    root.status.code = 2  # type: ignore[assignment]
    return [StoredSpan(b"", "", b"", "", span.SerializeToString(), T0) for span in (root, *made)]


def test_of_a_very_large_trace_the_longest_sections_and_the_first_failures_are_told_and_how_much_is_left() -> None:
    calls = MOST_SECTIONS + 500
    made = explanation(trace_from_spans(large(calls)), NOTHING, T0 + 10**12)
    answer = json.loads(made.json)
    path = answer["critical_path"]
    assert len(path) <= 2 * MOST_SECTIONS + 1
    assert all(one["end_unix_nano"] == other["start_unix_nano"] for one, other in itertools.pairwise(path))
    lengths = [int(one["end_unix_nano"]) - int(one["start_unix_nano"]) for one in path]
    assert sum(lengths) == int(answer["root"]["duration_ns"])
    folded = [(one["sections"], length) for one, length in zip(path, lengths, strict=True) if "sections" in one]
    assert sum(one.get("sections", 1) for one in path) == 2 * calls
    left_out = answer["left_out"]
    assert (left_out["sections"], int(left_out["sections_ns"])) == tuple(map(sum, zip(*folded, strict=True)))
    assert len(answer["origin"]) == MOST_FAILURES
    assert [one["role"] for one in answer["failures"]] == ["origin"] * MOST_FAILURES + ["propagated"]
    assert left_out["origin"] == left_out["failures"] == calls - MOST_FAILURES
    assert len(made.json) < 1_000_000


def test_nothing_is_left_out_of_a_small_trace() -> None:
    answer = json.loads(explanation(trace_from_spans(large(50)), NOTHING, T0 + 10**12).json)
    assert "left_out" not in answer
    assert len(answer["critical_path"]) == 100
    assert not any("sections" in one for one in answer["critical_path"])
