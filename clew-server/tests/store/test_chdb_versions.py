"""When each version of a service was first seen, against counting by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.points import Version, latest_versions, newer_versions

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND
HOUR = 3_600 * SECOND

Seen = dict[tuple[str, str], list[int]]


@pytest.fixture(scope="module")
def releases(opened: Any) -> tuple[Any, Seen]:
    chance = random.Random(3)
    seen: Seen = defaultdict(list)
    request = ExportTraceServiceRequest()
    for _ in range(60):  # one process each: the same version has several resources
        service, version = chance.choice(["cart", "bank", "süd"]), chance.choice(["", "2.4.0", "2.4.1", "a 'b\\"])
        of_process = request.resource_spans.add()
        of_process.resource.attributes.add(key="service.name").value.string_value = service
        of_process.resource.attributes.add(key="process.pid").value.int_value = chance.randrange(10_000)
        if version:
            of_process.resource.attributes.add(key="service.version").value.string_value = version
        for _ in range(3):
            start = NOW - chance.randrange(40 * HOUR)
            of_process.scope_spans.add().spans.add(
                trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name="x", start_time_unix_nano=start
            )
            if version:
                seen[service, version].append(start)
    opened.put([request])
    return opened.store.versions, seen


@pytest.mark.parametrize(("from_ns", "to_ns"), [(0, 1 << 62), (NOW - 7 * HOUR, NOW + 1), (NOW - 30 * HOUR, NOW - HOUR)])
def test_each_version_is_seen_first_when_its_first_span_of_the_time_starts(
    releases: Any, from_ns: int, to_ns: int
) -> None:
    versions, seen = releases
    within = {one: [at for at in starts if from_ns <= at < to_ns] for one, starts in seen.items()}
    expected = {Version(*one, min(starts)) for one, starts in within.items() if starts}
    found = versions.versions(from_ns, to_ns)
    assert found.missing is None
    assert set(found.found) == expected
    assert len(found.found) == len(expected) > 3


def test_a_version_is_new_where_the_service_had_another_one_before() -> None:
    seen = [
        Version("cart", "1", 10),
        Version("cart", "2", 50),
        Version("cart", "3", 40),
        Version("bank", "1", 60),  # the service begins with it
        Version("gate", "7", 5),
        Version("gate", "6", 7),  # before the time that is asked for
    ]
    assert newer_versions(seen, 20) == [Version("cart", "3", 40), Version("cart", "2", 50)]
    assert newer_versions([], 20) == []


def test_of_many_versions_the_latest_are_told_and_that_there_are_more() -> None:
    seen = [Version("cart", str(number), number) for number in range(60)]
    found = latest_versions(seen, "a file is gone")
    assert (found.versions, found.complete) == (seen[10:], False)
    assert found.reason == "the 50 that came up last of 60; a file is gone"
    assert latest_versions(seen[:50], None).complete
