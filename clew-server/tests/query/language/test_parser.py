"""The query language: what each form means as a tree, and where a text that is not understood is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.model.query_tree import (
    And,
    Braces,
    Node,
    Not,
    Or,
    Relation,
    SpanTerm,
    TraceTerm,
    Value,
    terms,
)
from clew_server.model.times import time_from_text
from clew_server.query.language.parser import parse

NOW = 1_795_000_000_000_000_000
MS = 1_000_000


def parsed(text: str) -> Node | None:
    return parse(text, lambda time: time_from_text("trace.start", time, NOW))


def only(text: str) -> SpanTerm:
    """The one condition of a query."""
    node = parsed(text)
    assert isinstance(node, Braces)
    assert isinstance(node.inside, SpanTerm)
    return node.inside


def shape(node: Node | None) -> object:
    """The tree without texts: keys of its conditions, and how they are joined."""
    if isinstance(node, And | Or):
        return (type(node).__name__.lower(), *map(shape, node.parts))
    if isinstance(node, Not):
        return ("not", shape(node.part))
    if isinstance(node, Braces):
        return {shape(node.inside)} if node.inside is not None else set()
    if isinstance(node, Relation):
        return [shape(node.first), *((op, shape(braces)) for op, braces in node.steps)]
    if isinstance(node, SpanTerm):
        return node.key or node.place
    return node and f"trace.{node.place}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        (" \t\n", None),
        ("a=1", {"a"}),
        ("a=1 b=2", {("and", "a", "b")}),
        ("a=1 AND b=2 or c=3", {("or", ("and", "a", "b"), "c")}),
        ("a=1 (b=2 OR c=3)", {("and", "a", ("or", "b", "c"))}),
        ("not a=1 b=2", {("and", ("not", "a"), "b")}),
        ("not not a=1", {"a"}),
        ("not a!=1", {"a"}),
        ("not (a=1 b=2)", {("not", ("and", "a", "b"))}),
        ("a!=1", {("not", "a")}),
        ("not a exists", {("not", "a")}),
        ("a=1 trace.duration>2s", ("and", {"a"}, "trace.duration")),
        ("trace.duration>2s", "trace.duration"),
        ("not trace.duration>2s", ("not", "trace.duration")),
        ("a=1 or trace.spans>2", {("or", "a", "trace.spans")}),
        ("{}", set()),
        ("{a=1} and {b=2 c=3} trace.errors>0", ("and", {"a"}, {("and", "b", "c")}, "trace.errors")),
        ("not {a=1}", ("not", {"a"})),
        ("{a=1} > {b=2} >> {c=3}", [{"a"}, (">", {"b"}), (">>", {"c"})]),
        ("not {a=1} ~ {}", ("not", [{"a"}, ("~", set())])),
        ("({a=1} or {b=2}) {c=3}", ("and", ("or", {"a"}, {"b"}), {"c"})),
        ("{a=1 trace.spans>2}", ("and", {"a"}, "trace.spans")),
        ("cart", {"names"}),
        ('cart "GET /x"', {("and", "names", "names")}),
    ],
)
def test_conditions_are_joined_as_the_grammar_says(text: str, wanted: object) -> None:
    assert shape(parsed(text)) == wanted


@pytest.mark.parametrize(
    ("text", "place", "key"),
    [
        ("service=a", "service", ""),
        ("operation=a", "name", ""),
        ("scope=a", "scope", ""),
        ("status.message=a", "status_message", ""),
        ("event=a", "event", ""),
        ("event.k=a", "event_attr", "k"),
        ("link.k=a", "link_attr", "k"),
        ("link.trace=" + "Ab" * 16, "link_trace", ""),
        ("span.service=a", "of_span", "service"),
        ("resource.k=a", "of_resource", "k"),
        ("scope.k=a", "of_scope", "k"),
        ("http.route=a", "attr", "http.route"),
        ('"service"=a', "attr", "service"),
        ('"a = b"=a', "attr", "a = b"),
        ("exact(http.method)=a", "attr", "http.method"),
        ("id=0123456789abcdef", "id", ""),
        ("parent exists", "parent", ""),
        ("service exists", "service", ""),
        ("operation exists", "name", ""),
        ("root=TRUE", "root", ""),
        ("failed=false", "failed", ""),
        ("kind in (server, client)", "kind", ""),
        ("event.=a", "attr", "event."),
    ],
)
def test_a_key_names_a_place(text: str, place: str, key: str) -> None:
    term = only(text)
    assert (term.place, term.key, term.exact) == (place, key, text.startswith("exact"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=b", Value("b")),
        ("a = b", Value("b")),
        ("a=b=c", Value("b=c")),
        ("a=200", Value("200", Decimal(200))),
        ("a=-1.5e3", Value("-1.5e3", Decimal(-1500))),
        ("a=2kB", Value("2kB", Decimal(2000))),
        ("a=1MiB", Value("1MiB", Decimal(1 << 20))),
        ("a=1.5ms", Value("1.5ms", Decimal(1_500_000))),
        ('a="200"', Value("200")),
        (r'a="\" \\ \n \t \u00fc"', Value('" \\ \n \t ü')),
        (r'a="\ud83d\uDE00 \u0000"', Value("😀 \0")),
        ('a=""', Value("")),
        ("a=x*y*", Value("x*y*", pieces=("x", "y", ""))),
        (r"a=x\*y", Value("x*y")),
        ('a="x*y"', Value("x*y")),
        ("a=C:\\dir", Value("C:\\dir")),
        ("a=2026-11-23T12:04:00Z", Value("2026-11-23T12:04:00Z")),
    ],
)
def test_a_value_is_a_text_a_number_or_a_pattern(text: str, value: Value) -> None:
    (found,) = only(text).values
    assert (found.text, found.number, found.pieces) == (value.text, value.number, value.pieces)


@pytest.mark.parametrize(
    ("text", "doubles"),
    [
        ("5", ["5.0"]),
        ("0", ["0.0", "-0.0"]),
        ("-0.0", ["0.0", "-0.0"]),
        ("-Infinity", ["-inf"]),
        ("NaN", ["nan"]),
        ("1e400", []),
        ("1e-400", []),
        ('"5"', []),
    ],
)
def test_a_number_is_a_double_where_there_is_one_and_zero_is_two(text: str, doubles: list[str]) -> None:
    assert [repr(double) for double in only(f"a={text}").values[0].doubles] == doubles


def test_a_value_that_is_no_number_may_still_be_one_of_json() -> None:
    assert only("a=Infinity").values[0].number == Decimal("Infinity")
    (nan,) = only("a=NaN").values
    assert nan.number is not None
    assert nan.number.is_nan()


def test_a_list_has_values_in_which_a_star_is_a_star() -> None:
    term = only('a in (x, "y, z", 5, *)')
    assert [value.text for value in term.values] == ["x", "y, z", "5", "*"]
    assert not any(value.pieces for value in term.values)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("1.5ms", 1_500_000),
        ("3s", 3_000 * MS),
        ("2m", 120_000 * MS),
        ("1d", 86_400_000 * MS),
    ],
)
def test_a_length_of_time_has_a_unit(text: str, ns: int) -> None:
    assert only(f"dur<={text}").values[0].number == ns


def test_a_start_is_a_time_as_in_the_parameters() -> None:
    node = parsed("trace.start>=now-15m")
    assert isinstance(node, TraceTerm)
    assert node.values[0].number == NOW - 900_000 * MS


@pytest.mark.parametrize(
    ("q", "position"),
    [
        ("service=", 8),
        ("service=a (b=c or d=e", 10),
        ("service=a b=c)", 13),
        ("status=broken", 7),
        ("kind=sever", 5),
        ("dur>fast", 4),
        ("dur>500", 4),
        ('dur>"5s"', 4),
        ("a>b", 2),
        ("service>5", 7),
        ("kind=~x", 4),
        ("link.trace=abc", 11),
        ("id=xyz", 3),
        ("trace.id=12", 9),
        ("trace.spans>many", 12),
        ("trace.start>yesterday", 12),
        ("trace.size>5", 0),
        ("dur exists", 4),
        ('name="never closed', 5),
        (r'name="\x"', 6),
        (r'name="\ud83d"', 6),
        (r'name="a\ude00\ud83d"', 7),
        (r'name="\u00g0"', 6),
        ('a="b"c', 5),
        ("a=b(c)", 3),
        ('span."a key"=5', 5),
        ('"a""b"', 3),
        ("cart{a=b}", 4),
        ("(cart(pay))", 5),
        ("a exists(b=c)", 8),
        ("a in (b)c=d", 8),
        ("=b", 0),
        ("a=and", 2),
        ("a=b or", 6),
        ("or a=b", 0),
        ("a in b", 5),
        ("a in (b", 7),
        ("a in (b c)", 8),
        ("{a=b", 0),
        ("{a=b} c=d", 6),
        ("c=d {a=b}", 0),
        ("{a=b {c=d}}", 5),
        ("{a=b} > c=d", 8),
        ("exact(a) b=c", 9),
        (" ".join(["a=b"] * 65), 4 * 64),
        (" ".join(["{}"] * 9), 3 * 8),
        ("(" * 33 + "a=b" + ")" * 33, 32),
        ("a=" + "b" * 5_000, 4_096),
        ("a in (" + ",".join(["x"] * 257) + ")", 6 + 2 * 256),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(q: str, position: int) -> None:
    with pytest.raises(BadInput) as refused:
        parsed(q)
    assert (refused.value.code, refused.value.position) == ("bad_query", position)
    assert str(refused.value)


_PARTS = st.sampled_from(
    [*'abc=!~<>(){}",* \\', "not ", " and ", " or ", " in ", " exists", "dur", "trace.spans", "5ms", "exact("]
)


@given(st.one_of(st.text(), st.lists(_PARTS).map("".join)))
def test_any_text_is_a_query_or_refused_with_a_position(q: str) -> None:
    try:
        node = parsed(q)
    except BadInput as error:
        refused = error
    else:
        assert all(0 <= term.position < len(q) for term in terms(node))
        return
    assert refused.code == "bad_query"
    assert refused.position is not None
    assert 0 <= refused.position <= len(q)


@given(st.text(), st.text())
def test_any_key_and_value_can_be_quoted(key: str, value: str) -> None:
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (key, value)]
    if len(key + value) * 2 + 5 > 4_096:
        return
    term = only('"{}"="{}"'.format(*quoted))
    assert (term.key, term.values[0].text, term.values[0].pieces) == (key, value, ())
