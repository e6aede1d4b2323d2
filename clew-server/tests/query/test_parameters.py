"""The plain parameters of a search: what they mean beside the query, and which of them is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clew_server.errors import BadInput
from clew_server.model.query_tree import And, Braces, SpanTerm, TraceTerm, Value
from clew_server.model.search import Search
from clew_server.query.language.parameters import search_from_parameters

MS = 1_000_000
NOW = 1_795_000_000_000_000_000


def test_plain_parameters_and_the_query_hold_together() -> None:
    search = search_from_parameters(
        q="dur>1ms",
        service="cart",
        operation="GET /",
        status="error",
        min_duration_ms="2.5",
        max_duration_ms="10",
        attr=["http.url:http://x", "empty:", "n:7"],
        from_="now-1h",
        to="now",
        limit="7",
        cursor="abc",
        now_unix_nano=NOW,
    )
    span = And(
        (
            SpanTerm("service", "=", (Value("cart"),)),
            SpanTerm("name", "=", (Value("GET /"),)),
            SpanTerm("status", "=", (Value("error"),)),
            SpanTerm("attr", "=", (Value("http://x"),), "http.url"),
            SpanTerm("attr", "=", (Value(""),), "empty"),
            SpanTerm("attr", "=", (Value("7", Decimal(7)),), "n"),
            SpanTerm("dur", ">", (Value("1ms", Decimal(MS), position=4),)),
        )
    )
    assert search == Search(
        where=And(
            (
                Braces(span),
                TraceTerm("duration", ">=", (Value("2.5", Decimal(2_500_000)),)),
                TraceTerm("duration", "<=", (Value("10", Decimal(10 * MS)),)),
            )
        ),
        from_unix_nano=NOW - 3_600 * 1_000 * MS,
        to_unix_nano=NOW,
        limit=7,
        cursor="abc",
    )


def test_beside_a_query_about_several_spans_the_plain_parameters_are_about_one_more() -> None:
    where = search_from_parameters(q="{a=b} {c=d}", service="cart", now_unix_nano=NOW).where
    assert isinstance(where, And)
    assert where.parts[2] == Braces(SpanTerm("service", "=", (Value("cart"),)))
    assert len(where.parts) == 3


def test_absent_and_empty_parameters_ask_nothing() -> None:
    empty = search_from_parameters(
        q="", service="", operation="", status="", from_="", to="", limit="", cursor="", now_unix_nano=NOW
    )
    assert empty == search_from_parameters(now_unix_nano=NOW) == Search()


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-23T12:04:00Z", 1_795_435_440 * 1_000 * MS),
        ("2026-11-23T13:04:00.25+01:00", 1_795_435_440 * 1_000 * MS + 250 * MS),
        ("2026-11-23T13:04:00 01:00", 1_795_435_440 * 1_000 * MS),
        ("2026-11-23T12:04:00.123456789Z", 1_795_435_440_123_456_789),
        ("2026-11-23T13:04:00,000000001+01:00", 1_795_435_440_000_000_001),
        ("2026-11-23 12:04:00.1234567891Z", 1_795_435_440_123_456_789),
        ("20261123T120400.000000007Z", 1_795_435_440_000_000_007),
        ("1969-12-31T23:59:59.999999999Z", 0),
        ("1795435440000000001", 1_795_435_440_000_000_001),
        ("0", 0),
        ("3000-01-01T00:00:00Z", (1 << 63) - 1),
        ("9" * 30, (1 << 63) - 1),
        ("now-2d", NOW - 172_800 * 1_000 * MS),
    ],
)
def test_times_are_relative_iso_or_nanoseconds(text: str, ns: int) -> None:
    assert search_from_parameters(from_=text, now_unix_nano=NOW).from_unix_nano == ns


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "broken"),
        ("min_duration_ms", "slow"),
        ("min_duration_ms", "-1"),
        ("max_duration_ms", "nan"),
        ("from_", "yesterday-ish"),
        ("from_", "2026-11-23T12:04:00"),
        ("from_", "2026-11-23T12:04:00.123456789"),
        ("from_", "9999-12-31T23:59:59-23:59"),
        ("to", "0001-01-01T00:00:00+23:59"),
        ("to", "now+1h"),
        ("to", "-5"),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "many"),
        ("limit", "1" * 5_000),
    ],
)
def test_a_wrong_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(BadInput, match=name.rstrip("_")) as refused:
        search_from_parameters(**{name: value}, now_unix_nano=NOW)  # type: ignore[arg-type]
    assert refused.value.code == "bad_parameter"


def test_a_time_that_ends_before_it_begins_is_refused_and_an_empty_one_is_not() -> None:
    with pytest.raises(BadInput, match=r"^from='now-1h': is after to='now-2h'") as refused:
        search_from_parameters(from_="now-1h", to="now-2h", now_unix_nano=NOW)
    assert refused.value.code == "bad_parameter"
    assert (
        search_from_parameters(from_="now-1h", to="now-1h", now_unix_nano=NOW).to_unix_nano == NOW - 3_600 * 1_000 * MS
    )


@pytest.mark.parametrize("pair", ["no colon", ":value", ""])
def test_an_attr_without_key_or_colon_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="attr"):
        search_from_parameters(attr=[pair], now_unix_nano=NOW)
