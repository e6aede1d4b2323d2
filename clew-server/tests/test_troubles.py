"""What is wrong is said while it lasts: since when, when last, how often, and in which words."""

from __future__ import annotations

import dataclasses

from clew_server.api.health import metrics_text
from clew_server.api.openapi import DOCUMENT
from clew_server.status import Status
from clew_server.troubles import KINDS, Troubles

EMPTY = Status(
    version="0",
    started_unix_nano=0,
    rejected_spans={},
    dropped_signals={"log": 0},
    troubles=(),
    receivers=(),
    **{one.name: 0 for one in dataclasses.fields(Status) if one.type == "int" and one.name != "started_unix_nano"},
)


class Clock:
    now_s = 1_000.0

    def ns(self) -> int:
        return int(self.now_s * 1e9)

    def s(self) -> float:
        return self.now_s


def test_a_trouble_lasts_until_it_is_settled_and_begins_anew_after() -> None:
    clock = Clock()
    troubles = Troubles(clock_ns=clock.ns, monotonic_s=clock.s)
    assert troubles.now() == []
    troubles.note("retention", "first")
    clock.now_s += 60
    troubles.note("retention", "second")
    (one,) = troubles.now()
    assert one.status().as_json() == {
        "what": "retention",
        "since_unix_nano": "1000000000000",
        "last_unix_nano": "1060000000000",
        "count": 2,
        "message": "second",
    }
    troubles.settle("retention")
    assert troubles.now() == []
    clock.now_s += 60
    troubles.note("retention", "third")
    assert [(t.count, t.since_unix_nano) for t in troubles.now()] == [(1, 1_120_000_000_000)]


def test_a_trouble_that_nobody_settles_fades_after_the_last_time_it_was_met() -> None:
    clock = Clock()
    troubles = Troubles(clock_ns=clock.ns, monotonic_s=clock.s)
    troubles.note("query", "a", fades_after_s=100)
    clock.now_s += 99
    troubles.note("query", "b", fades_after_s=100)
    clock.now_s += 99
    assert [t.count for t in troubles.now()] == [2]
    clock.now_s += 2
    assert troubles.now() == []


def test_what_others_count_is_shown_as_it_is_now() -> None:
    clock = Clock()
    troubles = Troubles(clock_ns=clock.ns, monotonic_s=clock.s)
    troubles.observe("writer", "disk full", count=3, since_unix_nano=7)
    clock.now_s += 5
    troubles.observe("writer", "disk full", count=3, since_unix_nano=7)
    assert [(t.since_unix_nano, t.last_unix_nano, t.count) for t in troubles.now()] == [(7, 1_000_000_000_000, 3)]
    troubles.observe("writer", "disk full", count=4, since_unix_nano=7)
    assert [(t.last_unix_nano, t.count) for t in troubles.now()] == [(1_005_000_000_000, 4)]
    troubles.observe("writer", None)
    assert troubles.now() == []


def test_every_kind_of_trouble_is_a_metric_whether_it_lasts_or_not() -> None:
    clock = Clock()
    troubles = Troubles(clock_ns=clock.ns)
    troubles.note("writer", "disk full")
    status = dataclasses.replace(EMPTY, troubles=tuple(trouble.status() for trouble in troubles.now()))
    text = metrics_text(status).decode()
    for what in KINDS:
        assert f'clew_trouble{{what="{what}"}} {1.0 if what == "writer" else 0.0}' in text
    assert 'clew_trouble_since_seconds{what="writer"} 1000.0' in text
    assert DOCUMENT["components"]["schemas"]["Trouble"]["properties"]["what"]["enum"] == list(KINDS)
