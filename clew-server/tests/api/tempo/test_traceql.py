"""TraceQL as far as clew's searches can say it, the other parameters of Tempo's searches, and metrics."""

from __future__ import annotations

import pytest

from clew_server.api.tempo.metrics import answer, range_from_parameters
from clew_server.api.tempo.searches import search_from_parameters
from clew_server.api.tempo.traceql import Attribute, Metric, duration_ns, parse
from clew_server.errors import BadInput, Unsupported
from clew_server.model.search import Search, SpanCondition, TraceCondition
from clew_server.model.series import Point, Series

S = 1_000_000_000


def one(*conditions: SpanCondition) -> tuple[SpanCondition, ...]:
    return conditions


@pytest.mark.parametrize(
    ("q", "span"),
    [
        ("{}", ()),
        ("", ()),
        ("{ true }", ()),
        ('{resource.service.name="cart"}', one(SpanCondition("service", "=", "cart"))),
        ('{.service.name="cart"}', one(SpanCondition("service", "=", "cart"))),
        ('{ name = "GET /" && status = error }', one(SpanCondition("name", "=", "GET /"), SpanCondition("status", "=", "error"))),
        ("{ span:kind = server }", one(SpanCondition("kind", "=", "server"))),
        ('{ status != ok && .service.name != "a" }', one(SpanCondition("status", "!=", "ok"), SpanCondition("service", "!=", "a"))),
        ("{ duration > 1m30s && span:duration<=1.5s }", one(SpanCondition("dur", ">", 90 * S), SpanCondition("dur", "<=", 3 * S // 2))),
        ("{ span.http.status_code = 500 }", one(SpanCondition("of_span", "=", "500", "http.status_code"))),
        ("{ .http.status_code = 500 }", one(SpanCondition("attr", "=", "500", "http.status_code"))),
        ("{ .cached = true && .ratio = -1.5 }", one(SpanCondition("attr", "=", "true", "cached"), SpanCondition("attr", "=", "-1.5", "ratio"))),
        ("{ resource.k8s.pod = `a\\b` }", one(SpanCondition("of_resource", "=", "a\\b", "k8s.pod"))),
        ('{ span."a b" = "c \\"d\\" ü" }', one(SpanCondition("of_span", "=", 'c "d" ü', "a b"))),
        ('{ event:name = "exception" && event.exception.type = "KeyError" }', one(SpanCondition("event", "=", "exception"), SpanCondition("event", "=", "KeyError", "exception.type"))),
        ('{ instrumentation:name = "lib" && statusMessage = "no" }', one(SpanCondition("scope", "=", "lib"), SpanCondition("status_message", "=", "no"))),
        ("{ ( status = ok ) && (kind=client) }", one(SpanCondition("status", "=", "ok"), SpanCondition("kind", "=", "client"))),
    ],
)  # fmt: skip
def test_conditions_become_conditions_of_a_search(q: str, span: tuple[SpanCondition, ...]) -> None:
    assert parse(q).span == span


def test_a_condition_on_the_traces_length_is_one_on_the_trace_and_select_names_attributes() -> None:
    query = parse('{ traceDuration >= 2s && name="x" } | select(span.http.url, status) with (most_recent=true)')
    assert query.trace == (TraceCondition("duration", ">=", 2 * S),)
    assert query.select == (
        Attribute("span", "http.url", "span.http.url"),
        Attribute("intrinsic", "status", "status"),
    )
    assert [named.key for named in query.named] == ["traceDuration", "name"]


@pytest.mark.parametrize(
    ("q", "at"),
    [
        ('{ name = "a" || name = "b" }', 13),
        ('{ name =~ "a.*" }', 7),
        ('{ .a != "b" }', 5),
        ('{ event:name != "b" }', 13),
        ("{ .a > 5 }", 5),
        ("{ nestedSetParent < 0 }", 18),
        ('{ rootServiceName = "a" }', 18),
        ("{ status = ok }{ kind = server }", 15),
        ("{} >> {}", 3),
        ("{} && {}", 3),
        ("{} | count() > 2", 5),
        ("{} | rate() | topk(3)", 14),
        ("{ (name = `a` && kind = server) }", 14),
        ("{} | quantile_over_time(duration)", 32),
        ("{} | avg_over_time(span.size)", 28),
        ('{ parent.a = "b" }', 11),
        ("{ .a = nil", 7),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place_and_with_what_can(q: str, at: int) -> None:
    with pytest.raises(Unsupported, match="clew answers conditions joined by &&") as caught:
        parse(q)
    assert caught.value.position == at


@pytest.mark.parametrize(
    ("q", "said"),
    [
        ('{ .a = "x" } >> { .b = "y" }', "character 13: >> between two pairs of braces is not answered"),
        ('{ .a = "x" } || { .b = "y" }', "character 13: || between two pairs of braces is not answered"),
        ('{ .a = "x" || .b = "y" }', "character 11: || is not answered"),
        ('{ .a !~ "x" }', "character 5: !~ is not answered"),
        ('{ !(.a = "x") }', "character 2: ! before a condition is not answered"),
        ('({ .a = "x" })', "character 0: '(' before the braces is not answered"),
        ("{ .a != nil }", "character 8: != nil is not answered"),
        ("{ .a = nil }", "character 7: = nil is not answered"),
        ("{ .a = .b }", "character 7: '.b' is no value"),
        ("{ name = resource.b }", "character 9: 'resource.b' is no value"),
        ("{ .a && .b }", "character 5: after '.a' stands '&&' and no comparison"),
        ('{ rootName = "x" }', "a condition on 'rootName' is not answered"),
        ("{} | rate() > 5", "character 12: > behind a pipe is not answered"),
        ("{} | count() > 2", "character 5: | count is not answered"),
        ("{} | rate() | topk(5)", "nothing may follow a metric"),
    ],
)
def test_a_refusal_names_what_is_not_understood(q: str, said: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse(q)
    assert said in str(caught.value)


def test_true_and_false_are_values_of_attributes_and_nothing_of_names() -> None:
    assert [one.value for one in parse("{ .a = true && span.b = false }").span] == ["true", "false"]
    with pytest.raises(Unsupported, match="'true' is no value"):
        parse("{ name = true }")


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
        span=(SpanCondition("status", "=", "error"),),
        trace=(TraceCondition("duration", ">=", 10_000_000),),
        limit=5,
        span_from_unix_nano=100 * S,
        span_to_unix_nano=200 * S,
    )
    assert asked.spans == 7
    plain = search_from_parameters({}).search
    assert (plain.limit, plain.span_from_unix_nano) == (20, None)


def test_tags_in_logfmt() -> None:
    asked = search_from_parameters(
        {"tags": 'service.name=cart error=true http.route="/a b" name=GET status.code=error n=1'}
    )
    assert asked.search.span == (
        SpanCondition("service", "=", "cart"),
        SpanCondition("status", "=", "error"),
        SpanCondition("attr", "=", "/a b", "http.route"),
        SpanCondition("name", "=", "GET"),
        SpanCondition("status", "=", "error"),
        SpanCondition("attr", "=", "1", "n"),
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"q": "{}", "tags": "a=b"},
        {"tags": "no pair"},
        {"tags": "status=odd"},
        {"tags": "root.name=x"},
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
