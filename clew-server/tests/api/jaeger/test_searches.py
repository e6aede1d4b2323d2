"""Jaeger's parameters: ids, lengths of time, searches."""

from __future__ import annotations

from typing import Any

import pytest

from clew_server.api.jaeger.ids import jaeger_id, trace_id_from_jaeger
from clew_server.api.jaeger.searches import JaegerSearch, duration_ns, search_from_api, search_from_v3
from clew_server.errors import BadInput
from clew_server.model.search import SpanCondition

NOW = 1_795_000_000_000_000_000
HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0), ("1ns", 1), ("1us", 1_000), ("1µs", 1_000), ("1μs", 1_000), ("1.5ms", 1_500_000), ("300ms", 300_000_000),
        ("1.000000001s", 1_000_000_001), ("1h30m", 5_400_000_000_000), (".5s", 500_000_000), ("2.s", 2_000_000_000),
    ],
)  # fmt: skip
def test_a_length_of_time_is_read_as_go_reads_it(text: str, nanoseconds: int) -> None:
    assert duration_ns("d", text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "-1s", "1 s", "s", "1s1", "1d", "9999999999999h", "1e3s", "١s", "."])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="'d'"):
        duration_ns("d", text)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("4BF92F3577B34DA6", "00000000000000004bf92f3577b34da6"),
        ("1", "0" * 31 + "1"),
        ("S/kvNXezTaajzpKdDg5HNg==", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("S_kvNXezTaajzpKdDg5HNg", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ],
)
def test_a_trace_id_is_read_in_each_of_jaegers_forms(text: str, digits: str) -> None:
    assert trace_id_from_jaeger(text) == digits


@pytest.mark.parametrize(
    "text", ["", "0", "0" * 32, "g", "1" * 33, "S/kvNXezTaajzpKdDg5H", "S/kvNXezTaajzpKdDg5HNg===="]
)
def test_what_is_no_trace_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        trace_id_from_jaeger(text)


def test_a_short_trace_id_is_written_short() -> None:
    assert jaeger_id("0" * 16 + "4bf92f3577b34da6") == "4bf92f3577b34da6"
    assert jaeger_id("4bf92f3577b34da6" + "0" * 16) == "4bf92f3577b34da6" + "0" * 16


def api(**parameters: Any) -> JaegerSearch:
    lists = {name: value if isinstance(value, list) else [value] for name, value in parameters.items()}
    return search_from_api(lists, NOW)


def test_a_search_without_times_looks_back_two_days_and_no_further() -> None:
    search = api(service="a")
    assert (search.start_min_unix_nano, search.start_max_unix_nano) == (NOW - 48 * HOUR, NOW)
    for lookback, hours in (("1h", 1), ("2d", 48), ("1w", 168), ("custom", 48), ("", 48)):
        assert api(service="a", lookback=lookback).start_min_unix_nano == NOW - hours * HOUR


def test_all_parameters_become_conditions_on_one_span() -> None:
    search = api(
        service="a", operation="b", minDuration="1ms", maxDuration="2ms", limit="7",
        start="1", end="2", tag=["k:v:w", "error:true"], tags=['{"n":5,"f":72.5,"b":true,"z":null}'],
    ).search()  # fmt: skip
    assert search.span == (
        SpanCondition("service", "=", "a"),
        SpanCondition("name", "=", "b"),
        SpanCondition("dur", ">=", 1_000_000),
        SpanCondition("dur", "<=", 2_000_000),
        SpanCondition("anywhere", "=", "v:w", "k"),
        SpanCondition("status", "=", "error"),
        SpanCondition("anywhere", "=", "5", "n"),
        SpanCondition("anywhere", "=", "72.5", "f"),
        SpanCondition("anywhere", "=", "true", "b"),
        SpanCondition("anywhere", "=", "", "z"),
    )
    assert (search.span_from_unix_nano, search.span_to_unix_nano, search.limit) == (1_000, 2_000, 7)


@pytest.mark.parametrize(("limit", "taken"), [("0", 100), ("-5", 100), ("1500", 1_000), ("20", 20)])
def test_a_limit_is_what_a_search_can_give(limit: str, taken: int) -> None:
    assert api(service="a", limit=limit).search().limit == taken


def test_the_names_of_v3_are_read_in_both_spellings() -> None:
    for spelled in (
        {"serviceName": "a", "startTimeMin": "2026-11-18T00:00:00Z", "startTimeMax": "2026-11-18T01:00:00.000000005Z", "searchDepth": "3"},
        {"service_name": "a", "start_time_min": "2026-11-18T00:00:00Z", "start_time_max": "2026-11-18T02:00:00.000000005 01:00", "num_traces": "3"},
    ):  # fmt: skip
        search = search_from_v3({f"query.{name}": [value] for name, value in spelled.items()}, NOW)
        assert search.service == "a"
        assert search.start_max_unix_nano - search.start_min_unix_nano == HOUR + 5
        assert search.limit == 3


def test_more_tags_than_a_person_writes_are_refused() -> None:
    with pytest.raises(BadInput, match="tags"):
        api(service="a", tag=[f"k{number}:v" for number in range(65)])
