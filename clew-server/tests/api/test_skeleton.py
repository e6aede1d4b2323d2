"""The columns of a trace: no span is lost whatever its parents say, and the marks are right."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.api.skeleton import MAX_SECTIONS, columns_of, skeleton_from_trace
from clew_server.model.columns import (
    ADJUSTED,
    EVENTS,
    FAILED,
    HANDLED,
    LINKS,
    MISPLACED,
    MISSING,
    ORIGIN,
    ROOT,
    SAME_ID,
)
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans

T0 = 1_795_000_000_000_000_000
ARRIVAL = T0 + 5_000_000_000


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def stored(
    number: int,
    parent: int = 0,
    start: int = 0,
    duration: int = 10,
    *,
    service: str = "cart",
    name: str = "n",
    failed: bool = False,
    kind: Span.SpanKind = Span.SPAN_KIND_INTERNAL,
    start_unix_nano: int | None = None,
) -> StoredSpan:
    begin = T0 + start if start_unix_nano is None else start_unix_nano
    span = Span(
        trace_id=b"t" * 16,
        span_id=span_id(number),
        parent_span_id=span_id(parent) if parent else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=begin,
        end_time_unix_nano=begin + duration,
    )
    if failed:
        span.status.code = 2
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = service
    return StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), ARRIVAL)


def skeleton(spans: Iterable[StoredSpan]) -> dict[str, Any]:
    return columns_of(trace_from_spans(spans))


def rows(columns: dict[str, Any]) -> list[int]:
    text = columns["span_id"]
    return [int(text[at : at + 16], 16) for at in range(0, len(text), 16)]


def flags(columns: dict[str, Any]) -> dict[int, int]:
    return dict(zip(rows(columns), columns["flags"], strict=True))


def test_rows_are_depth_first_with_children_by_start() -> None:
    columns = skeleton(
        [
            stored(3, parent=1, start=5, duration=2, service="db", name="SELECT"),
            stored(4, parent=2, start=2, duration=1),
            stored(2, parent=1, start=1, duration=3, kind=Span.SPAN_KIND_CLIENT),
            stored(1),
        ]
    )
    etag = columns.pop("etag")
    assert columns == {
        "t0": str(T0),
        "services": ["cart", "db"],
        "names": ["n", "SELECT"],
        "span_id": "".join(span_id(number).hex() for number in (1, 2, 4, 3)),
        "parent": [ROOT, 0, 1, 0],
        "missing": [],
        "start": [0, 1, 2, 5],
        "dur": [10, 3, 1, 2],
        "self": [5, 2],
        "negative": [],
        "svc": [0, 0, 0, 1],
        "name": [0, 0, 0, 1],
        "kind": [1, 3, 1, 1],
        "flags": [0, 0, 0, 0],
        "shifted": [],
        "critical": [(0, 0, 1), (1, 1, 2), (2, 2, 3), (1, 3, 4), (0, 4, 5), (3, 5, 7), (0, 7, 10)],
        "total": 4,
    }
    assert len(etag) == 32


def test_a_span_that_ends_before_it_begins_is_marked_with_its_negative_length() -> None:
    columns = skeleton(
        [stored(1, duration=1_000), stored(2, parent=1, start=5, duration=-200), stored(3, parent=1, duration=0)]
    )
    by_row = dict(columns["negative"])
    assert {rows(columns)[row]: length for row, length in by_row.items()} == {2: -200}
    assert flags(columns)[2] & MISPLACED
    assert not flags(columns)[3] & MISPLACED
    other = skeleton(
        [stored(1, duration=1_000), stored(2, parent=1, start=5, duration=-201), stored(3, parent=1, duration=0)]
    )
    assert other["etag"] != columns["etag"]


def test_spans_of_a_clock_that_differs_say_how_far_they_are_to_be_moved() -> None:
    second = 1_000_000_000
    called = stored(3, parent=2, start=0, duration=second // 2, service="stock", kind=Span.SPAN_KIND_SERVER)
    columns = skeleton(
        [
            stored(1, start=3 * second, duration=second, service="shop"),
            stored(2, parent=1, start=3 * second, duration=second, service="shop", kind=Span.SPAN_KIND_CLIENT),
            called,
        ]
    )
    assert {rows(columns)[row]: by for row, by in columns["shifted"]} == {3: 3 * second + second // 4}
    assert columns["start"][rows(columns).index(3)] == 0


def test_a_span_without_an_end_has_no_negative_length() -> None:
    assert skeleton([stored(1, duration=-T0)])["negative"] == []


def test_the_origin_is_the_failed_span_without_a_failed_descendant() -> None:
    marks = flags(
        skeleton(
            [stored(1, failed=True), stored(2, 1), stored(3, 2, failed=True), stored(4, 2), stored(5, 1, failed=True)]
        )
    )
    assert {number: mark & (FAILED | ORIGIN) for number, mark in marks.items()} == {
        1: FAILED,
        2: 0,
        3: FAILED | ORIGIN,
        4: 0,
        5: FAILED | ORIGIN,
    }


def test_an_origin_below_spans_that_all_succeeded_is_marked_as_handled() -> None:
    handled = flags(skeleton([stored(1), stored(2, 1), stored(3, 2, failed=True)]))
    assert handled == {1: 0, 2: 0, 3: FAILED | ORIGIN | HANDLED}
    for root in (stored(1, failed=True), stored(4)):
        assert flags(skeleton([root, stored(2, 1), stored(3, 2, failed=True)]))[3] == FAILED | ORIGIN


def test_events_and_links_are_marked() -> None:
    span = Span.FromString(stored(1).span)
    span.events.add(name="e")
    with_event = span.SerializeToString()
    span.span_id = span_id(2)
    span.links.add(trace_id=b"x" * 16)
    marks = flags(skeleton([stored(1)._replace(span=with_event), stored(1)._replace(span=span.SerializeToString())]))
    assert marks == {1: EVENTS, 2: EVENTS | LINKS}


def test_a_span_outside_its_parent_by_more_than_the_noise_of_clocks_or_that_ends_before_it_begins_is_marked() -> None:
    ms = 1_000_000
    backwards = Span.FromString(stored(8, 1, start=4).span)
    backwards.end_time_unix_nano -= 11
    marks = flags(
        skeleton(
            [
                stored(1, start=0, duration=500 * ms),  # 1 % of it: 5 ms
                stored(2, 1, start=-5 * ms, duration=20 * ms),
                stored(3, 1, start=-5 * ms - 1, duration=20 * ms),
                stored(4, 1, start=495 * ms, duration=10 * ms),
                stored(5, 1, start=495 * ms, duration=10 * ms + 1),
                stored(6, 2, start=-6 * ms, duration=ms),
                stored(7, 2, start=-6 * ms - 1, duration=ms),
                stored(8)._replace(span=backwards.SerializeToString()),
            ]
        )
    )
    assert marks == {1: 0, 2: 0, 3: MISPLACED, 4: 0, 5: MISPLACED, 6: 0, 7: MISPLACED, 8: MISPLACED}


@pytest.mark.parametrize("start_unix_nano", [0, 1, 946_684_799_999_999_999, 4_102_444_800_000_000_000, 2**64 - 11])
def test_a_time_nobody_can_mean_is_placed_at_the_arrival(start_unix_nano: int) -> None:
    columns = skeleton([stored(1), stored(2, 1, start_unix_nano=start_unix_nano)])
    assert columns["start"] == [0, ARRIVAL - T0]
    assert columns["flags"] == [0, ADJUSTED]
    assert columns["dur"] == [10, 10 if start_unix_nano else 0]


def test_a_missing_parent_is_named() -> None:
    columns = skeleton([stored(1), stored(2, 99, start=1), stored(3, 2, start=2)])
    assert rows(columns) == [1, 2, 3]
    assert columns["parent"] == [ROOT, MISSING, 1]
    assert columns["missing"] == [[1, span_id(99).hex()]]


def test_a_repeated_span_is_there_once_and_two_with_one_id_are_both_there_and_marked() -> None:
    columns = skeleton([stored(1), stored(1), stored(2, 1), stored(2, 1, name="other"), stored(3, 2)])
    assert columns["total"] == 4
    assert sorted(rows(columns)) == [1, 2, 2, 3]
    assert {number: mark & SAME_ID for number, mark in flags(columns).items()} == {1: 0, 2: SAME_ID, 3: 0}


def test_children_of_an_id_that_client_and_server_share_hang_on_the_server() -> None:
    columns = skeleton(
        [
            stored(1, duration=100),
            stored(2, 1, start=1, duration=50, kind=Span.SPAN_KIND_CLIENT, name="client"),
            stored(2, 1, start=2, duration=40, kind=Span.SPAN_KIND_SERVER, name="server"),
            stored(3, 2, start=3),
        ]
    )
    assert rows(columns) == [1, 2, 2, 3]
    assert columns["names"][columns["name"][2]] == "server"
    assert columns["flags"] == [0, 0, 0, 0]  # that is as it should be
    assert columns["parent"] == [ROOT, 0, 1, 2]


@pytest.mark.parametrize("server_parent", [1, 2, 0, 99])
def test_a_server_hangs_on_the_client_whose_id_it_shares_whatever_parent_it_names_and_even_when_it_starts_first(
    server_parent: int,
) -> None:
    columns = skeleton(
        [
            stored(1, duration=100),
            stored(2, 1, start=5, duration=50, kind=Span.SPAN_KIND_CLIENT, name="client"),
            stored(2, server_parent, start=2, duration=40, kind=Span.SPAN_KIND_SERVER, name="server"),
            stored(2, server_parent, start=60, duration=5, kind=Span.SPAN_KIND_SERVER, name="server again"),
        ]
    )
    assert columns["parent"] == [ROOT, 0, 1, 1]
    assert [columns["names"][name] for name in columns["name"]][1:] == ["client", "server", "server again"]
    assert [mark & SAME_ID for mark in columns["flags"]] == [0, SAME_ID, SAME_ID, SAME_ID]


def test_two_servers_or_two_consumers_with_one_id_do_not_hang_on_each_other() -> None:
    for kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER):
        columns = skeleton([stored(1), stored(2, 1, kind=kind, name="one"), stored(2, 1, kind=kind, name="other")])
        assert columns["parent"] == [ROOT, 0, 0]


def test_a_client_below_the_span_that_its_own_server_calls_is_a_ring_and_loses_nothing() -> None:
    columns = skeleton(
        [
            stored(2, 3, start=1, kind=Span.SPAN_KIND_CLIENT),
            stored(2, 3, start=2, kind=Span.SPAN_KIND_SERVER),
            stored(3, 2, start=3),
        ]
    )
    assert rows(columns) == [2, 2, 3]
    assert columns["parent"] == [ROOT, 0, 1]


def test_rings_of_parents_lose_nothing_and_open_at_their_earliest_span() -> None:
    columns = skeleton(
        [stored(1, 1), stored(2, 4, start=3), stored(3, 2, start=2), stored(4, 3, start=5), stored(5, 4)]
    )
    assert sorted(rows(columns)) == [1, 2, 3, 4, 5]
    parents = {number: columns["parent"][at] for at, number in enumerate(rows(columns))}
    assert parents[1] == ROOT
    assert parents[3] == ROOT  # the earliest of the ring 2 3 4
    assert rows(columns)[parents[5]] == 4


def test_twenty_thousand_levels_are_borne() -> None:
    columns = skeleton([stored(number, number - 1) for number in range(1, 20_001)])
    assert columns["parent"] == list(range(-1, 19_999))


def test_a_span_that_does_not_parse_is_left_out() -> None:
    assert skeleton([stored(1), stored(2)._replace(span=b"\x0a\xff")])["total"] == 1
    assert skeleton([])["total"] == 0


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 14), st.integers(0, 20), st.booleans()), max_size=25),
    st.randoms(),
)
def test_any_parents_make_a_forest_of_all_spans_whatever_the_order(
    drawn: list[tuple[int, int, int, bool]], chance: random.Random
) -> None:
    spans = [stored(number, parent, start, failed=failed) for number, parent, start, failed in drawn]
    columns = skeleton(spans)
    assert columns["total"] == len(set(spans)) == len(rows(columns))
    depth: list[int] = []
    for row, parent in enumerate(columns["parent"]):
        assert parent < row  # depth first: a parent stands above its children
        depth.append(depth[parent] + 1 if parent >= 0 else 0)
        assert row == 0 or depth[row] <= depth[row - 1] + 1
    assert [row for row, parent in enumerate(columns["parent"]) if parent == MISSING] == [
        row for row, _ in columns["missing"]
    ]
    failed = [row for row, mark in enumerate(columns["flags"]) if mark & FAILED]
    above = set()
    for row in failed:
        parent = columns["parent"][row]
        while parent >= 0:
            above.add(parent)
            parent = columns["parent"][parent]
    assert [row for row in failed if row not in above] == [
        row for row, mark in enumerate(columns["flags"]) if mark & ORIGIN
    ]
    chance.shuffle(spans)
    assert skeleton(spans + spans) == columns


def test_the_time_of_a_skeleton_grows_with_the_spans_and_not_with_their_square() -> None:
    """Against its own time for a tenth of the spans, in the same run: ten times as long, a hundred if it were the square."""
    chance = random.Random(1)
    spans = [
        stored(number, chance.randrange(number), chance.randrange(1_000), service=f"s{number % 11}")
        for number in range(1, 40_001)
    ]

    def cpu_s(some: list[StoredSpan]) -> float:
        best = float("inf")
        for _ in range(3):
            before = time.thread_time()
            skeleton(some)
            best = min(best, time.thread_time() - before)
        return best

    assert cpu_s(spans) < 40 * cpu_s(spans[:4_000])


def test_the_critical_path_and_the_shifts_of_clocks_are_columns_and_the_etag_covers_them() -> None:
    def trace(late_ns: int) -> dict[str, Any]:
        ms = 1_000_000
        return skeleton(
            [
                stored(1, duration=100 * ms),
                stored(2, 1, start=10 * ms, duration=50 * ms, kind=Span.SPAN_KIND_CLIENT),
                stored(3, 2, start=20 * ms + late_ns, duration=30 * ms, kind=Span.SPAN_KIND_SERVER, service="pay"),
            ]
        )

    there, late = trace(0), trace(3_000_000_000)
    assert there["shifted"] == []
    assert late["shifted"] == [(2, -3_000_000_000)]
    assert late["critical"] == there["critical"]
    assert late["start"][2] == 3_020_000_000
    assert sum(upto - begin for _, begin, upto in late["critical"]) == 100_000_000
    assert late["etag"] != there["etag"]


def test_a_trace_without_a_length_has_a_path_of_its_root_and_columns_are_json() -> None:
    trace = trace_from_spans([stored(1, duration=0)])
    parsed = json.loads(skeleton_from_trace(trace).json)
    assert parsed["critical"] == [[0, 0, 0]]
    assert parsed == json.loads(json.dumps(columns_of(trace)))


def test_of_a_path_of_very_many_sections_the_longest_are_columns() -> None:
    count = 6_000
    spans = [stored(1, duration=count * 100)]
    spans += [stored(2 + at, 1, start=at * 100, duration=60 if at % 2 else 40) for at in range(count)]
    critical = skeleton(spans)["critical"]
    assert len(critical) == MAX_SECTIONS
    assert critical == sorted(critical, key=lambda section: section[1])
    assert min(upto - begin for _, begin, upto in critical) == 40
    assert sum(upto - begin == 60 for _, begin, upto in critical) == count
