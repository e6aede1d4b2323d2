"""TraceQL as far as clew's query language can say it, the other parameters of Tempo's searches, and metrics."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.api.tempo.attributes import Attribute
from clew_server.api.tempo.metrics import answer, range_from_parameters
from clew_server.api.tempo.searches import search_from_parameters
from clew_server.api.tempo.spansets import matched, where
from clew_server.api.tempo.tokens import duration_ns
from clew_server.api.tempo.traceql import Metric, parse
from clew_server.errors import BadInput, Unsupported
from clew_server.model.query_tree import And, Braces, Node, Not, Or, Relation, SpanTerm, TraceTerm, terms
from clew_server.model.search import Search
from clew_server.model.series import Point, Series
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.query.language.parser import parse as in_clew

S = 1_000_000_000


def times(text: str) -> int:
    raise AssertionError(text)


def said(q: str | None) -> Node | None:
    """What a text of clew's own query language means, without the places in it."""
    return placeless(in_clew(q, times)) if q else None


def placeless(node: Node | None) -> Node | None:
    """The tree without places, and each key looked for under its own name only, as TraceQL means it."""
    if isinstance(node, And):
        return And(tuple(placed(part) for part in node.parts))
    if isinstance(node, Or):
        return Or(tuple(placed(part) for part in node.parts))
    if isinstance(node, Not):
        return Not(placed(node.part))
    if isinstance(node, Braces):
        return braces(node)
    if isinstance(node, Relation):
        return Relation(braces(node.first), tuple((op, braces(one)) for op, one in node.steps))
    if isinstance(node, SpanTerm | TraceTerm):
        values = tuple(
            replace(value, position=0, text=value.text if value.number is None else "") for value in node.values
        )
        more = {"exact": True} if isinstance(node, SpanTerm) and node.key else {}
        return replace(node, values=values, position=0, **more)
    return None


def placed(node: Node) -> Node:
    found = placeless(node)
    assert found is not None
    return found


def braces(one: Braces) -> Braces:
    return Braces(placeless(one.inside))


@pytest.mark.parametrize(
    ("q", "in_words"),
    [
        ("{}", None),
        ("", None),
        ("{ true }", None),
        ("{ true || name = `a` }", None),
        ('{resource.service.name="cart"}', "{service=cart}"),
        ('{.service.name="cart"}', "{service=cart}"),
        ('{ name = "GET /" && status = error }', '{name="GET /" status=error}'),
        ("{ true && span:kind = server }", "{kind=server}"),
        ('{ status != ok && .service.name != "a" }', "{status!=ok service!=a}"),
        ("{ duration > 1m30s && span:duration<=1.5s && duration != 5ms }", "{dur>90s dur<=1500ms dur!=5ms}"),
        ("{ span.http.status_code = 500 }", "{span.http.status_code=500}"),
        ("{ .http.status_code >= 500 }", "{http.status_code>=500}"),
        ("{ .size > 1.5e3 && .wait < 2s }", "{size>1500 wait<2s}"),
        ("{ .cached = true && .ratio = -1.5 }", '{cached="true" ratio=-1.5}'),
        ("{ resource.k8s.pod = `a\\b` }", '{resource.k8s.pod="a\\\\b"}'),
        ('{ .b = "c \\"d\\" ü" }', '{b="c \\"d\\" ü"}'),
        ('{ event:name = "exception" && event.rows > 3 }', "{event=exception event.rows>3}"),
        ('{ instrumentation:name = "lib" && instrumentation.a = "b" }', '{scope=lib scope.a="b"}'),
        ('{ statusMessage != "no" && link.a = "b" }', '{status.message!=no link.a="b"}'),
        ('{ .a != "b" }', '{a exists a!="b"}'),
        ('{ .a =~ "b.*" && name !~ "x|y" }', '{a=~"^(?:b.*)$" name!~"^(?:x|y)$"}'),
        ("{ .a != nil && span.b = nil }", "{a exists not span.b exists}"),
        ('{ name = "a" || name = "b" && kind = server }', "{(name=a or name=b) kind=server}"),
        ('{ name = "a" && (kind = server || kind = client) }', "{name=a (kind=server or kind=client)}"),
        ('{ !(name = "a") && !status = ok }', "{not name=a not status=ok}"),
        ("{ nestedSetParent < 0 }", "{root=true}"),
        ('{ rootName = "x" && trace:rootService =~ "y" }', 'trace.root.name=x trace.root.service=~"^(?:y)$"'),
        ('{ traceDuration >= 2s && name="x" }', "{name=x} trace.duration>=2s"),
        ('{ trace:id = "2f" && span:id = "A000000000000001" }', "{id=a000000000000001} trace.id=0000000000000000000000000000002f"),
        ('{ name="a" } && { name="b" } || {}', "{name=a} and {name=b} or {}"),
        ('{ name="a" } || { name="b" } && { name="c" }', "({name=a} or {name=b}) and {name=c}"),
        ('{ name="a" } >> { name="b" } && { name="c" }', "{name=a} >> {name=b} and {name=c}"),
        ('({ name="a" } > { name="b" } ~ { name="c" })', "{name=a} > {name=b} ~ {name=c}"),
        ('{ name="a" } < { name="b" } << { name="c" }', "{name=c} >> {name=b} > {name=a}"),
        ('{ name="a" && traceDuration > 1s } > {}', "{name=a trace.duration>1s} > {}"),
    ],
)  # fmt: skip
def test_traceql_means_what_the_query_language_says(q: str, in_words: str | None) -> None:
    found = where(parse(q).spansets)
    assert placeless(found) == said(in_words)


