"""The query text and the plain parameters: what they mean, and where a wrong one is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.model.query_text import parse_query, search_from_parameters
from clew_server.model.search import Search, SpanCondition, TraceCondition

MS = 1_000_000
NOW = 1_795_000_000_000_000_000


def test_every_kind_of_condition_is_understood() -> None:
    q = 'service=cart status=ERROR kind=server name="GET /x" dur>500ms trace.duration>=2s http.route="/pay" n=-5'
    assert parse_query(q) == Search(
        span=(
            SpanCondition("service", "=", "cart"),
            SpanCondition("status", "=", "error"),
            SpanCondition("kind", "=", "server"),
            SpanCondition("name", "=", "GET /x"),
            SpanCondition("dur", ">", 500 * MS),
            SpanCondition("attr", "=", "/pay", "http.route"),
            SpanCondition("attr", "=", "-5", "n"),
        ),
        trace=(TraceCondition("duration", ">=", 2_000 * MS),),
    )


def test_operation_is_another_word_for_name_and_a_quoted_key_is_always_an_attribute() -> None:
    assert parse_query('operation=x "service"=y "a = b"="c \\" \\\\ \\n \\t"').span == (
        SpanCondition("name", "=", "x"),
        SpanCondition("attr", "=", "y", "service"),
        SpanCondition("attr", "=", 'c " \\ \n \t', "a = b"),
    )


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("1.5ms", 1_500_000),
        ("3s", 3_000 * MS),
        ("2m", 120_000 * MS),
        ("1h", 3_600_000 * MS),
    ],
)
def test_a_length_has_a_unit(text: str, ns: int) -> None:
    assert parse_query(f"dur<={text}").span == (SpanCondition("dur", "<=", ns),)


def test_a_trace_that_is_linked_to_is_named_by_its_id() -> None:
    trace_id = "4BF92F3577b34da6a3ce929d0e0e4736"
    assert parse_query(f"link.trace={trace_id}").span == (SpanCondition("link_trace", "=", trace_id.lower()),)


def test_a_condition_can_be_that_two_texts_differ() -> None:
    assert parse_query('service!=cart kind!=client event!=retry event.k!="" zone!=north').span == (
        SpanCondition("service", "!=", "cart"),
        SpanCondition("kind", "!=", "client"),
        SpanCondition("event", "!=", "retry"),
        SpanCondition("event", "!=", "", "k"),
        SpanCondition("attr", "!=", "north", "zone"),
    )


@pytest.mark.parametrize("q", ["", "   ", "\t\n"])
def test_an_empty_query_asks_nothing(q: str) -> None:
    assert parse_query(q) == Search()


@pytest.mark.parametrize(
    ("q", "position"),
    [
        ("service=", 8),
        ("service", 0),
        ("service=a (b=c or d=e)", 10),
        ("service=a or b=c", 10),
        ("not a=b", 0),
        ("status=broken", 7),
        ("kind=sever", 5),
        ("dur>fast", 4),
        ("dur>500", 4),
        ("dur>-1s", 4),
        ("a>5", 1),
        ("dur!=5s", 3),
        ("link.trace=abc", 11),
        ("trace.duration!=5s", 14),
        ("a!==5", 1),
        ("a!~5", 1),
        ("a==5", 1),
        ("a=~x", 1),
        ('"dur">5s', 5),
        ('name="never closed', 5),
        (r'name="\x"', 6),
        ('a="b"c', 5),
        ("a=b(c)", 3),
        ("=b", 0),
        ("é=é é", 4),
        (" ".join(["a=b"] * 33), 4 * 32),
        ("a=" + "b" * 5_000, 4_096),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(q: str, position: int) -> None:
    with pytest.raises(BadInput) as refused:
        parse_query(q)
    assert (refused.value.code, refused.value.position) == ("bad_query", position)
    assert str(refused.value)


@given(st.text())
def test_any_text_is_a_search_or_refused_with_a_position(q: str) -> None:
    try:
        parse_query(q)
    except BadInput as error:
        refused = error
    else:
        return
    assert refused.position is not None
    assert 0 <= refused.position <= len(q)


@given(st.text(), st.text())
def test_any_key_and_value_can_be_quoted(key: str, value: str) -> None:
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (key, value)]
    assert parse_query('"{}"="{}"'.format(*quoted)).span == (SpanCondition("attr", "=", value, key),)


def test_plain_parameters_and_the_query_hold_together() -> None:
    search = search_from_parameters(
        q="dur>1ms",
        service="cart",
        operation="GET /",
        status="error",
        min_duration_ms="2.5",
        max_duration_ms="10",
        attr=["http.url:http://x", "empty:"],
        from_="now-1h",
        to="now",
        limit="7",
        cursor="abc",
        now_unix_nano=NOW,
    )
    assert search == Search(
        span=(
            SpanCondition("dur", ">", MS),
            SpanCondition("service", "=", "cart"),
            SpanCondition("name", "=", "GET /"),
            SpanCondition("status", "=", "error"),
            SpanCondition("attr", "=", "http://x", "http.url"),
            SpanCondition("attr", "=", "", "empty"),
        ),
        trace=(TraceCondition("duration", ">=", 2_500_000), TraceCondition("duration", "<=", 10 * MS)),
        from_unix_nano=NOW - 3_600 * 1_000 * MS,
        to_unix_nano=NOW,
        limit=7,
        cursor="abc",
    )


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


@pytest.mark.parametrize("pair", ["no colon", ":value", ""])
def test_an_attr_without_key_or_colon_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="attr"):
        search_from_parameters(attr=[pair], now_unix_nano=NOW)