def test_what_stands_in_values_is_part_of_them_whatever_it_is() -> None:
    for text in ('a" or name="b', "a) {", "b*", "\\*", "not", "5ms", "a\nb", "'"):
        found = where(parse(f"{{ .k = {json.dumps(text)} }}").spansets)
        assert isinstance(found, Braces)
        assert isinstance(found.inside, SpanTerm)
        (value,) = found.inside.values
        assert (value.text, value.number, value.pieces) == (text, None, ())


def test_select_names_attributes_and_so_do_conditions() -> None:
    query = parse('{ traceDuration >= 2s && name="x" } | select(span.http.url, status) with (most_recent=true)')
    assert query.select == (
        Attribute("span", "http.url", "span.http.url"),
        Attribute("intrinsic", "status", "status"),
    )
    assert [named.key for named in query.named] == ["traceDuration", "name"]


@pytest.mark.parametrize(
    ("q", "at", "said"),
    [
        ("{ event:name != `b` }", 13, "!= after 'event:name' is not answered"),
        ("{ event.a !~ `b` }", 10, "!~ after 'event.a' is not answered"),
        ("{ nestedSetParent > 7 }", 18, "nestedSetParent"),
        ("{ nestedSetLeft > 7 }", 16, "a condition on 'nestedSetLeft'"),
        ("{ status = ok }{ kind = server }", 15, "'{' is left over"),
        ("{} !>> {}", 3, "!>> between two pairs of braces"),
        ("{} &>> {}", 3, "&>> between two pairs of braces"),
        ("({} && {}) >> {}", 11, ">> is answered between braces"),
        ("{} >> ({} || {})", 3, ">> is answered between braces"),
        ("{} >> {} < {}", 9, "up (<) and down (>)"),
        ("!{}", 0, "'!' before the braces"),
        ("{} | count() > 2", 5, "| count is not answered"),
        ("{} | rate() | topk(3)", 14, "nothing may follow a metric"),
        ("{} | rate() > 5", 12, "> behind a pipe"),
        ("{} | quantile_over_time(duration)", 32, "wants levels"),
        ("{} | avg_over_time(span.size)", 28, "of duration only"),
        ('{ parent.a = "b" }', 11, "a condition on 'parent.a'"),
        ("{ .a = .b }", 7, "'.b' is no value"),
        ("{ name = resource.b }", 9, "'resource.b' is no value"),
        ("{ .a && .b }", 5, "after '.a' stands '&&' and no comparison"),
        ("{ .a + 1 = 2 }", 5, "after '.a' stands '+' and no comparison"),
        ('{ .a > "5" }', 5, "> is answered of numbers and durations"),
        ('{ name > "5" }', 7, "> after 'name' is not answered"),
        ("{ name =~ 5 }", 10, "=~ wants an expression in quotes"),
        ("{ .a > nil }", 5, "> nil is not answered"),
        ("{ !true }", 2, "! before what always holds"),
        ("{}" + " && {}" * 8, 48, "more than 8 pairs of braces"),
        ("{" + "(" * 40 + "name=`a`" + ")" * 40 + "}", 33, "nested deeper than 32"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place_and_with_what_can(q: str, at: int, said: str) -> None:
    with pytest.raises(Unsupported, match="clew answers conditions joined by && and") as caught:
        parse(q)
    assert said in str(caught.value)
    assert caught.value.position == at
    assert str(caught.value).startswith(f"character {at}: ")


def test_true_and_false_are_values_of_attributes_and_nothing_of_names() -> None:
    found = where(parse("{ .a = true && span.b = false }").spansets)
    assert [term.values[0].text for term in terms(found)] == ["true", "false"]
    with pytest.raises(Unsupported, match="'true' is no value"):
        parse("{ name = true }")


def shop() -> Trace:
    """a with the children b and c, b with the child d, d with the child e."""
    names = {b"a": b"", b"b": b"a", b"c": b"a", b"d": b"b", b"e": b"d"}
    spans = [
        Span(
            trace_id=b"t" * 16,
            span_id=name * 8,
            parent_span_id=parent * 8,
            name=name.decode(),
            start_time_unix_nano=S + at,
            end_time_unix_nano=2 * S,
        ).SerializeToString()
        for at, (name, parent) in enumerate(names.items())
    ]
    return trace_from_spans([StoredSpan(b"", b"", "", "", one, 0) for one in spans])


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("{`b c`}", "bc"),
        ("{`b`} && {`e`}", "be"),
        ("{`b`} && {`x`}", ""),
        ("{`b`} || {`x`}", "b"),
        ("{`a`} > {`b d e`}", "b"),
        ("{`a`} >> {`b d e`}", "bde"),
        ("{`b`} >> {`c d e`}", "de"),
        ("{`e`} < {`b d`}", "d"),
        ("{`e`} << {`a b c`}", "ab"),
        ("{`b`} ~ {`b c d`}", "c"),
        ("{`b c`} ~ {`b c d`}", "bc"),
        ("{`a`} > {`b c`} >> {`e`}", "e"),
        ("{`a`} > {`c`} >> {`e`}", ""),
        ("{`d`} ~ {`d e`}", ""),
    ],
)
def test_of_several_braces_the_spans_of_the_last_are_shown_that_stand_as_they_must(q: str, found: str) -> None:
    """What each pair of braces holds for is written in it; what is shown follows from the trace's tree."""
    asked = re.sub(r"`[^`]*`", "name=`x`", q)
    holding = [frozenset(name.encode() * 8 for name in inside.split()) for inside in re.findall(r"`([^`]*)`", q)]
    trace = shop()
    rows = matched(parse(asked).spansets, trace, holding)
    assert "".join(trace.name_of(row) for row in rows) == found


@pytest.mark.parametrize(
    "q", ["{ status = broken }", "{ duration > 5 }", "{ name = 'a' }", "{ # }", '{ .a = "x"', "{" * 5000]
)
def test_what_is_no_traceql_is_bad_input(q: str) -> None:
    with pytest.raises(BadInput):
        parse(q)


def test_any_text_is_parsed_or_refused_and_never_fails_otherwise() -> None:
    whole = '{ resource.service.name = "cart" && duration > 1.5s } | quantile_over_time(duration, .9, 0.5) by (name)'
    for at in range(len(whole)):
        for text in (
            whole[:at],
            whole[:at] + whole[at + 1 :],
            whole[:at] + '"' + whole[at:],
            whole[:at] + ")" + whole[at:],
        ):
            try:
                parse(text)
            except BadInput:
                continue


def test_a_metric_is_read_with_its_levels_and_attributes() -> None:
    query = parse(
        "{ status=error } | quantile_over_time(duration, .9, 0.5) by (resource.service.name, span.http.route)"
    )
    assert query.metric == Metric(
        "quantile_over_time",
        (0.9, 0.5),
        (
            Attribute("resource", "service.name", "resource.service.name"),
            Attribute("span", "http.route", "span.http.route"),
        ),
    )
    assert parse("{} | rate()").metric == Metric("rate", (), ())


def test_the_parameters_of_a_search() -> None:
    asked = search_from_parameters(
        {"q": "{ status=error }", "start": "100", "end": "200", "limit": "5", "spss": "7", "minDuration": "10ms"}
    )
    assert asked.search == Search(
        where=asked.search.where,
        limit=5,
        span_from_unix_nano=100 * S,
        span_to_unix_nano=200 * S,
    )
    assert placeless(asked.search.where) == said("{status=error} trace.duration>=10ms")
    assert asked.spans == 7
    plain = search_from_parameters({}).search
    assert (plain.limit, plain.span_from_unix_nano) == (20, None)


def test_tags_in_logfmt() -> None:
    asked = search_from_parameters(
        {"tags": 'service.name=cart error=true http.route="/a b" name=GET status.code=error n=1'}
    )
    assert placeless(asked.search.where) == said(
        '{service=cart status=error http.route="/a b" name=GET status=error n=1}'
    )
    by_root = search_from_parameters({"tags": "root.name=x root.service.name=y"}).search.where
    assert placeless(by_root) == said("trace.root.name=x trace.root.service=y")


@pytest.mark.parametrize(
    "parameters",
    [
        {"q": "{}", "tags": "a=b"},
        {"tags": "no pair"},
        {"tags": "status=odd"},
        {"limit": "0"},
        {"limit": "many"},
        {"start": "200", "end": "100"},
        {"start": "yesterday"},
        {"minDuration": "5"},
        {"q": "{} | rate()"},
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        search_from_parameters(parameters)


def test_a_range_has_steps_at_whole_multiples_and_zeros_where_nothing_was() -> None:
    asked = range_from_parameters({"q": "{} | rate()", "start": "105", "end": "130", "step": "10s"}, 0)
    assert (asked.asked.from_unix_nano, asked.asked.to_unix_nano, asked.asked.step_ns) == (100 * S, 130 * S, 10 * S)
    body = answer(asked, Series([Point(1, (), 5, 0, 0, 0, ())], None))
    assert body["series"] == [
        {
            "labels": [{"key": "__name__", "value": {"stringValue": "rate"}}],
            "samples": [
                {"timestampMs": "100000", "value": 0.0},
                {"timestampMs": "110000", "value": 0.5},
                {"timestampMs": "120000", "value": 0.0},
            ],
            "promLabels": '{__name__="rate"}',
        }
    ]
    assert len(answer(asked, Series([], None))["series"][0]["samples"]) == 3


def test_quantiles_and_labels_have_series_of_their_own() -> None:
    q = "{} | quantile_over_time(duration, .5, .9) by (resource.service.name, status)"
    asked = range_from_parameters({"q": q, "start": "100", "end": "130", "step": "10"}, 0)
    assert asked.asked.by == ("service", "status")
    body = answer(asked, Series([Point(0, ("cart", "2"), 5, 0, 0, 0, (S, 2 * S))], None))
    assert [one["promLabels"] for one in body["series"]] == [
        '{"resource.service.name"="cart", status="error", p="0.5"}',
        '{"resource.service.name"="cart", status="error", p="0.9"}',
    ]
    assert body["series"][1]["samples"] == [{"timestampMs": "100000", "value": 2.0}]


def test_lengths_have_one_series_in_seconds() -> None:
    for function, value in (("min", 1.0), ("max", 3.0), ("sum", 4.0), ("avg", 2.0)):
        asked = range_from_parameters({"q": f"{{}} | {function}_over_time(duration)", "start": "100", "end": "110"}, 0)
        (series,) = answer(asked, Series([Point(0, (), 2, 4 * S, S, 3 * S, ())], None))["series"]
        assert series["samples"][0]["value"] == value


@pytest.mark.parametrize(
    "parameters",
    [
        {"q": "{}"},
        {"q": "{ traceDuration > 1s } | rate()"},
        {"q": "{} && {} | rate()"},
        {"q": "{} | rate() by (resource.host.name)"},
        {"q": "{} | rate()", "start": "0", "end": "1000000", "step": "1s"},
        {"q": "{} | rate()", "step": "1us"},
    ],
)
def test_a_range_that_cannot_be_answered_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        range_from_parameters(parameters, 2_000 * S)


def test_durations() -> None:
    assert duration_ns("1h2m3s4ms5us6ns") == 3_723_004_005_006
    for text in ("", "5", "1 s", "-1s", "s", "2562048h", "9999999999999999999h"):  # the last two are past 2^63 - 1 ns
        with pytest.raises(BadInput):
            duration_ns(text)
